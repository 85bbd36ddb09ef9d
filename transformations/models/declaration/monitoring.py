"""How a model is watched: the `monitoring` of its declaration."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from transformations.datasets.config import Duration
from transformations.models.records.base import Part


class ModelMonitoring(Part):
    """What is particular to a model; what holds for all stands in `monitoring.yaml`.

    leave_out: inputs that are not compared. growing: inputs that only add up, where their definition does not say so.
    calendar: inputs that follow a calendar, each with what tells a day's state: a key, request field or input, whose
    value most rows of the day have, or a calendar of `monitoring.yaml`; they are compared with days of the same state
    alone. follows: the calendar that all other inputs and the scores follow. segments: keys, request fields or inputs
    by whose values predictions are shown apart. on_drift: what an alert about an input or the scores leads to;
    cooldown: at most once in that time.
    """

    leave_out: tuple[str, ...] = ()
    growing: tuple[str, ...] = ()
    calendar: dict[str, str] = Field(default_factory=dict)
    follows: str | None = None
    segments: Annotated[tuple[str, ...], Field(max_length=5)] = ()
    on_drift: Literal["tell", "retrain"] = "tell"
    cooldown: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(days=7)
    runbook: str | None = None

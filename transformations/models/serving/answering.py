"""Answering a request for predictions: routed row by row, scored, recorded, and only then told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import numpy as np

from transformations.engine.base.errors import ServiceUnavailableError
from transformations.engine.base.settings import Settings
from transformations.models.records.base import Role
from transformations.models.records.predictions import ServedView
from transformations.models.rollout.routing import Route
from transformations.models.rollout.splitting import split
from transformations.models.serving.features import Features
from transformations.models.serving.following import Followed, Follower
from transformations.models.serving.predicting import Scored, read_and_score, records_of
from transformations.models.serving.recording import Recorder
from transformations.models.serving.refusals import BusyError, UnknownModelError
from transformations.models.serving.requests import Asked


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rows of a request that one version has answered. rows: their places in the request."""

    role: Role
    rows: Sequence[int]
    scored: Scored


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A request's predictions. ids: a row each. event: that routed it; None where the request named a version."""

    id: str
    ids: Sequence[str]
    route: Route
    event: int | None
    parts: Sequence[Part]


class Answering:
    """Answers by what a follower has loaded."""

    def __init__(self, follower: Follower, features: Features, recorder: Recorder, settings: Settings) -> None:
        self.follower = follower
        self.settings = settings
        self.views: dict[str, ServedView] = {}
        self._features = features
        self._recorder = recorder

    def model(self, name: str) -> Followed:
        """A model that can answer. UnknownModelError for one that is not served here, BusyError until it is loaded."""
        found = self.follower.models.get(name)
        if found is not None:
            return found
        if name not in self.follower.names:
            raise UnknownModelError(f"this server has no model {name!r:.100}. It has {', '.join(self.follower.names)}.")
        reason = self.follower.trouble.get(name, "it is being loaded")
        raise BusyError(f"model {name} is not ready: {reason}", "not_ready")

    async def answer(self, model: Followed, asked: Asked) -> Answer:
        """Predictions for the rows of a request, recorded. BusyError where the deadline has passed before that."""
        began = time.monotonic()
        moment = self.follower.clock()
        route = model.route(moment)
        ids_of = asked.id or uuid4().hex
        answer = Answer(
            id=ids_of,
            ids=[f"{ids_of}-{row}" for row in range(asked.rows)],
            route=route,
            event=route.event,
            parts=await self._in_time(self._parts(model, route, asked, moment)),
        )
        self._record(answer, asked, moment, began)
        return answer

    async def _in_time(self, work: Any) -> Sequence[Part]:
        try:
            async with asyncio.timeout(self.settings.predict_deadline_ms / 1000):
                return await work  # type: ignore[no-any-return]
        except TimeoutError:
            raise BusyError(
                f"no scores within {self.settings.predict_deadline_ms} ms (FEATURES_PREDICT_DEADLINE_MS). Nothing was "
                f"recorded; try again.",
                "deadline",
            ) from None

    async def _parts(self, model: Followed, route: Route, asked: Asked, moment: datetime) -> list[Part]:
        if route.canary is None:
            places = {route.production or 0: np.arange(asked.rows)}
        else:
            places = split(route, asked.columns, asked.rows).parts
        return [
            Part(
                role="canary" if version == route.canary else "production",
                rows=[int(row) for row in rows],
                scored=await self._score(model, version, _taken(asked, rows), moment),
            )
            for version, rows in places.items()
        ]

    async def _score(self, model: Followed, version: int, asked: Asked, moment: datetime) -> Scored:
        served = model.served[version]
        try:
            return await read_and_score(served, asked, moment, self._features)
        except ServiceUnavailableError as error:
            raise BusyError(error.message, "features_unavailable") from error

    def _record(self, answer: Answer, asked: Asked, moment: datetime, began: float) -> None:
        for part in answer.parts:
            records = records_of(
                part.scored,
                _taken(asked, part.rows),
                [answer.ids[row] for row in part.rows],
                moment=moment,
                role=part.role,
                event=answer.event,
                views=self.views,
                began=began,
            )
            self._recorder.append(part.scored.served.model, [record.line().encode() for record in records])


def _taken(asked: Asked, rows: Sequence[int] | np.ndarray[Any, Any]) -> Asked:
    if len(rows) == asked.rows:
        return asked
    columns = {name: [values[row] for row in rows] for name, values in asked.columns.items()}
    return Asked(id=asked.id, rows=len(rows), columns=columns)

"""The brute-force definition of every feature, in plain Python: filter the raw events, compute, no tiles.

It proves the engine, gives authors' tests their values in milliseconds, and previews a feature before anything is
built.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from transformations.engine.base.business_days import start_of_day
from transformations.engine.raw.files import RAW_TIMESTAMP
from transformations.engine.vocabulary.dtypes import FLOAT64, UNIX_TIMESTAMP, Dtype
from transformations.engine.vocabulary.resolution import Resolved

Event = Mapping[str, Any]


def reference_row(resolved: Resolved, events: Sequence[Event], as_of: date) -> dict[str, object] | None:
    """The features of one entity as-of the start of a business day, from its events; None if it was never seen before.

    events: current raw rows of this entity, with looked-up attributes, `_event_timestamp` (aware UTC) and the
    contract's columns.
    """
    zone = resolved.zone
    until = start_of_day(as_of, zone)
    ordered = sorted(
        (event for event in events if event[RAW_TIMESTAMP] < until), key=lambda event: _event_order(resolved, event)
    )
    if not ordered:
        return None
    complete = [_with_derived(resolved, event) for event in ordered]
    inside: dict[int | None, list[Event]] = {}
    for days in {feature.declared.window.days for feature in resolved.features}:
        since = datetime.min.replace(tzinfo=UTC) if days is None else start_of_day(_days_before(as_of, days), zone)
        inside[days] = [event for event in complete if event[RAW_TIMESTAMP] >= since]
    return {
        feature.name: _canonical_number(
            feature.declared.aggregation.of_events(inside[feature.declared.window.days]), feature.dtype
        )
        for feature in resolved.features
    }


def _days_before(day: date, count: int) -> date:
    return date.fromordinal(day.toordinal() - count)


def _event_order(resolved: Resolved, event: Event) -> tuple[object, ...]:
    """The total order of events: time, contract key, all columns; nulls last."""
    names = list(resolved.contract.key) or sorted(column.name for column in resolved.contract.columns)
    return (
        event[RAW_TIMESTAMP],
        *((event[name] is None, event[name] if event[name] is not None else 0) for name in names),
    )


def _with_derived(resolved: Resolved, event: Event) -> Event:
    complete = dict(event)
    for function in resolved.definition.derived:
        columns = {name: pa.array([complete[name]], resolved.columns[name].arrow) for name in function.inputs}
        complete[function.name] = function.evaluate(columns)[0].as_py()
    return complete


def _canonical_number(value: object, dtype: Dtype) -> object:
    if dtype == UNIX_TIMESTAMP and isinstance(value, datetime):
        return value.replace(microsecond=0)
    if dtype == FLOAT64 and value is not None:
        assert isinstance(value, int | float)
        return None if math.isnan(value) else float(value) + 0.0
    return value

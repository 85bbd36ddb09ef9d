"""The raw events of one entity, with their looked-up attributes, as the brute-force reference takes them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.settings import Settings
from transformations.engine.compute.build import source_snapshots
from transformations.engine.raw.files import RAW_TIMESTAMP
from transformations.engine.raw.zone import RawSnapshot, read_current
from transformations.engine.vocabulary.definitions import Lookup
from transformations.engine.vocabulary.resolution import Resolved

Event = dict[str, Any]


def entity_events(
    resolved: Resolved,
    entity: Mapping[str, object],
    settings: Settings,
    versions: Mapping[str, int] | None = None,
) -> list[Event]:
    """The events whose join keys are these, oldest first: the current ones, or those of these versions of the sources.

    DataError where a source was never ingested, and where a version is gone.
    """
    snapshots = source_snapshots(resolved, settings, versions)
    own = {column.name for column in resolved.contract.columns}
    where = {name: value for name, value in entity.items() if name in own}
    events: list[Event] = read_current(snapshots[resolved.contract.name], resolved.contract, where=where).to_pylist()
    for lookup in resolved.definition.lookups:
        find = _attribute_finder(lookup, resolved, snapshots[lookup.source], events)
        for event in events:
            event.update(find(event))
    return [event for event in events if all(event[name] == value for name, value in entity.items())]


def _attribute_finder(
    lookup: Lookup, resolved: Resolved, snapshot: RawSnapshot, events: Sequence[Event]
) -> Callable[[Event], Event]:
    """A function from an event to its attributes: those of its key's last record not after it, or else nulls."""
    contract = resolved.lookups[lookup.source]
    records = read_current(snapshot, contract, [*lookup.on, *lookup.columns, RAW_TIMESTAMP])
    happened = itemgetter(RAW_TIMESTAMP)
    first = lookup.on[0]
    wanted = pa.array({event[first] for event in events}, records[first].type)
    history: dict[tuple[object, ...], list[Event]] = {}
    for record in records.filter(pc.is_in(records[first], value_set=wanted)).to_pylist():
        history.setdefault(tuple(record[name] for name in lookup.on), []).append(record)
    for versions in history.values():
        versions.sort(key=happened)

    def find(event: Event) -> Event:
        versions = history.get(tuple(event[name] for name in lookup.on), [])
        place = bisect_right(versions, happened(event), key=happened)
        return {name: versions[place - 1][name] if place else None for name in lookup.columns}

    return find

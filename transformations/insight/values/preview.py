"""One feature row computed from raw events by definition, without building anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from transformations.contracts import read_contract
from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.settings import Settings
from transformations.engine.raw.files import RAW_TIMESTAMP
from transformations.engine.testing.reference import reference_row
from transformations.engine.vocabulary.resolution import Resolved, resolve
from transformations.insight.freshness import raw_snapshots
from transformations.insight.governance.house_rules import rules_broken_by_view
from transformations.insight.repository import read_repository
from transformations.insight.values.asked import as_of_day, asked_moment, parse_key
from transformations.insight.values.entity_events import entity_events
from transformations.stores.base.domain_files import definitions


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A key's row as-of a day. row: None for a key without an event before it.

    events, used: how many the key has, and how many of them lie before the day. gap: why a build would not go so far
    yet; empty where it would. broken_rules: the house rules that the view breaks.
    """

    resolved: Resolved
    key: Mapping[str, object]
    as_of: date
    available_from: datetime
    row: Mapping[str, object] | None
    events: int
    used: int
    gap: str
    broken_rules: Sequence[str]


def preview_row(view: str, key: str, at: str | None, settings: Settings) -> Preview:
    """The row of a key as typed, as-of a day or servable at a moment; UsageError for an unknown view or key."""
    resolved = _resolve_view(view, settings)
    entity = parse_key(key, resolved.join_keys, view)
    as_of = as_of_day(asked_moment(at, settings, [resolved.contract.shown_zone]), resolved)
    events = entity_events(resolved, entity, settings)
    start = start_of_day(as_of, resolved.zone)
    return Preview(
        resolved=resolved,
        key=entity,
        as_of=as_of,
        available_from=resolved.available_from(as_of),
        row=reference_row(resolved, events, as_of),
        events=len(events),
        used=sum(1 for event in events if event[RAW_TIMESTAMP] < start),
        gap=_gap_text(resolved, as_of, settings),
        broken_rules=rules_broken_by_view(resolved, settings.project_root),
    )


def _resolve_view(view: str, settings: Settings) -> Resolved:
    """The view's definition from the domain files, which load in no time; else from the repository."""
    known = definitions()
    if view in known:
        return resolve(known[view], lambda name: read_contract(name, settings.contracts))
    offered = read_repository(settings).views
    if view not in offered:
        raise UsageError(f"there is no view {view!r}: {nearest(view, {*known, *offered})}.")
    return offered[view].resolved


def _gap_text(resolved: Resolved, as_of: date, settings: Settings) -> str:
    contract = resolved.contract
    snapshot = raw_snapshots(resolved, settings)[contract.name]
    through = snapshot.complete_through if snapshot else None
    if contract.event_time is None or (through is not None and as_of <= through + timedelta(days=1)):
        return ""
    return f"{contract.name} is complete through {through or 'no day'} only: a build would not go so far yet"

"""`features preview`: one feature row computed from raw events by definition, without building anything."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import click

from transformations.cli.options import AT_HELP, json_option, view_names
from transformations.cli.output import print_json, print_table, remark, say
from transformations.contracts import read_contract
from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.moments import moment_text, value_text
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.words import plural
from transformations.engine.raw.files import RAW_TIMESTAMP
from transformations.insight.asked import as_of_day, asked_moment, available_from, parse_key
from transformations.insight.repository import read_repository

if TYPE_CHECKING:
    from transformations.engine.vocabulary.resolution import Resolved


@click.command(
    epilog="""\b
Examples:
  features preview user_visits 7 --at 2020-02-01
  features preview user_visits 7 --at 2020-02-01T09:30:00-05:00
  features preview user_page_visits user_id=7,page=home --at 2020-02-01

A day asks for the row as-of its start. An instant asks for the row that could be served then: the newest as-of day
whose `available_after` has passed.
"""
)
@click.argument("view", shell_complete=view_names)
@click.argument("key")
@click.option("--at", "at", metavar="DAY|MOMENT", help=AT_HELP)
@json_option
def preview(view: str, key: str, at: str | None, as_json: bool) -> None:
    """Compute the features of KEY in VIEW from raw events, by definition.

    KEY is the value of the view's join key, or `column=value,column=value`. Nothing is built, applied or written. The
    house rules that the view breaks are named, which `make test` refuses.
    """
    from transformations.engine.base.business_days import start_of_day
    from transformations.engine.testing.reference import reference_row
    from transformations.insight.entity_events import entity_events
    from transformations.insight.governance.house_rules import rules_broken_by_view, say_broken

    settings = get_settings()
    resolved = _resolved(view, settings)
    entity = parse_key(key, resolved.join_keys, view)
    zone = resolved.contract.shown_zone
    as_of = as_of_day(asked_moment(at, settings, [zone]), resolved)
    events = entity_events(resolved, entity, settings)
    row = reference_row(resolved, events, as_of)
    rules = rules_broken_by_view(resolved, settings.project_root)
    used = sum(1 for event in events if event[RAW_TIMESTAMP] < start_of_day(as_of, resolved.zone))
    if as_json:
        print_json(_document(resolved, entity, as_of, used, row) | {"broken_rules": rules})
        return
    available = moment_text(available_from(as_of, resolved), zone, seconds=False)
    say(f"{view} of {_entity_text(entity)}, as-of {as_of} ({resolved.zone}), servable from {available}")
    if row is None:
        say(f"never seen before {as_of}: every feature is null, or its declared `unseen` value")
        say_broken(rules, remark)
        return
    units = {feature.name: feature.declared.aggregation.unit for feature in resolved.features}
    rows = [(name, _value_text(value, zone), _unit_beside(value, units[name])) for name, value in row.items()]
    print_table(["Feature", "Value", "Unit"], rows)
    say(f"from {used:,} of {plural(len(events), 'event')} of this key in {resolved.contract.name}")
    _warn_if_incomplete(resolved, as_of, settings)
    say_broken(rules, remark)


def _resolved(view: str, settings: Settings) -> Resolved:
    """The definition in the domain files; only where there is none of that name is the repository asked."""
    from transformations.engine.vocabulary.resolution import resolve
    from transformations.stores.base.domain_files import definitions

    known = definitions()
    if view in known:
        return resolve(known[view], lambda name: read_contract(name, settings.contracts))
    offered = read_repository(settings).views
    if view not in offered:
        raise UsageError(f"there is no view {view!r}: {nearest(view, {*known, *offered})}.")
    return offered[view].resolved


def _warn_if_incomplete(resolved: Resolved, as_of: date, settings: Settings) -> None:
    from transformations.insight.freshness import raw_snapshots

    snapshot = raw_snapshots(resolved, settings)[resolved.contract.name]
    through = snapshot.complete_through if snapshot else None
    if resolved.contract.event_time and (through is None or as_of > through + timedelta(days=1)):
        far = through or "no day"
        remark(f"{resolved.contract.name} is complete through {far} only: a build would not go so far yet")


def _document(
    resolved: Resolved, entity: dict[str, object], as_of: date, used: int, row: dict[str, object] | None
) -> dict[str, object]:
    available = available_from(as_of, resolved)
    return {
        "view": resolved.name,
        "key": entity,
        "as_of": as_of,
        "available_from": available.isoformat(),
        "events": used,
        "features": row,
    }


def _entity_text(entity: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in entity.items())


def _unit_beside(value: object, unit: str) -> str | None:
    """The unit to show beside a value; a moment shows its offset instead."""
    return None if isinstance(value, datetime) else unit


def _value_text(value: object, zone: str) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.2f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value_text(value, zone)

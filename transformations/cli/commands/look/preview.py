"""`features preview`: one feature row computed from raw events by definition, without building anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import click

from transformations.cli.options import AT_HELP, json_option, view_names
from transformations.cli.output import print_json, print_table, remark, remark_broken_rules, say
from transformations.engine.base.moments import moment_text, value_text
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural

if TYPE_CHECKING:
    from transformations.engine.vocabulary.resolution import Resolved
    from transformations.insight.values.preview import Preview


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
    from transformations.insight.values.preview import preview_row

    found = preview_row(view, key, at, get_settings())
    if as_json:
        print_json(_document_of(found))
        return
    zone = found.resolved.contract.shown_zone
    available = moment_text(found.available_from, zone, seconds=False)
    entity = ", ".join(f"{name} {value}" for name, value in found.key.items())
    say(f"{view} of {entity}, as-of {found.as_of} ({found.resolved.zone}), servable from {available}")
    if found.row is None:
        say(f"never seen before {found.as_of}: every feature is null, or its declared `unseen` value")
    else:
        _print_row(found.row, found.resolved, zone)
        say(f"from {found.used:,} of {plural(found.events, 'event')} of this key in {found.resolved.contract.name}")
        if found.gap:
            remark(found.gap)
    remark_broken_rules(found.broken_rules)


def _print_row(row: Mapping[str, object], resolved: Resolved, zone: str) -> None:
    units = {feature.name: feature.declared.aggregation.unit for feature in resolved.features}
    rows = [(name, _value_text(value, zone), _unit_beside(value, units[name])) for name, value in row.items()]
    print_table(["Feature", "Value", "Unit"], rows)


def _document_of(found: Preview) -> dict[str, object]:
    return {
        "view": found.resolved.name,
        "key": found.key,
        "as_of": found.as_of,
        "available_from": found.available_from.isoformat(),
        "events": found.used,
        "features": found.row,
        "broken_rules": found.broken_rules,
    }


def _unit_beside(value: object, unit: str) -> str | None:
    """The unit to show beside a value; a moment shows its offset instead."""
    return None if isinstance(value, datetime) else unit


def _value_text(value: object, zone: str) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.2f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value_text(value, zone)

"""`features explain`: follow one value from its events, through the run and row that hold it, to what is online."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from transformations.cli.options import AT_HELP, json_option, request_option
from transformations.cli.output import print_json, print_table, remark, say
from transformations.engine.base.moments import value_text
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural

if TYPE_CHECKING:
    from transformations.insight.values.explanation import Computed, Explained, Online, Row


@click.command(
    epilog="""\b
Examples:
  features explain spend_sum_7d 42                          as it would be served now
  features explain user_visits:spend_sum_7d 42 --at 2020-02-01T09:30:00Z
  features explain topic_clicks_count_7d user_id=7,topic=animals --at 2020-02-01
  features explain cart_vs_usual 42 --request '{"cart_value": 25.0}'
"""
)
@click.argument("feature")
@click.argument("key")
@click.option("--at", "at", metavar="DAY|MOMENT", help=AT_HELP)
@request_option
@json_option
def explain(feature: str, key: str, at: str | None, request: dict[str, object], as_json: bool) -> None:
    """Show what is behind the value of FEATURE for KEY: events, run, row of the table, and the online value.

    KEY is the value of the view's join key, or `column=value,column=value`. The events are today's, the row is the
    one that training retrieval chooses at that moment, the online value is that of now. An on-demand feature is
    explained by its function, the request's fields and each stored feature that it reads.
    """
    from transformations.insight.values.explanation import explain_value

    found = explain_value(feature, key, at, request, get_settings())
    if as_json:
        print_json(asdict(found))
    else:
        print_value(found)


def print_value(found: Explained | Computed) -> None:
    """What is behind a value, of a stored feature or of an on-demand one."""
    from transformations.insight.values.explanation import Explained

    if isinstance(found, Explained):
        _print_stored(found)
    else:
        _print_computed(found)


def _print_computed(found: Computed) -> None:
    zone = found.timestamp_zone
    words = ", ".join(f"{name} {value}" for name, value in {**found.key, **found.request}.items())
    say(click.style(f"{found.view}:{found.feature}", bold=True) + f" of {words}, at {value_text(found.moment, zone)}")
    say(f"\n{found.function} of {', '.join(found.reads)}")
    say(f"By definition: {_value_with_unit(found.value, found.unit, zone)}")
    say(f"Offline: {value_text(found.offline, zone)}")
    if found.online is not None:
        _print_online_value(found.online, zone)
        _print_difference(found.online)
    for each in found.inputs:
        say("")
        _print_stored(each)
    for text in found.remarks:
        remark(text)


def _print_stored(found: Explained) -> None:
    zone = found.timestamp_zone
    words = ", ".join(f"{name} {value}" for name, value in found.key.items())
    say(click.style(f"{found.view}:{found.feature}", bold=True) + f" of {words}, at {value_text(found.moment, zone)}")
    value = _value_with_unit(found.value, found.unit, zone)
    say(f"\nBy definition, as-of {found.as_of} ({found.zone}), {found.window}: {value}")
    if found.events:
        if found.more_events:
            say(f"{plural(found.more_events, 'older event')}, then:")
        names = list(found.events[0])
        print_table(names, [[value_text(event[name], zone) for name in names] for event in found.events])
    else:
        say("no event of this key lies in the window")
    say("")
    if found.chosen is None:
        say("Offline: no row of this key at that moment")
    else:
        say(f"Offline, version {found.table_version} of the table: {value_text(found.chosen.value, zone)}")
        headers = ["", "Value", "Event timestamp", "Created timestamp", "Run", "Since version", "Kind", "Code"]
        rows = [("corrected", *_cells_of(each, zone)) for each in found.other_rows]
        print_table(headers, [*rows, ("chosen", *_cells_of(found.chosen, zone))])
    say("")
    if found.online is not None:
        _print_online(found.online, zone)
    for text in found.remarks:
        remark(text)


def _value_with_unit(value: object, unit: str, zone: str) -> str:
    """A value and its unit; a moment has its offset instead."""
    text = value_text(value, zone)
    return text if isinstance(value, datetime) else f"{text} {unit}"


def _print_online(online: Online, zone: str) -> None:
    _print_online_value(online, zone)
    event = "no row" if online.event_timestamp is None else f"the row of {value_text(online.event_timestamp, zone)}"
    source = (
        "never materialized"
        if online.loaded_end is None
        else f"materialized up to {value_text(online.loaded_end, zone)}"
    )
    version = "" if online.loaded_version is None else f" from version {online.loaded_version}"
    say(f"{event}; {source}{version}")
    _print_difference(online)


def _print_online_value(online: Online, zone: str) -> None:
    say(f"Online, at {value_text(online.moment, zone)}: {value_text(online.value, zone)} ({online.status})")


def _print_difference(online: Online) -> None:
    say(f"differs from training: {online.difference}" if online.difference else "as training has it at this moment")


def _cells_of(row: Row, zone: str) -> tuple[object, ...]:
    version = None if row.version is None else str(row.version)
    run, code = (text and text[:8] for text in (row.run_id, row.code_revision))
    return (
        value_text(row.value, zone),
        value_text(row.event_timestamp, zone),
        value_text(row.created_timestamp, zone),
        run,
        version,
        row.kind,
        code,
    )

"""`features impact`: what a change of a source's column would touch, and who must be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from transformations.cli.commands.look.lineage import find_things, print_reached, print_trained
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, say
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural
from transformations.insight.governance.owners import read_ownership
from transformations.insight.repository import repository_folder

if TYPE_CHECKING:
    from transformations.insight.governance.impact import Impact
    from transformations.insight.lineage.graph import Reached


@click.command(
    epilog="""\b
Examples:
  features impact clicks.page         a column
  features impact clicks              any column of a source
  features impact user_visits         a view
  features impact clicks.page --json | jq -r '.ask[].contact'
"""
)
@click.argument("thing", metavar="SOURCE.COLUMN")
@json_option
def impact(thing: str, as_json: bool) -> None:
    """Say what a change of SOURCE.COLUMN would touch, and who must be asked before.

    Also takes a source, a view, a feature, a service or a dataset. Contacts come from owners.yaml of the feature
    repository. Of models, the versions in use are named with the dataset that each was trained on.
    """
    from transformations.insight.governance.impact import impact_of

    settings = get_settings()
    graph, things = find_things(thing, settings)
    found = impact_of(things, graph, read_ownership(repository_folder(settings)), settings)
    if as_json:
        print_json({**_document_of_impact(found), "unread": graph.unread})
        return
    if found.touched:
        say(f"a change of {thing} touches {_counts(found.touched)}")
        print_reached(found.touched)
    else:
        say(f"nothing here is computed from {thing}")
    for reference in found.referring:
        say(f"foreign key: {reference}")
    if found.ask:
        say("ask before:")
        print_table(
            ("Owner", "Team", "Contact", "For"),
            [(each.owner, each.team, each.contact, ", ".join(each.things)) for each in found.ask],
        )
    for each in found.stored:
        say(f"stored otherwise: {each}")
    print_trained(found.trained)


def _document_of_impact(found: Impact) -> dict[str, object]:
    return {
        "touched": [
            {"kind": each.thing.kind, "name": each.thing.name, "owner": each.thing.owner} for each in found.touched
        ],
        "ask": [
            {"owner": each.owner, "team": each.team, "contact": each.contact, "for": ", ".join(each.things)}
            for each in found.ask
        ],
        "referring": [{"column": each.column.name, "to": each.to} for each in found.referring],
        "stored": [asdict(each) for each in found.stored],
        "trained": [asdict(each) for each in found.trained],
    }


def _counts(touched: Sequence[Reached]) -> str:
    counts: dict[str, int] = {}
    for each in touched:
        counts[str(each.thing.kind)] = counts.get(str(each.thing.kind), 0) + 1
    return ", ".join(plural(count, kind) for kind, count in counts.items())

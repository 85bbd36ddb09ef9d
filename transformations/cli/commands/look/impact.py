"""`features impact`: what a change of a source's column would touch, and who must be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from transformations.cli.commands.look.lineage import print_reached, things_called
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, say
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural

if TYPE_CHECKING:
    from transformations.insight.governance.owners import Ownership
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

    Also takes a source, a view, a feature or a service. Contacts come from owners.yaml of the feature repository.
    """
    from transformations.insight.governance.owners import read_ownership
    from transformations.insight.lineage.reading import read_lineage
    from transformations.insight.lineage.stored import stored_lineage
    from transformations.insight.repository import repository_folder

    settings = get_settings()
    graph = read_lineage(settings)
    asked = things_called(thing, graph)
    touched = graph.downstream(asked)
    concerned = {each.name for each in (*asked, *(each.thing for each in touched))}
    others = [
        each
        for each in stored_lineage(list(graph.things), graph, settings)
        if each.differs and concerned.intersection((each.feature, *(each.stored or ())))
    ]
    ask = _asked(touched, read_ownership(repository_folder(settings)))
    if as_json:
        names = [{"kind": each.thing.kind, "name": each.thing.name, "owner": each.thing.owner} for each in touched]
        print_json({"touched": names, "ask": ask})
    elif touched:
        say(f"a change of {thing} touches {_counts(touched)}")
        print_reached(touched)
        say("ask before:")
        print_table(
            ("Owner", "Team", "Contact", "For"),
            [(each["owner"], each["team"], each["contact"], each["for"]) for each in ask],
        )
    else:
        say(f"nothing here is computed from {thing}")
    for each in () if as_json else others:
        say(f"stored otherwise: {each}")


def _counts(touched: Sequence[Reached]) -> str:
    counts: dict[str, int] = {}
    for each in touched:
        counts[str(each.thing.kind)] = counts.get(str(each.thing.kind), 0) + 1
    return ", ".join(plural(count, kind) for kind, count in counts.items())


def _asked(touched: Sequence[Reached], ownership: Ownership | None) -> list[dict[str, str]]:
    """By owner, how one reaches it and what of its is touched."""
    owned: dict[str, dict[str, None]] = {}
    for each in touched:
        owned.setdefault(each.thing.owner or "nobody", {})[each.thing.container] = None
    known = ownership.owners if ownership else {}
    return [
        {
            "owner": owner,
            "team": known[owner].team if owner in known else "",
            "contact": known[owner].contact if owner in known else "",
            "for": ", ".join(things),
        }
        for owner, things in sorted(owned.items())
    ]

"""`features lineage`: what a thing is computed from, and what is computed from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, remark, say
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings, get_settings
from transformations.insight.lineage.stored import stored_lineage
from transformations.insight.lineage.trained import trained_versions

if TYPE_CHECKING:
    from transformations.insight.lineage.graph import Lineage, Reached, Thing
    from transformations.insight.lineage.trained import TrainedVersion


@click.command(
    epilog="""\b
Examples:
  features lineage visits_count_7d          a feature
  features lineage user_visits              all features of a view
  features lineage clicks.page              a column of a source
  features lineage churn_v1                 a feature service
  features lineage user_return              a model, with its versions in use
  features lineage churn_v1 --json | jq '.upstream[].name'
"""
)
@click.argument("thing")
@json_option
def lineage(thing: str, as_json: bool) -> None:
    """Show what THING is computed from, and what is computed from it: columns, features, services, datasets, models.

    THING is a source, column, view, feature, service, dataset, model or request field. A column counts as a value, as a
    key (it tells rows apart, or joins them), as the event time, or as read by a dataset's spine. Where a stored table
    was computed from something else than is declared today, that is said; of a model, what each version in use was
    trained on.
    """
    settings = get_settings()
    graph, things = find_things(thing, settings)
    upstream, downstream = graph.upstream(things), graph.downstream(things)
    stored = stored_lineage(things, graph, settings)
    trained = trained_versions(things, graph, settings)
    if as_json:
        print_json(
            {
                "things": [{"kind": each.kind, "name": each.name, "owner": each.owner} for each in things],
                "upstream": [_document(each) for each in upstream],
                "downstream": [_document(each) for each in downstream],
                "stored": [asdict(each) for each in stored],
                "trained": [asdict(each) for each in trained],
                "unread": graph.unread,
            }
        )
        return
    for heading, reached in (("computed from", upstream), ("read by", downstream)):
        if reached:
            say(click.style(f"{thing} is {heading}", bold=True))
            print_reached(reached)
        else:
            say(f"{thing} is {heading} nothing here")
    if others := [each for each in stored if each.differs]:
        say(click.style("stored otherwise, until the next build", bold=True))
        for each in others:
            say(f"  {each}")
    print_trained(trained)


def find_things(word: str, settings: Settings) -> tuple[Lineage, list[Thing]]:
    """The lineage, and its things of that name; UsageError with near names where there are none.

    Remarks what the lineage lacks, because its file cannot be read.
    """
    from transformations.insight.lineage.reading import read_lineage

    graph = read_lineage(settings)
    for gap in graph.gaps():
        remark(gap)
    if found := graph.find(word):
        return graph, found
    close = get_close_matches(word, sorted(graph.names()), n=5, cutoff=0.6)
    hint = f"Near: {', '.join(close)}." if close else "`features show` explains what there is."
    raise UsageError(f"nothing here is called {word!r}. {hint}")


def print_reached(reached: Sequence[Reached]) -> None:
    """A table of things by what holds them, in the order of the data's way."""
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for each in sorted(reached, key=lambda each: (each.thing.kind.place, each.thing)):
        thing = each.thing
        holder = thing.container if thing.container != thing.name else ""
        groups.setdefault((str(thing.kind), holder, str(each.role), thing.owner), []).append(thing.short_name)
    rows = [(kind, holder, ", ".join(names), role, owner) for (kind, holder, role, owner), names in groups.items()]
    print_table(("Kind", "Of", "Names", "As", "Owner"), rows)


def print_trained(trained: Sequence[TrainedVersion]) -> None:
    """The versions of models that are in use, with what they were trained on."""
    if trained:
        say(click.style("versions in use", bold=True))
        for each in trained:
            say(f"  {each}")


def _document(reached: Reached) -> dict[str, object]:
    thing = reached.thing
    return {
        "kind": thing.kind,
        "name": thing.name,
        "owner": thing.owner,
        "as": reached.role,
        "distance": reached.distance,
    }

"""`features retire`: which views and services no model needs any more, and what holds the others."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from transformations.cli.model_place import model_place
from transformations.cli.options import json_option
from transformations.cli.output import print_json, say
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import minute_text
from transformations.insight.repository import open_store

if TYPE_CHECKING:
    from transformations.models.holding.retiring import Registered


@click.command(
    epilog="""\b
Examples:
  features retire                     # every view and service that is applied
  features retire user_visits         # exit code 3 while a model needs it

\b
A definition that a model uses is changed beside itself: a new view and a new version of the service, built and loaded
in parallel, from which the next version of the model learns.
"""
)
@click.argument("names", metavar="[VIEW]...", nargs=-1)
@json_option
def retire(names: tuple[str, ...], as_json: bool) -> None:
    """Say which views and services no model needs any more, and until when what needs the others.

    Removes nothing: take what is no longer needed out of the feature repository, and apply.
    """
    settings, repository, log = model_place()
    from transformations.models.holding.retiring import registered

    found = registered(open_store(settings), log, settings, names)
    if as_json:
        print_json([asdict(each) for each in found])
    for each in [] if as_json else found:
        for line in _lines(each, repository.name):
            say(line)
    if needed := [each.name for each in found if each.held and each.name in names]:
        raise DataError(f"{', '.join(needed)}: a model needs it still. Nothing was removed.")


def _lines(each: Registered, repository: str) -> list[str]:
    if each.held:
        return [f"{each.kind} {each.name}: needed", *(f"  by {holder}" for holder in each.held)]
    since = "no model uses it" if each.free_since is None else f"no model needs it since {minute_text(each.free_since)}"
    lines = [f"{each.kind} {each.name}: {since}"]
    if each.services:
        lines.append(f"  service {', '.join(each.services)} gives it: ask who reads that, or take it out there first")
    if each.datasets:
        lines.append(f"  dataset {', '.join(each.datasets)} was made of it, and can be rebuilt from its pins")
    if each.free_since is not None:
        lines.append(f"  to remove it: take it out of {repository}/, then feast -c {repository} apply")
    return lines

"""`features model reproduce`: a version made again from what it pins."""

from __future__ import annotations

from dataclasses import asdict

import click

from transformations.cli.model_place import model_place
from transformations.cli.options import json_option
from transformations.cli.output import print_json, progress, say
from transformations.insight.repository import open_store


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("version", type=int, required=False)
@json_option
def reproduce(name: str, version: int | None, as_json: bool) -> None:
    """Make a VERSION of NAME (the newest) again, from its dataset's pins and its declaration, and compare.

    The artifact must come out bit for bit on the same libraries and processor; elsewhere its scores must differ by no
    more than 0.001. Else it ends with code 3 and says what came out otherwise. Nothing is registered.
    """
    settings, _, log = model_place()
    from transformations.models.reproducing.reproduce import TOLERANCE
    from transformations.models.reproducing.reproduce import reproduce as reproduce_version

    with progress(f"Reproducing {name}"):
        made = reproduce_version(name, version, log, open_store(settings), settings)
    if as_json:
        print_json(asdict(made))
        return
    say(f"{name} version {made.version}: dataset {made.dataset} was computed anew from its pins, with the same content")
    if made.is_same:
        say(f"{name} version {made.version}: trained again to the same artifact {made.artifact[:12]}, bit for bit")
    else:
        say(
            f"{name} version {made.version}: trained again elsewhere ({'; '.join(made.elsewhere)}): scores differ by "
            f"{made.largest_difference:.2g} at most, allowed {TOLERANCE:g}"
        )

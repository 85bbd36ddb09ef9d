"""`features predictions`: the record of what models said, collected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, progress, say
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural

if TYPE_CHECKING:
    from transformations.models.predictions.collect import Collected


@click.group()
def predictions() -> None:
    """Collect what the model server has recorded.

    Every prediction is recorded before it is answered, in segments that this collects into Parquet by UTC day:
    predictions/MODEL/served/day=2024-05-20/v3.parquet in the data folder (docs/prediction-record.md).
    """


@predictions.command(
    epilog="""\b
For a scheduler: repeat it every few minutes. Killed at any point it has lost nothing, and two at once take turns.
A prediction whose id was sent again stands there once: the first attempt that was answered, else the first.
"""
)
@click.argument("model", metavar="[MODEL]", required=False)
@json_option
def collect(model: str | None, as_json: bool) -> None:
    """Move the records of all models, or of MODEL, from closed segments into Parquet, and pin what they were read from.

    A segment goes once all that it held is on disk elsewhere. Ends with code 3 where a segment holds what this release
    cannot read; it stays.
    """
    from transformations.models.predictions.collect import collect as collect_records

    with progress("Collecting"):
        found = collect_records(get_settings(), model)
    if as_json:
        print_json(found.as_json())
    else:
        _say(found)
    if found.unreadable:
        raise DataError(
            f"{plural(len(found.unreadable), 'line')} of {found.unreadable[0]}: that is no record of this release. Its "
            f"segment stays; collect it with the release that wrote it."
        )


def _say(found: Collected) -> None:
    if found.places:
        rows = [(place.model, place.day.isoformat(), place.version) for place in sorted(found.places)]
        print_table(["Model", "Day", "Version"], rows)
    counts = {
        "repeated": found.repeats,
        "degraded": found.degraded,
        "not answered": found.unanswered,
        "torn": found.torn,
    }
    also = "".join(f", {count:,} {word}" for word, count in counts.items() if count)
    waiting = f"; {plural(found.waiting, 'segment')} still written to" if found.waiting else ""
    say(f"{plural(found.records, 'new record')}{also} from {plural(found.segments, 'segment')}{waiting}")
    for each in sorted(found.gone):
        say(f"{each} was given up before it could be pinned: these predictions cannot be computed again")

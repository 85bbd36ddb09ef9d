"""`features model predict`: scores in batch, published once, without any server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from transformations.cli.model_place import model_place
from transformations.cli.options import ExistingFile, json_option
from transformations.cli.output import print_json, progress, say
from transformations.engine.base.errors import UsageError
from transformations.insight.repository import open_store

if TYPE_CHECKING:
    from transformations.models.batch.opened import Batch, Entities
    from transformations.models.batch.scoring import Scorer

_DAY = click.DateTime(["%Y-%m-%d"])
_FILE = ExistingFile("a Parquet or CSV file of keys and moments")


@click.command(
    epilog="""\b
Each batch is a folder of its own below `predictions` in the data folder: the record of every prediction in Parquet, by
day, and what it was made from. One that is published stays as it is: to score it again, take the folder away.
"""
)
@click.argument("name", metavar="NAME")
@click.option("--as-of", "as_of", type=_DAY, metavar="DAY", help="Score a business day.")
@click.option("--from", "first", type=_DAY, metavar="DAY", help="Score the days that have rows, from this one on.")
@click.option("--to", "last", type=_DAY, metavar="DAY", help="The last day, with --from.")
@click.option("--spine", type=_FILE, help="Score the rows of a file: keys, request fields and a moment each.")
@click.option("--version", "number", type=int, help="The version that scores. [default: the one in production then]")
@click.option(
    "--entities",
    type=click.Choice(["declared", "known"]),
    default="declared",
    show_default=True,
    help="Who is scored: the rows that the dataset's own query gives for the day, or all that the features know.",
)
@click.option("--if-any", "if_any", is_flag=True, help="Days on which there is nobody to score are no error.")
@click.option("--online", is_flag=True, help="Make the scores a feature view, too, and load it (docs/models.md).")
@json_option
def predict(
    name: str,
    as_of: datetime | None,
    first: datetime | None,
    last: datetime | None,
    spine: Path | None,
    number: int | None,
    entities: Entities,
    if_any: bool,
    online: bool,
    as_json: bool,
) -> None:
    """Score in batch with the version of NAME in production: a day, several days, or the rows of a file."""
    days = _days(as_of, first, last, spine)
    settings, _, log = model_place()
    from transformations.models.batch.scoring import Scorer

    scorer = Scorer(model=name, number=number, log=log, store=open_store(settings), settings=settings)
    if online:
        scorer.refuse_offline()
    batches: list[Batch] = []
    with progress(f"Scoring {name}"):
        for batch in _batches(scorer, days, spine, entities, if_any=if_any):
            batches.append(batch)
            if not as_json:
                _say_batch(batch)
    if as_json:
        print_json(
            [
                {"folder": each.folder, "is_new": each.is_new, **each.manifest.model_dump(mode="json")}
                for each in batches
            ]
        )


def _days(
    as_of: datetime | None, first: datetime | None, last: datetime | None, spine: Path | None
) -> tuple[date, date] | None:
    """The days that are asked for; None for a file. UsageError where not one thing is asked for."""
    if (first is None) != (last is None):
        raise UsageError("--from and --to belong together: the first day and the last one.")
    if [as_of, first, spine].count(None) != 2:
        raise UsageError("give one of --as-of DAY, --from DAY --to DAY, and --spine FILE.")
    if as_of is not None:
        return as_of.date(), as_of.date()
    return None if first is None or last is None else (first.date(), last.date())


def _batches(
    scorer: Scorer, days: tuple[date, date] | None, spine: Path | None, entities: Entities, *, if_any: bool
) -> Iterator[Batch]:
    if days is not None:
        yield from scorer.days(*days, entities, if_any=if_any)
    elif spine is not None:
        yield scorer.file(spine)


def _described(batch: Batch) -> dict[str, object]:
    return {"folder": batch.folder, "is_new": batch.is_new, **batch.manifest.model_dump(mode="json")}


def _say_batch(batch: Batch) -> None:
    manifest = batch.manifest
    of = f"as of {manifest.day}" if manifest.day else f"of {manifest.total:,} rows in a file"
    acted = "" if manifest.acted is None else f", {manifest.acted:,} to act on"
    again = "" if batch.is_new else f" (published before, at {manifest.made_at:%Y-%m-%d %H:%M} UTC)"
    say(
        f"{manifest.model} version {manifest.version} {of}: {manifest.total:,} scored, mean {manifest.mean_score:.4f}"
        f"{acted}{again}\n  {batch.folder}"
    )

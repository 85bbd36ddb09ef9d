"""`features checklist`: the checks of reproducibility, performed and dated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from transformations.cli.model_place import model_place
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, progress, say
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import minute_text
from transformations.insight.repository import open_store

if TYPE_CHECKING:
    from transformations.models.records.checklist import PerformedCheck

_WORDS = {
    "dataset": "the dataset is rebuilt",
    "retrain": "the model is retrained",
    "rollback": "a rollback is rehearsed",
    "trace": "a prediction is traced",
    "setup": "the README sets it up",
}


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--version", "number", type=int, help="The version. [default: production's, else the newest]")
@json_option
def checklist(name: str, number: int | None, as_json: bool) -> None:
    """Perform the checks of reproducibility for the model NAME, and date the evidence.

    Rebuilds the dataset, retrains, rehearses a rollback with its seconds, traces a prediction by chance, and tells when
    CI last followed the README. Evidence older than the version is a "no". Ends with code 3 where an answer is no.
    """
    settings, _, log = model_place()
    from transformations.models.reproducing.checklist import perform_checklist

    with progress(f"Checking {name}"):
        made = perform_checklist(name, number, log, open_store(settings), settings)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        say(f"{name} version {made.version}")
        print_table(["Check", "", "When", "Seconds", "Found"], [_row(each) for each in made.checks])
    if not made.passed:
        lacking = [_WORDS[each.check] for each in made.checks if each.answer == "no"]
        raise DataError(
            f"{name} version {made.version}: the answer is no: {', '.join(lacking)}. Found says what to do."
        )


def _row(check: PerformedCheck) -> tuple[object, ...]:
    at = None if check.at is None else minute_text(check.at)
    seconds = None if check.seconds is None else round(check.seconds, 2)
    return _WORDS[check.check], check.answer, at, seconds, check.found

"""`features model reproduce` and `tune`: a version made again from what it pins, and the search for a better one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click
import yaml

from transformations.cli.model_place import model_place
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, progress, remark, say
from transformations.insight.repository import open_store

if TYPE_CHECKING:
    from transformations.models.tuning import Trial


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


@click.command()
@click.argument("name", metavar="NAME")
@json_option
def tune(name: str, as_json: bool) -> None:
    """Search the hyperparameters that NAME declares under `tuning`, on train and validation rows alone.

    The declared ones are the first trial. Each trial is a run in MLflow, below one of the search. The declaration stays
    as it is: what was found is printed as a line for it.
    """
    settings, repository, _ = model_place()
    from transformations.models.tuning import tune as tune_model

    def done(trial: Trial) -> None:
        value = "learned nothing" if trial.value is None else f"{trial.value:.6g}"
        remark(f"trial {trial.number}: {value}  {_line(dict(trial.hyperparameters))}")

    with progress(f"Tuning {name}"):
        made = tune_model(name, repository, settings, done=done)
    if as_json:
        print_json(asdict(made))
        return
    first = made.trials[0]
    print_table(
        ["", f"Validation {made.metric}", "Hyperparameters"],
        [
            ("trial 1, as declared", first.value, _line(dict(first.hyperparameters))),
            (f"trial {made.best.number}", made.best.value, _line(dict(made.best.hyperparameters))),
        ],
    )
    say(f"For {name}.yaml:\n  hyperparameters: {_line(dict(made.hyperparameters))}")


def _line(hyperparameters: dict[str, object]) -> str:
    return yaml.safe_dump(hyperparameters, default_flow_style=True, sort_keys=False, width=1_000).strip()

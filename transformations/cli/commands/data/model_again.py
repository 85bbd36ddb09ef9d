"""`features model reproduce`, `tune`, `compare`: a version made again, the search for a better one, two together."""

from __future__ import annotations

import json
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


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("one", metavar="A", type=int)
@click.argument("other", metavar="B", type=int)
@json_option
def compare(name: str, one: int, other: int, as_json: bool) -> None:
    """Compare two versions of NAME: what they were made of, and their figures."""
    settings, _, log = model_place()
    from transformations.models.versions import manifest_of, standing

    known = standing(name, log)
    sides = [
        _facts_of(manifest_of(name, known.version(number), settings).model_dump(mode="json")) for number in (one, other)
    ]
    differing = {
        key: [side.get(key) for side in sides]
        for key in dict.fromkeys([*sides[0], *sides[1]])
        if sides[0].get(key) != sides[1].get(key)
    }
    if as_json:
        print_json(differing)
    elif differing:
        print_table(["", f"Version {one}", f"Version {other}"], [(key, *values) for key, values in differing.items()])
    else:
        say(f"{name}: versions {one} and {other} are the same")


def _facts_of(document: object, place: str = "") -> dict[str, object]:
    """The leaves of a document by their path; parts of a list by their name, or by what they are, as a gate."""
    if isinstance(document, list) and document and all(isinstance(each, dict) for each in document):
        names = [_name_of(part) for part in document]
        document = dict(
            zip(names if len({*names}) == len(names) else map(str, range(len(names))), document, strict=True)
        )
    if isinstance(document, dict):
        return {
            key: leaf for name, value in document.items() for key, leaf in _facts_of(value, f"{place}.{name}").items()
        }
    return {place.removeprefix("."): document}


def _name_of(part: dict[str, object]) -> str:
    """What tells one part of a list from the others: its name, or what a gate asks for, without its figures."""
    if "name" in part:
        return str(part["name"])
    return " ".join(str(value) for value in part.values() if isinstance(value, str)) or json.dumps(part)

"""`features outcomes`: what became of predictions, beside what the version's evaluation promised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from transformations.cli.model_place import model_place
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, progress, say
from transformations.engine.base.moments import minute_text
from transformations.engine.base.words import plural

if TYPE_CHECKING:
    from transformations.models.evaluation.facts import BusinessFigure, MetricFigure
    from transformations.monitoring.judging.outcomes import Group, Outcomes, Promise

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command(
    epilog="""\b
The dataset's own label query is asked again over the newest tables; each prediction finds its row by entity and moment.
Who was acted on behaves otherwise than who was left alone, so the two stand apart, and a holdout beside them. What was
said in shadow reached nobody, and is an arm of its own.
"""
)
@click.argument("name", metavar="NAME")
@click.option("--from", "first", type=_DAY, metavar="DAY", help="Predictions from this UTC day on.")
@click.option("--to", "last", type=_DAY, metavar="DAY", help="Predictions up to this UTC day.")
@json_option
def outcomes(name: str, first: datetime | None, last: datetime | None, as_json: bool) -> None:
    """Measure NAME on its recorded predictions whose outcomes are known by now, by version, day, segment and arm."""
    settings, repository, log = model_place()
    from transformations.monitoring.judging.monitoring import outcomes_of

    days = first.date() if first else None, last.date() if last else None
    with progress(f"Asking what became of the predictions of {name}"):
        found = outcomes_of(name, repository, log, settings, *days)
    if as_json:
        print_json(_document(found))
        return
    _print(found)


def _print(found: Outcomes) -> None:
    say(
        f"{found.model}: outcomes are known until {minute_text(found.known_until)}; {found.waiting:,} predictions wait "
        f"for theirs, {found.lost:,} have no row in the dataset's query"
    )
    promised = {each.version: each for each in found.promises}
    for version in sorted({each.version for each in found.groups}):
        whole = found.whole(version)
        where = "" if found.of(version) else ", in shadow alone"
        say(
            f"version {version}{where}: {whole.rows:,} rows of {whole.entities:,} entities, "
            f"label {whole.label_mean:.4f}, score {whole.score_mean:.4f}"
        )
        rows = list(_compared(whole, promised.get(version)))
        print_table(["", "Realised", "95 % interval", "Promised", "95 % interval"], rows)
        for by in ("arm", "acted on"):
            _print_groups(by, found.of(version, by))
        if days := found.of(version, "day"):
            told = plural(len(days), "day")
            say(f"  by day: {told}, from {days[0].value} to {days[-1].value} (--json lists them)")
    _print_estimates(found)


def _print_estimates(found: Outcomes) -> None:
    if not found.estimates:
        return
    from transformations.monitoring.judging.estimates import METHOD

    say(f"estimated before outcomes are known ({METHOD}): what the scores alone lead to expect, no measurement")
    print_table(
        ["Version", "Rows that wait", "Label", "Log loss", "Brier", "Precision", "Calibration error, allowed"],
        [
            (
                each.version,
                each.rows,
                *(f"≈ {_number(value)}" for value in (each.label_mean, each.log_loss, each.brier)),
                None if each.precision is None else f"≈ {_number(each.precision)}",
                f"{_number(each.calibration)}, {_number(each.allowed)}",
            )
            for each in found.estimates
        ],
    )


def _print_groups(by: str, groups: Sequence[Group]) -> None:
    names = [each.metric for each in groups[0].figures] if groups else []
    print_table(
        [by.capitalize(), "Rows", "Label", "Score", *names],
        [
            (
                each.value,
                each.rows,
                f"{each.label_mean:.4f}",
                f"{each.score_mean:.4f}",
                *(_number(figure.value) for figure in each.figures),
            )
            for each in groups
        ],
    )


def _compared(whole: Group, promise: Promise | None) -> Iterator[tuple[object, ...]]:
    said = {each.metric: each for each in promise.figures} if promise else {}
    for figure in whole.figures:
        theirs = said.get(figure.metric)
        yield figure.metric, *_with_interval(figure), *(_with_interval(theirs) if theirs else (None, None))
    before: dict[str, BusinessFigure] = {each.name: each for each in promise.business} if promise else {}
    for each in whole.business:
        then = before.get(each.name)
        unit = f"{each.name} ({each.unit})"
        yield unit, _number(each.value), None, _number(then.value) if then else None, None


def _with_interval(figure: MetricFigure) -> tuple[str | None, str | None]:
    between = figure.interval
    return _number(figure.value), None if between is None else f"{between.low:.4f} to {between.high:.4f}"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}" if abs(value) < 1 else f"{value:,.4g}"


def _document(found: Outcomes) -> dict[str, object]:
    from transformations.monitoring.judging.estimates import METHOD

    return {
        **{key: value for key, value in vars(found).items() if key not in ("groups", "promises", "estimates")},
        "estimates": [{"method": METHOD, **vars(each)} for each in found.estimates],
        "groups": [_plain(each) for each in found.groups],
        "promises": [_plain(each) for each in found.promises],
    }


def _plain(part: Group | Promise) -> dict[str, object]:
    return {
        **{key: value for key, value in vars(part).items() if key not in ("figures", "business")},
        "figures": [each.model_dump(mode="json") for each in part.figures],
        "business": [each.model_dump(mode="json") for each in part.business],
    }

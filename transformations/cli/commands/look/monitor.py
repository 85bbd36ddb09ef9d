"""`features monitor`: what was served held against what models learned from, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from transformations.cli.model_place import model_place
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, progress, remark, say
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.words import plural
from transformations.insight.repository import open_store

if TYPE_CHECKING:
    from transformations.engine.base.settings import Settings
    from transformations.monitoring.judging.day import Judged
    from transformations.monitoring.judging.monitoring import Monitored
    from transformations.monitoring.judging.watched import Watched
    from transformations.monitoring.reading.history import Finding
    from transformations.monitoring.reports.page import Facts

_DAY = click.DateTime(["%Y-%m-%d"])
_SHOWN = 12
_STATES = {"alert": "ALERT", "warning": "warning", "held": "held back", "fine": "fine", "shown": ""}


@click.command(
    epilog="""\b
Examples:
  features monitor                                     every model, its newest day; and the data behind them
  features monitor user_return --day 2024-05-20
  features monitor user_return --from 2024-03-01 --to 2024-05-20
Limits come from resampled days of what each version learned from; `feature_repo/monitoring.yaml` and `monitoring` in a
model's declaration set them (docs/monitoring.md). The history is below `monitoring` in the data folder.
"""
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--day", type=_DAY, metavar="DAY", help="Which UTC day. [default: the newest with predictions]")
@click.option("--from", "first", type=_DAY, metavar="DAY", help="All days with predictions from this one on.")
@click.option("--to", "last", type=_DAY, metavar="DAY", help="The last of them, with --from.")
@click.option(
    "--export", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.prom", help="Write metrics, too."
)
@click.option(
    "--setup",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Only write the files of a monitoring stack: Prometheus, Alertmanager, Grafana.",
)
@json_option
def monitor(
    names: tuple[str, ...],
    day: datetime | None,
    first: datetime | None,
    last: datetime | None,
    file: Path | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Judge a day of each model NAME (of all that have predictions): drift, frozen features, predictions, data.

    The same predictions give the same findings, however often. Ends with code 3 where something alerts.
    """
    if (first is None) != (last is None) or (day is not None and first is not None):
        raise UsageError("give --day DAY, or --from DAY --to DAY.")
    settings, repository, log = model_place()
    if folder is not None:
        _set_up(folder, repository)
        return
    from transformations.monitoring.judging import monitoring

    with progress("Judging"):
        span = None if first is None or last is None else (first.date(), last.date())
        found = monitoring.monitor(
            names,
            repository,
            log,
            settings,
            day=day.date() if day else None,
            span=span,
            report=remark,
            open_store=lambda: open_store(settings),
        )
    if as_json:
        print_json([_document(each) for each in found.judged])
    else:
        for each in found.judged:
            _print(each, is_newest=each in found.newest)
    pages = _publish(found, settings)
    if not as_json:
        for name, (page, _) in pages.items():
            say(f"report of {name}: {page}")
    for text in _warnings(found.newest):
        remark(text)
    for text in _respond(found, settings):
        remark(text)
    if file is not None:
        _export(pages, found, file, settings)  # after what was done, which it tells of
    alerts = [alert for each in found.newest for alert in each.alerts]
    if alerts:
        raise DataError(_told(found.newest, found.watched))


def _publish(found: Monitored, settings: Settings) -> dict[str, tuple[Path, Facts]]:
    from transformations.monitoring.reports.publishing import publish

    return publish(found, settings)


def _export(pages: dict[str, tuple[Path, Facts]], found: Monitored, file: Path, settings: Settings) -> None:
    from transformations.monitoring.reports.publishing import export

    export(pages, found, file, settings)


def _respond(found: Monitored, settings: Settings) -> list[str]:
    from transformations.monitoring.judging.retraining import answers

    given = answers(found, lambda: open_store(settings))
    return [f"{'look yourself: ' if each.pages else ''}{each.text}" for each in given]


def _set_up(folder: Path, repository: Path) -> None:
    from transformations.monitoring.reports.stack import set_up

    for each in set_up(folder, repository):
        say(str(each))


def _document(judged: Judged) -> dict[str, object]:
    return {
        "model": judged.model,
        "day": judged.day,
        "alerts": len(judged.alerts),
        "findings": [
            {key: value for key, value in asdict(each).items() if key != "counts"} for each in judged.findings
        ],
    }


def _print(judged: Judged, *, is_newest: bool) -> None:
    """What alerts on a day; of the newest one, also what does not."""
    shown = [each for each in judged.findings if each.state != "shown"]
    first = shown[: max(_SHOWN, len(judged.alerts))] if is_newest else judged.alerts
    title = "the data" if judged.model.startswith("_") else judged.model
    told = plural(len(judged.alerts), "alert") if judged.alerts else "nothing alerts"
    say(f"{title} on {judged.day}: {told}, of {len(shown):,} questions")
    if first:
        print_table(
            ["", "What", "Measure", "Value", "Limit", "Worth", "Since", "Owner"], [_row(each) for each in first]
        )
    if is_newest and len(shown) > len(first):
        say(f"  and {len(shown) - len(first)} more that are fine (--json lists them)")


def _row(each: Finding) -> tuple[object, ...]:
    return (
        _STATES[each.state],
        f"{each.subject}{' as stored' if each.part == 'stored' else ''}{f' (v{each.version})' if each.version else ''}",
        each.measure,
        _number(each.value),
        _number(each.limit),
        _number(each.importance),
        each.first_bad,
        each.owner,
    )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:,.4g}" if abs(value) >= 1 else f"{value:.4f}"


def _warnings(newest: Sequence[Judged]) -> list[str]:
    """What is wrong with how days are judged, each once however many models it concerns."""
    found = (
        f"{each.subject} has {each.measure}: {each.value:,.0f} {each.text}" for one in newest for each in one.warnings
    )
    return list(dict.fromkeys(found))


def _told(newest: Sequence[Judged], watched: dict[str, Watched]) -> str:
    """What alerts: subject, model, owner and the first bad day, a line each."""
    lines = []
    for judged in newest:
        for alert in judged.alerts:
            model = watched.get(judged.model)
            contact = model.contact(alert.owner) if model else alert.owner
            version = f" version {alert.version}" if alert.version else ""
            of = "" if model is None else f" of {judged.model}{version}"
            what = f"{alert.subject} as stored" if alert.part == "stored" else alert.subject
            value, limit = _number(alert.value), _number(alert.limit)
            said = f" {value}" if value is not None else ""
            said += f", limit {limit}" if limit is not None else ""
            lines.append(f"  {what}{of}: {alert.measure}{said}, since {alert.first_bad} ({contact})")
    return f"{plural(len(lines), 'alert')}:\n" + "\n".join(lines)

"""What an alert leads to where a model says `on_drift: retrain`: a release up to staging, and never further.

At most one release an alert and one a cooldown. What it learns from is declared by the dataset, as for any release; a
dataset that ends before the drift began would make the same model again, so it is refused with a word. A second release
that fails for the same alert is not tried again: the owner is told instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from feast import FeatureStore
from pydantic import Field

from transformations.datasets.config import SPLITS, DatasetConfig, read_config
from transformations.engine.base.errors import FeaturesError
from transformations.engine.base.files.published import pull, replacing
from transformations.models.evaluation.looks import looks
from transformations.models.records.base import Instant, Part, Record
from transformations.models.releasing import Released, release
from transformations.monitoring.judging.day import Judged
from transformations.monitoring.judging.drifts import MEASURES
from transformations.monitoring.judging.monitoring import Monitored
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.history import Finding, model_folder
from transformations.monitoring.reading.served import newest_day

FILE = "retraining.json"
MOST_FAILURES = 2
Outcome = Literal["released", "failed"]


class Attempt(Part):
    """A release that an alert led to. began: the first bad day of what alerted. version: of what came of it."""

    at: Instant
    subject: str
    began: date
    outcome: Outcome
    version: int | None = None
    text: str


class Attempts(Record):
    """All releases that alerts of a model led to, oldest first."""

    attempts: tuple[Attempt, ...] = Field(default=())


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was done about a day's alerts. pages: the owner has to look, for retraining does not help."""

    text: str
    attempt: Attempt | None = None
    pages: bool = False


Release = Callable[[], Released]


def answer(watched: Watched, judged: Judged, store: FeatureStore) -> Answer | None:
    """Retrain where the model asks for it and something about its inputs or scores alerts; None where nothing does.

    Nothing here reaches production: a release ends in staging, and a person or a rollout goes on from there.
    """
    drifting = [
        each for each in judged.alerts if each.part in ("features", "stored", "predictions") and _is_drift(each)
    ]
    if watched.declared.on_drift != "retrain" or not drifting:
        return None
    earliest = min(drifting, key=lambda each: (each.first_bad or judged.day, each.part))
    began = earliest.first_bad or judged.day
    now, known = watched.settings.now(), read_attempts(watched)
    same = [each for each in known if (each.subject, each.began) == (earliest.subject, began)]
    refusal = _refusal(watched, earliest, began, same, known, now)
    if refusal is not None:
        return refusal

    def released() -> Released:
        return release(watched.model, watched.repository, watched.log, store, watched.settings)

    attempt = _attempt(released, earliest.subject, began, now)
    write_attempts(watched, (*known, attempt))
    failures = [each for each in (*same, attempt) if each.outcome == "failed"]
    told = f"{watched.model}: retrained because of {earliest.subject}: {attempt.text}"
    return Answer(text=told, attempt=attempt, pages=len(failures) >= MOST_FAILURES)


def answers(found: Monitored, open_store: Callable[[], FeatureStore]) -> list[Answer]:
    """What was done about the alerts of each model's newest day; a day that is judged later than others is history."""
    given = []
    for judged in found.newest:
        watched = found.watched.get(judged.model)
        if watched is None or watched.declared.on_drift != "retrain" or not judged.alerts:
            continue
        if judged.day == newest_day(judged.model, watched.settings):
            given.append(answer(watched, judged, open_store()))
    return [each for each in given if each is not None]


def _refusal(
    watched: Watched, finding: Finding, began: date, same: list[Attempt], known: tuple[Attempt, ...], now: datetime
) -> Answer | None:
    """Why nothing is tried now; None where a release is due."""
    name = watched.model
    if any(each.outcome == "released" for each in same):
        return Answer(text=f"{name}: {finding.subject} has been answered by a release already")
    if len(same) >= MOST_FAILURES:
        text = f"{name}: {len(same)} releases have failed over {finding.subject}, and no third is tried"
        return Answer(text=text, pages=True)
    last = known[-1].at if known else None
    if last is not None and now - last < watched.declared.cooldown:
        return Answer(text=f"{name}: the last release was at {last:%Y-%m-%d %H:%M} UTC, within the cooldown")
    if (reason := _unfit(watched, began)) is not None:
        return Answer(text=f"{name}: not retrained over {finding.subject}: {reason}", pages=True)
    return None


def _unfit(watched: Watched, began: date) -> str | None:
    """Why the declared dataset is none to learn of the drift from: its window has to end after the drift began, and its
    test period has to be one that nobody has looked at.
    """
    declaration = watched.declaration
    file = watched.repository / "datasets" / f"{declaration.dataset}.yaml" if declaration else None
    if declaration is None or file is None or not file.is_file():
        return "the repository declares no dataset for it"
    config = read_config(file)
    ends = _start(config, "test")
    if ends is None or ends <= began:
        return (
            f"the test period of dataset {config.name} begins on {ends}, and the drift on {began}: it would be the "
            f"same model again. Move the splits of a dataset of a new name on, and declare it"
        )
    label = config.label.column if config.label else ""
    asked = declaration.evaluation.entity, label
    looked = [each for each in looks(watched.settings.models_dir) if (each.entity, each.label) == asked]
    if any(each.last.date() >= ends for each in looked):
        return f"somebody has looked at the period from {ends} on, so it can judge nothing any more"
    return None


def _start(config: DatasetConfig, split: str) -> date | None:
    moment = getattr(config.split, split) if config.split and split in SPLITS else None
    return moment.date() if isinstance(moment, datetime) else moment


def _attempt(released: Release, subject: str, began: date, now: datetime) -> Attempt:
    try:
        found = released()
    except FeaturesError as error:
        return Attempt(at=now, subject=subject, began=began, outcome="failed", text=error.message)
    if found.passed:
        text = f"version {found.version} is in staging"
        return Attempt(at=now, subject=subject, began=began, outcome="released", version=found.version, text=text)
    text = f"version {found.version} does not pass its gates"
    return Attempt(at=now, subject=subject, began=began, outcome="failed", version=found.version, text=text)


def _is_drift(finding: Finding) -> bool:
    """Whether retraining could help: values that moved; not lost ones, and not a pipeline that stopped."""
    return finding.measure in (MEASURES["day"], MEASURES["week"])


def failures_over(alerts: Sequence[Finding], attempts: Sequence[Attempt]) -> int:
    """How many releases have failed over an alert that stands; of the one that most have failed over."""
    standing = {(each.subject, each.first_bad) for each in alerts}
    failed = Counter(
        (each.subject, each.began)
        for each in attempts
        if each.outcome == "failed" and (each.subject, each.began) in standing
    )
    return max(failed.values(), default=0)


def read_attempts(watched: Watched) -> tuple[Attempt, ...]:
    """The releases that alerts have led to."""
    file = model_folder(watched.model, watched.settings) / FILE
    pull(file)
    if not file.is_file():
        return ()
    return Attempts.from_text(file.read_text(encoding="utf-8"), str(file)).attempts


def write_attempts(watched: Watched, attempts: tuple[Attempt, ...]) -> None:
    """Keep them, in the place of those before."""
    file = model_folder(watched.model, watched.settings) / FILE
    with replacing(file) as draft:
        draft.write_text(Attempts(attempts=attempts).text(), encoding="utf-8")

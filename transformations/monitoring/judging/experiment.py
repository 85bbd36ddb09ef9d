"""The readout of a rollout: what came of the two versions' predictions, between arms that chance has made.

The rows are those that production and the candidate have answered in the steps between 0 and 100 %; whoever is in the
holdout is left out, since nobody acts there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformations.datasets.registration import join_keys
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.models.declaration.config import BusinessMetric
from transformations.models.evaluation.metrics import losses_of
from transformations.models.judging.business import business_figures
from transformations.models.log.event_log import EventLog
from transformations.models.records.events import ModelEvent, RolloutStep
from transformations.models.records.rollout_plan import RolloutPlan
from transformations.models.rollout.arms import (
    Arms,
    Difference,
    Figure,
    RatioCheck,
    Rows,
    detectable_effect,
    difference,
    ratio_checks,
)
from transformations.models.rollout.splitting import units_of
from transformations.models.training import pinned_dataset
from transformations.models.versions import manifest_of
from transformations.monitoring.judging.outcomes import Asked, ask, join
from transformations.monitoring.judging.outcomes_sql import SAID
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.served import days_served, files_of, versions_served


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What one version has answered, and what is known of it."""

    version: int
    rows: int
    units: int


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The readout. began: when the first step with two arms came into effect. ends: began and the planned horizon.

    known_until: outcomes of later predictions are not known yet. waiting: predictions of that kind. lost: of which the
    dataset's query has no row.
    """

    model: str
    production: Arm
    candidate: Arm
    began: datetime
    ends: datetime
    known_until: datetime
    waiting: int
    lost: int
    checks: tuple[RatioCheck, ...]
    differences: tuple[Difference, ...]

    @property
    def has_matured(self) -> bool:
        """Whether the outcomes of the whole planned horizon are known."""
        return self.known_until >= self.ends

    @property
    def is_whole(self) -> bool:
        """Whether the arms have as many units as their shares say."""
        return not any(check.is_suspicious for check in self.checks)


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What an experiment can show: units of the horizon, as many as the test split had in as long, and the smallest
    difference of the label's mean over units that it shows with a power of 80 %.
    """

    percent: float
    horizon: timedelta
    units: int
    label_mean: float
    effect: float


@faults_in_words()
def experiment(watched: Watched, version: int | None = None) -> Experiment:
    """The readout of the last rollout of a version, by default of the model.

    UsageError where no step had two arms; DataError where nothing is recorded, or no outcome is known yet.
    """
    events = watched.log.events(watched.model)
    steps = _steps_of_last_rollout(watched.model, events, version)
    candidate = next(iter(steps.values())).version
    plan = plan_of(watched, candidate)
    began = min(event.effective_at or event.at for event in steps.values())
    joined, asked, waiting, lost = _rows(watched, steps, candidate)
    if not joined.num_rows:
        raise DataError(
            f"model {watched.model}: of none of the predictions of this rollout the outcome is known ({waiting:,} "
            f"wait, {lost:,} have no row in the dataset's query). Outcomes are known until "
            f"{asked.known_until:%Y-%m-%d %H:%M} UTC. Collect the record (features predictions collect), and ask again "
            f"once the horizon has passed."
        )
    shares = {number: event.change.percent for number, event in steps.items() if isinstance(event.change, RolloutStep)}
    arms = Arms(
        is_candidate=_array(pc.equal(joined["predicted_by"], candidate)),
        steps=np.array([shares[number] for number in joined["predicted_event"].to_pylist()]),
        units=[
            unit or ""
            for unit in units_of({key: joined[key].to_pylist() for key in plan.unit}, plan.unit, joined.num_rows)
        ],
    )
    versions = set(joined["predicted_by"].to_pylist()) - {candidate}
    return Experiment(
        model=watched.model,
        production=_arm(max(versions, default=0), arms, ~arms.is_candidate),
        candidate=_arm(candidate, arms, arms.is_candidate),
        began=began,
        ends=began + plan.horizon,
        known_until=asked.known_until - asked.label.horizon,
        waiting=waiting,
        lost=lost,
        checks=ratio_checks(arms),
        differences=tuple(_differences(watched, asked, joined, arms)),
    )


def missing_outcomes(watched: Watched, version: int) -> tuple[str, ...]:
    """What a plan that waits for outcomes lacks; nothing where they are known and do not speak against a version."""
    try:
        found = experiment(watched, version)
    except (DataError, UsageError) as error:
        return (error.message,)
    if not found.has_matured:
        known, ends = (f"{moment:%Y-%m-%d %H:%M} UTC" for moment in (found.known_until, found.ends))
        return (f"outcomes are known of predictions until {known}, and the experiment is planned until {ends}",)
    if not found.is_whole:
        return ("the arms have not as many units as their shares say: features model experiment says where",)
    worse = [each for each in found.differences if each.name in ("log_loss", "rmse") and each.low is not None]
    return tuple(f"{each.name} is worse by {each.low:.4g} or more" for each in worse if each.low and each.low > 0)


def prospect(watched: Watched, version: int) -> Prospect | None:
    """What the experiment of a version's plan can show, by its dataset's test split; None without two arms."""
    plan = plan_of(watched, version)
    shares = [step.percent for step in plan.steps if 0 < step.percent < 100]
    if not shares:
        return None
    state = watched.state(version)
    dataset = pinned_dataset(state.registered.dataset, watched.settings)
    rows, label = dataset.rows("test"), dataset.manifest.config.label
    if label is None:
        return None
    moments = rows[dataset.manifest.timestamp].cast(pa.timestamp("us", "UTC"))
    last = pc.max(moments).as_py()
    rows = rows.filter(pc.greater(moments, pa.scalar(last - plan.horizon, pa.timestamp("us", "UTC"))))
    rows = rows.filter(pc.is_valid(rows[label.column]))
    labels = np.asarray(rows[label.column].cast(pa.float64()).to_numpy(), dtype=np.float64)
    units = units_of({key: rows[key].to_pylist() for key in plan.unit}, plan.unit, rows.num_rows)
    names, places = np.unique([unit or "" for unit in units], return_inverse=True)
    means = np.bincount(places, labels) / np.maximum(np.bincount(places), 1)
    share = min(shares, key=lambda percent: abs(percent - 50))
    return Prospect(
        percent=share,
        horizon=plan.horizon,
        units=len(names),
        label_mean=float(labels.mean()) if len(labels) else float("nan"),
        effect=detectable_effect(means, share),
    )


def experiment_of(name: str, version: int | None, repository: Path, log: EventLog, settings: Settings) -> Experiment:
    """`experiment` of a model by its name."""
    return experiment(Watched(name, repository, log, settings), version)


def missing_outcomes_of(
    name: str, version: int, repository: Path, log: EventLog, settings: Settings
) -> tuple[str, ...]:
    """`missing_outcomes` of a model by its name."""
    return missing_outcomes(Watched(name, repository, log, settings), version)


def prospect_of(name: str, version: int, repository: Path, log: EventLog, settings: Settings) -> Prospect | None:
    """`prospect` of a model by its name."""
    return prospect(Watched(name, repository, log, settings), version)


def plan_of(watched: Watched, version: int) -> RolloutPlan:
    """The plan that a version was trained with. UsageError where it had none."""
    manifest = manifest_of(watched.model, watched.state(version), watched.settings)
    declared = manifest.facts.declaration.get("rollout")
    if declared is None:
        raise UsageError(f"model {watched.model} version {version} was trained without a rollout.")
    return RolloutPlan.model_validate(declared)


def _steps_of_last_rollout(model: str, events: Sequence[ModelEvent], version: int | None) -> dict[int, ModelEvent]:
    """By number the events of the last rollout whose steps had two arms."""
    found: dict[int, ModelEvent] = {}
    for event in events:
        if not isinstance(event.change, RolloutStep) or version not in (None, event.version):
            continue
        if event.change.action == "start":
            found = {}
        if event.change.action in ("start", "advance") and 0 < event.change.percent < 100:
            found[event.number] = event
    if not found:
        which = f" version {version}" if version else ""
        raise UsageError(
            f"model {model}{which}: no rollout has had two arms yet. One has from its first step between 0 and 100 % "
            f"on: features model rollout {model} --status"
        )
    return found


def _rows(watched: Watched, steps: dict[int, ModelEvent], candidate: int) -> tuple[pa.Table, Asked, int, int]:
    """The rows of both arms whose outcomes are known, how the label was asked for, and how many wait or never come."""
    first = min(event.at for event in steps.values()).date()
    days = [day for day in days_served(watched.model, watched.settings) if day >= first - timedelta(days=1)]
    versions = sorted({version for day in days for version in versions_served(watched.model, day, watched.settings)})
    asked = ask(watched, candidate)
    if missing := [key for key in plan_of(watched, candidate).unit if key not in join_keys(asked.manifest)]:
        raise UsageError(f"model {watched.model}: unit {missing[0]!r} is no join key of its dataset.")
    parts, waiting, lost = [], 0, 0
    for version in versions:
        files = [file for day in days for file in files_of(watched.model, version, day, watched.settings)]
        files = [file for file in files if _has_event(file, steps)]
        if files:
            found = join(asked, files, watched.settings)
            waiting, lost = waiting + found.waiting.num_rows, lost + found.lost
            parts.append(found.rows)
    rows = pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})
    if rows.num_rows:
        is_theirs = pc.is_in(rows["predicted_event"], pa.array(list(steps), pa.int64()))
        is_answered = pc.is_in(rows["role"], pa.array(["production", "canary"]))
        rows = rows.filter(pc.and_(pc.and_(is_theirs, is_answered), pc.invert(rows["holdout"])))
    return rows, asked, waiting, lost


def _has_event(file: object, steps: dict[int, ModelEvent]) -> bool:
    numbers = pq.read_table(file, columns=["event"], partitioning=None)["event"]
    return bool(pc.any(pc.is_in(numbers, pa.array(list(steps), pa.int64()))).as_py())


def _arm(version: int, arms: Arms, rows: Rows) -> Arm:
    units = {unit for unit, is_mine in zip(arms.units, rows, strict=True) if is_mine}
    return Arm(version=version, rows=int(rows.sum()), units=len(units))


def _differences(watched: Watched, asked: Asked, rows: pa.Table, arms: Arms) -> list[Difference]:
    labels = np.asarray(rows[asked.label.column].cast(pa.float64()).to_numpy(), dtype=np.float64)
    scores = np.asarray(rows["score"].to_numpy(), dtype=np.float64)
    is_classification = asked.declaration.task == "binary_classification"
    truth = labels.astype(np.bool_) if is_classification else labels
    losses = losses_of("log_loss" if is_classification else "rmse", truth, scores)
    figures: list[tuple[str, Figure]] = [(f"mean of {asked.label.column}", _mean(labels))]
    if is_classification:
        figures.append(("log_loss", _mean(losses)))
    else:
        figures.append(("rmse", lambda kept: None if (mean := _mean(losses)(kept)) is None else float(np.sqrt(mean))))
    business = watched.declaration.business if watched.declaration else asked.declaration.business
    figures += [(each.name, _business(watched.model, each, rows, arms)) for each in business]
    return [difference(name, arms, figure) for name, figure in figures]


def _mean(values: np.ndarray) -> Figure:
    return lambda kept: float(values[kept].mean()) if kept.any() else None


def _business(model: str, metric: BusinessMetric, rows: pa.Table, arms: Arms) -> Figure:
    """A business metric of some rows; one that adds up, such as a count, per unit: arms have different sizes.

    It adds up where the rows, taken twice, give twice as much.
    """
    units = np.asarray(arms.units)

    def of(table: pa.Table) -> float | None:
        scores, decisions = (table[name].combine_chunks() for name in ("score", "decision"))
        plain = table.drop_columns([name for name in SAID if name in table.column_names])
        (figure,) = business_figures(model, (metric,), plain, scores, decisions.cast(pa.bool_()))
        return figure.value

    once, twice = of(rows), of(pa.concat_tables([rows, rows]))
    adds_up = once is not None and twice is not None and once != 0 and abs(twice - 2 * once) < 1e-9 * abs(twice)

    def figure(kept: Rows) -> float | None:
        found = of(rows.filter(pa.array(kept)))
        return found / max(1, len(np.unique(units[kept]))) if found is not None and adds_up else found

    return figure


def _array(column: pa.ChunkedArray) -> Rows:
    return np.asarray(column.to_numpy(), dtype=np.bool_)

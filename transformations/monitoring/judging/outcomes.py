"""What became of predictions: the dataset's own label query asked again, once the horizon has passed.

The label has one definition, that of the dataset. Its query is asked over the newest tables, and each recorded
prediction finds its row by entity and moment. So a version is measured on what it really said to whom, beside what its
evaluation promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformations.datasets.config import LabelConfig
from transformations.datasets.manifest import Manifest
from transformations.datasets.registration import join_keys
from transformations.datasets.spines import known_label, rows_of, source_of
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.duck import identifier
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.models.declaration.config import BusinessMetric, Declaration
from transformations.models.evaluation.evaluation import CONFIDENCE
from transformations.models.evaluation.facts import BusinessFigure, MetricFigure
from transformations.models.evaluation.intervals import MODEL, Scored, measured
from transformations.models.evaluation.metrics import CLASSIFICATION, REGRESSION, Floats
from transformations.models.evaluation.resampling import Clusters
from transformations.models.judging.business import business_figures
from transformations.models.records.prediction_table import TIMESTAMP
from transformations.models.versions import dataset_of, judgement_of, manifest_of
from transformations.monitoring.judging.estimates import Estimate, calibration_of, estimate
from transformations.monitoring.judging.outcomes_sql import LABELLED, PREDICTED, SAID, joined, read_predictions
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.served import days_served, files_of, versions_served
from transformations.monitoring.reading.served_sql import ANSWERING, SHADOW
from transformations.stores.history.session_sql import Resources, session

Value = Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Predictions whose outcomes are known: all that a version answered, or those of a day, a segment, an arm.

    by: what they have in common, such as `all`, `day`, `arm`, `acted on` or a segment's column; value: of it. What was
    said in shadow reached nobody, so it is an arm and in no other group.
    positives: entities that have a true label; 0 in a regression.
    """

    version: int
    by: str
    value: str
    rows: int
    entities: int
    positives: int
    label_mean: float
    score_mean: float
    figures: tuple[MetricFigure, ...]
    business: tuple[BusinessFigure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What a version's evaluation said, on the test split."""

    version: int
    rows: int
    figures: tuple[MetricFigure, ...]
    business: tuple[BusinessFigure, ...]


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What became of a model's predictions. known_until: labels of later moments plus the horizon are not known yet.

    waiting: predictions whose horizon has not passed. lost: predictions of which the query has no row, for it does not
    give their entity at their moment. estimates: what those that wait are expected to show, by version. None of these
    counts what was said in shadow.
    """

    model: str
    known_until: datetime
    groups: tuple[Group, ...]
    promises: tuple[Promise, ...]
    waiting: int
    lost: int
    estimates: tuple[Estimate, ...] = ()

    def of(self, version: int, by: str = "all") -> tuple[Group, ...]:
        """The groups of a version that have something in common."""
        return tuple(each for each in self.groups if (each.version, each.by) == (version, by))

    def whole(self, version: int) -> Group:
        """All that a version answered whose outcomes are known; its arm in shadow where it has answered nobody yet."""
        (found,) = self.of(version) or self.of(version, "arm")
        return found


@faults_in_words()
def outcomes(
    watched: Watched, first: date | None = None, last: date | None = None, *, in_detail: bool = True
) -> Outcomes:
    """What became of the predictions of the days (UTC) from first to last, by default of all.

    in_detail: whether arms, segments and who was acted on have intervals and business metrics, too; all of a version
    always have both, and its days business metrics.

    DataError where nothing is recorded, no horizon has passed yet and nothing can be estimated, or the dataset came
    from a file, which cannot be asked again.
    """
    settings = watched.settings
    served = days_served(watched.model, settings, since=first or date.min)
    days = [day for day in served if last is None or day <= last]
    versions = sorted({version for day in days for version in versions_served(watched.model, day, settings)})
    if not versions:
        raise DataError(f"model {watched.model} has no recorded prediction of these days. Choose others.")
    groups: list[Group] = []
    promises: list[Promise] = []
    estimates: list[Estimate] = []
    waiting = lost = 0
    until = None
    answers: dict[str, QueryAnswer] = {}
    for version in versions:
        asked = ask(watched, version, answers)
        until = asked.known_until if until is None else max(until, asked.known_until)
        files = [file for day in days for file in files_of(watched.model, version, day, settings)]
        found = join(asked, files, settings)
        waiting, lost = waiting + found.waiting.num_rows, lost + found.lost
        groups += _groups(watched, version, asked, found, in_detail=in_detail)
        judgement = judgement_of(watched.model, watched.state(version), settings)
        if judgement is not None:
            evaluation = judgement.evaluation
            promises.append(
                Promise(
                    version=version,
                    rows=evaluation.rows,
                    figures=evaluation.predictors[0].figures,
                    business=evaluation.business,
                )
            )
        estimates += _estimates(version, asked, found.waiting, groups, promises)
    if until is None or not (groups or estimates):
        raise DataError(
            f"of none of the {waiting + lost:,} predictions of model {watched.model} the outcome is known: labels are "
            f"known until {until:%Y-%m-%d %H:%M} UTC, and {lost:,} predictions have no row in the dataset's query. Ask "
            f"again once the horizon has passed and the sources are ingested."
        )
    return Outcomes(
        model=watched.model,
        known_until=until,
        groups=tuple(groups),
        promises=tuple(promises),
        waiting=waiting,
        lost=lost,
        estimates=tuple(estimates),
    )


def _estimates(
    version: int, asked: Asked, waiting: pa.Table, groups: Sequence[Group], promises: Sequence[Promise]
) -> Iterator[Estimate]:
    """What the predictions that wait are expected to show, in a classification whose calibration passes."""
    if asked.declaration.task != "binary_classification" or not waiting.num_rows:
        return
    realised = [figure for each in groups if (each.version, each.by) == (version, "all") for figure in each.figures]
    promised = [figure for each in promises if each.version == version for figure in each.figures]
    decisions = waiting["decision"]
    found = estimate(
        version,
        _floats(waiting["score"]),
        None if decisions.null_count else np.asarray(decisions.to_numpy(), dtype=np.bool_),
        calibration_of(asked.declaration, realised, promised),
    )
    if found is not None:
        yield found


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A version's dataset, and what its query says today. declaration: the one that the version was trained by."""

    manifest: Manifest
    label: LabelConfig
    rows: pa.Table
    known_until: datetime
    declaration: Declaration
    inputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Predictions with their outcomes, those that have none yet, and how many never have; rows in shadow: alone."""

    rows: pa.Table
    shadow: pa.Table
    waiting: pa.Table
    lost: int


class QueryAnswer(NamedTuple):
    """What the query of a dataset gives today, and until when its labels are known."""

    rows: pa.Table
    known_until: datetime


def ask(watched: Watched, version: int, known: dict[str, QueryAnswer] | None = None) -> Asked:
    """Ask the query of a version's dataset again. DataError where it has none, or no label.

    known: what was asked before, by the hash of the dataset; versions of one dataset share it.
    """
    known = {} if known is None else known
    state = watched.state(version)
    manifest = dataset_of(watched.model, state, watched.settings)
    config = manifest.config
    if config.spine.query is None or config.label is None:
        raise DataError(
            f"version {version} of model {watched.model} learned from dataset {manifest.name}, whose rows came from a "
            f"file: nothing can be asked again. Declare a spine's query, and outcomes are known by themselves."
        )
    dataset = state.registered.dataset_hash
    if dataset not in known:
        source = source_of(config, Path())
        label = known_label(config, source, watched.settings)
        if label is None:
            raise DataError(f"dataset {manifest.name} has no label, so nothing becomes of its rows.")
        known[dataset] = QueryAnswer(rows_of(source, Resources(threads=1)), label.known_until)
    facts = manifest_of(watched.model, state, watched.settings)
    return Asked(
        manifest=manifest,
        label=config.label,
        rows=known[dataset].rows,
        known_until=known[dataset].known_until,
        declaration=Declaration.model_validate(facts.facts.declaration),
        inputs=tuple(column.name for column in facts.scores.inputs),
    )


def join(asked: Asked, files: Sequence[Path], settings: Settings) -> Joined:
    """The predictions in files of records, those whose outcomes are known with them."""
    keys = list(join_keys(asked.manifest))
    columns, timestamp = asked.rows.column_names, asked.manifest.timestamp
    with session(Resources(threads=settings.offline_threads), is_private=True) as connection:
        parts = [connection.sql(_query(file, asked, keys)).to_arrow_table() for file in files]
        predicted = pa.concat_tables(parts, promote_options="permissive")
        ends = pc.add(predicted["predicted_at"].cast(TIMESTAMP), pa.scalar(asked.label.horizon, pa.duration("us")))
        is_known = pc.less_equal(ends, pa.scalar(asked.known_until, TIMESTAMP))
        matured, waiting = predicted.filter(is_known), predicted.filter(pc.invert(is_known))
        connection.register(PREDICTED, matured)
        rows = asked.rows.filter(pc.is_valid(asked.rows[asked.label.column]))
        connection.register(LABELLED, rows)
        inputs = [name for name in asked.inputs if name in matured.column_names and name not in columns]
        found = connection.sql(joined(keys, timestamp, columns, inputs)).to_arrow_table()
    answered = found.filter(_answers(found))
    return Joined(
        rows=answered,
        shadow=found.filter(pc.invert(_answers(found))),
        waiting=waiting.filter(_answers(waiting)),
        lost=matured.filter(_answers(matured)).num_rows - answered.num_rows,
    )


def _answers(rows: pa.Table) -> pa.ChunkedArray:
    """By row whether the prediction reached anybody."""
    return pc.is_in(rows["role"], pa.array(ANSWERING))


def _query(file: Path, asked: Asked, keys: Sequence[str]) -> str:
    schema = pq.read_schema(file)
    features = {entry.name for entry in schema.field("features").type} if "features" in schema.names else set()
    request = {entry.name for entry in schema.field("request").type} if "request" in schema.names else set()
    values = [f"features.{identifier(name)}.value AS {identifier(name)}" for name in asked.inputs if name in features]
    values += [f"request.{identifier(name)} AS {identifier(name)}" for name in asked.inputs if name in request]
    return read_predictions([file], keys, values, "holdout" in schema.names)


def _groups(watched: Watched, version: int, asked: Asked, found: Joined, *, in_detail: bool) -> Iterator[Group]:
    business = watched.declaration.business if watched.declaration else asked.declaration.business
    if found.rows.num_rows:
        yield _group(version, "all", "all", asked, found.rows, business, with_intervals=True)
    for by, value, rows, with_intervals in _parts(watched, asked, found.rows):
        told = business if in_detail or by == "day" else ()
        yield _group(version, by, value, asked, rows, told, with_intervals=with_intervals and in_detail)
    if found.shadow.num_rows:
        is_told = in_detail or not found.rows.num_rows
        told = business if is_told else ()
        yield _group(version, "arm", SHADOW, asked, found.shadow, told, with_intervals=is_told)


def _parts(watched: Watched, asked: Asked, rows: pa.Table) -> Iterator[tuple[str, str, pa.Table, bool]]:
    """What rows have in common, the value of it, these rows, and whether such parts are few enough for intervals."""
    days = pc.strftime(rows["predicted_at"].cast(TIMESTAMP), "%Y-%m-%d")
    segments = dict.fromkeys([*watched.declared.segments, *asked.declaration.evaluation.segments])
    parts: list[tuple[str, pa.ChunkedArray, bool]] = [
        ("day", days, False),
        ("arm", rows["role"], True),
        ("acted on", _acted(rows), True),
        *(
            (name, pc.fill_null(rows[name].cast(pa.string()), "null"), False)
            for name in segments
            if name in rows.column_names
        ),
    ]
    for by, values, with_intervals in parts:
        names = sorted(name for name in pc.unique(values).to_pylist() if name is not None)
        for name in names:
            yield by, name, rows.filter(pc.equal(values, name)), with_intervals


def _acted(rows: pa.Table) -> pa.ChunkedArray:
    """Whether somebody acted on a prediction: who was acted on behaves otherwise, so outcomes stand apart."""
    decided = pc.if_else(pc.fill_null(rows["decision"], False), "acted on", "left alone")
    return pc.if_else(rows["holdout"], "holdout", decided)


def _group(
    version: int,
    by: str,
    value: str,
    asked: Asked,
    rows: pa.Table,
    business: Sequence[BusinessMetric],
    *,
    with_intervals: bool,
) -> Group:
    is_classification = asked.declaration.task == "binary_classification"
    labels = _floats(rows[asked.label.column])
    scores = _floats(rows["score"])
    criteria = asked.declaration.evaluation
    scored = Scored(
        labels=labels.astype(np.bool_) if is_classification else labels,
        predictions={MODEL: scores},
        clusters=Clusters.of(rows[criteria.entity].to_numpy(zero_copy_only=False)),
        moments=np.asarray(rows["predicted_at"].cast(TIMESTAMP).cast(pa.int64()).to_numpy(), dtype=np.int64),
        segments={},
        quantile=criteria.quantile,
        bins=criteria.calibration_bins,
    )
    metrics = CLASSIFICATION if is_classification else REGRESSION
    found = measured(scored, metrics, draws=criteria.draws if with_intervals else 1, seed=criteria.seed)
    figures = []
    for metric in metrics:
        figure = found.figure(MODEL, metric)
        known = float(figure.value) if np.isfinite(figure.value) else None
        interval = figure.interval(CONFIDENCE) if with_intervals else None
        figures.append(MetricFigure(metric=metric, value=known, interval=interval))
    plain = rows.drop_columns(list(SAID))
    return Group(
        version=version,
        by=by,
        value=value,
        rows=rows.num_rows,
        entities=found.entities,
        positives=found.positives,
        label_mean=float(labels.mean()),
        score_mean=float(scores.mean()),
        figures=tuple(figures),
        business=business_figures(
            asked.declaration.name,
            business,
            plain,
            rows["score"].combine_chunks(),
            rows["decision"].combine_chunks().cast(pa.bool_()),
        ),
    )


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)

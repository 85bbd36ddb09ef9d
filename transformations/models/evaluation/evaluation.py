"""Evaluates a version on rows that it never saw: every figure of the report, from arrays, in one function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import instant_to_micros, micros_to_instant
from transformations.models.evaluation import curves
from transformations.models.evaluation.facts import (
    AgainstProduction,
    BusinessFigure,
    Curve,
    Deciding,
    Difference,
    Evaluation,
    Group,
    MetricFigure,
    Predictor,
    Segments,
    Subject,
)
from transformations.models.evaluation.importance import Score, one_row_latency, permutation_importance
from transformations.models.evaluation.intervals import MODEL, Figure, Scored, Texts, measured
from transformations.models.evaluation.metrics import CLASSIFICATION, REGRESSION, Bools, Floats, measure
from transformations.models.records.criteria import PRODUCTION, Criteria, Metric

CONFIDENCE = 0.95
MOST_SEGMENTS = 50
CurveOf = Callable[[str, Bools, Floats], Curve]


@dataclass(frozen=True, kw_only=True)
class Production:
    """The version in production on those rows that lie after all it has seen. scored: both versions' scores there."""

    version: int
    seen_until: datetime
    scored: Scored


def evaluate(
    subject: Subject,
    criteria: Criteria,
    scored: Scored,
    rows: pa.Table,
    score: Score,
    features: Sequence[str],
    *,
    look: int,
    at: datetime,
    production: Production | None = None,
    deciding: Deciding | None = None,
    business: tuple[BusinessFigure, ...] = (),
) -> Evaluation:
    """Measure everything that the report shows.

    rows: the judged rows with the model's inputs, in the order of `scored`; score: the model's `predict` of them.
    features: the inputs whose importance is asked for. deciding, business: as found elsewhere. look: see
    `looks.look_at`, which is called before this.
    DataError for scores or labels that are not finite, or probabilities outside of 0 to 1.
    """
    refuse_impossible(scored)
    metrics = CLASSIFICATION if scored.is_classification else REGRESSION
    whole = measured(scored, metrics, draws=criteria.draws, seed=criteria.seed)
    loss: Metric = "log_loss" if scored.is_classification else "mae"
    others = [name for name in scored.predictions if name != MODEL]
    return Evaluation(
        subject=subject,
        evaluated_at=at,
        look=look,
        first=micros_to_instant(int(scored.moments.min())),
        last=micros_to_instant(int(scored.moments.max())),
        rows=whole.rows,
        entities=whole.entities,
        positives=whole.positives,
        label_mean=float(scored.labels.mean()),
        confidence=CONFIDENCE,
        draws=criteria.draws,
        predictors=tuple(
            Predictor(name=name, figures=tuple(_figure(metric, whole.figure(name, metric)) for metric in metrics))
            for name in scored.predictions
        ),
        differences=tuple(_difference(name, metric, whole.gain(name, metric)) for name in others for metric in metrics),
        weeks=_groups(scored, weeks_of(scored, subject.zone), metrics, criteria),
        segments=tuple(
            Segments(column=column, groups=_groups(scored, values, metrics, criteria))
            for column, values in scored.segments.items()
        ),
        reliability=curves.reliability(scored),
        precision_recall=_curves(scored, curves.precision_recall),
        roc=_curves(scored, curves.roc),
        distributions=curves.distributions(scored),
        loss=loss,
        importance=permutation_importance(
            score,
            rows,
            scored.labels,
            scored.clusters,
            features,
            loss=loss,
            confidence=CONFIDENCE,
            draws=criteria.draws,
            seed=criteria.seed,
        ),
        latency=one_row_latency(score, rows),
        production=None if production is None else _against(production, metrics, criteria),
        deciding=deciding,
        business=business,
    )


def rows_after(scored: Scored, seen_until: datetime) -> Scored:
    """The rows at or after a moment: those on which a version that has seen what lies before may be compared."""
    return scored.where(scored.moments >= instant_to_micros(seen_until))


def seen_until(last_row: datetime, horizon: timedelta) -> datetime:
    """The moment up to which a version has seen data: its last row in training and tuning, plus its label's horizon."""
    return last_row + horizon


def segments_of(rows: pa.Table, columns: Sequence[str]) -> dict[str, Texts]:
    """The values of the segments' columns as text; nulls are `null`. UsageError for one with too many values."""
    found = {}
    for column in columns:
        values = np.asarray(pc.fill_null(rows[column].cast(pa.string()), "null").to_pylist(), dtype=np.str_)
        if (count := len(np.unique(values))) > MOST_SEGMENTS:
            raise UsageError(
                f"segments: column {column!r} has {count:,} values, and {MOST_SEGMENTS} can be shown. Choose a coarser "
                f"column, or make one in the dataset's spine."
            )
        found[column] = values
    return found


def weeks_of(scored: Scored, zone: str) -> Texts:
    """The Monday that each row's week begins with, in a zone."""
    local = pa.array(scored.moments).cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us", tz=zone))
    return np.asarray(pc.strftime(pc.floor_temporal(local, unit="week"), "%Y-%m-%d").to_pylist(), dtype=np.str_)


def refuse_impossible(scored: Scored) -> None:
    """DataError where a figure could not mean anything."""
    if not len(scored):
        raise DataError("the split has no row to judge. Move its date, or ingest later data.")
    for name, values in {"the label": scored.labels.astype(np.float64), **scored.predictions}.items():
        what = name if name == "the label" else f"the score of {name}"
        if wrong := int((~np.isfinite(values)).sum()):
            raise DataError(f"{what} is not finite in {wrong:,} of {len(values):,} rows. Mend the model or the label.")
        if scored.is_classification and not ((values >= 0) & (values <= 1)).all():
            outside = values[(values < 0) | (values > 1)]
            raise DataError(
                f"{what} is no probability in {len(outside):,} of {len(values):,} rows, such as {outside[0]:g}. "
                f"Calibrate the model, or declare it as a regression."
            )


def _groups(scored: Scored, values: Texts, metrics: Sequence[Metric], criteria: Criteria) -> tuple[Group, ...]:
    found = []
    for value in sorted(set(values.tolist())):
        part = scored.where(np.asarray(values == value, dtype=np.bool_))
        figures = measured(part, metrics, names=[MODEL], draws=criteria.draws, seed=criteria.seed)
        others: Mapping[str, Mapping[Metric, float | None]] = {
            name: {
                metric: _finite(measure(metric, part.labels, each, quantile=part.quantile, bins=part.bins))
                for metric in metrics
            }
            for name, each in part.predictions.items()
            if name != MODEL
        }
        found.append(
            Group(
                name=value,
                rows=figures.rows,
                entities=figures.entities,
                positives=figures.positives,
                label_mean=float(part.labels.mean()),
                figures=tuple(_figure(metric, figures.figure(MODEL, metric)) for metric in metrics),
                others=others,
            )
        )
    return tuple(found)


def _curves(scored: Scored, draw: CurveOf) -> tuple[Curve, ...]:
    labels = scored.labels.astype(np.bool_)
    if not scored.is_classification or labels.all() or not labels.any():
        return ()
    return tuple(draw(name, labels, values) for name, values in scored.predictions.items())


def _against(production: Production, metrics: Sequence[Metric], criteria: Criteria) -> AgainstProduction:
    rows = production.scored
    found = None
    if len(rows):
        found = measured(rows, metrics, names=[MODEL, PRODUCTION], draws=criteria.draws, seed=criteria.seed)
    return AgainstProduction(
        version=production.version,
        seen_until=production.seen_until,
        rows=len(rows),
        entities=rows.clusters.count,
        differences=()
        if found is None
        else tuple(_difference(PRODUCTION, metric, found.gain(PRODUCTION, metric)) for metric in metrics),
    )


def _figure(metric: Metric, figure: Figure) -> MetricFigure:
    return MetricFigure(metric=metric, value=_finite(figure.value), interval=figure.interval(CONFIDENCE))


def _difference(over: str, metric: Metric, figure: Figure) -> Difference:
    return Difference(over=over, metric=metric, value=_finite(figure.value), interval=figure.interval(CONFIDENCE))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

"""What each feature is worth to a model, and how long one row takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from transformations.models.evaluation.facts import Importance, Latency
from transformations.models.evaluation.intervals import Figure
from transformations.models.evaluation.metrics import Bools, Floats, losses_of
from transformations.models.evaluation.resampling import Clusters, resample_mean
from transformations.models.records.criteria import Metric

Score = Callable[[pa.Table], Floats]
"""The scores of rows: `predict` of an artifact."""
MOST_ROWS = 20_000
_EXCHANGES = 3
_CALLS, _WARM_UP = 200, 20


def permutation_importance(
    score: Score,
    rows: pa.Table,
    labels: Bools | Floats,
    clusters: Clusters,
    features: Sequence[str],
    *,
    loss: Metric,
    confidence: float,
    draws: int,
    seed: int = 0,
) -> tuple[Importance, ...]:
    """How much worse the loss gets where a feature's values are exchanged among all rows, three times over; the most
    important first.

    Values change places between rows and so between entities, which breaks what a feature knows of its entity as well
    as what it knows of the moment. Intervals resample entities. Two features that say the same share their worth, and
    each may look worthless beside the other. The first 20,000 rows are taken: within a split they stand in no order.
    """
    kept = min(MOST_ROWS, rows.num_rows)
    rows, labels, clusters = rows.slice(0, kept), labels[:kept], Clusters.of(clusters.numbers[:kept])
    usual = losses_of(loss, labels, score(rows))
    found = []
    for number, feature in enumerate(features):
        place = rows.column_names.index(feature)
        increase = np.zeros(kept)
        for exchange in range(_EXCHANGES):
            order = np.argsort(np.random.Philox(key=np.array([seed, number * _EXCHANGES + exchange])).random_raw(kept))
            exchanged = rows.set_column(place, rows.field(place), rows[feature].take(pa.array(order)))
            increase += (losses_of(loss, labels, score(exchanged)) - usual) / _EXCHANGES
        figure = Figure(float(increase.mean()), resample_mean(increase, clusters, draws=draws, seed=seed))
        found.append(Importance(feature=feature, increase=figure.value, interval=figure.interval(confidence)))
    return tuple(sorted(found, key=lambda each: (-each.increase, each.feature)))


def one_row_latency(score: Score, rows: pa.Table) -> Latency:
    """Milliseconds of scoring one row, over 200 calls with different rows, after 20 that are not counted."""
    seconds = []
    for call in range(_CALLS + _WARM_UP):
        row = rows.slice(call % rows.num_rows, 1)
        began = time.perf_counter()
        score(row)
        seconds.append(time.perf_counter() - began)
    median, p95, p99 = (float(value) for value in np.percentile(np.array(seconds[_WARM_UP:]) * 1e3, [50, 95, 99]))
    return Latency(calls=_CALLS, median=median, p95=p95, p99=p99)

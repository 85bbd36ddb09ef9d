"""What deciding is worth, against a sum by hand and a naive resampling."""

import numpy as np
import pytest

from transformations.models.declaration.config import Costs
from transformations.models.evaluation.resampling import Clusters, times_drawn
from transformations.models.judging.worth import deciding
from transformations.models.records.artifact import Decision

COSTS = Costs(unit="USD", true_positive=5, false_positive=-1, false_negative=-2)
DECISION = Decision(threshold=0.5, chosen_by="costs")
#                   acts rightly  acts wrongly  misses  waits rightly
ACTS = np.array([True, True, False, False, True])
LABELS = np.array([True, False, True, False, True])
USERS = np.array([1, 1, 2, 3, 3])


def test_the_worth_of_each_row_is_added_by_hand() -> None:
    found = deciding(DECISION, COSTS, ACTS, LABELS, Clusters.of(USERS), draws=200, seed=3)
    assert (found.acted, found.hits, found.threshold) == (3, 2, 0.5)
    assert found.value is not None
    assert found.value.mean == pytest.approx((5 - 1 - 2 + 0 + 5) / 5)
    assert found.value.never == pytest.approx((-2 * 3) / 5)
    assert found.value.always == pytest.approx((5 * 3 - 1 * 2) / 5)
    assert found.value.gain == pytest.approx(found.value.mean - found.value.always)


def test_the_interval_is_that_of_naive_draws_of_whole_entities() -> None:
    generator = np.random.default_rng(5)
    users = generator.integers(0, 40, 300)
    labels, acts = generator.random(300) < 0.3, generator.random(300) < 0.4
    clusters = Clusters.of(users)
    found = deciding(DECISION, COSTS, acts, labels, clusters, draws=300, seed=9).value
    assert found is not None
    assert found.interval is not None

    worth = {(True, True): 5.0, (True, False): -1.0, (False, True): -2.0, (False, False): 0.0}
    means = []
    for draw in range(300):
        times = times_drawn(clusters.count, 9, draw)
        drawn = [
            worth[bool(acts[row]), bool(labels[row])]
            for row in range(300)
            for _ in range(int(times[clusters.numbers[row]]))
        ]
        means.append(sum(drawn) / len(drawn))
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_without_costs_there_is_no_value() -> None:
    found = deciding(DECISION, None, ACTS, LABELS, Clusters.of(USERS), draws=100, seed=0)
    assert (found.value, found.acted) == (None, 3)

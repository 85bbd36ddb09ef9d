"""The threshold of a decision: the best of all on the rows it is chosen on, by trying every one."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.models.declaration.config import Costs, DecisionRule
from transformations.models.fitting.decisions import choose
from transformations.models.fitting.split import Split

DAY = 86_400 * 10**6
COSTS = Costs(unit="USD", true_positive=5, false_positive=-2, false_negative=-1)


def split(labels: list[int], days: list[int] | None = None) -> Split:
    count = len(labels)
    return Split(
        name="validation",
        inputs={"x": pa.nulls(count)},
        labels=np.array(labels, dtype=float),
        moments=np.array(days or [0] * count, dtype=np.int64) * DAY,
        entities=np.arange(count),
        weights=None,
    )


def value(threshold: float, scores: list[float], labels: list[int]) -> float:
    total = 0.0
    for score, label in zip(scores, labels, strict=True):
        if score >= threshold:
            total += COSTS.true_positive if label else COSTS.false_positive
        else:
            total += COSTS.false_negative if label else COSTS.true_negative
    return total / len(scores)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.4, 0.5, 0.9]), st.integers(0, 1)), min_size=1, max_size=12))
def test_no_threshold_is_worth_more_than_the_chosen_one(rows: list[tuple[float, int]]) -> None:
    scores, labels = [score for score, _ in rows], [label for _, label in rows]
    decision, worth = choose(DecisionRule(costs=COSTS), np.array(scores), split(labels), seed=1)

    tried = [value(threshold, scores, labels) for threshold in (*scores, 2.0)]
    assert worth is not None
    assert value(decision.threshold, scores, labels) == pytest.approx(max(tried))
    assert worth.expected == pytest.approx(max(tried))
    assert worth.low <= worth.high


def test_where_acting_never_pays_nothing_is_acted_on() -> None:
    decision, _ = choose(DecisionRule(costs=COSTS), np.array([0.3, 0.2]), split([0, 0]), seed=1)
    assert decision.threshold > 0.3


def test_the_top_two_a_day_are_reached_on_average() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.1])
    decision, worth = choose(DecisionRule(top_k_a_day=2), scores, split([0] * 6, [0, 0, 0, 0, 1, 1]), seed=1)
    assert (decision.threshold, decision.chosen_by, worth) == (0.6, "top_k", None)


def test_a_declared_threshold_is_taken_as_it_is() -> None:
    decision, _ = choose(DecisionRule(threshold=0.25), np.array([0.3]), split([1]), seed=1)
    assert (decision.threshold, decision.chosen_by) == (0.25, "threshold")

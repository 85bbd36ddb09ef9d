"""Declared baselines on literal rows, and the rules that state them."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from transformations.engine.base.errors import DefinitionError, UsageError
from transformations.models.evaluation.baselines import columns_of, fit_baselines
from transformations.models.evaluation.rules import parse_rule
from transformations.models.records.criteria import Baseline

TRAIN = pa.table(
    {
        "visits": pa.array([0, 0, 1, 2, 9, None], pa.int64()),
        "ratio": pa.array([0.5, math.nan, 1.0, 1.0, 2.0, None], pa.float64()),
        "city": pa.array(["a", "a", "b", "b", "c", None]),
    }
)
LABELS = np.array([True, True, True, False, False, False])


def scores(baseline: Baseline, rows: pa.Table = TRAIN, labels: Any = LABELS) -> list[float]:
    return fit_baselines({"it": baseline}, TRAIN, labels)["it"].predict(rows).tolist()


def rate(true: float, rows: int) -> float:
    """A group's mean with one more row at the mean of all, which is a half."""
    return (true + 0.5) / (rows + 1)


def test_the_prior_is_the_mean_of_the_train_split() -> None:
    assert scores(Baseline(kind="prior")) == [0.5] * 6
    assert scores(Baseline(kind="prior"), labels=LABELS * 4.0) == [2.0] * 6


def test_a_binned_number_has_a_rate_a_bin_and_nulls_have_a_bin_of_their_own() -> None:
    binned = Baseline(kind="binned_feature", feature="visits", bins=2)  # one edge, the median: 1
    assert scores(binned) == pytest.approx([rate(3, 3)] * 3 + [rate(0, 2)] * 2 + [rate(0, 1)])


def test_nan_is_null_and_a_value_beyond_training_is_in_the_last_bin() -> None:
    binned = Baseline(kind="binned_feature", feature="ratio", bins=2)
    found = scores(binned, pa.table({"ratio": [math.nan, None, 99.0, -99.0]}))
    assert found == pytest.approx([rate(1, 2), rate(1, 2), rate(0, 1), rate(2, 3)])


def test_a_binned_text_has_a_rate_a_value_and_what_training_never_saw_has_the_mean() -> None:
    binned = Baseline(kind="binned_feature", feature="city")
    found = scores(binned, pa.table({"city": ["a", "b", "c", None, "new"]}))
    assert found == pytest.approx([rate(2, 2), rate(1, 2), rate(0, 1), rate(0, 1), 0.5])


def test_texts_beyond_the_most_frequent_share_a_group() -> None:
    binned = Baseline(kind="binned_feature", feature="city", bins=2)
    assert scores(binned, pa.table({"city": ["a", "b", "c"]})) == pytest.approx([rate(2, 2), rate(1, 3), rate(1, 3)])


def test_nulls_that_training_never_saw_have_the_mean() -> None:
    whole = TRAIN.slice(0, 5)
    fitted = fit_baselines({"it": Baseline(kind="binned_feature", feature="visits")}, whole, LABELS[:5])["it"]
    assert fitted.predict(pa.table({"visits": pa.array([None], pa.int64())})).tolist() == pytest.approx([0.6])


def test_a_rule_has_a_rate_where_it_holds_and_one_elsewhere() -> None:
    rule = Baseline(kind="rule", when="visits < 1")  # unknown for the null
    assert scores(rule) == pytest.approx([rate(2, 2)] * 2 + [rate(1, 4)] * 4)


def test_a_column_that_is_not_there_is_refused_by_its_likeliest_name() -> None:
    with pytest.raises(UsageError, match=r"baseline 'it': no column 'visit'; .*visits"):
        scores(Baseline(kind="binned_feature", feature="visit"))
    with pytest.raises(UsageError, match="no column 'trips'"):
        scores(Baseline(kind="rule", when="trips == 0"))


def test_the_columns_of_a_baseline() -> None:
    assert columns_of(Baseline(kind="rule", when="a < b and c is none")) == {"a", "b", "c"}
    assert columns_of(Baseline(kind="binned_feature", feature="a")) == {"a"}
    assert columns_of(Baseline(kind="prior")) == frozenset()


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("visits == 0", [0, 1]),
        ("visits is none", [5]),
        ("visits is not none and not visits > 1", [0, 1, 2]),
        ("0 < visits <= 2", [2, 3]),
        ("city in ('a', 'c') or visits is null", [0, 1, 4, 5]),
        ("city not in ('a',)", [2, 3, 4]),
        ("visits > ratio", [3, 4]),
        ("ratio >= -0.5 and city != 'b'", [0, 4]),
    ],
)
def test_a_rule_reads_as_it_is_written(rule: str, holds: list[int]) -> None:
    rows = TRAIN.set_column(1, "ratio", pa.array([0.5, None, 1.0, 1.0, 2.0, None]))
    assert np.flatnonzero(parse_rule(rule).mask(rows)).tolist() == holds


@pytest.mark.parametrize("rule", ["visits", "visits +", "visits + 1 > 2", "f(visits) > 1", "1 < 2", "visits in ()", ""])
def test_what_is_no_rule_is_refused_with_an_example(rule: str) -> None:
    with pytest.raises(DefinitionError, match=r"Write such as: visits_28d == 0 and"):
        parse_rule(rule)

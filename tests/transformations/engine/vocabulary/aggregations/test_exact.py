"""Exact sums against `math.fsum` and fractions."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.vocabulary.aggregations.exact import exact_prefix, exact_prefix_of_squares

NUMBERS = st.lists(st.floats(-1e300, 1e300, allow_subnormal=True), max_size=10)
# Of like magnitudes, as measures are, and on the edges of what one addition of two doubles can round.
ALIKE = st.lists(st.floats(-1e4, 1e4) | st.sampled_from([0.0, 0.1, -0.1, 2.0**52, -(2.0**53), 1.0, 0.5]), max_size=10)
TINY = st.lists(st.floats(-1e-307, 1e-307, allow_subnormal=True), max_size=10)


@given(values=NUMBERS | ALIKE | TINY)
def test_every_range_sums_as_fsum_does(values: list[float]) -> None:
    cuts = np.arange(len(values) + 1)
    prefix = exact_prefix(np.array(values, dtype=np.float64), cuts)
    first, last = (pairs.astype(np.int64) for pairs in np.triu_indices(len(values) + 1))
    expected = [math.fsum(values[i:j]) for i, j in zip(first, last, strict=True)]
    assert prefix.between(first, last).tolist() == expected


def test_what_naive_summation_loses_is_kept() -> None:
    values = np.array([1e16, 1.0, -1e16, 0.1, 0.2])
    prefix = exact_prefix(values, np.arange(6))
    assert prefix.between(np.array([0, 3]), np.array([3, 5])).tolist() == [1.0, math.fsum([0.1, 0.2])]


def test_a_tie_is_rounded_to_even_and_a_trace_below_it_breaks_the_tie() -> None:
    values = np.array([2.0**53, 1.0, 2.0**-1000])
    prefix = exact_prefix(values, np.arange(4))
    assert prefix.between(np.array([0, 0]), np.array([2, 3])).tolist() == [2.0**53, 2.0**53 + 2]


def test_the_order_of_values_does_not_matter() -> None:
    values = np.array([0.1, 1e15, -3.7, 2.5e-8, -1e15, 0.3])
    sums = {
        float(exact_prefix(np.random.default_rng(seed).permutation(values), np.array([0, 6])).between(*([0], [1]))[0])
        for seed in range(20)
    }
    assert sums == {math.fsum(values)}


@given(values=st.lists(st.floats(-1e120, 1e120), max_size=8))
def test_squares_are_summed_without_rounding(values: list[float]) -> None:
    prefix = exact_prefix_of_squares(np.array(values, dtype=np.float64), np.array([0, len(values)]))
    total = Fraction(prefix.integers_between(np.array([0]), np.array([1]))[0]) * Fraction(2) ** prefix.exponent
    assert total == sum((Fraction(value) ** 2 for value in values), Fraction(0))

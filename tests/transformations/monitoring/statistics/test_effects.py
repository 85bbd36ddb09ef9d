"""Effect sizes against their definitions, written out in plain Python, and against SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, ks_2samp

from transformations.monitoring.statistics.effects import (
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    share_difference,
    total_variation,
)

COUNTS = st.integers(2, 12).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(0, 500), min_size=bins, max_size=bins)] * 2)
)


def psi_by_definition(reference: list[int], current: list[int]) -> float:
    p = [(count + 0.5) / (sum(reference) + 0.5 * len(reference)) for count in reference]
    q = [(count + 0.5) / (sum(current) + 0.5 * len(current)) for count in current]
    return math.fsum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))


def divergence_by_definition(reference: list[int], current: list[int]) -> float:
    p = [count / sum(reference) for count in reference]
    q = [count / sum(current) for count in current]
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]

    def bits(shares: list[float]) -> float:
        return math.fsum(a * math.log2(a / m) for a, m in zip(shares, middle, strict=True) if a)

    return (bits(p) + bits(q)) / 2


@given(COUNTS)
def test_psi_is_its_definition_and_both_divergences_together(counts: tuple[list[int], list[int]]) -> None:
    reference, current = counts
    if not sum(reference) or not sum(current):
        assert psi(np.array(reference), np.array(current)) == 0
        return
    found = float(psi(np.array(reference), np.array(current)))
    assert found == pytest.approx(psi_by_definition(reference, current), abs=1e-12)
    p, q = (np.array(each) + 0.5 for each in counts)
    assert found == pytest.approx(entropy(p, q) + entropy(q, p), abs=1e-9)


@given(COUNTS)
def test_jensen_shannon_is_its_definition_and_the_square_of_scipys_distance(
    counts: tuple[list[int], list[int]],
) -> None:
    reference, current = counts
    if not sum(reference) or not sum(current):
        assert jensen_shannon(np.array(reference), np.array(current)) == 0
        return
    found = float(jensen_shannon(np.array(reference), np.array(current)))
    assert found == pytest.approx(divergence_by_definition(reference, current), abs=1e-12)
    assert found == pytest.approx(float(np.nan_to_num(jensenshannon(reference, current, base=2))) ** 2, abs=1e-7)


def test_the_ends_of_both_scales() -> None:
    assert psi(np.array([50, 50]), np.array([50, 50])) == 0
    assert psi(np.array([50, 50]), np.array([90, 10])) == pytest.approx(0.86, abs=0.01)
    assert jensen_shannon(np.array([100, 0]), np.array([0, 100])) == 1
    assert jensen_shannon(np.array([100, 0]), np.array([95, 5])) == pytest.approx(0.025, abs=0.001)


@given(COUNTS)
def test_what_is_shown_beside_is_scipys_distance_of_the_bins_and_half_the_sum_of_differences(
    counts: tuple[list[int], list[int]],
) -> None:
    reference, current = (np.array(each) for each in counts)
    if not reference.sum() or not current.sum():
        assert (kolmogorov_smirnov(reference, current), total_variation(reference, current)) == (0, 0)
        return
    places = np.arange(len(reference))
    by_scipy = ks_2samp(np.repeat(places, reference), np.repeat(places, current), method="asymp").statistic
    assert kolmogorov_smirnov(reference, current) == pytest.approx(by_scipy, abs=1e-12)
    shares = zip(reference / reference.sum(), current / current.sum(), strict=True)
    assert total_variation(reference, current) == pytest.approx(sum(max(0, b - a) for a, b in shares), abs=1e-12)


def test_many_distributions_at_once_are_each_what_it_is_alone() -> None:
    reference = np.array([10, 20, 30])
    many = np.array([[10, 20, 30], [30, 20, 10], [0, 0, 0]])
    for effect in (psi, jensen_shannon, kolmogorov_smirnov, total_variation):
        assert effect(reference, many).tolist() == [float(effect(reference, each)) for each in many]


def test_null_rates_are_compared_over_all_rows_with_their_sign() -> None:
    found = share_difference(np.array(10), np.array(100), np.array([30, 5, 0]), np.array([100, 100, 0]))
    assert found.tolist() == pytest.approx([0.2, -0.05, 0.0])

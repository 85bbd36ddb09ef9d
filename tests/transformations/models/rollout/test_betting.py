"""The confidence sequence covers the mean at every look at once, and closes in on it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.worlds.samples import some_quick
from transformations.models.rollout.betting import interval

ALPHA = 0.05
LOOKS = (5, 10, 20, 40, 80, 160, 320)


def runs_that_miss(draw: "np.random.Generator", values: "str", count: int) -> tuple[float, float]:
    """The shares of runs whose lower or upper end misses the mean at any of the looks."""
    low = high = 0
    for _ in range(count):
        if values == "rare":
            sample, mean = (draw.random(LOOKS[-1]) < 0.1).astype(float), 0.1
        elif values == "narrow":
            sample, mean = draw.beta(2, 38, LOOKS[-1]), 0.05
        else:  # means that move, which the past decides: their average is 0.3 at most
            sample, mean = draw.random(LOOKS[-1]), 0.3
            sample = np.where(np.roll(sample, 1) < 0.5, sample * 0.2, sample * 0.6)
        ends = [interval(sample[:look], ALPHA) for look in LOOKS]
        low += any(end[0] > mean for end in ends)
        high += values != "moving" and any(end[1] < mean for end in ends)
    return low / count, high / count


@pytest.mark.parametrize("values", some_quick(["rare", "narrow", "moving"], 0))
def test_no_end_misses_the_mean_at_any_look_more_often_than_said(values: str) -> None:
    missed = runs_that_miss(np.random.default_rng(11), values, 200)
    assert max(missed) <= ALPHA + 2 * (ALPHA / 200) ** 0.5


def test_it_closes_in_on_the_mean() -> None:
    values = np.random.default_rng(3).beta(2, 18, 5_000)
    low, high = interval(values, 0.005)
    assert low < 0.1 < high
    assert high - low < 0.02


def test_a_mean_far_above_a_limit_shows_within_some_dozen_values() -> None:
    assert interval(np.random.default_rng(4).uniform(0.2, 0.6, 30), 0.003)[0] > 0.1


def test_of_nothing_nothing_is_known() -> None:
    assert interval(np.array([]), ALPHA) == (0.0, 1.0)


@given(values=arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1)), cut=st.integers(0, 40))
def test_more_values_never_widen_it(values: np.ndarray, cut: int) -> None:
    early, late = interval(values[:cut], ALPHA), interval(values, ALPHA)
    assert early[0] <= late[0] + 1e-9
    assert late[1] <= max(early[1], late[0]) + 1e-9


@given(values=arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)))
def test_the_lower_end_is_where_the_capital_of_the_paper_reaches_one_over_alpha(values: np.ndarray) -> None:
    """The capital, multiplied up value by value as the paper writes it (its equations 23 and 24 for the bets)."""

    def best(mean: float) -> float:
        capital, most, total, spread = 1.0, 0.0, 0.5, 0.25
        variance = 0.25
        for count, value in enumerate(values, start=1):
            bet = (2 * np.log(1 / ALPHA) / (variance * count * np.log(count + 1))) ** 0.5
            capital *= 1 + min(bet, 0.75 / mean) * (value - mean)
            most = max(most, capital)
            total += value
            spread += (value - total / (count + 1)) ** 2
            variance = spread / (count + 1)
        return most

    low, _ = interval(values, ALPHA)
    if low > 1e-6:
        assert best(low * (1 - 1e-6)) >= 1 / ALPHA * (1 - 1e-6)
    assert best(min(1.0, low + 1e-6) * (1 + 1e-6)) < 1 / ALPHA * (1 + 1e-6)

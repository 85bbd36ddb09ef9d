"""A mean's interval that may be looked at after every observation: the betting confidence sequence.

I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting, Journal of the Royal Statistical
Society B 86 (2024): the capital of a gambler who bets that the mean is not m grows beyond 1 / alpha with a chance of
alpha at most where it is m. The bets are the paper's predictable plug-in ones, at most three quarters of the capital.
Each observation's mean given those before it is all that is asked of them: that of the first differences of distinct
units.
"""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

_MOST = 0.75
"""The share of the capital that a bet puts at risk at most; the paper's c."""
_HALVINGS = 40

Values = NDArray[np.float64]


def interval(values: Values, alpha: float) -> tuple[float, float]:
    """The ends of the interval for the mean of values in [0, 1], in their order; (0, 1) of none.

    The chance that the lower end is ever above the mean, whenever one looks, is alpha at most; likewise the upper end's
    of being below. More values never widen it.
    """
    if not len(values):
        return 0.0, 1.0
    bets = _bets(values, alpha)
    low = _end(values, bets, alpha)
    high = 1.0 - _end(1.0 - values, bets, alpha)
    return low, max(high, low)


def _bets(values: Values, alpha: float) -> Values:
    """The stake on each value, which depends on those before it alone."""
    counts = np.arange(1, len(values) + 1)
    means = (0.5 + np.cumsum(values)) / (counts + 1)
    spreads = (0.25 + np.cumsum((values - means) ** 2)) / (counts + 1)
    before = np.concatenate([[0.25], spreads[:-1]])
    return np.asarray(np.sqrt(2 * log(1 / alpha) / (before * counts * np.log(counts + 1))))


def _end(values: Values, bets: Values, alpha: float) -> float:
    """The greatest mean against which the capital has ever reached 1 / alpha; it falls as the mean rises."""

    def has_won(mean: float) -> bool:
        stakes = np.minimum(bets, _MOST / mean)
        return bool(np.cumsum(np.log1p(stakes * (values - mean))).max() >= log(1 / alpha))

    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if has_won(middle) else (low, middle)
    return low

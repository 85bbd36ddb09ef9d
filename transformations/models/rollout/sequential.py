"""A test of a rate that may be looked at after every observation: Wald's sequential probability ratio test.

A. Wald, Sequential Tests of Statistical Hypotheses, Annals of Mathematical Statistics 16 (1945). Wald's own bound of
the false alarms, e to the minus threshold, is too wide by a factor of four where failures are rare: one failure more is
a great step. Here the threshold is the lowest whose false alarms, summed exactly over all numbers of observations, stay
below alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import exp, log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Outcome = Literal["stop", "go", "open"]


@dataclass(frozen=True, kw_only=True)
class RateTest:
    """Is a rate the acceptable or the unacceptable one? Each observation fails or is clean.

    alpha: the chance of ever saying stop at the acceptable rate (or a lower one), however long one goes on looking.
    beta: the chance of saying go at the unacceptable rate (or a higher one).
    """

    acceptable: float
    unacceptable: float
    alpha: float
    beta: float

    def outcome(self, clean: int, failed: int) -> Outcome:
        """`stop`, `go`, or `open`: more observations are needed. After a `go` a `stop` may still come."""
        evidence = self.evidence(clean, failed)
        if evidence >= self.threshold:
            return "stop"
        return "go" if evidence <= log(self.beta) else "open"

    def evidence(self, clean: int, failed: int) -> float:
        """The logarithm of how many times likelier the observations are at the unacceptable rate."""
        return failed * self._of_failure - clean * self._of_clean

    @cached_property
    def threshold(self) -> float:
        """The evidence from which on the test says stop."""
        return _threshold(self.acceptable, self.unacceptable, self.alpha)

    def rows_for_go(self) -> int:
        """How many observations, all of them clean, it takes to say go."""
        return int(np.ceil(-log(self.beta) / self._of_clean))

    def power(self, rate: float, rows: int) -> float:
        """The chance that a version which fails at a rate is stopped within so many observations; exact."""
        return float(_stopped(rate, rows, self._of_failure, self._of_clean, self.threshold)[-1])

    @property
    def _of_failure(self) -> float:
        return log(self.unacceptable / self.acceptable)

    @property
    def _of_clean(self) -> float:
        return log((1 - self.acceptable) / (1 - self.unacceptable))


@lru_cache(maxsize=64)
def _threshold(acceptable: float, unacceptable: float, alpha: float) -> float:
    """By halving, between none and Wald's own, to a ten-thousandth."""
    of_failure, of_clean = log(unacceptable / acceptable), log((1 - acceptable) / (1 - unacceptable))
    low, high = 0.0, -log(alpha)
    while high - low > 1e-4:
        middle = (low + high) / 2
        if _false_alarms(acceptable, unacceptable, of_failure, of_clean, middle) <= alpha:
            high = middle
        else:
            low = middle
    return high


def _false_alarms(
    acceptable: float, unacceptable: float, of_failure: float, of_clean: float, threshold: float
) -> float:
    """The chance of ever reaching the threshold: exact while it matters, with Wald's bound for what follows."""
    rows = int(np.ceil(40 / unacceptable))
    late = 1 - _stopped(unacceptable, rows, of_failure, of_clean, threshold)[-1]
    return float(_stopped(acceptable, rows, of_failure, of_clean, threshold)[-1] + late * exp(-threshold))


def _stopped(rate: float, rows: int, of_failure: float, of_clean: float, threshold: float) -> NDArray[np.float64]:
    """By number of observations, from 1: the chance of having reached the threshold by then."""
    looks = np.arange(1, rows + 1)
    reached = np.ceil((threshold + looks * of_clean) / (of_failure + of_clean) - 1e-12).astype(np.int64)
    going = np.zeros(int(reached[-1]) + 1)  # [k]: the chance of k failures without having reached the threshold
    going[0] = 1.0
    stopped = np.zeros(rows)
    so_far = 0.0
    for row, first in enumerate(reached):
        failed = going[:first] * rate
        going[:first] *= 1 - rate
        going[1 : first + 1] += failed
        so_far += float(going[first])
        going[first] = 0.0
        stopped[row] = so_far
    return stopped

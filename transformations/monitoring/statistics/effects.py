"""Effect sizes between two distributions that were counted on the same bins.

One a type gates: the population stability index of numbers, the Jensen–Shannon divergence of categories, the difference
of null rates. Others are shown beside: the distance of Kolmogorov and Smirnov, the total variation. None of them is a
p-value: with enough rows every difference is "significant", and few of them matter.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Counts: TypeAlias = npt.NDArray[np.int64]
"""Rows by bin, the last axis; further axes before it are further distributions on the same bins."""
Floats: TypeAlias = npt.NDArray[np.float64]

_HALF_A_ROW = 0.5


def psi(reference: Counts, current: Counts) -> Floats:
    """The population stability index: Σ (q − p) · ln(q / p) over the bins, p of the reference and q of the current.

    From Siddiqi, Credit Risk Scorecards (2006); it is the symmetric Kullback–Leibler divergence, in nats. An empty bin
    would make it infinite, so half a row is added to every bin of both (Jeffreys' prior). 0 where either has no row.

        reference 50 50, current 50 50: 0        reference 50 50, current 90 10: 0.86
    """
    p, q = _smoothed(reference), _smoothed(current)
    found = np.sum((q - p) * np.log(q / p), axis=-1)
    return np.where(_both_have_rows(reference, current), found, 0.0)


def jensen_shannon(reference: Counts, current: Counts) -> Floats:
    """The Jensen–Shannon divergence with logarithms to base 2: from 0 (equal) to 1 (no category in common).

    From Lin, Divergence Measures Based on the Shannon Entropy (1991): the mean divergence of both from their middle. A
    category that one of them lacks needs no smoothing. 0 where either has no row.

        reference 100 0, current 95 5: 0.025    reference 100 0, current 0 100: 1
    """
    p, q = _shares(reference), _shares(current)
    middle = (p + q) / 2
    found = (_divergence(p, middle) + _divergence(q, middle)) / 2
    return np.where(_both_have_rows(reference, current), np.maximum(found, 0.0), 0.0)


def kolmogorov_smirnov(reference: Counts, current: Counts) -> Floats:
    """The greatest difference of the shares of rows below a bin's end, of numbers: from 0 to 1.

    It says nothing of what moved within a bin. 0 where either has no row.

        reference 50 50, current 90 10: 0.4
    """
    found = np.abs(np.cumsum(_shares(current), axis=-1) - np.cumsum(_shares(reference), axis=-1)).max(axis=-1)
    return np.asarray(np.where(_both_have_rows(reference, current), found, 0.0), dtype=np.float64)


def total_variation(reference: Counts, current: Counts) -> Floats:
    """The share of rows that would have to change their category for both to be equal: from 0 to 1.

    0 where either has no row.

        reference 50 50, current 90 10: 0.4
    """
    found = np.abs(_shares(current) - _shares(reference)).sum(axis=-1) / 2
    return np.asarray(np.where(_both_have_rows(reference, current), found, 0.0), dtype=np.float64)


def share_difference(of_reference: Counts, reference: Counts, of_rows: Counts, rows: Counts) -> Floats:
    """The share of some rows, such as nulls, among all rows, less that of the reference: 0.2 is 20 points more.

    0 where either has no row.
    """
    found = of_rows / np.maximum(rows, 1) - of_reference / np.maximum(reference, 1)
    return np.asarray(np.where((rows > 0) & (reference > 0), found, 0.0), dtype=np.float64)


def _smoothed(counts: Counts) -> Floats:
    shares = (counts + _HALF_A_ROW) / (counts.sum(axis=-1, keepdims=True) + _HALF_A_ROW * counts.shape[-1])
    return np.asarray(shares, dtype=np.float64)


def _shares(counts: Counts) -> Floats:
    return np.asarray(counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1), dtype=np.float64)


def _divergence(shares: Floats, middle: Floats) -> Floats:
    """Kullback–Leibler in bits; a share of 0 adds nothing."""
    ratio = np.divide(shares, middle, out=np.ones(np.broadcast(shares, middle).shape), where=(shares > 0))
    return np.asarray(np.sum(np.where(shares > 0, shares * np.log2(ratio), 0.0), axis=-1), dtype=np.float64)


def _both_have_rows(reference: Counts, current: Counts) -> npt.NDArray[np.bool_]:
    return np.asarray((reference.sum(axis=-1) > 0) & (current.sum(axis=-1) > 0), dtype=np.bool_)

"""Distributions of a drop's days against the accepted days of the same weekday, as Great Expectations measures them.

`expect_column_kl_divergence_to_be_less_than` compares shares in bins. The contract gives the threshold; the bins and
the expected shares come from the EIGHT_WEEKS before the drop, a weekday each:

    accepted Mondays   amounts below 3: 10 %, 3 to 5: 10 %, …   (ten bins of equal weight; of texts a bin a value)
    this Monday        amounts below 3: 40 %, …                 divergence = sum of observed * ln(observed / expected)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transformations.contracts.quality import QualityRule
from transformations.engine.base.business_days import day_of_number
from transformations.engine.base.errors import UsageError
from validation.quality.drop_rows import DropRows
from validation.quality.quality_sql import bins_query, deciles_query, value_counts_query, values_by_day

EIGHT_WEEKS = 56
LEAST_VALUES = 100
"""Days with fewer values on either side are not compared: by chance alone they would diverge."""

_MOST_VALUES = 1_000
_UNSEEN = 0.01


@dataclass(frozen=True)
class Divergences:
    """By business day the measured divergence; uncompared: days for which too little is accepted, or delivered."""

    by_day: Mapping[int, float]
    uncompared: tuple[int, ...]


def divergences(rows: DropRows, rule: QualityRule, days: Sequence[int]) -> Divergences:
    """How far a column's values on each of these days are from those accepted on the same weekday before."""
    if not days or rows.file is None:
        return Divergences({}, tuple(days))
    before = [day for day in range(min(days) - EIGHT_WEEKS, min(days)) if day not in set(days)]
    stored = rows.stored_rows(before, without_delivered=False)
    if stored is None:
        return Divergences({}, tuple(days))
    column = rule.columns[0]
    delivered = rows.values([column], with_day=True)
    is_number = rows.contract.column(column).dtype in ("Int64", "Float64")
    accepted = values_by_day(stored, column)
    if is_number and rule.arguments.get("bucketize_data", True):
        counted = _counts_in_bins(rows, column, accepted, delivered)
    else:
        counted = _counts_of_values(rows, rule, accepted, delivered)
    found: dict[int, float] = {}
    for day in days:
        expected, observed = counted.get(("accepted", _weekday(day)), {}), counted.get(("delivered", day), {})
        if min(sum(expected.values()), sum(observed.values())) >= LEAST_VALUES:
            found[day] = divergence(expected, observed, _unseen_share(rule))
    return Divergences(found, tuple(day for day in days if day not in found))


def divergence(expected: Mapping[object, int], observed: Mapping[object, int], unseen: float) -> float:
    """The Kullback–Leibler divergence of two counts by bin, in nats; infinite where a bin was never seen before.

    unseen: the share that is expected of all bins never seen before together; 0 allows none.
    """
    bins = [*expected, *(each for each in observed if each not in expected)]
    p = _shares([observed.get(each, 0) for each in bins])
    q = _shares([expected.get(each, 0) for each in bins])
    if new := len(bins) - len(expected):
        q = np.where(q > 0, q * (1 - unseen), unseen / new)
        q = q / q.sum()
    seen = p > 0
    if (q[seen] == 0).any():
        return float("inf")
    return float(np.sum(p[seen] * np.log(p[seen] / q[seen])))


def _shares(counts: Iterable[int]) -> npt.NDArray[np.float64]:
    found = np.array(list(counts), dtype=np.float64)
    shares: npt.NDArray[np.float64] = found / found.sum()
    return shares


def _unseen_share(rule: QualityRule) -> float:
    share = rule.arguments.get("tail_weight_holdout", _UNSEEN)
    return float(share) if isinstance(share, int | float) else _UNSEEN


_Counted = dict[tuple[str, int], dict[object, int]]


def _counts_in_bins(rows: DropRows, column: str, accepted: str, delivered: str) -> _Counted:
    """How many values lie in each bin: by accepted weekday, and by delivered day, in the bins of its weekday.

    A bin begins at a decile of what is accepted, and ends before the next; the first and the last are open.
    """
    counted: _Counted = {}
    for weekday, least, deciles in rows.connection.execute(deciles_query(column, accepted)).fetchall():
        starts = sorted({start for start in deciles if start > least})
        for side, values in (("accepted", accepted), ("delivered", delivered)):
            query = bins_query(column, values, weekday, starts, by_day=side == "delivered")
            for group, bin_, count in rows.connection.execute(query).fetchall():
                counted.setdefault((side, group), {})[bin_] = count
    return counted


def _counts_of_values(rows: DropRows, rule: QualityRule, accepted: str, delivered: str) -> _Counted:
    """How often each value stands: by accepted weekday, and by delivered day."""
    counted: _Counted = {}
    for side, values in (("accepted", accepted), ("delivered", delivered)):
        query = value_counts_query(rule.columns[0], values, by_day=side == "delivered")
        for group, found, count in rows.connection.execute(query).fetchall():
            counted.setdefault((side, group), {})[found] = count
    if any(len(counts) > _MOST_VALUES for counts in counted.values()):
        raise UsageError(
            f"{rows.contract.file_name}: rule {rule.name!r} ({rule.place}) compares {rule.columns[0]!r} value by "
            f"value, and it has more than {_MOST_VALUES:,} on a day. Compare a column of fewer, or remove the rule."
        )
    return counted


def _weekday(day: int) -> int:
    return day_of_number(day).weekday()

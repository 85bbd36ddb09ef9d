"""The profile of a drop: per business day and column its rows, nulls, distinct values and quantiles, and per day how
many rows break each rule. It is computed in the scan that checks the drop, so this module writes SQL and reads its
answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from transformations.contracts import EVENT_YEARS, Contract, ContractError
from transformations.contracts.quality import QualityRule
from transformations.engine.base.business_days import day_number, day_of_number
from transformations.engine.base.duck import literal
from transformations.engine.base.moments import EPOCH
from validation.files.drop_files import DropFile
from validation.quality.days import day_sql
from validation.quality.quality_sql import bounds_query, count_query, pattern_query
from validation.readings.conversions import Conversion, comparable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
_NUMBERS = ("Int64", "Float64")
_UNKNOWN = [None] * len(QUANTILES)
_EXACT_VALUES = 16_000_000
"""Up to how many numbers of a drop quantiles are exact: they hold all of them in memory, which cannot spill (these are
128 MB). Up to here they are faster than estimated ones, too."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What was counted of a drop, a line a business day (its number; None where rows are of no day).

    violations: by the rule's identifier, how many rows of each day break it. columns: a row per day and column, with
    nulls, distinct values (estimated) and the QUANTILES of numbers (estimated beyond _EXACT_VALUES).
    """

    days: tuple[int | None, ...]
    rows: tuple[int, ...]
    violations: Mapping[str, tuple[int, ...]]
    columns: pa.Table

    def count(self, rule: QualityRule | None = None) -> int:
        """The rows of the drop that break a rule; all its rows where none is given."""
        return sum(self.rows if rule is None else self.violations[rule.identifier])

    def count_broken(self, rule: QualityRule) -> int | None:
        """The rows that break a rule; None for a rule that is not about single rows."""
        return self.count(rule) if rule.identifier in self.violations else None

    def by_day(self, rule: QualityRule | None = None) -> dict[int, int]:
        """The same by business day."""
        counts = self.rows if rule is None else self.violations[rule.identifier]
        return {day: count for day, count in zip(self.days, counts, strict=True) if day is not None}


@dataclass(frozen=True, kw_only=True)
class ProfilePlan:
    """The SQL of a profile: the business day to group by (NULL where rows are of no day), and the aggregates."""

    day: str
    rules: tuple[QualityRule, ...]
    columns: tuple[str, ...]
    aggregates: tuple[str, ...]

    def read(self, answer: Sequence[Sequence[Any]]) -> Profile:
        """The profile of what the scan gave: rows of (day, number of rows, the aggregates in order)."""
        lines = sorted(answer, key=lambda line: (line[0] is not None, line[0]))
        counts = {
            rule.identifier: tuple(int(line[2 + place]) for line in lines) for place, rule in enumerate(self.rules)
        }
        return Profile(
            days=tuple(None if line[0] is None else int(line[0]) for line in lines),
            rows=tuple(int(line[1]) for line in lines),
            violations=counts,
            columns=self._table(lines),
        )

    def _table(self, lines: Sequence[Sequence[Any]]) -> pa.Table:
        entries: list[dict[str, object]] = []
        for day, rows, *found in lines:
            facts = iter(found[len(self.rules) :])
            for name in self.columns:
                nulls, distinct, quantiles = next(facts), next(facts), next(facts)
                entries.append(
                    {
                        "business_day": None if day is None else day_of_number(int(day)),
                        "column": name,
                        "rows": rows,
                        "nulls": nulls,
                        "distinct": distinct,
                        **dict(zip(QUANTILES, map(float, quantiles) if quantiles else _UNKNOWN, strict=True)),
                    }
                )
        return pa.Table.from_pylist(entries, schema=SCHEMA)


SCHEMA = pa.schema(
    [
        ("business_day", pa.date32()),
        ("column", pa.string()),
        ("rows", pa.int64()),
        ("nulls", pa.int64()),
        ("distinct", pa.int64()),
        *((name, pa.float64()) for name in QUANTILES),
    ]
)


def profile_plan(
    connection: DuckDBPyConnection, contract: Contract, file: DropFile, columns: Mapping[str, Conversion]
) -> ProfilePlan | None:
    """What the scan of a drop has to count for the contract's quality rules; None where there is none.

    A drop whose columns or event times break the contract anyway has no profile, either.
    """
    refuse_unfit_patterns(connection, contract)
    if not contract.quality or columns.keys() != set(contract.column_names):
        return None
    if contract.event_time is None:
        ((rows,),) = connection.execute(count_query(file.rows([]))).fetchall()
        day = "NULL"
    elif (bounds := day_bounds(connection, contract, file, columns)) is not None:
        day, rows = business_day_sql(contract, columns, bounds), bounds.rows
    else:
        return None
    numbers = sum(column.dtype in _NUMBERS for column in contract.columns)
    quantile = "quantile_disc" if rows * numbers <= _EXACT_VALUES else "approx_quantile"
    counted = tuple(rule for rule in contract.quality if violation_sql(rule, columns) is not None)
    aggregates = [f"count(*) FILTER (WHERE {violation_sql(rule, columns)})" for rule in counted]
    for name in contract.column_names:
        aggregates += _facts(columns[name], contract.column(name).dtype, quantile)
    return ProfilePlan(day=day, rules=counted, columns=contract.column_names, aggregates=tuple(aggregates))


def refuse_unfit_patterns(connection: DuckDBPyConnection, contract: Contract) -> None:
    """ContractError for a pattern that RE2 does not know; Python's own, such as `(?=a)`, are among them."""
    import duckdb

    for rule in contract.quality:
        if rule.pattern is None:
            continue
        try:
            connection.execute(pattern_query(), [rule.pattern]).fetchall()
        except duckdb.InvalidInputException as error:
            reason = str(error).removeprefix("Invalid Input Error: ")
            raise ContractError(
                f"{contract.file_name}: {rule.place}.arguments.pattern {rule.pattern!r} is no regular expression of "
                f"RE2: {reason}. Correct it."
            ) from None


@dataclass(frozen=True)
class DayBounds:
    """Days (numbers) between which all rows of a drop lie, and how many rows there are."""

    first: int
    last: int
    rows: int


def business_day_sql(contract: Contract, columns: Mapping[str, Conversion], bounds: DayBounds) -> str:
    """The SQL of a row's business day (its number); rows have to be of the days within the bounds."""
    how = columns[str(contract.event_time)]
    if contract.has_date_only_event_time:
        return f"({how.value} - DATE '1970-01-01')"
    return day_sql(f"epoch_us({how.value})", bounds.first, bounds.last, contract.business_day_zone)


def day_bounds(
    connection: DuckDBPyConnection, contract: Contract, file: DropFile, columns: Mapping[str, Conversion]
) -> DayBounds | None:
    """Days between which all rows lie; None where there is no row, or one outside all years of events."""
    how = columns[str(contract.event_time)]
    rows = file.rows([str(contract.event_time)])
    query = bounds_query(how.value, rows, is_date=contract.has_date_only_event_time)
    ((low, high, count),) = connection.execute(query).fetchall()
    if low is None or high is None:
        return None
    first, last = low // 86_400_000_000 - 1, high // 86_400_000_000 + 1
    lowest, highest = (day_number(EPOCH.date().replace(year=year)) for year in (EVENT_YEARS[0], EVENT_YEARS[1] + 1))
    return DayBounds(first, last, count) if lowest <= first and last <= highest else None


def violation_sql(rule: QualityRule, columns: Mapping[str, Conversion]) -> str | None:
    """The SQL condition that a row breaks a rule; None for a rule that is not about single rows."""
    if rule.measure not in ("nullValues", "missingValues", "invalidValues"):
        return None
    how = columns[rule.columns[0]]
    listed = f"({', '.join(literal(comparable(value, how)) for value in rule.values if value is not None)})"
    if rule.measure == "nullValues":
        return how.is_null
    if rule.measure == "missingValues":
        parts = [how.is_null] if None in rule.values else []
        return " OR ".join([*parts, f"{how.value} IN {listed}"] if listed != "()" else parts)
    parts = [f"{how.value} NOT IN {listed}"] if rule.values else []
    parts += [f"NOT regexp_matches({how.value}, {literal(rule.pattern)})"] if rule.pattern is not None else []
    return " OR ".join(parts)


def _facts(how: Conversion, dtype: str, quantile: str) -> Iterable[str]:
    """The SQL of a column's nulls, distinct values and quantiles."""
    quantiles = ", ".join(str(share) for share in QUANTILES.values())
    yield f"count(*) FILTER (WHERE {how.is_null})"
    yield f"approx_count_distinct({how.value})"
    yield f"{quantile}({how.value}, [{quantiles}])" if dtype in _NUMBERS else "NULL"

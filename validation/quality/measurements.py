"""What the quality rules measured of a drop, as the small table that Great Expectations judges.

One line per judged business day and one for the drop as a whole, one column per rule. A number that must not be judged
is null:

    business day  row_count_a_day  user_id_null_values
    2020-01-30    120,311          null
    2020-01-31    0                null                 a day without a row stands in it as zero
    (the drop)    null             0.4
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from transformations.contracts.quality import QualityRule
from transformations.engine.base.business_days import day_of_number, start_of_day
from transformations.engine.base.settings import Settings
from validation.quality.compiled_rules import ALLOWED, BUSINESS_DAY, PROFILE, CompiledRule
from validation.quality.days import JudgedDays, judged_days
from validation.quality.distributions import LEAST_VALUES, divergences
from validation.quality.drop_rows import DropRows
from validation.quality.profile import Profile
from validation.quality.quality_sql import repeated_rows_query
from validation.quality.sql_rules import measure_queries


@dataclass(frozen=True)
class Measurements:
    """The measured numbers by rule: of the drop (None) or of each business day. notes: what could not be judged yet."""

    days: JudgedDays
    numbers: Mapping[str, Mapping[int | None, float]]
    notes: tuple[str, ...] = ()
    rules: tuple[QualityRule, ...] = field(default=())

    def table(self) -> dict[str, list[object]]:
        """The table by column; the drop as a whole is the last line, whose business day is empty."""
        lines: list[int | None] = [*self.days.days, None]
        table: dict[str, list[object]] = {BUSINESS_DAY: [day_text(day) for day in lines]}
        for rule in self.rules:
            numbers = self.numbers[rule.identifier]
            table[rule.identifier] = [_as_judged(rule, numbers.get(day)) for day in lines]
        return table

    def at(self, rule: QualityRule, line: int) -> tuple[int | None, float]:
        """The day and the number of a line of the table."""
        day = [*self.days.days, None][line]
        return day, self.numbers[rule.identifier][day]


def measure(rows: DropRows, profile: Profile | None, rules: Sequence[CompiledRule], settings: Settings) -> Measurements:
    """Measure every rule that the profile judges. profile: None for a word on completeness, which brings no rows."""
    asked = tuple(each.rule for each in rules if each.target == PROFILE)
    delivered = profile.by_day() if profile else {}
    before = rows.stored.complete_through if rows.stored else None
    is_daily = any(rule.is_daily for rule in asked)
    days = judged_days(rows.contract, delivered, before, rows.declared, rows.now) if is_daily else _NO_DAYS
    numbers: dict[str, Mapping[int | None, float]] = {}
    notes: list[str] = []
    if profile is None:
        asked = tuple(rule for rule in asked if rule.measure == "rowCount" and rule.is_daily)
    else:
        queried = measure_queries(rows, [rule for rule in asked if rule.measure == "sql"], settings)
        numbers |= {name: {None: number} for name, number in queried.items()}
    for rule in asked:
        if rule.measure == "distribution":
            found = divergences(rows, rule, [day for day in days.days if delivered.get(day)])
            numbers[rule.identifier] = {day: found.by_day[day] for day in found.by_day}
            notes += _uncompared_notes(rule, found.uncompared)
        elif profile is None or (rule.measure == "rowCount" and rule.is_daily):
            numbers[rule.identifier] = _count_rows_by_day(rows, profile, rule, days)
        elif rule.identifier not in numbers:
            numbers[rule.identifier] = _measure_one(rows, profile, rule)
    return Measurements(days, numbers, tuple(notes), asked)


def day_text(day: int | None) -> str:
    """A business day as in 2020-01-31; empty for the drop as a whole."""
    return "" if day is None else day_of_number(day).isoformat()


_NO_DAYS = JudgedDays((), frozenset())


def _measure_one(rows: DropRows, profile: Profile, rule: QualityRule) -> Mapping[int | None, float]:
    if rule.measure == "rowCount":
        return {None: profile.count()}
    if rule.measure == "freshness":
        return _hours_since_newest_day(rows, profile)
    broken = _count_duplicates(rows, rule) if rule.measure == "duplicateValues" else None
    if rule.is_daily:
        counts = profile.by_day(rule) if broken is None else broken
        totals = profile.by_day()
        return {day: _amount(counts.get(day, 0), total, rule) for day, total in totals.items() if total}
    total = profile.count()
    count = profile.count(rule) if broken is None else sum(broken.values())
    return {None: _amount(count, total, rule)} if total else {}


def _count_rows_by_day(
    rows: DropRows, profile: Profile | None, rule: QualityRule, days: JudgedDays
) -> Mapping[int | None, float]:
    """The rows that each judged day has once the drop is stored; unfinished days that may still pass are left out."""
    delivered = profile.by_day() if profile else {}
    # A drop of whole days leaves nothing of what was stored of them.
    replaced = delivered if rows.contract.delivery == "replace-partition" else {}
    stored = rows.stored_counts([day for day in days.days if not replaced.get(day)])
    counts = {day: delivered.get(day, 0) + stored.get(day, 0) for day in days.days}
    may_still_hold = rule.bound.may_still_hold if rule.bound is not None else lambda _: False
    return {day: count for day, count in counts.items() if day not in days.unfinished or not may_still_hold(count)}


def _hours_since_newest_day(rows: DropRows, profile: Profile) -> Mapping[int | None, float]:
    """Hours since the end of the newest business day with a row; none while it lasts."""
    newest = max(profile.by_day(), default=None)
    if newest is None:
        return {}
    ended = start_of_day(day_of_number(newest + 1), rows.contract.business_day_zone)
    return {None: max(0.0, (rows.now - ended) / timedelta(hours=1))}


def _count_duplicates(rows: DropRows, rule: QualityRule) -> dict[int, int]:
    """By business day (0 for all, unless the rule is daily) the rows whose values another row has, too; nulls aside."""
    query = repeated_rows_query(rows.values(rule.columns, with_day=rule.is_daily), rule.columns, by_day=rule.is_daily)
    return {int(part): int(count) for part, count in rows.connection.execute(query).fetchall()}


def _amount(count: int, total: int, rule: QualityRule) -> float:
    """A count, or its percentage: the nearest double, so that 7 in 1,000 is 0.7 as the contract's 0.7 is."""
    return 100 * count / total if rule.unit == "percent" else count


def _as_judged(rule: QualityRule, number: float | None) -> float | None:
    """What the expectation reads: the number itself, or, of a forbidden range, whether it is outside."""
    if number is None or rule.bound is None or rule.bound.operator != "mustNotBeBetween":
        return number
    return ALLOWED if rule.bound.holds(number) else 0.0


def _uncompared_notes(rule: QualityRule, days: Sequence[int]) -> list[str]:
    if not days:
        return []
    listed: list[date] = [day_of_number(day) for day in days]
    which = f"{listed[0]}" if len(listed) == 1 else f"{len(listed):,} days from {listed[0]} to {listed[-1]}"
    why = f"fewer than {LEAST_VALUES} values delivered, or accepted on the same weekday in the eight weeks before"
    return [f"rule {rule.name!r} did not judge {which}: {why}"]

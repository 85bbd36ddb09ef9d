"""What became of each rule, and its message: rule, column, what was observed, what is allowed, examples, remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformations.contracts import Contract
from transformations.contracts.model import SHOWN_PII
from transformations.contracts.quality import QualityRule, number_text
from transformations.contracts.texts import shown_value
from transformations.engine.base.words import plural
from validation.quality.compiled_rules import CompiledRule, allowed_text, observed_text
from validation.quality.drop_rows import DropRows
from validation.quality.measurements import Measurements, day_text
from validation.quality.profile import violation_sql
from validation.quality.quality_sql import broken_rows_query

EXAMPLES = 3

_NOUNS = {
    "nullValues": ("null", "nulls"),
    "missingValues": ("missing value", "missing values"),
    "invalidValues": ("invalid value", "invalid values"),
    "duplicateValues": ("row whose value another row has, too", "rows whose values others have, too"),
    "rowCount": ("row", "rows"),
}
_REMEDIES = {
    "rowCount": "Deliver the missing rows first, or all of a day in one drop; if a day is still to come, say "
    "--complete-through the day before it; if it has no rows by nature, name it in expectedDays.",
    "freshness": "Deliver newer days, or promise less in slaProperties.",
    "distribution": "Look at the column; if the change is right, raise the threshold in a new contract version.",
}
_FIX = "Fix the source, or change the rule in a new contract version."


@dataclass(frozen=True)
class Example:
    """A row that breaks a rule: its place in the delivery (`7`, or `7 of part-3.parquet`), and the value there."""

    row: str
    value: str | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A judged rule. observed: by day ("" for the drop as a whole) what broke it; text: the message, where it did.

    examples: the first rows that break it, of a rule about single rows.
    """

    compiled: CompiledRule
    passed: bool
    observed: Mapping[str, float | str]
    text: str = ""
    examples: tuple[Example, ...] = ()

    @property
    def rule(self) -> QualityRule:
        """The contract's rule."""
        return self.compiled.rule


def outcome_of_numbers(
    rows: DropRows, measurements: Measurements, compiled: CompiledRule, result: Mapping[str, Any]
) -> Outcome:
    """The outcome of a rule that was measured, from the expectation's result on the measured table."""
    if result["success"]:
        return Outcome(compiled=compiled, passed=True, observed={})
    rule = compiled.rule
    lines = result["result"]["unexpected_index_list"]
    broken = [measurements.at(rule, line) for line in lines]
    observed: dict[str, float | str] = {day_text(day): number for day, number in broken}
    examples = _first_rows(rows, rule)
    seen = _observed_in_words(rows, rule, broken, judged=_count_judged(measurements, rule))
    what = f"{rule_phrase(rule)}: {seen}{_examples_in_words(rule, examples)}"
    return Outcome(
        compiled=compiled, passed=False, observed=observed, text=_message(rows, rule, what), examples=examples
    )


def outcome_of_rows(rows: DropRows, compiled: CompiledRule, result: Mapping[str, Any]) -> Outcome:
    """The outcome of a rule that Great Expectations judged on the rows."""
    if result["success"]:
        return Outcome(compiled=compiled, passed=True, observed={})
    rule, found = compiled.rule, result["result"]
    show = _shown_of_rule(rows.contract, rule)
    if "unexpected_count" in found:
        count, examples = int(found["unexpected_count"]), found.get("partial_unexpected_list") or []
        seen = plural(count, "unexpected value")
        seen += f" in {plural(int(found['element_count']), 'row')}" if "element_count" in found else ""  # not of sets
        seen += f", such as {', '.join(map(show, examples[:EXAMPLES]))}" if examples else ""
    else:
        seen = f"observed {show(found.get('observed_value'))}"
    what = f"{rule_phrase(rule)}: {seen} of drop {rows.name}; {rule.expectation} allows {allowed_text(rule) or 'none'}"
    observed = {"": show(found["observed_value"]) if "observed_value" in found else str(found.get("unexpected_count"))}
    return Outcome(compiled=compiled, passed=False, observed=observed, text=_message(rows, rule, what))


def _shown_of_rule(contract: Contract, rule: QualityRule) -> Callable[[object], str]:
    """How values of the columns that an expectation reads are shown; one of no column reads all of them, but for those
    about the table itself, which count rows and name columns.
    """
    if rule.expectation.startswith("expect_table_"):
        return shown_value
    read = [contract.column(name) for name in rule.columns or contract.column_names]
    withholding = next((column for column in read if column.pii not in SHOWN_PII), None)
    return shown_value if withholding is None else withholding.shown


def rule_phrase(rule: QualityRule) -> str:
    """`rule 'null_values' of column 'user_id'`."""
    noun = "column" if len(rule.columns) == 1 else "columns"
    return f"rule {rule.name!r}" + (f" of {noun} {', '.join(map(repr, rule.columns))}" if rule.columns else "")


def _count_judged(measurements: Measurements, rule: QualityRule) -> int:
    return len(measurements.numbers[rule.identifier])


def _observed_in_words(
    rows: DropRows, rule: QualityRule, broken: Sequence[tuple[int | None, float]], judged: int
) -> str:
    allowed = f"allowed {allowed_text(rule)}"
    if not rule.is_daily:
        ((_, number),) = broken
        return f"{_amount_in_words(rule, number)} in drop {rows.name}, {allowed}"
    verb = "diverges by" if rule.measure == "distribution" else "has"
    shown = ", ".join(f"{day_text(day)} {verb} {_amount_in_words(rule, number)}" for day, number in broken[:EXAMPLES])
    more = f" and {len(broken) - EXAMPLES:,} more" if len(broken) > EXAMPLES else ""
    share = f"{len(broken):,} of {plural(judged, 'business day')}"
    return f"{share} of drop {rows.name} break it ({shown}{more}), {allowed}"


def _amount_in_words(rule: QualityRule, number: float) -> str:
    """`1 null`, `50 % nulls`, `36 hours`."""
    if rule.measure not in _NOUNS:
        return observed_text(rule, number)
    one, many = _NOUNS[rule.measure]
    return f"{number_text(number, 10)} % {many}" if rule.unit == "percent" else plural(int(number), one, many)


def _first_rows(rows: DropRows, rule: QualityRule) -> tuple[Example, ...]:
    """The first rows of the file that break a rule about single rows."""
    condition = violation_sql(rule, rows.conversions) if rows.file else None
    if condition is None or rows.file is None:
        return ()
    column = rule.columns[0]
    found = rows.connection.execute(broken_rows_query(rows.file.rows([column]), column, condition, EXAMPLES)).fetchall()
    shown = rows.contract.column(column).shown
    return tuple(Example(rows.file.place(row), None if value is None else shown(value)) for row, value in found)


def _examples_in_words(rule: QualityRule, examples: Sequence[Example]) -> str:
    if not examples:
        return ""
    values = "" if rule.measure == "nullValues" else f" ({', '.join(str(each.value) for each in examples)})"
    listed = ", ".join(each.row for each in examples)
    return f"; first at {'row' if len(examples) == 1 else 'rows'} {listed}{values}"


def _message(rows: DropRows, rule: QualityRule, what: str) -> str:
    remedy = _REMEDIES.get(rule.measure, _FIX)
    why = f" ({rule.description.rstrip('.')})" if rule.description else ""
    return f"{rows.contract.file_name}: {what}{why}. {remedy}"

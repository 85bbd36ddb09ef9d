"""The report of one delivery as a page of its own: verdict, counts, rules, examples, values beside the last drops.

The page needs no network and no other file: its look is that of the catalogue, its plots are drawn here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from transformations.contracts import Contract
from transformations.contracts.model import SHOWN_PII
from transformations.contracts.quality import number_text
from transformations.engine.base.words import plural
from transformations.engine.raw.drops import Drop
from transformations.insight.site.writing import render_page
from validation.delivery.checks import Report
from validation.quality.compiled_rules import allowed_text
from validation.quality.judge import QualityReport
from validation.quality.outcomes import Outcome
from validation.quality.profile import QUANTILES
from validation.quality.stored import read_quality

PAGE_BEGINS = b"<!doctype html>"
MOST_DROPS = 20
"""How many accepted drops are looked at, for the days beside this one's."""
_MOST_DAYS = 28
_MOST_ASIDE = 20
_MOST_SAID = 3
_LEFT, _TOP, _WIDTH, _HEIGHT = 64, 10, 446, 150


@dataclass(frozen=True, kw_only=True)
class Box:
    """One business day of a plot, in pixels: the line from the 5 % to the 95 % quantile, the box of the middle half."""

    title: str
    is_delivered: bool
    x: float
    width: float
    top: float
    bottom: float
    upper: float
    lower: float
    median: float


@dataclass(frozen=True, kw_only=True)
class Plot:
    """The values of one column by business day."""

    column: str
    unit: str
    boxes: tuple[Box, ...]
    low: str
    high: str
    first: str
    last: str


@dataclass(frozen=True, kw_only=True)
class DeliveryPage:
    """All that the template shows. facts, rules, columns and aside are rows of texts."""

    source: str
    delivery: str
    verdict: str
    is_refused: bool
    facts: tuple[tuple[str, str], ...]
    violations: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    rules: tuple[tuple[str, str, str, str, str], ...]
    columns: tuple[tuple[str, str, str, str, str], ...]
    plots: tuple[Plot, ...]
    aside_columns: tuple[str, ...]
    aside: tuple[tuple[str, ...], ...]
    aside_rules: tuple[tuple[str, int], ...]
    aside_count: int
    accepted: int


def delivery_page(
    contract: Contract,
    delivery: str,
    report: Report,
    *,
    verdict: str,
    table: Path,
    accepted: Sequence[Drop],
    taken: Drop | None = None,
) -> str:
    """The page as HTML. verdict: what became of the delivery; accepted: the drops before it, in order; taken: the drop
    that it became, if any.
    """
    is_refused = bool(report.violations or report.refusal)
    before = [stored.profile for drop in accepted[-MOST_DROPS:] if (stored := read_quality(drop, table)) is not None]
    days = _days([profile for profile in before if profile is not None], report)
    aside = report.aside
    rows = aside.rows.slice(0, _MOST_ASIDE).to_pylist() if aside else []
    names = [name for name in aside.rows.column_names if not name.startswith("_")] if aside else []
    page = DeliveryPage(
        source=contract.name,
        delivery=delivery,
        verdict=verdict,
        is_refused=is_refused,
        facts=_facts(contract, report, taken),
        violations=tuple(
            (each.spec.name or each.spec.rule, ", ".join(each.spec.columns), each.message) for each in report.violations
        )
        + ((("refused", "", report.refusal),) if report.refusal else ()),
        notes=report.notes,
        rules=_rules(report),
        columns=_columns(contract, days),
        plots=tuple(
            plot
            for column in contract.columns
            if column.name not in contract.key
            and column.pii in SHOWN_PII
            and (plot := _plot(column.name, column.unit or "", days))
        ),
        aside_columns=tuple(names),
        aside=tuple(_cells(contract, row, names) for row in rows),
        aside_rules=tuple(aside.by_rule.items()) if aside else (),
        aside_count=aside.count if aside else 0,
        accepted=len({day for day, is_new, _ in days if not is_new}),
    )
    return render_page("delivery.html.jinja", page=page)


def _cells(contract: Contract, row: dict[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """A row set aside: its place, the rules that it breaks, and its values, but for those about a person."""
    values = ("" if row[name] is None else contract.column(name).shown(row[name]) for name in names)
    return (row["_place"], ", ".join(row["_rules"]), *values)


_Day = tuple[date, bool, dict[str, dict[str, Any]]]


def _days(before: Sequence[pa.Table], report: Report) -> list[_Day]:
    """Business days, ascending, each with its profile by column: the last accepted ones, then the delivered ones."""
    new = report.profile.columns.to_pylist() if report.profile else []
    known: dict[date, dict[str, dict[str, Any]]] = {}
    for profile in before:
        for line in profile.to_pylist():
            if line["business_day"] is not None:
                known.setdefault(line["business_day"], {})[line["column"]] = line
    found: dict[date, dict[str, dict[str, Any]]] = {}
    for line in new:
        if line["business_day"] is not None:
            found.setdefault(line["business_day"], {})[line["column"]] = line
    past = sorted(day for day in known if day not in found)[-_MOST_DAYS:]
    coming = sorted(found)[-_MOST_DAYS:]
    return [*((day, False, known[day]) for day in past), *((day, True, found[day]) for day in coming)]


def _facts(contract: Contract, report: Report, taken: Drop | None) -> tuple[tuple[str, str], ...]:
    aside = report.aside.count if report.aside else 0
    facts = [("Contract", f"{contract.file_name}, version {contract.version}, owned by {contract.owner}")]
    if report.rows or aside or not report.refusal:  # what could not be read has no rows to count
        facts.append(("Rows delivered", f"{report.rows + aside:,}"))
    if taken is not None:
        back = taken.rows if taken.retracts else taken.retracted
        facts += [("Rows written", f"{taken.rows - back:,}"), ("Rows unchanged", f"{taken.unchanged:,}")]
        facts += [("Rows taken back", f"{back:,}")] if back else []
        facts += [("Earlier rows superseded", f"{taken.supersedes:,}")] if taken.supersedes else []
    if aside:
        facts.append(("Rows set aside", f"{aside:,}"))
    if report.violations or not report.refusal:
        facts.append(("Broken checks", f"{len(report.violations):,}"))
    if report.profile is not None and (days := report.profile.by_day()):
        facts.append(("Business days", f"{len(days):,}"))
    return tuple(facts)


def _rules(report: Report) -> tuple[tuple[str, str, str, str, str], ...]:
    if report.quality is None:
        return ()
    return tuple(
        (
            outcome.rule.name,
            ", ".join(outcome.rule.columns) or "rows",
            allowed_text(outcome.rule),
            "holds" if outcome.passed else "broken" if outcome.rule.severity == "error" else "broken, a warning",
            _observed(report.quality, outcome),
        )
        for outcome in report.quality.outcomes
    )


def _observed(quality: QualityReport, outcome: Outcome) -> str:
    """What was measured: one number, of days the first that break the rule, or the span of all where it holds."""
    numbers = quality.measurements.numbers.get(outcome.rule.identifier, {})
    if outcome.observed or not numbers:
        return "; ".join(
            f"{day} {_number(value)}".strip() for day, value in list(outcome.observed.items())[:_MOST_SAID]
        )
    low, high = min(numbers.values()), max(numbers.values())
    if not outcome.rule.is_daily:
        return _number(low)
    span = _number(low) if low == high else f"{_number(low)} to {_number(high)}"
    return f"{span} on {plural(len(numbers), 'day')}"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else number_text(value)


def _columns(contract: Contract, days: Sequence[_Day]) -> tuple[tuple[str, str, str, str, str], ...]:
    """By column: share of nulls and distinct values a day, delivered and accepted."""
    found = []
    for name in contract.column_names:
        cells = []
        for is_new in (True, False):
            lines = [facts[name] for _, new, facts in days if new == is_new and name in facts]
            rows = sum(line["rows"] for line in lines)
            nulls = sum(line["nulls"] for line in lines)
            distinct = sorted(line["distinct"] for line in lines)
            cells.append((f"{100 * nulls / rows:.2f} %", f"{distinct[len(distinct) // 2]:,}") if rows else ("–", "–"))
        (nulls_now, distinct_now), (nulls_then, distinct_then) = cells
        if nulls_now != "–":
            found.append((name, nulls_now, nulls_then, distinct_now, distinct_then))
    return tuple(found)


def _plot(column: str, unit: str, days: Sequence[_Day]) -> Plot | None:
    """None for a column without numbers."""
    lines = [(day, new, facts[column]) for day, new, facts in days if column in facts]
    lines = [each for each in lines if all(each[2][name] is not None for name in QUANTILES)]
    if not any(new for _, new, _ in lines):
        return None
    low, high = min(line["q05"] for *_, line in lines), max(line["q95"] for *_, line in lines)
    span = (high - low) or 1.0
    step = _WIDTH / len(lines)

    def height(value: float) -> float:
        return float(round(_TOP + _HEIGHT * (1 - (value - low) / span), 1))

    boxes = tuple(
        Box(
            title=f"{day}{'' if new else ', accepted'}: median {number_text(line['median'])}, middle half "
            f"{number_text(line['q25'])} to {number_text(line['q75'])}, 5 to 95 % {number_text(line['q05'])} to "
            f"{number_text(line['q95'])}",
            is_delivered=new,
            x=round(_LEFT + step * (place + 0.5), 1),
            width=round(min(24.0, step * 0.6), 1),
            top=height(line["q95"]),
            bottom=height(line["q05"]),
            upper=height(line["q75"]),
            lower=height(line["q25"]),
            median=height(line["median"]),
        )
        for place, (day, new, line) in enumerate(lines)
    )
    return Plot(
        column=column,
        unit=unit,
        boxes=boxes,
        low=_axis_text(low),
        high=_axis_text(high),
        first=str(lines[0][0]),
        last=str(lines[-1][0]),
    )


def _axis_text(value: float) -> str:
    """A number short enough for the room beside an axis."""
    return number_text(value, 4) if abs(value) < 100_000 else f"{value:.2e}"

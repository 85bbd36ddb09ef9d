"""From a conforming drop to the verdict of its quality rules: measured by DuckDB, judged by Great Expectations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformations.engine.base.settings import Settings
from validation.quality.compiled_rules import BUSINESS_DAY, PROFILE, ROWS, CompiledRule, compile_rules, suite_of
from validation.quality.drop_rows import DropRows
from validation.quality.great_expectations_run import validate_table
from validation.quality.measurements import Measurements, measure
from validation.quality.outcomes import Outcome, outcome_of_numbers, outcome_of_rows
from validation.quality.profile import Profile
from validation.quality.row_expectations import judge_rows, refuse_unknown_expectations


@dataclass(frozen=True, kw_only=True)
class QualityReport:
    """The verdict of a contract's quality rules on a drop.

    outcomes: a rule each, in the contract's order, of those that could be judged. suite and results: as Great
    Expectations writes them. notes: what could not be judged.
    """

    outcomes: tuple[Outcome, ...]
    profile: Profile | None
    measurements: Measurements
    suite: dict[str, object]
    results: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Outcome, ...]:
        """The broken rules that refuse the drop."""
        return tuple(each for each in self.outcomes if not each.passed and each.rule.severity == "error")

    @property
    def warnings(self) -> tuple[Outcome, ...]:
        """The broken rules that only warn."""
        return tuple(each for each in self.outcomes if not each.passed and each.rule.severity == "warning")


def judge(rows: DropRows, profile: Profile | None, settings: Settings) -> QualityReport | None:
    """Judge all rules of the contract; None where none can be judged. profile: None for a word on completeness."""
    rules = compile_rules(rows.contract)
    if not rules:
        return None
    refuse_unknown_expectations(rows.contract, rules)
    measurements = measure(rows, profile, rules, settings)
    on_profile = tuple(each for each in rules if each.target == PROFILE and each.rule in measurements.rules)
    on_rows = tuple(each for each in rules if each.target == ROWS and profile is not None)
    results = {**_judge_profile(rows, measurements, on_profile), **_judge_rows(rows, on_rows, profile, settings)}
    outcomes = [
        outcome_of_rows(rows, each, results[each.rule.name])
        if each.target == ROWS
        else outcome_of_numbers(rows, measurements, each, results[each.rule.name])
        for each in rules
        if each.rule.name in results
    ]
    judged = tuple(outcome.compiled for outcome in outcomes)
    return QualityReport(
        outcomes=tuple(outcomes),
        profile=profile,
        measurements=measurements,
        suite=suite_of(rows.contract, judged),
        results=tuple(results[each.rule.name] for each in judged),
        notes=measurements.notes,
    )


def _judge_profile(
    rows: DropRows, measurements: Measurements, rules: tuple[CompiledRule, ...]
) -> dict[str, dict[str, Any]]:
    if not rules:
        return {}
    found = validate_table(measurements.table(), suite_of(rows.contract, rules), index=BUSINESS_DAY)
    return _by_rule(rules, found)


def _judge_rows(
    rows: DropRows, rules: tuple[CompiledRule, ...], profile: Profile | None, settings: Settings
) -> dict[str, dict[str, Any]]:
    count = profile.count() if profile else 0
    return _by_rule(rules, judge_rows(rows, rules, count, settings))


def _by_rule(rules: Sequence[CompiledRule], results: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each.rule.name: result for each, result in zip(rules, results, strict=True)}

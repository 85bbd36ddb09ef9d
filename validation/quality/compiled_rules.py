"""A contract's quality rules as data: what is measured, by which engine, and the expectation that judges it.

contract                              measured by DuckDB             judged by Great Expectations
nullValues of user_id, unit percent   user_id_null_values = 0.4      expect_column_values_to_be_between(
  mustBeLessOrEqualTo: 1                (one number a drop, or         column="user_id_null_values",
                                        one a business day)            max_value=1)
custom, engine greatExpectations      nothing: the rows themselves   the expectation as it stands
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from transformations.contracts import Contract
from transformations.contracts.quality import Bound, QualityRule, number_text

PROFILE: Literal["profile"] = "profile"
ROWS: Literal["rows"] = "rows"
BUSINESS_DAY = "business day"  # no rule's identifier has a space

_SEVERITIES = {"error": "critical", "warning": "warning"}
_LEAST = ("mustBeGreaterThan", "mustBeGreaterOrEqualTo")
_MEASURED = {
    "nullValues": "nulls",
    "missingValues": "missing values",
    "invalidValues": "invalid values",
    "duplicateValues": "rows whose values another row has, too",
    "rowCount": "rows",
    "freshness": "hours since the end of its newest business day",
    "sql": "the query's result",
    "distribution": "divergence from the accepted days of the same weekday",
    "expectation": "the rows themselves",
}


@dataclass(frozen=True)
class Expectation:
    """One expectation of Great Expectations, by the names that it gives to expectations and arguments."""

    type: str
    arguments: Mapping[str, object]
    rule: str
    severity: str

    def as_call(self) -> str:
        """As one would call it: `expect_column_values_to_be_between(column='rows', min_value=1)`."""
        return f"{self.type}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"

    def as_json(self) -> dict[str, object]:
        """As a suite of Great Expectations writes it."""
        return {
            "type": self.type,
            "kwargs": dict(self.arguments),
            "meta": {"rule": self.rule},
            "severity": self.severity,
        }


@dataclass(frozen=True)
class CompiledRule:
    """A rule with the expectation that judges it. target: the measured profile, or the drop's rows."""

    rule: QualityRule
    target: Literal["profile", "rows"]
    expectation: Expectation

    @property
    def check(self) -> str:
        """What is measured and allowed, in words."""
        measured = _MEASURED[self.rule.measure]
        where = f" of {', '.join(self.rule.columns)}" if self.rule.columns else ""
        per = ", each business day" if self.rule.is_daily else ""
        return f"{measured}{where}{per}{'' if self.rule.bound is None else f': {allowed_text(self.rule)}'}"


def compile_rules(contract: Contract) -> tuple[CompiledRule, ...]:
    """The quality rules of a contract, each with its expectation, in the contract's order."""
    return tuple(_compile(rule) for rule in contract.quality)


def suite_of(contract: Contract, rules: tuple[CompiledRule, ...]) -> dict[str, object]:
    """The suite of Great Expectations that these rules make, as its own files write one."""
    return {
        "name": f"{contract.name} {contract.version}",
        "expectations": [rule.expectation.as_json() for rule in rules],
        "meta": {"contract": contract.file_name, "version": contract.version},
    }


def allowed_text(rule: QualityRule) -> str:
    """What a rule allows: `at least 100,000 rows`, `at most 1 %`."""
    if rule.bound is None:
        return ", ".join(f"{name} {value}" for name, value in rule.arguments.items() if name != "column")
    unit = " %" if rule.unit == "percent" else {"freshness": " hours", "rowCount": " rows"}.get(rule.measure, "")
    return rule.bound.text(unit)


def observed_text(rule: QualityRule, value: float) -> str:
    """A measured number that counts nothing, with its unit."""
    return f"{number_text(value)}{' hours' if rule.measure == 'freshness' else ''}"


def _compile(rule: QualityRule) -> CompiledRule:
    severity = _SEVERITIES[rule.severity]
    if rule.bound is None:
        return CompiledRule(rule, ROWS, Expectation(rule.expectation, rule.arguments, rule.name, severity))
    kind, arguments = _judging(rule.bound)
    column = {"column": rule.identifier}
    return CompiledRule(rule, PROFILE, Expectation(kind, column | arguments, rule.name, severity))


def _judging(bound: Bound) -> tuple[str, dict[str, object]]:
    """The expectation that a measured number is allowed; one that was not measured is null, and passes."""
    between, (low, high) = "expect_column_values_to_be_between", (bound.limits[0], bound.limits[-1])
    match bound.operator:
        case "mustNotBe":
            return "expect_column_values_to_not_be_in_set", {"value_set": [low]}
        case "mustBe" | "mustBeBetween":
            return between, {"min_value": low, "max_value": high}
        case operator if operator in _LEAST:
            return between, {"min_value": low, **({"strict_min": True} if operator == "mustBeGreaterThan" else {})}
        case "mustNotBeBetween":
            return "expect_column_values_to_be_in_set", {"value_set": [ALLOWED]}
    return between, {"max_value": high, **({"strict_max": True} if bound.operator == "mustBeLessThan" else {})}


ALLOWED = 1.0
"""What stands in the profile in place of a number outside a forbidden range; of one inside, 0 does. Great Expectations
has no expectation for the outside of a range."""

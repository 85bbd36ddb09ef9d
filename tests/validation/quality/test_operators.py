"""Every metric under every operator of the standard: what just keeps it, what just breaks it, and that Great
Expectations says the same of the raw rows.

The numbers are written out: `1: "no"` says that a drop in which 1 was counted breaks the rule.
"""

import pandas as pd
import pytest

from tests.worlds.samples import some_quick
from transformations.contracts.quality import OPERATORS
from transformations.contracts.quality_reader import METRICS
from validation.delivery.ingest import Delivery, check_drop

from .events import PER_DAY, rows
from .on_rows import verdicts_on_rows

LIMITS = {
    "mustBe": (2, {1: "no", 2: "yes", 3: "no", 4: "no"}),
    "mustNotBe": (2, {1: "yes", 2: "no", 3: "yes", 4: "yes"}),
    "mustBeGreaterThan": (2, {1: "no", 2: "no", 3: "yes", 4: "yes"}),
    "mustBeGreaterOrEqualTo": (2, {1: "no", 2: "yes", 3: "yes", 4: "yes"}),
    "mustBeLessThan": (2, {1: "yes", 2: "no", 3: "no", 4: "no"}),
    "mustBeLessOrEqualTo": (2, {1: "yes", 2: "yes", 3: "no", 4: "no"}),
    "mustBeBetween": ([2, 3], {1: "no", 2: "yes", 3: "yes", 4: "no"}),
    "mustNotBeBetween": ([2, 3], {1: "yes", 2: "no", 3: "no", 4: "yes"}),
}
OF_KIND = {
    "nullValues": {},
    "missingValues": {"missingValues": ["N/A"]},
    "invalidValues": {"validValues": ["a", "N/A"]},
    "pattern": {"pattern": "^[aN]"},
}
ROWS = 16
SUSPECT = "SELECT count(*) FILTER (WHERE kind = 'x') FROM {object}"
"""How many rows have the kind that `drop_of` counts: the same number as the metrics."""


def drop_of(count: int):
    """16 rows of one day: so many nulls, so many N/A and so many x, and for each of these a pair of equal amounts."""
    kinds = [*[None] * count, *["N/A"] * count, *["x"] * count]
    kinds += ["a"] * (ROWS - len(kinds))
    amounts = [float(place // 2) if place < 2 * count else 100.0 + place for place in range(ROWS)]
    return rows(*(("2020-01-30", kind, amount) for kind, amount in zip(kinds, amounts, strict=True)))


def scaled(limit, factor):
    return [factor * each for each in limit] if isinstance(limit, list) else factor * limit


def rules_of(operator: str, limit) -> tuple[list[dict], dict[str, list[dict]]]:
    """The rules of one operator, of the rows as a whole and by column."""
    pairs = {"metric": "duplicateValues", operator: scaled(limit, 2)}
    of_rows = [
        {"name": f"sql {operator}", "type": "sql", "query": SUSPECT, operator: limit},
        pairs | {"name": f"duplicates together {operator}", "arguments": {"properties": ["amount", "at"]}},
    ]
    of_columns: dict[str, list[dict]] = {
        "kind": [
            {"name": f"nulls a day {operator}", "metric": "nullValues", operator: limit, "customProperties": PER_DAY}
        ],
        "amount": [
            pairs | {"name": f"duplicates {operator}"},
            pairs | {"name": f"duplicates a day {operator}", "customProperties": PER_DAY},
        ],
    }
    for metric, arguments in OF_KIND.items():
        rule = {"metric": "invalidValues" if metric == "pattern" else metric}
        rule |= {"arguments": arguments} if arguments else {}
        share = {operator: scaled(limit, 100 / ROWS), "unit": "percent"}
        of_columns["kind"] += [
            rule | {"name": f"{metric} {operator}", operator: limit},
            rule | {"name": f"{metric} percent {operator}"} | share,
        ]
    return of_rows, of_columns


@pytest.mark.parametrize("count", some_quick([1, 2, 3, 4], 0, 3))
def test_each_metric_is_kept_and_broken_at_its_limit_under_each_operator(source, count):
    of_rows, of_columns = [], {"kind": [], "amount": []}
    for operator, (limit, _) in LIMITS.items():
        rules, by_column = rules_of(operator, limit)
        of_rows += rules
        for name, found in by_column.items():
            of_columns[name] += found
    source.rules(*of_rows, **of_columns)
    source.write(drop_of(count))
    quality = check_drop(Delivery("events", source.newest), source.settings).quality
    wrong = [
        outcome.rule.name
        for outcome in quality.outcomes
        if outcome.passed != (LIMITS[outcome.rule.bound.operator][1][count] == "yes")
    ]
    assert wrong == []
    assert len(quality.outcomes) == len(LIMITS) * (5 + 2 * len(OF_KIND))


ON_RAW_ROWS = {
    "mustBe": {"min_value": 2, "max_value": 2},
    "mustBeGreaterThan": {"min_value": 2, "strict_min": True},
    "mustBeGreaterOrEqualTo": {"min_value": 2},
    "mustBeLessThan": {"max_value": 2, "strict_max": True},
    "mustBeLessOrEqualTo": {"max_value": 2},
    "mustBeBetween": {"min_value": 2, "max_value": 3},
}
"""What Great Expectations says itself of a number of rows; it has no word for the other two operators."""


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_rows_are_counted_under_each_operator_as_great_expectations_counts_them(source, count):
    named = [{"name": operator, "metric": "rowCount", operator: limit} for operator, (limit, _) in LIMITS.items()]
    daily = [rule | {"name": f"{rule['name']} a day", "customProperties": PER_DAY} for rule in named]
    source.rules(*named, *daily)
    table = rows(*[("2020-01-30",)] * count)
    source.write(table)
    quality = check_drop(Delivery("events", source.newest), source.settings).quality
    ours = {outcome.rule.name: outcome.passed for outcome in quality.outcomes}
    assert len(ours) == 2 * len(LIMITS)
    for operator, (_, allowed) in LIMITS.items():
        assert ours[operator] == ours[f"{operator} a day"] == (allowed[count] == "yes")
    between = [("expect_table_row_count_to_be_between", ends) for ends in ON_RAW_ROWS.values()]
    theirs = dict(zip(ON_RAW_ROWS, verdicts_on_rows(table.to_pandas(), *between), strict=True))
    assert theirs == {operator: ours[operator] for operator in ON_RAW_ROWS}


@pytest.mark.parametrize("count", [3, 4, 5])
def test_a_share_of_nulls_is_judged_as_great_expectations_judges_mostly(source, count):
    """At most 25 % nulls is "mostly" 75 % of values; 4 of 16 are just allowed."""
    source.rules(kind=[{"name": "rate", "metric": "nullValues", "mustBeLessOrEqualTo": 25, "unit": "percent"}])
    table = rows(*(("2020-01-30", None if place < count else "a") for place in range(ROWS)))
    source.write(table)
    (outcome,) = check_drop(Delivery("events", source.newest), source.settings).quality.outcomes
    (theirs,) = verdicts_on_rows(
        table.to_pandas(), ("expect_column_values_to_not_be_null", {"column": "kind", "mostly": 0.75})
    )
    assert outcome.passed == (count <= 4) == theirs


@pytest.mark.parametrize(("newest", "is_fresh"), [("2020-01-31T00:00:00", True), ("2020-01-30T23:59:59.999999", False)])
def test_freshness_is_judged_as_great_expectations_judges_the_newest_row(source, newest, is_fresh):
    """It is noon of 1 February: the 31st of January ended 12 hours ago."""
    severity = {"customProperties": [{"property": "severity", "value": "error"}]}
    source.rules(
        sla=[{"property": p, "value": v, "unit": "h"} | severity for p, v in (("latency", 12), ("frequency", 0))]
    )
    table = rows((newest,), ("2020-01-29",))
    source.write(table)
    (outcome,) = check_drop(Delivery("events", source.newest), source.settings).quality.outcomes
    fresh = {"column": "at", "min_value": pd.Timestamp("2020-01-31", tz="UTC")}
    (theirs,) = verdicts_on_rows(table.to_pandas(), ("expect_column_max_to_be_between", fresh))
    assert outcome.passed == theirs == is_fresh


def test_no_metric_and_no_operator_is_left_out():
    assert set(LIMITS) == set(OPERATORS)
    assert {*OF_KIND} - {"pattern"} | {"duplicateValues", "rowCount"} == set(METRICS)

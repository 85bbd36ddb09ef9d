"""The quality rules of a contract: the standard's words in, rules out, and a clear word where one would not run."""

import json
from datetime import date, timedelta

import jsonschema
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from transformations.contracts import read_contract
from transformations.contracts.quality import OPERATORS, Bound

from .clicks import SOURCE, change, complaint

PRICE = ("schema", 0, "properties", 3)
KIND = ("schema", 0, "properties", 4)
PER_DAY = [{"property": "per", "value": "businessDay"}]
ACCEPTED = [{"property": "comparedWith", "value": "acceptedDrops"}]
KL = "expect_column_kl_divergence_to_be_less_than"


def rules(folder, *path, value):
    change(folder, *path, "quality", value=value)
    return read_contract("clicks", folder).quality


def test_metrics_of_a_column_keep_their_unit_severity_and_arguments(folder):
    nulls, missing, pattern = rules(
        folder,
        *KIND,
        value=[
            {"metric": "nullValues", "mustBeLessOrEqualTo": 1, "unit": "percent", "severity": "warning"},
            {"metric": "missingValues", "mustBeLessThan": 5, "arguments": {"missingValues": [None, "", "N/A"]}},
            {
                "name": "letters",
                "metric": "invalidValues",
                "mustBe": 0,
                "arguments": {"pattern": "^[a-z]+$"},
                "customProperties": PER_DAY,
            },
        ],
    )

    assert (nulls.name, nulls.columns, nulls.unit, nulls.severity) == (
        "kind_null_values",
        ("kind",),
        "percent",
        "warning",
    )
    assert nulls.bound == Bound("mustBeLessOrEqualTo", (1,))
    assert (missing.values, missing.bound.text()) == ((None, "", "N/A"), "less than 5")
    assert (pattern.name, pattern.pattern, pattern.is_daily) == ("letters", "^[a-z]+$", True)


def test_rules_of_the_rows_as_a_whole_stand_at_the_object(folder):
    count, pair, query = rules(
        folder,
        "schema",
        0,
        value=[
            {"metric": "rowCount", "mustBeBetween": [100, 120], "customProperties": PER_DAY},
            {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["kind", "price"]}},
            {"type": "sql", "query": "SELECT count(*) FROM {object}", "mustBeGreaterThan": 0},
        ],
    )

    assert (count.name, count.is_daily, count.bound.text(" rows")) == ("row_count_a_day", True, "100 to 120 rows")
    assert (pair.columns, query.measure) == (("kind", "price"), "sql")


@pytest.mark.parametrize("implementation", ["mapping", "text"])
def test_an_expectation_is_written_as_a_mapping_or_as_a_text_of_yaml(folder, implementation):
    text = "type: expect_column_mean_to_be_between\nkwargs: { min_value: 1 }"
    given = {"type": "expect_column_mean_to_be_between", "kwargs": {"min_value": 1}}
    value = given if implementation == "mapping" else text

    (rule,) = rules(folder, *PRICE, value=[{"type": "custom", "engine": "greatExpectations", "implementation": value}])

    assert rule.expectation == "expect_column_mean_to_be_between"
    assert rule.arguments == {"column": "price", "min_value": 1}


def test_a_distribution_is_compared_with_accepted_drops_by_the_expectation_that_measures_it(folder):
    (rule,) = rules(
        folder,
        *PRICE,
        value=[
            {
                "type": "custom",
                "engine": "greatExpectations",
                "implementation": {"type": KL, "kwargs": {"threshold": 0.1}},
                "customProperties": ACCEPTED,
            }
        ],
    )
    assert (rule.measure, rule.is_daily, rule.bound) == ("distribution", True, Bound("mustBeLessOrEqualTo", (0.1,)))


def test_a_list_of_all_valid_values_stays_a_check_of_each_row(folder):
    found = read_contract("clicks", folder)
    assert (found.quality, found.column("kind").allowed) == ((), ("left", "right"))


def test_a_promise_of_freshness_is_a_rule_once_it_has_a_severity(folder):
    promise = {"property": "latency", "value": 6, "unit": "h"}
    change(folder, "slaProperties", value=[promise])
    assert read_contract("clicks", folder).quality == ()
    severity = [{"property": "severity", "value": "warning"}]
    change(folder, "slaProperties", value=[promise | {"customProperties": severity}])
    (rule,) = read_contract("clicks", folder).quality
    assert (rule.measure, rule.severity, rule.bound.text(" h")) == ("freshness", "warning", "at most 30 h")
    assert read_contract("clicks", folder).freshness == timedelta(hours=30)


def test_expected_days_are_every_day_unless_the_source_says_otherwise(folder):
    christmas, monday, tuesday = date(2020, 12, 25), date(2020, 12, 28), date(2020, 12, 29)
    assert read_contract("clicks", folder).expected_days.expects(christmas)
    days = {"weekdays": ["monday", "friday"], "except": ["2020-12-25"]}
    properties = yaml.safe_load((folder / "clicks.yaml").read_text())["schema"][0]["customProperties"]
    change(folder, *SOURCE, value=[*properties, {"property": "expectedDays", "value": days}])

    expected = read_contract("clicks", folder).expected_days

    assert [expected.expects(day) for day in (christmas, monday, tuesday)] == [False, True, False]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ({"weekday": ["monday"]}, "expectedDays.weekday is unknown; did you mean 'weekdays'?"),
        ({"weekdays": []}, "expectedDays.weekdays is empty: no day would be expected."),
        ({"weekdays": ["mon"]}, "expectedDays.weekdays holds 'mon'; did you mean 'monday'?"),
        ({"except": ["Christmas"]}, "expectedDays.except holds 'Christmas', no day. Write it as '2020-12-25'."),
    ],
)
def test_expected_days_that_cannot_be_read_are_refused(folder, days, expected):
    properties = yaml.safe_load((folder / "clicks.yaml").read_text())["schema"][0]["customProperties"]
    change(folder, *SOURCE, value=[*properties, {"property": "expectedDays", "value": days}])
    assert expected in complaint(folder)


@pytest.mark.parametrize(
    ("path", "rule", "expected"),
    [
        (KIND, {"metric": "rowCount", "mustBe": 1}, "metric is 'rowCount', no metric of a column; Known: dupl"),
        (KIND, {"metric": "nulValues", "mustBe": 1}, "did you mean 'nullValues'?"),
        (("schema", 0), {"metric": "nullValues", "mustBe": 1}, "no metric of the rows as a whole"),
        (KIND, {"metric": "nullValues"}, "mustBe says nothing of the result. Write exactly one of mustBe, "),
        (KIND, {"metric": "nullValues", "mustBe": 1, "mustNotBe": 2}, "says mustBe and mustNotBe. Write exactly one"),
        (KIND, {"metric": "nullValues", "mustBe": "1"}, "mustBe is '1'. Write a number."),
        (KIND, {"metric": "nullValues", "mustBe": True}, "mustBe is True. Write a number."),
        (KIND, {"metric": "nullValues", "mustBe": float("nan")}, "mustBe is nan. Write a number."),
        (KIND, {"metric": "nullValues", "mustBeLessThan": -1}, "mustBeLessThan is -1. Write 0 or more."),
        (KIND, {"metric": "nullValues", "mustBe": 101, "unit": "percent"}, "mustBe is 101. Write 0 to 100."),
        (KIND, {"metric": "nullValues", "mustBeBetween": [2, 1]}, "Write the smaller number first"),
        (KIND, {"metric": "nullValues", "mustBeBetween": 2}, "mustBeBetween is 2. Write two numbers"),
        (KIND, {"metric": "nullValues", "mustBe": 1, "unit": "share"}, "unit is 'share'. Write rows or percent."),
        (("schema", 0), {"metric": "rowCount", "mustBe": 1, "unit": "percent"}, "unit is 'percent'. Write rows."),
        (KIND, {"metric": "nullValues", "mustBe": 1, "severity": "high"}, "severity is 'high'. Write error (refuses"),
        (
            KIND,
            {"metric": "nullValues", "mustBe": 1, "arguments": {"pattern": "x"}},
            "pattern is no argument of nullValues. Leave it out.",
        ),
        (
            KIND,
            {"metric": "missingValues", "mustBe": 1},
            "arguments is missing. Write arguments: { missingValues: … }.",
        ),
        (
            KIND,
            {"metric": "invalidValues", "mustBe": 1, "arguments": {"validValues": [1]}},
            "validValues of 'kind' holds 1, which is no String. Mind the quotes.",
        ),
        (
            KIND,
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": ""}},
            "pattern of 'kind' is empty, and every text matches it. Leave it out.",
        ),
        (
            PRICE,
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": "x"}},
            "pattern of 'price': only texts match one.",
        ),
        (
            ("schema", 0),
            {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["kin"]}},
            "properties names 'kin', no column; did you mean 'kind'?",
        ),
        (
            KIND,
            {"metric": "nullValues", "mustBe": 0, "customProperties": [{"property": "per", "value": "day"}]},
            "per is 'day'. Write businessDay",
        ),
        (KIND, {"type": "sql", "mustBe": 0}, "query is missing. Write one SELECT"),
        (
            KIND,
            {"type": "sql", "query": "SELECT count(*) FROM ${table}", "mustBe": 0},
            "names {table}; Known: object, ",
        ),
        (
            KIND,
            {"type": "sql", "query": "SELECT 1", "mustBe": 0, "customProperties": PER_DAY},
            "per holds for metrics alone.",
        ),
        (
            KIND,
            {"type": "custom", "engine": "soda", "implementation": "x"},
            "engine 'soda' would not be run. Use great",
        ),
        (
            KIND,
            {"type": "custom", "engine": "greatExpectations", "implementation": "x"},
            "implementation is no mapping",
        ),
        (
            KIND,
            {"type": "custom", "engine": "greatExpectations", "implementation": {"typ": "x"}},
            "implementation.typ is unknown; did you mean 'type'?",
        ),
        (
            KIND,
            {
                "type": "custom",
                "engine": "greatExpectations",
                "implementation": {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "price"}},
            },
            "implementation is about 'price', yet stands at 'kind'. Move it.",
        ),
        (
            ("schema", 0),
            {
                "type": "custom",
                "engine": "greatExpectations",
                "implementation": {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "prise"}},
            },
            "implementation names 'prise', no column; did you mean 'price'?",
        ),
        (
            PRICE,
            {
                "type": "custom",
                "engine": "greatExpectations",
                "implementation": {"type": "expect_column_values_to_be_unique"},
                "customProperties": ACCEPTED,
            },
            f"comparedWith gives a distribution to {KL} alone.",
        ),
        (
            PRICE,
            {
                "type": "custom",
                "engine": "greatExpectations",
                "implementation": {"type": KL},
                "customProperties": ACCEPTED,
            },
            "implementation has the threshold None. Write a number",
        ),
    ],
)
def test_a_rule_that_would_not_run_is_refused_with_the_remedy(folder, path, rule, expected):
    change(folder, *path, "quality", value=[rule])
    assert expected in complaint(folder)


def test_two_rules_of_one_name_are_refused(folder):
    rule = {"metric": "nullValues", "mustBe": 0}
    change(folder, *KIND, "quality", value=[rule, rule])
    assert "has two rules called 'kind_null_values', at schema[0].properties[4].quality[0] and" in complaint(folder)


@pytest.mark.parametrize(
    ("operator", "limits", "allowed", "refused"),
    [
        ("mustBe", (5,), 5, 6),
        ("mustNotBe", (5,), 6, 5),
        ("mustBeGreaterThan", (5,), 6, 5),
        ("mustBeGreaterOrEqualTo", (5,), 5, 4),
        ("mustBeLessThan", (5,), 4, 5),
        ("mustBeLessOrEqualTo", (5,), 5, 6),
        ("mustBeBetween", (5, 7), 7, 8),
        ("mustNotBeBetween", (5, 7), 8, 7),
    ],
)
def test_an_operator_draws_its_line_where_the_standard_draws_it(operator, limits, allowed, refused):
    bound = Bound(operator, limits)
    assert (bound.holds(allowed), bound.holds(refused)) == (True, False)
    assert operator in OPERATORS


def test_a_number_that_can_only_grow_is_lost_once_it_is_above():
    assert Bound("mustBeBetween", (5, 7)).may_still_hold(4)
    assert not Bound("mustBeBetween", (5, 7)).may_still_hold(8)
    assert Bound("mustBeGreaterThan", (5,)).may_still_hold(0)
    assert not Bound("mustBeLessThan", (5,)).may_still_hold(5)


def test_every_kind_of_rule_is_written_as_the_standard_s_own_schema_has_it(folder):
    promise = {"property": "latency", "value": 6, "unit": "h"}
    change(
        folder, "slaProperties", value=[promise | {"customProperties": [{"property": "severity", "value": "error"}]}]
    )
    properties = yaml.safe_load((folder / "clicks.yaml").read_text())["schema"][0]["customProperties"]
    change(folder, *SOURCE, value=[*properties, {"property": "expectedDays", "value": {"weekdays": ["monday"]}}])
    custom = {"type": "custom", "engine": "greatExpectations"}
    shape = {"implementation": {"type": KL, "kwargs": {"threshold": 0.1}}, "customProperties": ACCEPTED}
    text = "type: expect_column_mean_to_be_between\nkwargs: { min_value: 1 }"
    change(
        folder,
        *PRICE,
        "quality",
        value=[
            {"metric": "nullValues", "mustBeLessThan": 1, "unit": "percent", "customProperties": PER_DAY},
            {"type": "sql", "query": "SELECT max({property}) FROM {object}", "mustBeBetween": [0, 9]},
            custom | shape,
            custom | {"implementation": text, "severity": "warning"},
        ],
    )
    assert len(read_contract("clicks", folder).quality) == 5
    document = yaml.safe_load((folder / "clicks.yaml").read_text())
    jsonschema.validate(document, json.loads(OpenDataContractStandard.json_schema()))

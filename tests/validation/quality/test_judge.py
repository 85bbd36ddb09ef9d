"""Each quality rule: a drop that just passes, one that just fails, and the message that says why."""

import pytest

from transformations.contracts import ContractError, read_contract
from transformations.engine.base.errors import ConflictError
from transformations.engine.raw.zone import RawTable
from validation.delivery import conforming, ingest

from .events import PER_DAY, SCHEMA, day, of_days, rows

AT_LEAST_TWO = {"metric": "rowCount", "mustBeGreaterOrEqualTo": 2, "customProperties": PER_DAY}
JANUARY_30 = "2020-01-30"


def kinds(*values):
    return rows(*((JANUARY_30, value) for value in values))


RULES = {
    "rows of the drop": ([{"metric": "rowCount", "mustBeBetween": [2, 3]}], {}, of_days(d30=3), of_days(d30=4)),
    "least rows a day": ([AT_LEAST_TWO], {}, of_days(d30=2, d31=2), of_days(d30=2, d31=1)),
    "most rows a day": (
        [{"metric": "rowCount", "mustBeLessThan": 3, "customProperties": PER_DAY}],
        {},
        of_days(d30=2, d31=2),
        of_days(d30=2, d31=3),
    ),
    "nulls, counted": (
        [],
        {"kind": [{"metric": "nullValues", "mustBeLessOrEqualTo": 1}]},
        kinds("a", None),
        kinds(None, None),
    ),
    "nulls, percent": (
        [],
        {"kind": [{"metric": "nullValues", "mustBeLessOrEqualTo": 50, "unit": "percent"}]},
        kinds("a", None),
        kinds("a", None, None),
    ),
    "nulls, percent a day": (
        [],
        {"kind": [{"metric": "nullValues", "mustBeLessThan": 100, "unit": "percent", "customProperties": PER_DAY}]},
        rows(("2020-01-30", None), ("2020-01-30", "a"), ("2020-01-31", "a")),
        rows(("2020-01-30", None), ("2020-01-31", "a"), ("2020-01-31", "a")),
    ),
    "missing values": (
        [],
        {"kind": [{"metric": "missingValues", "mustBe": 2, "arguments": {"missingValues": [None, "N/A"]}}]},
        kinds("a", None, "N/A"),
        kinds("a", None, "n/a"),
    ),
    "valid values, some of them others": (
        [],
        {"kind": [{"metric": "invalidValues", "mustBeLessThan": 2, "arguments": {"validValues": ["a", "b"]}}]},
        kinds("a", "b", "c", None),
        kinds("a", "b", "c", "d"),
    ),
    "regular expression": (
        [],
        {"kind": [{"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": "^[A-Z]{2}[0-9]+$"}}]},
        kinds("DE12", None),
        kinds("DE12", "de12"),
    ),
    "duplicates of a column": (
        [],
        {"kind": [{"metric": "duplicateValues", "mustBe": 2}]},
        kinds("a", "a", "b", None, None),
        kinds("a", "a", "a"),
    ),
    "duplicates of columns together": (
        [{"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["kind", "amount"]}}],
        {},
        rows((JANUARY_30, "a", 1.0), (JANUARY_30, "a", 2.0)),
        rows((JANUARY_30, "a", 1.0), (JANUARY_30, "a", 1.0)),
    ),
    "duplicates within a day": (
        [],
        {"kind": [{"metric": "duplicateValues", "mustBe": 0, "customProperties": PER_DAY}]},
        rows(("2020-01-30", "a"), ("2020-01-31", "a")),
        rows(("2020-01-30", "a"), ("2020-01-30", "a")),
    ),
    "a query of the rows": (
        [{"type": "sql", "query": "SELECT avg(amount) FROM {object}", "mustBeLessOrEqualTo": 2}],
        {},
        rows((JANUARY_30, "a", 1.0), (JANUARY_30, "a", 3.0)),
        rows((JANUARY_30, "a", 1.0), (JANUARY_30, "a", 3.1)),
    ),
    "a query of a column": (
        [],
        {"kind": [{"type": "sql", "query": "SELECT bool_and({property} = 'a') FROM {object}", "mustBe": True}]},
        kinds("a", "a"),
        kinds("a", "b"),
    ),
    "anything but a number": ([{"metric": "rowCount", "mustNotBe": 1}], {}, of_days(d30=2), of_days(d30=1)),
    "outside a range": ([{"metric": "rowCount", "mustNotBeBetween": [1, 2]}], {}, of_days(d30=3), of_days(d30=2)),
}


@pytest.mark.parametrize("name", RULES)
def test_a_drop_that_just_keeps_a_rule_is_taken_and_one_that_just_breaks_it_is_not(source, name):
    of_rows, of_columns, kept, broken = RULES[name]
    source.rules(*of_rows, **of_columns)
    table = RawTable(read_contract("events", source.settings.contracts), source.settings.raw_dir)

    assert "rule '" in source.broken(broken)
    assert not table.exists()
    assert source.broken(kept) == ""


def test_the_message_names_rule_column_observed_allowed_examples_and_remedy(source):
    rule = {"name": "few nulls", "metric": "nullValues", "mustBeLessOrEqualTo": 25, "unit": "percent"}
    source.rules(kind=[rule | {"description": "Kinds are known at the till."}])
    assert source.broken(kinds("a", None, None, "b")) == (
        "events.yaml: rule 'few nulls' of column 'kind': 50 % nulls in drop drop-1.parquet, allowed at most 25 %; "
        "first at rows 2, 3 (Kinds are known at the till). Fix the source, or change the rule in a new contract "
        "version.\nNothing of drop-1.parquet was written."
    )


@pytest.mark.parametrize("pattern", ["(", "(?=a)b", r"(a)\1", r"^a\Z", "a{1001}"])
def test_a_pattern_that_re2_does_not_know_is_the_contract_s_fault(source, pattern):
    source.rules(kind=[{"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": pattern}}])
    with pytest.raises(ContractError, match=r"arguments.pattern .* is no regular expression of RE2: .*Correct it"):
        source.ingest(kinds("a"))


def test_a_violation_counts_the_rows_that_break_a_rule_and_shows_the_first(source):
    source.rules(kind=[{"metric": "nullValues", "mustBeLessThan": 25, "unit": "percent"}])
    source.write(kinds("a", None, None, "b"))
    report = ingest.check_drop(ingest.Delivery("events", source.newest), source.settings)
    (violation,) = report.violations
    assert (violation.count, [each.row for each in violation.examples]) == (2, ["2", "3"])


def test_a_pattern_of_re2_s_own_is_taken(source):
    source.rules(kind=[{"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": r"^\p{Lu}$"}}])
    assert "1 invalid value in drop" in source.broken(kinds("Ä", "ä"))


def test_names_of_rules_may_be_of_any_language(source):
    rules = [{"name": name, "metric": "nullValues", "mustBe": 0} for name in ("Zeilen ä", "Zeilen ö")]
    source.rules(kind=rules)
    message = source.broken(kinds(None))
    assert "rule 'Zeilen ä'" in message
    assert "rule 'Zeilen ö'" in message


def test_a_warning_is_told_and_the_drop_is_taken(source):
    source.rules(kind=[{"metric": "nullValues", "mustBe": 0, "severity": "warning"}])
    (note,) = source.ingest(kinds("a", None)).notes
    assert note.startswith("warning: events.yaml: rule 'kind_null_values' of column 'kind': 1 null in drop")


def test_a_day_without_a_row_between_others_is_seen(source):
    source.rules(AT_LEAST_TWO)
    assert "1 of 3 business days of drop drop-1.parquet break it (2020-01-30 has 0 rows)" in source.broken(
        of_days(d29=2, d31=2)
    )


def test_a_day_without_a_row_since_the_last_complete_one_is_seen(source):
    source.rules(AT_LEAST_TWO)
    assert source.broken(of_days(d28=2), complete_through=day(28)) == ""
    assert "2020-01-29 has 0 rows, 2020-01-30 has 0 rows" in source.broken(of_days(10, d31=2))


def test_a_day_that_is_declared_complete_without_enough_rows_is_seen(source):
    source.rules(AT_LEAST_TWO)
    assert source.broken(of_days(d29=2)) == ""
    assert "2020-01-30 has 0 rows" in source.broken(None, complete_through=day(30))
    assert "2020-01-30 has 1 row" in source.broken(of_days(10, d30=1), complete_through=day(30))
    assert source.broken(None, complete_through=day(29)) == ""


def test_a_file_without_rows_that_declares_days_complete_is_seen(source):
    source.rules(AT_LEAST_TWO)
    assert source.broken(of_days(d29=2)) == ""
    assert "2020-01-30 has 0 rows" in source.broken(SCHEMA.empty_table(), complete_through=day(30))


def test_a_day_that_is_not_over_or_is_said_to_be_still_filling_is_not_judged_yet(source):
    source.rules(AT_LEAST_TWO)
    source.settings = source.settings.model_copy(update={"clock": source.settings.clock.replace(month=1, day=31)})
    assert source.broken(of_days(d31=1)) == ""
    source.settings = source.settings.model_copy(update={"clock": source.settings.clock.replace(month=2, day=2)})
    assert "2020-01-31 has 1 row" in source.broken(rows(("2020-02-01",), ("2020-02-01",), start=10))
    assert source.broken(of_days(20, d31=1), complete_through=day(30)) == ""


def test_rows_of_a_day_that_are_stored_already_count_and_those_delivered_again_count_once(source):
    source.rules({"metric": "rowCount", "mustBe": 3, "customProperties": PER_DAY})
    two, third = of_days(d30=2), of_days(2, d30=2)
    assert source.broken(two, complete_through=day(29)) == ""
    assert source.broken(third, complete_through=day(30)) == ""


def test_days_that_the_calendar_does_not_expect_need_no_rows(source):
    calendar = {"weekdays": ["monday", "tuesday", "wednesday", "thursday", "friday"], "except": ["2020-01-28"]}
    source.rules(AT_LEAST_TWO, properties={"expectedDays": calendar})
    # 2020-01-24 is a Friday; the weekend, and the 28th, bring nothing, or less.
    assert source.broken(of_days(d24=2, d25=1, d27=2, d29=2)) == ""
    assert "2020-01-30 has 0 rows" in source.broken(of_days(20, d31=2))


def test_a_business_day_is_the_zone_s_also_where_clocks_change(source):
    source.rules({"metric": "rowCount", "mustBe": 2, "customProperties": PER_DAY}, zone="America/New_York")
    source.settings = source.settings.model_copy(update={"clock": source.settings.clock.replace(month=4)})
    # 8 March 2020 in New York lasts from 05:00 UTC for 23 hours.
    march = ("2020-03-08T05:00:00", "2020-03-09T03:59:59", "2020-03-09T04:00:00", "2020-03-10T03:59:59")
    assert source.broken(rows(*((moment,) for moment in march))) == ""


def test_freshness_is_judged_where_the_promise_has_a_severity(source):
    promise = {"property": "latency", "value": 12, "unit": "h"}
    severity = {"customProperties": [{"property": "severity", "value": "error"}]}
    source.rules(sla=[promise, {"property": "frequency", "value": 0, "unit": "d"} | severity])
    # It is noon of 1 February: 31 January ended 12 hours ago, the 30th 36.
    assert "36 hours in drop drop-1.parquet, allowed at most 12 hours" in source.broken(of_days(d30=1))
    assert source.broken(of_days(d31=1)) == ""


def test_a_correction_of_an_old_day_does_not_ask_for_the_days_since(source):
    source.rules(AT_LEAST_TWO)
    assert source.broken(of_days(d27=2, d28=2, d29=2)) == ""
    assert source.broken(of_days(1, d27=2), correction=True) == ""


def test_a_drop_that_was_checked_against_rows_that_are_no_longer_all_is_not_published(source, monkeypatch):
    source.rules({"metric": "rowCount", "mustBeLessThan": 3, "customProperties": PER_DAY})
    source.write(of_days(1, d30=2))
    other, judge_alone = source.newest, conforming.judge

    def judge_while_another_is_published(*arguments):
        monkeypatch.setattr(conforming, "judge", judge_alone)
        ingest.ingest_drop(ingest.Delivery("events", other), source.settings)
        return judge_alone(*arguments)

    monkeypatch.setattr(conforming, "judge", judge_while_another_is_published)
    with pytest.raises(ConflictError, match="another drop was published while this one was checked"):
        source.ingest(of_days(11, d30=1))
    assert "2020-01-30 has 3 rows" in source.broken(of_days(11, d30=1))


def test_rules_hold_for_csv_files_and_for_events_known_by_the_day_alone(source):
    source.rules(AT_LEAST_TWO, kind=[{"metric": "nullValues", "mustBe": 0}], at="date")
    path = source.folder / "drop.csv"
    path.write_text("id,kind,amount,at\n1,a,1.5,2020-01-29\n2,,2.5,2020-01-29\n3,b,3.5,2020-01-30\n")
    with pytest.raises(ingest.ContractViolationError) as error:
        ingest.ingest_drop(ingest.Delivery("events", path), source.settings)
    assert "1 of 2 business days of drop drop.csv break it (2020-01-30 has 1 row)" in error.value.message
    assert "1 null in drop drop.csv, allowed 0; first at row 2." in error.value.message
    path.write_text("id,kind,amount,at\n1,a,1.5,2020-01-29\n2,a,2.5,2020-01-29\n")
    ingest.ingest_drop(ingest.Delivery("events", path), source.settings)
    path.write_text("id,kind,amount,at\n3,b,3.5,2020-01-30\n2,a,2.5,2020-01-29\n4,b,3.5,2020-01-30\n")
    assert ingest.ingest_drop(ingest.Delivery("events", path), source.settings).drop.rows == 2


def test_a_day_sent_again_counts_its_own_rows_alone(source):
    source.rules(AT_LEAST_TWO, properties=[("delivery", "replace-partition")])
    source.ingest(of_days(1, d30=3))
    assert "2020-01-30 has 1 row" in source.broken(of_days(9, d30=1))
    assert source.ingest(of_days(9, d30=2)).drop.retracted == 3

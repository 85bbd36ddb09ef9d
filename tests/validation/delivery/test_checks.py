"""The checks of values: each rule finds what breaks it, says so in one sentence, and lets everything else pass."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from transformations.contracts import Contract, Reference
from transformations.engine.raw.zone import Origin, RawTable

from .small_contracts import BERLIN, NAIVE_NS, NAIVE_US, broken, column, contract, values

# --- values -----------------------------------------------------------------------------------------------------------


def test_nulls_are_told_with_count_share_first_rows_and_remedy(check):
    entries = [None if row in (17, 902, 1_044, 3_000) else 1 for row in range(1, 4_102)]
    (violation,) = check(
        contract(column(name="quantity", nullable=False)), values(pa.int64(), *entries, name="quantity")
    ).violations
    assert violation.message == (
        "events.yaml: column 'quantity' has 4 nulls in 4,101 rows (0.10 %), allowed 0 %; "
        "first at rows 17, 902, 1,044 of drop drop.parquet. "
        "Fix the source, or write required: false in a new contract version."
    )


@pytest.mark.parametrize(
    ("pii", "shown"),
    [("none", "secret"), ("pseudonymous", "secret"), ("personal", "(personal)"), ("sensitive", "(personal)")],
)
def test_values_of_a_column_about_a_person_are_not_shown(check, pii, shown):
    words = column("String", allowed=("a",), pii=pii)
    (violation,) = check(contract(words), values(pa.string(), "a", "secret")).violations
    assert f"first at row 2 of drop drop.parquet ({shown})" in violation.message
    assert [example.value for example in violation.examples] == [shown]

    key = contract(column(nullable=False), replace(words, name="y", nullable=False, allowed=()), key=("x", "y"))
    rows = pa.table({"x": [1, 1], "y": ["secret", "secret"]})
    (repeated,) = check(key, rows).violations
    assert f"((1, {shown}))" in repeated.message


def test_a_long_value_is_cut_and_what_nobody_sees_of_it_is_written_out(check):
    entries = ["a\u202eb\n\x1b[2J", "x" * 10_000]
    (violation,) = check(contract(column("String", allowed=("a",))), values(pa.string(), *entries)).violations
    assert [example.value for example in violation.examples] == ["a\\u202eb\\n\\u001b[2J", f"{'x' * 59}…"]
    assert len(violation.message) < 400


def test_nan_counts_as_null(check):
    nan = values(pa.float64(), 1.0, float("nan"))
    assert broken(check(contract(column("Float64", nullable=False)), nan)) == ["nulls"]
    assert broken(check(contract(column("Float64", minimum=0)), nan)) == []


@pytest.mark.parametrize("endless", [float("inf"), float("-inf")])
def test_infinite_numbers_are_refused(check, endless):
    (violation,) = check(contract(column("Float64", minimum=0)), values(pa.float64(), 1.0, endless)).violations
    assert "column 'x' has 1 value that is infinite in 2 rows (50.00 %)" in violation.message


def test_a_range_includes_its_ends(check):
    rules = contract(column("Float64", minimum=0, maximum=9.5))
    assert check(rules, values(pa.float64(), 0.0, 9.5, None)).violations == ()
    (violation,) = check(rules, values(pa.float64(), 1.0, -0.25, 10.0, 2.0)).violations
    assert violation.message == (
        "events.yaml: column 'x' has 2 values outside 0 to 9.5 in 4 rows (50.00 %), allowed 0 %; "
        "first at rows 2, 3 of drop drop.parquet (-0.25, 10.0). "
        "Fix the source, or widen minimum and maximum in a new contract version."
    )


@pytest.mark.parametrize(
    ("ends", "entry", "words"), [({"minimum": 5}, 4, "1 value below 5"), ({"maximum": 5}, 6, "1 value above 5")]
)
def test_a_range_may_have_one_end(check, ends, entry, words):
    (violation,) = check(contract(column(**ends)), values(pa.int64(), 5, entry)).violations
    assert words in violation.message


def test_values_outside_the_allowed_are_shown(check):
    rules = contract(column("String", allowed=("left", "it's right")))
    assert check(rules, values(pa.string(), "left", "it's right", None)).violations == ()
    (violation,) = check(rules, values(pa.string(), "left", "Left", "up")).violations
    assert "2 values outside the 2 allowed in 3 rows (66.67 %)" in violation.message
    assert "first at rows 2, 3 of drop drop.parquet (Left, up)" in violation.message


@pytest.mark.parametrize("year", [1, 1899, 2200])
def test_an_event_time_that_must_be_a_sentinel_is_refused(check, year):
    rules = contract(column("UnixTimestamp", nullable=False), event_time="x")
    (violation,) = check(rules, values(NAIVE_US, datetime(2020, 1, 1), datetime(year, 1, 1))).violations
    assert violation.spec.rule == "event time"
    assert "outside the years 1900 to 2199" in violation.message
    elsewhere = contract(column("UnixTimestamp"))
    assert check(elsewhere, values(NAIVE_US, datetime(year, 1, 1))).violations == ()


def test_a_moment_beyond_the_calendar_is_refused(check):
    (violation,) = check(contract(column("UnixTimestamp")), values(NAIVE_US, 0, 2**62)).violations
    assert "1 value that is outside the years 1 to 9999 in 2 rows" in violation.message


def test_the_first_and_last_moments_of_the_calendar_are_kept(check):
    ends = [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)]
    assert check(contract(column("UnixTimestamp")), values(NAIVE_US, *ends)).violations == ()
    east = contract(column("UnixTimestamp"), timestamp_zone="Asia/Tokyo")
    (violation,) = check(east, values(NAIVE_US, *ends)).violations
    assert "1 value that is outside the years 1 to 9999 in 2 rows" in violation.message
    assert "(0001-01-01 00:00:00)" in violation.message


@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize("micros", [-63_000_000_000_000_000, 1_714_557_600_000_000_000])
def test_years_before_christ_and_56302_are_refused(check, micros, zone):
    assert broken(check(contract(column("UnixTimestamp")), values(pa.timestamp("us", tz=zone), 0, micros))) == [
        "finite"
    ]


@pytest.mark.parametrize(
    ("nanos", "rules"),
    [(-(2**63) + 808, []), (-(2**63) + 2, ["exact"]), (-(2**63) + 1, ["finite"]), (2**63 - 1, ["finite"])],
)
def test_the_ends_of_nanoseconds_are_kept_or_refused(check, nanos, rules):
    """The very last, which pandas calls its minimum and maximum, mean infinity to DuckDB."""
    assert broken(check(contract(column("UnixTimestamp")), values(NAIVE_NS, nanos))) == rules


def test_float32_values_are_compared_with_the_float32_nearest_to_a_bound(check):
    rules = contract(column("Float64", minimum=0.1, maximum=0.7))
    assert check(rules, values(pa.float32(), 0.1, 0.7, None, float("nan"))).violations == ()
    above, below = np.nextafter(np.float32(0.7), np.float32(1)), np.nextafter(np.float32(0.1), np.float32(0))
    (violation,) = check(rules, values(pa.float32(), 0.1, above, below)).violations
    assert "2 values outside 0.1 to 0.7 in 3 rows" in violation.message
    assert check(contract(column("Float64", maximum=1e300)), values(pa.float32(), 1.0)).violations == ()


def test_float32_values_are_allowed_that_are_nearest_to_an_allowed_one(check):
    rules = contract(column("Float64", allowed=(0.1, 2)))
    assert check(rules, values(pa.float32(), 0.1, 2.0)).violations == ()
    assert broken(check(rules, values(pa.float32(), 0.2))) == ["allowed values"]
    assert broken(check(rules, values(pa.float64(), float(np.float32(0.1))))) == ["allowed values"]


# --- local times ------------------------------------------------------------------------------------------------------


def test_a_local_time_that_clocks_skipped_breaks_the_contract(check):
    times = [datetime(2017, 3, 26, 1, 59, 59), datetime(2017, 3, 26, 2, 30), datetime(2017, 3, 26, 3)]
    rules = contract(column("UnixTimestamp"), timestamp_zone=BERLIN)
    (violation,) = check(rules, values(NAIVE_US, *times)).violations
    assert violation.spec.rule == "existing local time"
    assert "1 local time that Europe/Berlin skipped when clocks were set forward in 3 rows" in violation.message
    assert "first at row 2 of drop drop.parquet (2017-03-26 02:30:00)" in violation.message


def test_an_instant_cannot_be_a_skipped_local_time(check):
    rules = contract(column("UnixTimestamp"), timestamp_zone=BERLIN)
    assert check(rules, values(pa.timestamp("us", tz="UTC"), datetime(2017, 3, 26, 2, 30))).violations == ()


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        (values(NAIVE_US, datetime(2020, 1, 1), None), "1 time"),
        (values(NAIVE_NS, 0, 1_000), "2 times"),
        ("x\n2020-01-31 12:00\n2020-01-31 12:00Z\n", "1 time"),
    ],
)
def test_a_time_without_an_offset_is_refused_where_the_contract_names_no_zone(check, rows, count):
    rules = contract(column("UnixTimestamp"), declares_zone=False)
    (violation,) = check(rules, rows).violations
    assert violation.spec.rule == "timestamp zone"
    assert f"has {count} without an offset, and the contract does not say of which zone, in 2 rows" in violation.message
    assert "Write timestampZone into the source's customProperties" in violation.message
    assert check(contract(column("UnixTimestamp")), rows).violations == ()


@pytest.mark.parametrize(
    "rows", [values(pa.timestamp("us", tz="UTC"), 0), values(NAIVE_US, None), "x\n2020-01-31T12:00:00+01:00\n"]
)
def test_a_time_with_an_offset_needs_no_zone(check, rows):
    assert check(contract(column("UnixTimestamp"), declares_zone=False), rows).violations == ()


def test_local_times_that_clocks_showed_twice_are_counted_and_said(check):
    times = [datetime(2017, 10, 29, hour, minute) for hour, minute in ((1, 59), (2, 0), (2, 59), (3, 0))]
    rules = contract(column("UnixTimestamp"), timestamp_zone=BERLIN)
    report = check(rules, values(NAIVE_US, *times, datetime(2018, 10, 28, 2)))
    assert report.violations == ()
    twice = "which clocks in Europe/Berlin showed twice; taken as the earlier time"
    assert report.notes == (
        f"x: 2 rows fall between 2017-10-29 02:00 and 03:00, {twice}",
        f"x: 1 row falls between 2018-10-28 02:00 and 03:00, {twice}",
    )
    assert check(rules, values(pa.timestamp("us", tz="UTC"), *times)).notes == ()


# --- keys and references ----------------------------------------------------------------------------------------------


def test_a_key_occurs_once_in_a_drop(check):
    rules = contract(column(name="a", nullable=False), column("String", "b", nullable=False), key=("a", "b"))
    rows = pa.table({"a": [1, 1, 2, 1, 1], "b": ["x", "y", "x", "x", "x"]})
    (violation,) = check(rules, rows).violations
    assert violation.message == (
        "events.yaml: key (a, b) is repeated by 2 rows in 5 rows (40.00 %), allowed 0 %; "
        "first at rows 4, 5 of drop drop.parquet ((1, x), (1, x)). "
        "Fix the source: a key occurs once in a drop, and a correction comes as a later drop."
    )


def test_the_times_of_a_repeated_key_are_told_in_the_contracts_zone(check):
    at = datetime(2020, 7, 1, 12, tzinfo=UTC)
    rules = contract(column("UnixTimestamp", nullable=False), key=("x",), timestamp_zone=BERLIN)
    (violation,) = check(rules, values(pa.timestamp("us", tz="UTC"), at, at)).violations
    assert "of drop drop.parquet (2020-07-01 14:00:00 +02:00)." in violation.message


def test_a_null_key_is_a_null_and_no_repetition(check):
    rules = contract(column(nullable=False), key=("x",))
    assert broken(check(rules, values(pa.int64(), None, None))) == ["nulls"]


@pytest.fixture
def others(tmp_path):
    """A source with the ids 1 and 2, as references see it."""
    known = contract(column(name="id", nullable=False), column("String", "label"), name="others", key=("id",))
    table = RawTable(known, tmp_path)
    origin = Origin(file_name="others.parquet", content_hash="hash", ingested_at=datetime(2020, 1, 2))
    table.append(pa.table({"id": [1, 2, 3], "label": ["a", "b", "c"]}), origin)
    table.retract(pa.table({"id": [3]}), origin)
    return {"others": (known, table.snapshot())}


def referring(missing_allowed: int = 0) -> Contract:
    return contract(column(), references=(Reference(("x",), "others", ("id",), missing_allowed),))


def test_a_reference_counts_distinct_values_that_the_other_source_lacks(check, others):
    rows = values(pa.int64(), 1, 7, 2, 7, None, 3)
    (violation,) = check(referring(1), rows, others).violations
    assert violation.message == (
        "events.yaml: column 'x' has 2 distinct values that others lacks, allowed 1; "
        "they stand in 3 of 6 rows (50.00 %), first at rows 2, 6 of drop drop.parquet (7, 3). "
        "Ingest a newer others first, or raise missingAllowed in a new contract version."
    )


def test_missing_values_up_to_the_allowance_are_noted(check, others):
    report = check(referring(2), values(pa.int64(), 1, 7, 2, 7, None, 3), others)
    assert report.violations == ()
    assert report.notes == ("3 rows carry 2 x values that others lacks (allowed 2)",)
    assert check(referring(2), values(pa.int64(), 1, 2), others).notes == ()


def test_a_reference_to_a_source_not_yet_ingested_says_what_to_do_first(check, others):
    nothing = {"others": (others["others"][0], None)}
    (violation,) = check(referring(17), values(pa.int64(), 1), nothing).violations
    assert violation.message.endswith(
        "column 'x' refers to others, of which nothing has been ingested yet. "
        "Ingest it first: `features ingest others FILE`."
    )


def test_contracts_that_disagree_on_a_references_type_are_told(check, others):
    rules = contract(column("String"), references=(Reference(("x",), "others", ("id",)),))
    (violation,) = check(rules, values(pa.string(), "1"), others).violations
    assert "column 'x' is String, yet refers to others.id, which is Int64." in violation.message


def test_a_reference_of_several_columns_is_matched_as_a_whole(check, others):
    rules = contract(
        column(name="x"), column("String", "y"), references=(Reference(("x", "y"), "others", ("id", "label")),)
    )
    (violation,) = check(rules, pa.table({"x": [1, 1], "y": ["a", "b"]}), others).violations
    assert "(x, y) has 1 distinct value that others lacks" in violation.message
    assert "((1, b))" in violation.message

"""The checks: each rule finds what breaks it, says so in one sentence, and lets everything else pass."""

from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.contracts import Column, Contract, Reference
from transformations.contracts.model import ColumnFormat
from transformations.engine.base.duck import session
from transformations.engine.raw.zone import Origin, RawTable
from validation.delivery.check_specs import CheckSpec, compile_checks
from validation.delivery.checks import Report, run_checks
from validation.files.drop_files import open_drop

NAIVE_NS, NAIVE_US = pa.timestamp("ns"), pa.timestamp("us")
BERLIN = "Europe/Berlin"


def contract(*columns: Column, **changes) -> Contract:
    facts = {
        "name": "events",
        "version": "1.0.0",
        "description": "One event",
        "owner": "tests",
        "columns": columns,
        "key": (),
        "event_time": None,
        "timestamp_zone": "UTC",
        "business_day_zone": "UTC",
        "valid_from": datetime(2020, 1, 1),
        "delivery": "append",
    }
    return Contract(**facts | changes)


def column(dtype: str = "Int64", name: str = "x", nullable: bool = True, **facts) -> Column:
    return Column(name, dtype, nullable, "A column", **facts)


@pytest.fixture
def check(tmp_path):
    """Write a table as a drop and run all checks of a contract on it."""

    def run(rules: Contract, rows: pa.Table | str, sources=None, keys_only=False, **options) -> Report:
        path = tmp_path / ("drop.csv" if isinstance(rows, str) else "drop.parquet")
        if isinstance(rows, str):
            path.write_text(rows)
        else:
            pq.write_table(rows, path, **options)
        with session() as connection:
            drop = open_drop(connection, path)
            return run_checks(connection, rules, drop, compile_checks(rules, keys_only), sources or {})

    return run


def broken(report: Report) -> list[str]:
    return [violation.spec.rule for violation in report.violations]


def values(dtype: pa.DataType, *entries: object, name: str = "x") -> pa.Table:
    return pa.table({name: pa.array(entries, dtype)})


# --- compiling -------------------------------------------------------------------------------------------------------


def test_a_contract_compiles_to_plain_data():
    rules = contract(
        column("Int64", "id", nullable=False),
        column("Float64", "price", minimum=0, maximum=9),
        column("String", "kind", allowed=("a", "b")),
        column("UnixTimestamp", "at", nullable=False),
        key=("id",),
        event_time="at",
        timestamp_zone=BERLIN,
        references=(Reference(("id",), "others", ("id",), 3),),
    )
    names = ("id", "price", "kind", "at")
    assert compile_checks(rules) == (
        CheckSpec("missing column", names),
        CheckSpec("unknown column", names),
        CheckSpec("dtype", ("id",), dtype="Int64"),
        CheckSpec("exact", ("id",), dtype="Int64"),
        CheckSpec("nulls", ("id",)),
        CheckSpec("dtype", ("price",), dtype="Float64"),
        CheckSpec("exact", ("price",), dtype="Float64"),
        CheckSpec("finite", ("price",)),
        CheckSpec("range", ("price",), minimum=0, maximum=9),
        CheckSpec("dtype", ("kind",), dtype="String"),
        CheckSpec("exact", ("kind",), dtype="String"),
        CheckSpec("allowed values", ("kind",), values=("a", "b")),
        CheckSpec("dtype", ("at",), dtype="UnixTimestamp"),
        CheckSpec("exact", ("at",), dtype="UnixTimestamp"),
        CheckSpec("existing local time", ("at",)),
        CheckSpec("nulls", ("at",)),
        CheckSpec("finite", ("at",)),
        CheckSpec("event time", ("at",), minimum=1900, maximum=2199),
        CheckSpec("unique key", ("id",)),
        CheckSpec("reference", ("id",), reference=rules.references[0], allowed=3),
    )


def test_a_file_of_keys_is_checked_for_its_keys_alone():
    rules = contract(column("Int64", "id", nullable=False), column("Float64", "price"), key=("id",))
    assert {name for spec in compile_checks(rules, keys_only=True) for name in spec.columns} == {"id"}


# --- columns and types -----------------------------------------------------------------------------------------------


def test_missing_and_unknown_columns_are_named_together(check):
    rules = contract(column(name="amount"), column(name="count"), column(name="at"))
    report = check(rules, pa.table({"amuont": [1], "at": [1]}))
    assert [violation.message for violation in report.violations] == [
        (
            "events.yaml: drop drop.parquet lacks 2 columns: amount, count. For 'amount': did you mean 'amuont'? "
            "Known: amuont, at. Deliver them, say physicalName where the file has another name, or remove them "
            "in a new contract version."
        ),
        (
            "events.yaml: drop drop.parquet has 1 column that the contract does not name: amuont. "
            "Leave them out at the source, name them in ignoredColumns, or add them in a new contract version."
        ),
    ]


@pytest.mark.parametrize(
    ("dtype", "delivered"),
    [
        ("Int64", values(pa.int8(), 1, None)),
        ("Int64", values(pa.uint32(), 2**32 - 1)),
        ("Int64", values(pa.uint64(), 2**63 - 1)),
        ("Float64", values(pa.float32(), 1.5)),
        ("Float64", values(pa.int64(), 2**53)),
        ("Float64", values(pa.decimal128(15, 2), Decimal("1.10"))),
        ("String", values(pa.dictionary(pa.int8(), pa.string()), "a", None)),
        ("Bool", values(pa.bool_(), True)),
        ("UnixTimestamp", values(pa.timestamp("ms"), datetime(2020, 1, 1))),
        ("UnixTimestamp", values(pa.timestamp("us", tz=BERLIN), datetime(2020, 1, 1))),
        ("UnixTimestamp", values(NAIVE_NS, 1_577_836_800_000_001_000)),
        ("Date", values(pa.date32(), date(2020, 1, 1))),
        ("Date", values(NAIVE_NS, datetime(2020, 1, 1), None)),
        ("Int64", values(pa.null(), None)),
        ("Date", values(pa.null(), None)),
    ],
)
def test_a_type_that_loses_nothing_is_accepted(check, dtype, delivered):
    assert check(contract(column(dtype)), delivered).violations == ()


@pytest.mark.parametrize(
    ("dtype", "delivered", "kind"),
    [
        ("Int64", values(pa.float64(), 1.0), "DOUBLE"),
        ("Int64", values(pa.string(), "1"), "VARCHAR"),
        ("Float64", values(pa.decimal128(18, 2), Decimal("1.10")), "DECIMAL(18,2)"),
        ("String", values(pa.int64(), 1), "BIGINT"),
        ("Bool", values(pa.int8(), 1), "TINYINT"),
        ("UnixTimestamp", values(pa.int64(), 1), "BIGINT"),
        ("UnixTimestamp", values(pa.date32(), date(2020, 1, 1)), "DATE"),
        ("Date", values(pa.timestamp("us", tz="UTC"), datetime(2020, 1, 1)), "TIMESTAMP WITH TIME ZONE"),
        ("String", values(pa.list_(pa.string()), ["a"]), "VARCHAR[]"),
    ],
)
def test_a_type_that_could_lose_something_is_refused(check, dtype, delivered, kind):
    (violation,) = check(contract(column(dtype)), delivered).violations
    assert violation.message.startswith(
        f"events.yaml: column 'x' is {kind} in drop drop.parquet, the contract says {dtype}. Deliver "
    )


@pytest.mark.parametrize(
    ("dtype", "delivered", "loss"),
    [
        ("Int64", values(pa.uint64(), 1, 2**63), "1 value beyond 64 bits, signed in 2 rows (50.00 %)"),
        ("Float64", values(pa.int64(), 1, 2**53 + 1), "1 value beyond the integers a Float64 holds, ±2^53 in 2 rows"),
        (
            "Date",
            values(NAIVE_US, datetime(2020, 1, 1), datetime(2020, 1, 1, 1)),
            "1 value with a time of day in 2 rows",
        ),
        ("Date", values(NAIVE_NS, 0, 1), "1 value with a time of day in 2 rows"),
        ("UnixTimestamp", values(NAIVE_NS, 0, 1), "1 value with a part below one microsecond in 2 rows"),
        ("UnixTimestamp", values(pa.timestamp("ns", tz="UTC"), 0, 1), "1 value with a part below one microsecond in 2"),
    ],
)
def test_a_value_that_would_lose_something_is_refused(check, dtype, delivered, loss):
    (violation,) = check(contract(column(dtype)), delivered).violations
    assert violation.spec.rule == "exact"
    assert loss in violation.message
    assert "first at row 2 of drop drop.parquet (" in violation.message


TEXT, NUMBER = ColumnFormat(stored_as="text"), ColumnFormat(stored_as="number")


@pytest.mark.parametrize(
    ("dtype", "written", "delivered"),
    [
        ("Int64", TEXT, values(pa.string(), "12", None)),
        ("Float64", TEXT, values(pa.large_string(), "1.5")),
        ("Bool", TEXT, values(pa.string(), "True", "false")),
        ("Date", TEXT, values(pa.string(), "2020-01-31")),
        ("UnixTimestamp", TEXT, values(pa.string(), "2020-01-31 12:00", "2020-01-31T12:00Z")),
        ("UnixTimestamp", TEXT, values(pa.dictionary(pa.int8(), pa.string()), "2020-01-31 12:00")),
        ("Int64", TEXT, values(pa.int64(), 1)),
        ("Int64", NUMBER, values(pa.float64(), 1.0, -(2.0**53) + 1, None, float("nan"))),
        ("Int64", NUMBER, values(pa.float32(), 2.0**24 - 1)),
        ("Int64", NUMBER, values(pa.decimal128(38, 2), Decimal("7.00"), Decimal(2**63 - 1))),
    ],
)
def test_a_physical_type_that_says_so_is_cast(check, dtype, written, delivered):
    assert check(contract(column(dtype, format=written)), delivered).violations == ()


@pytest.mark.parametrize(
    ("dtype", "written", "delivered", "loss"),
    [
        ("Int64", TEXT, values(pa.string(), "1", "1.0"), "1 value that cannot be an integer of 64 bits in 2 rows"),
        ("UnixTimestamp", TEXT, values(pa.string(), "2020-01-31", "epoch"), "1 value that cannot be a time of whole"),
        ("Int64", NUMBER, values(pa.float64(), 1.0, 1.5), "1 value that cannot be an integer, or that DOUBLE may"),
        ("Int64", NUMBER, values(pa.float64(), 1.0, 2.0**53), "may have rounded (from 2^53 on) in 2 rows"),
        ("Int64", NUMBER, values(pa.float64(), 1.0, float("inf")), "1 value"),
        ("Int64", NUMBER, values(pa.float32(), 1.0, 2.0**24), "FLOAT may have rounded (from 2^24 on) in 2 rows"),
        ("Int64", NUMBER, values(pa.decimal128(38, 1), Decimal(1), Decimal("1.5")), "cannot be an integer of 64 bits"),
        ("Int64", NUMBER, values(pa.decimal128(38, 0), Decimal(1), Decimal(2**63)), "cannot be an integer of 64 bits"),
    ],
)
def test_a_cast_that_would_lose_something_is_refused_by_row(check, dtype, written, delivered, loss):
    (violation,) = check(contract(column(dtype, format=written)), delivered).violations
    assert violation.spec.rule == "exact"
    assert loss in violation.message
    assert "first at row 2 of drop drop.parquet (" in violation.message


@pytest.mark.parametrize(
    ("dtype", "delivered", "remedy"),
    [
        ("UnixTimestamp", values(pa.string(), "2020-01-31"), "write physicalType: VARCHAR at the column"),
        ("Int64", values(pa.float64(), 1.0), "write physicalType: DOUBLE at the column"),
    ],
)
def test_a_refused_type_that_can_be_cast_says_how(check, dtype, delivered, remedy):
    (violation,) = check(contract(column(dtype)), delivered).violations
    assert remedy in violation.message


@pytest.mark.parametrize(("nanos", "rules"), [(1_000, []), (1_001, ["exact"])])
def test_a_legacy_timestamp_is_naive_and_its_nanoseconds_are_not_cut_off_unseen(check, nanos, rules):
    report = check(contract(column("UnixTimestamp")), values(NAIVE_NS, 0, nanos), use_deprecated_int96_timestamps=True)
    assert broken(report) == rules


# --- values ----------------------------------------------------------------------------------------------------------


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


# --- local times -----------------------------------------------------------------------------------------------------


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


# --- keys and references ---------------------------------------------------------------------------------------------


def test_a_key_occurs_once_in_a_drop(check):
    rules = contract(column(name="a", nullable=False), column("String", "b", nullable=False), key=("a", "b"))
    rows = pa.table({"a": [1, 1, 2, 1, 1], "b": ["x", "y", "x", "x", "x"]})
    (violation,) = check(rules, rows).violations
    assert violation.message == (
        "events.yaml: key (a, b) is repeated by 2 rows in 5 rows (40.00 %), allowed 0 %; "
        "first at rows 4, 5 of drop drop.parquet ((1, x), (1, x)). "
        "Fix the source: a key occurs once in a drop, and a correction comes as a later drop."
    )


def test_a_null_key_is_a_null_and_no_repetition(check):
    rules = contract(column(nullable=False), key=("x",))
    assert broken(check(rules, values(pa.int64(), None, None))) == ["nulls"]


@pytest.fixture
def others(tmp_path):
    """A source with the ids 1 and 2, as references see it."""
    known = contract(column(name="id", nullable=False), column("String", "label"), name="others", key=("id",))
    table = RawTable(known, tmp_path)
    origin = Origin("others.parquet", "hash", datetime(2020, 1, 2))
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


# --- CSV -------------------------------------------------------------------------------------------------------------

TYPED = contract(
    column("Int64", "i"),
    column("Float64", "f"),
    column("String", "s"),
    column("Bool", "b"),
    column("Date", "d"),
    column("UnixTimestamp", "t"),
)


def test_csv_cells_are_read_as_what_the_contract_says(check):
    text = (
        "i,f,s,b,d,t\n"
        " 12,1e3, x ,TRUE,2020-01-31,2020-01-31 12:00:00\n"
        ",,,,,\n"
        "-1,nan,12,false,2020-01-31 00:00:00,2020-01-31T12:00:00.5Z\n"
    )
    report = check(TYPED, text)
    assert (report.rows, report.violations) == (3, ())


def test_csv_cells_that_are_something_else_are_named_by_row(check):
    report = check(
        TYPED, "i,f,s,b,d,t\n1.5,x,s,yes,2020-02-30,noon\n1e3,1,s,1,2020-01-31 12:00,2020-01-31 00:00:00.1234567\n"
    )
    assert broken(report) == ["exact"] * 5
    texts = [violation.message for violation in report.violations]
    assert "'i' has 2 values that cannot be an integer of 64 bits in 2 rows" in texts[0]
    assert "'f' has 1 value that cannot be a number that a Float64 holds in 2 rows" in texts[1]
    assert "'b' has 2 values that cannot be true or false in 2 rows" in texts[2]
    assert "'d' has 2 values that cannot be a date as in 2020-01-31 in 2 rows" in texts[3]
    assert "'t' has 2 values that cannot be a time of whole microseconds as in 2020-01-31 12:00:00" in texts[4]
    assert "first at rows 1, 2 of drop drop.csv (1.5, 1e3)" in texts[0]


def test_csv_cells_have_the_declared_forms_alone(check):
    rules = contract(
        column("Float64", "f", format=ColumnFormat(decimal=",", thousands=".")),
        column("Date", "d", format=ColumnFormat(strptime=("%d/%m/%Y",))),
        column("UnixTimestamp", "t", format=ColumnFormat(strptime=("%d/%m/%Y %I:%M %p", "%m/%d/%Y %I:%M %p"))),
    )
    assert check(rules, 'f,d,t\n"1.234,5",05/01/2024,13/01/2024 01:30 PM\n').violations == ()
    report = check(rules, 'f,d,t\n1.5,2024-01-05,05/01/2024 01:30 PM\n"1,5",13/12/2024,13/12/2024 13:30\n')
    texts = [violation.message for violation in report.violations]
    assert "'f' has 1 value that cannot be a number that a Float64 holds in 2 rows" in texts[0]
    assert "'d' has 1 value that cannot be a date of the form '%d/%m/%Y' in 2 rows" in texts[1]
    assert (
        "'t' has 2 values that cannot be a time of the form '%d/%m/%Y %I:%M %p' or '%m/%d/%Y %I:%M %p', "
        "or that these forms read differently, in 2 rows"
    ) in texts[2]


def test_an_integer_in_a_csv_is_refused_as_a_float_just_as_in_parquet(check):
    rules = contract(column("Float64"))
    (from_csv,) = check(rules, "x\n1\n9007199254740993\n").violations
    (from_parquet,) = check(rules, values(pa.int64(), 1, 9007199254740993)).violations
    for violation in (from_csv, from_parquet):
        assert violation.spec.rule == "exact"
        assert "(9007199254740993)" in violation.message
    assert check(rules, values(pa.int64(), 2**53 + 2)).violations == check(rules, f"x\n{2**53 + 2}\n").violations == ()


def test_a_text_that_is_no_time_says_how_to_declare_its_form(check):
    (violation,) = check(contract(column("UnixTimestamp")), "x\n2024-05-01 01:30:00 PM\n").violations
    assert violation.message.endswith("or declare the form of its times with strptime in a new contract version.")


def test_all_violations_of_a_drop_are_told_together(check):
    rules = contract(column("Int64", "a", nullable=False), column("Float64", "b", minimum=0), column("String", "c"))
    report = check(rules, pa.table({"a": [1, None], "b": [-1.0, float("inf")], "d": [1, 2]}))
    assert broken(report) == ["missing column", "unknown column", "nulls", "finite", "range"]

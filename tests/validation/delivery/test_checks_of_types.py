"""The checks of columns and types: what loses nothing is accepted, what could is refused."""

from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from transformations.contracts.model import ColumnFormat

from .small_contracts import BERLIN, NAIVE_NS, NAIVE_US, broken, column, contract, values


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


@pytest.mark.parametrize("dtype", [pa.float16(), pa.float32()])
@pytest.mark.parametrize("limit", [{"minimum": 0.1}, {"maximum": 0.1}, {"allowed": (0.1,)}])
def test_a_narrow_float_is_held_against_the_nearest_number_of_its_own_width(check, dtype, limit):
    tenth = values(dtype, np.float16(0.1) if dtype == pa.float16() else 0.1)
    assert check(contract(column("Float64", **limit)), tenth).violations == ()
    (violation,) = check(
        contract(column("Float64", **limit)), values(dtype, np.float16(0.2 if "maximum" in limit else 0.05))
    ).violations
    assert violation.spec.rule in ("range", "allowed values")


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

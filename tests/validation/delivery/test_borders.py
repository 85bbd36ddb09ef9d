"""Each check of rows: a drop that just passes, one that just fails, and that no check is left out."""

from datetime import UTC, datetime
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.contracts import Reference
from transformations.engine.base.duck import session
from transformations.engine.raw.zone import Origin, RawTable
from validation.delivery.check_specs import Rule, compile_checks
from validation.delivery.checks import run_checks
from validation.files.drop_files import open_drop

from .small_contracts import BERLIN, NAIVE_NS, NAIVE_US, broken, column, contract, values

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)
ALL_NAMED = contract(column(), column("String", "label"))
BOTH = pa.table({"x": [1], "label": ["a"]})
INSTANT = pa.timestamp("us", tz="UTC")
WHEN = column("UnixTimestamp", nullable=False)


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


CASES = {
    "missing column": (ALL_NAMED, BOTH, BOTH.drop_columns(["label"])),
    "unknown column": (ALL_NAMED, BOTH, BOTH.append_column("more", [[1]])),
    "dtype": (contract(column()), values(pa.int32(), 1), values(pa.float64(), 1.0)),
    "exact": (contract(column("Float64")), values(pa.int64(), 2**53), values(pa.int64(), 2**53 + 1)),
    "timestamp zone": (
        contract(column("UnixTimestamp"), declares_zone=False),
        values(INSTANT, moment(2020, 1, 1)),
        values(NAIVE_US, datetime(2020, 1, 1)),
    ),
    "existing local time": (
        contract(column("UnixTimestamp"), timestamp_zone=BERLIN),
        values(NAIVE_US, datetime(2017, 3, 26, 1, 59, 59, 999_999), datetime(2017, 3, 26, 3)),
        values(NAIVE_US, datetime(2017, 3, 26, 2)),
    ),
    "nulls": (contract(column(nullable=False)), values(pa.int64(), 0), values(pa.int64(), 0, None)),
    "finite": (
        contract(column("Float64")),
        values(pa.float64(), 1.7976931348623157e308),
        values(pa.float64(), float("inf")),
    ),
    "event time": (
        contract(WHEN, event_time="x", future_allowed=NOON - moment(1, 1, 1)),
        values(INSTANT, moment(1900, 1, 1)),
        values(INSTANT, moment(1899, 12, 31, 23, 59, 59, 999_999)),
    ),
    "future": (
        contract(WHEN, event_time="x"),
        values(INSTANT, NOON),
        values(INSTANT, NOON.replace(microsecond=1)),
    ),
    "range": (contract(column(minimum=1, maximum=3)), values(pa.int64(), 1, 3), values(pa.int64(), 1, 4)),
    "allowed values": (
        contract(column("String", allowed=("a", "b"))),
        values(pa.string(), "a", "b", None),
        values(pa.string(), "a", "B"),
    ),
    "unique key": (
        contract(column(nullable=False), column("String", "label", nullable=False), key=("x", "label")),
        pa.table({"x": [1, 1, 2], "label": ["a", "b", "a"]}),
        pa.table({"x": [1, 1, 1], "label": ["a", "b", "a"]}),
    ),
    "reference": (
        contract(column(), references=(Reference(("x",), "others", ("id",), 1),)),
        values(pa.int64(), 1, 2, 7, 7, None),
        values(pa.int64(), 1, 2, 7, 8),
    ),
}
ELSEWHERE = {"quality", "quarantine"}
"""Rules of the content are in quality/test_operators.py, the share of rows set aside is in test_quarantine.py."""


@pytest.fixture
def found(tmp_path):
    """The rules that rows of a contract break; beside it is a source `others` with the ids 1 and 2."""
    known = contract(column(name="id", nullable=False), name="others", key=("id",))
    table = RawTable(known, tmp_path)
    origin = Origin(file_name="others.parquet", content_hash="hash", ingested_at=datetime(2020, 1, 2))

    def run(rules, rows: pa.Table) -> list[str]:
        if rules.references and not table.exists():
            table.append(pa.table({"id": [1, 2]}), origin)
        pq.write_table(rows, tmp_path / "drop.parquet")
        others = {"others": (known, table.snapshot())} if rules.references else {}
        with session() as connection:
            drop = open_drop(connection, tmp_path / "drop.parquet")
            return broken(run_checks(connection, rules, drop, specs=compile_checks(rules, now=NOON), sources=others))

    return run


@pytest.mark.parametrize("rule", CASES)
def test_a_drop_just_passes_and_one_just_fails(found, rule):
    rules, kept, refused = CASES[rule]
    assert found(rules, kept) == []
    assert found(rules, refused) == [rule]


def test_nanoseconds_are_exact_where_they_are_microseconds(found):
    rules = contract(column("UnixTimestamp"))
    assert found(rules, values(NAIVE_NS, 1_000)) == []
    assert found(rules, values(NAIVE_NS, 1_001)) == ["exact"]


def test_no_check_is_left_out():
    assert set(CASES) | ELSEWHERE == set(get_args(Rule))

"""A Parquet file is read for what its writer meant, where DuckDB sees the bytes alone."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.contracts.model import ColumnFormat
from transformations.engine.base.duck import session
from transformations.engine.base.errors import DataError
from validation.files.drop_files import open_drop
from validation.readings.conversions import accepted_types, conversion
from validation.readings.local_times import offset_periods_of_years

NOON = datetime(2020, 7, 1, 12)
MONTHS = pd.DataFrame({"x": pd.period_range("2020-01", periods=2, freq="M")})
STORED = ColumnFormat(stored_as="number")
TRUTHS = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0], pa.int8()))


@pytest.fixture
def stored_type(tmp_path):
    """The type of the column `x` of a Parquet file of this table."""

    def of(table: pa.Table, **options) -> str:
        pq.write_table(table, tmp_path / "drop.parquet", **options)
        with session() as connection:
            return open_drop(connection, tmp_path / "drop.parquet").types["x"]

    return of


def of_spark(kind: str, values: pa.Array) -> pa.Table:
    """A table with Spark's own note of its column's type."""
    note = json.dumps({"type": "struct", "fields": [{"name": "x", "type": kind, "nullable": True, "metadata": {}}]})
    return pa.table({"x": values}).replace_schema_metadata({"org.apache.spark.sql.parquet.row.metadata": note})


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (pa.table({"x": pa.array([timedelta(hours=1)], pa.duration("us"))}), "DURATION[us]"),
        (pa.table({"x": pa.array([timedelta(hours=1)]).dictionary_encode()}), "DURATION[us]"),
        (pa.Table.from_pandas(pd.DataFrame({"x": pd.to_timedelta([1], unit="h")})), "DURATION[ns]"),
        (pa.Table.from_pandas(MONTHS), "EXTENSION pandas.period"),
        (pa.table({"x": TRUTHS}), "EXTENSION arrow.bool8"),
        (pa.table({"x": pa.array([Decimal("12345678901234567890.12")], pa.decimal256(50, 2))}), "NUMERIC(50,2)"),
        (of_spark("interval day to second", pa.array([3_600_000_000])), "INTERVAL DAY TO SECOND"),
    ],
)
def test_what_is_no_number_is_not_taken_for_one(stored_type, table, kind):
    assert stored_type(table) == kind
    assert [conversion("x", kind, dtype, (), STORED) for dtype in ("Int64", "Float64", "Bool", "UnixTimestamp")] == [
        None
    ] * 4


def test_notes_that_are_none_are_a_broken_file(stored_type):
    noted = pa.table({"x": [1]}).replace_schema_metadata({"org.apache.spark.sql.parquet.row.metadata": "[1]"})
    with pytest.raises(DataError, match=r"drop.parquet cannot be read: its schema is broken"):
        stored_type(noted)


def test_a_duration_is_asked_for_as_a_number_of_a_unit():
    assert "its number of the unit that the contract names" in accepted_types("Int64", "DURATION[us]")


@pytest.mark.parametrize(
    ("table", "kind", "instant"),
    [
        (pa.table({"x": pa.array([NOON], pa.timestamp("ns"))}), "INT96", NOON.replace(hour=10)),
        (pa.table({"x": pa.array([NOON], pa.timestamp("ns", "Asia/Tokyo"))}), "INT96 in UTC", NOON),
        (of_spark("timestamp", pa.array([NOON], pa.timestamp("ns"))), "INT96 in UTC", NOON),
    ],
)
def test_times_of_96_bits_are_instants_where_their_writer_had_a_zone(tmp_path, stored_type, table, kind, instant):
    assert stored_type(table, use_deprecated_int96_timestamps=True) == kind
    how = conversion("x", kind, "UnixTimestamp", offset_periods_of_years("Europe/Berlin", [2020]))
    with session() as connection:
        rows = open_drop(connection, tmp_path / "drop.parquet").rows(["x"])
        assert connection.execute(f"SELECT {how.value} FROM {rows}").fetchall() == [(instant.replace(tzinfo=UTC),)]

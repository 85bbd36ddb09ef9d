"""The new rows of a table that Spark's catalogue knows, written by Spark: they need not fit into memory here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from transformations.contracts import Contract
from transformations.contracts.model import TableServer
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import instant_to_micros, micros_to_instant
from transformations.engine.base.settings import Settings
from transformations.engine.compute.spark import spark_session
from transformations.engine.launch.elsewhere import require_here
from validation.pulls.table_types import NewRows, refuse_other_types
from validation.pulls.watermarks import Mark, mark_of, refuse_missing, start_of_pull, unfit_mark, without_mark

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_WATERMARKS = ("tinyint", "smallint", "int", "bigint", "date", "timestamp", "timestamp_ntz")
_WHOLE = ",0)"  # the type of a decimal without a fraction
_TIMES = "spark.sql.parquet.outputTimestampType"


def write_new_rows(
    contract: Contract, server: TableServer, recorded: Mark | None, folder: Path, settings: Settings
) -> NewRows:
    """Write the rows that are new since the recorded watermark to Parquet files of the folder.

    DataError for a table that cannot be read or does not fit, ServiceUnavailableError where Spark does not start,
    UsageError where its tasks share no disk with this machine.
    """
    from pyspark.errors import PySparkException

    require_here(settings, f"{contract.file_name}: table {server.table} is written")
    spark = spark_session(settings)
    try:
        with _as_microseconds(spark):
            return _write(spark.table(server.table), contract, server, recorded, folder)
    except PySparkException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(
            f"{contract.file_name}: table {server.table} cannot be read by Spark: {reason}. No row was taken."
        ) from None


def _write(frame: DataFrame, contract: Contract, server: TableServer, recorded: Mark | None, folder: Path) -> NewRows:
    from pyspark.sql import functions as f
    from pyspark.sql.pandas.types import to_arrow_schema

    refuse_missing(contract, server, frame.columns)
    chosen = frame.select([column.in_file for column in contract.columns])
    empty = folder / "empty.parquet"
    pq.write_table(to_arrow_schema(chosen.schema, timezone="UTC").empty_table(), empty)
    refuse_other_types(contract, server, empty)
    empty.unlink()
    kinds = dict(frame.dtypes)
    mark = f.lit(None)
    if server.watermark is not None:
        kind = kinds[server.watermark]
        if kind not in _WATERMARKS and not kind.endswith(_WHOLE):
            raise unfit_mark(contract, server, kind)
        mark = f.col(f"`{server.watermark}`")
        newest = _mark(contract, server, frame.agg(f.max(_plain(mark, kind))).collect()[0][0], kind)
        since, notes = start_of_pull(server, recorded, newest)
        frame = frame if since is None else frame.where((mark >= _literal(since)) | mark.isNull())
    else:
        kind, notes = "void", ()
    # Counted before it is written: a row that comes in between is later than the watermark, and read again next time.
    facts = frame.agg(f.count("*"), f.count(mark), f.max(_plain(mark, kind))).collect()[0]
    rows, marked, newest = int(facts[0]), int(facts[1]), _mark(contract, server, facts[2], kind)
    if server.watermark and marked < rows:
        raise without_mark(contract, server, rows - marked)
    target = folder / "pulled"
    frame.select(chosen.columns).write.parquet(str(target))
    for file in target.iterdir():  # Spark's own marks, which are no part of the rows
        if file.name.startswith((".", "_")):
            file.unlink()
        else:
            file.rename(folder / file.name)
    target.rmdir()
    return NewRows(rows, newest, notes)


@contextmanager
def _as_microseconds(spark: SparkSession) -> Iterator[None]:
    """Let Spark write times as Parquet's own, of microseconds, not as 96 bits."""
    before = str(spark.conf.get(_TIMES))
    spark.conf.set(_TIMES, "TIMESTAMP_MICROS")
    try:
        yield
    finally:
        spark.conf.set(_TIMES, before)


def _plain(mark: Column, kind: str) -> Column:
    """The watermark as Python gets it whole: an instant would come as this machine's local time."""
    from pyspark.sql import functions as f

    return f.unix_micros(mark) if kind == "timestamp" else mark


def _mark(contract: Contract, server: TableServer, value: Any, kind: str) -> Mark | None:
    is_instant = kind == "timestamp" and value is not None
    return mark_of(contract, server, micros_to_instant(value) if is_instant else value)


def _literal(mark: Mark) -> Column:
    from pyspark.sql import functions as f

    if not isinstance(mark, datetime):
        return f.lit(mark)
    if mark.tzinfo is None:
        return f.expr(f"TIMESTAMP_NTZ '{mark.isoformat(sep=' ')}'")
    return f.timestamp_micros(f.lit(instant_to_micros(mark.astimezone(UTC))))

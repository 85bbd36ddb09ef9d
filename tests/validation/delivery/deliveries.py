"""Rows as others deliver them, ingested, and what is current then."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from transformations.contracts import read_contract
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable, read_current
from validation.delivery.ingest import Delivery, Ingestion, ingest_drop

NAIVE_US = pa.timestamp("us")


def deliver(settings: Settings, source: str, rows: pa.Table, name: str = "drop.parquet", **options) -> Ingestion:
    path = settings.data.parent / name
    pq.write_table(rows, path)
    return ingest_drop(Delivery(source, path, **options), settings)


def events(*rows: tuple[int, float | None, str]) -> pa.Table:
    ids, amounts, times = zip(*rows, strict=True)
    local = pa.array([datetime.fromisoformat(time) for time in times], NAIVE_US)
    return pa.table({"at": local, "id": pa.array(ids, pa.int32()), "amount": pa.array(amounts, pa.float64())})


def current(settings: Settings, source: str, *columns: str) -> list[tuple[object, ...]]:
    contract = read_contract(source, settings.contracts)
    rows = read_current(RawTable(contract, settings.raw_dir).snapshot(), contract, columns or None)
    return [tuple(row.values()) for row in rows.to_pylist()]


def utc(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)

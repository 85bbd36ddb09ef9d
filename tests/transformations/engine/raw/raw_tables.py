"""Small raw tables for tests: contracts of events and of things, literal rows, and what is current."""

from datetime import UTC, datetime

import pyarrow as pa

from tests.worlds.contracts import attribute_source, event_source
from transformations.contracts import Column, Contract
from transformations.engine.raw.zone import Origin, RawTable, read_current

UTC_US = pa.timestamp("us", tz="UTC")
NOW = datetime(2020, 2, 1, 12, tzinfo=UTC)


def contract(**changes) -> Contract:
    columns = (
        Column("id", "Int64", False, "The event"),
        Column("amount", "Float64", True, "An amount"),
        Column("at", "UnixTimestamp", False, "When"),
    )
    return event_source(**{"name": "events", "columns": columns, "key": ["id"], "at": "at"} | changes)


def attributes(**changes) -> Contract:
    columns = (Column("id", "Int64", False, "The thing"), Column("colour", "String", True, "Its colour"))
    since = {"valid_from": datetime(2019, 12, 31, tzinfo=UTC)}
    return attribute_source(**{"name": "things", "columns": columns, "key": ["id"]} | since | changes)


def events(*rows: tuple[int, float | None, str]) -> pa.Table:
    ids, amounts, times = zip(*rows, strict=True) if rows else ((), (), ())
    instants = [datetime.fromisoformat(time).replace(tzinfo=UTC) for time in times]
    return pa.table(
        {"id": pa.array(ids, pa.int64()), "amount": pa.array(amounts, pa.float64()), "at": pa.array(instants, UTC_US)}
    )


def things(*rows: tuple[int, str | None]) -> pa.Table:
    ids, colours = zip(*rows, strict=True) if rows else ((), ())
    return pa.table({"id": pa.array(ids, pa.int64()), "colour": pa.array(colours, pa.string())})


def keys(*ids: int) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64())})


def origin(name: str = "drop.parquet", at: datetime = NOW) -> Origin:
    return Origin(file_name=name, content_hash=f"hash of {name}", ingested_at=at)


def current(table: RawTable, *columns: str, **where: object) -> list[tuple[object, ...]]:
    rows = read_current(table.snapshot(), table.contract, columns or None, where)
    return [tuple(row.values()) for row in rows.to_pylist()]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)

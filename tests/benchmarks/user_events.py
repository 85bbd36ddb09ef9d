"""The events that the batch benchmark computes on: deterministic, written as a raw table like any ingested source."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from transformations import LIFETIME, Count, Sum, WindowedFeatures, at_least, column, days
from transformations.contracts import Column, Contract
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable

TYPES = ("click", "purchase", "view", "scroll")
FIRST_DAY = date(2025, 1, 1)
_BATCH = 1_000_000
_DAY_MICROS = 86_400_000_000

USER_EVENTS = Contract(
    name="user_events",
    version="1.0.0",
    description="What users did",
    owner="benchmarks@example.com",
    columns=(
        Column("event_id", "Int64", False, "Identity"),
        Column("user_id", "Int64", False, "User"),
        Column("event_type", "String", False, "What happened", allowed=TYPES),
        Column("amount", "Float64", False, "Amount"),
        Column("happened_at", "UnixTimestamp", False, "When"),
    ),
    key=("event_id",),
    event_time="happened_at",
    timestamp_zone="UTC",
    business_day_zone="UTC",
    valid_from=None,
    delivery="append",
)

USER_ACTIVITY = WindowedFeatures(
    name="user_activity",
    join_key="user_id",
    source="user_events",
    windows=[days(1), days(7), days(30), LIFETIME],
    description="Events by type, and amounts",
    features=[
        Count(
            name="events",
            per=column("event_type").each(*TYPES),
            description="Events",
            unit="events",
            expect=at_least(0),
        ),
        Sum("amount", name="amount", description="Amount", unit="USD", expect=at_least(0)),
    ],
)


def ingest_events(root: Path, events: int, users: int, number_of_days: int, through_day: int | None = None) -> RawTable:
    """Bring a raw table below `root` up to the end of its day `through_day` (1 is the first; default: the last).

    What it holds already is not written again, so that later days come as a drop of their own.
    """
    table = RawTable(USER_EVENTS, root)
    complete_through = table.snapshot().complete_through if table.exists() else None
    first = (complete_through - FIRST_DAY).days + 1 if complete_through else 0
    last = number_of_days if through_day is None else through_day
    if first < last:
        schema = source_schema(USER_EVENTS)
        batches = _batches(schema, events, users, number_of_days, range(first, last))
        origin = Origin(
            file_name="generated", content_hash=f"{events}x{users} through {last}", ingested_at=datetime.now(UTC)
        )
        through = FIRST_DAY + timedelta(days=last - 1)
        table.append(pa.RecordBatchReader.from_batches(schema, batches), origin, complete_through=through)
    return table


def _batches(
    schema: pa.Schema, events: int, users: int, number_of_days: int, wanted: range
) -> Iterator[pa.RecordBatch]:
    """Events of the wanted days (0 is the first) in order of time, each user equally likely, types in fixed
    proportions, amounts in cents.
    """
    chance = np.random.default_rng(7)
    first = int(datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC).timestamp()) * 1_000_000
    step = number_of_days * _DAY_MICROS / events
    for begin in range(0, events, _BATCH):
        size = min(_BATCH, events - begin)
        kinds = chance.choice(len(TYPES), size, p=[0.45, 0.05, 0.3, 0.2]).astype(np.int32)
        columns = [
            pa.array(np.arange(begin, begin + size)),
            pa.array(chance.integers(0, users, size)),
            pa.DictionaryArray.from_arrays(pa.array(kinds), pa.array(TYPES)).cast(pa.string()),
            pa.array(np.where(kinds == 1, chance.integers(100, 20_000, size) / 100, 0.0)),
            pa.array((first + (np.arange(begin, begin + size) * step)).astype(np.int64)).cast(schema.field(4).type),
        ]
        day = (np.arange(begin, begin + size) * step).astype(np.int64) // _DAY_MICROS
        rows = pa.record_batch(columns, schema=schema)
        yield rows.filter(pa.array((day >= wanted.start) & (day < wanted.stop)))

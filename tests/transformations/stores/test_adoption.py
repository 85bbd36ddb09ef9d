"""Rows that stock Feast wrote into Redis come into our store: none is lost, and none is newer than it was."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp
from redis import Redis

from tests.worlds.feast_stores import our_config
from transformations.engine.base.errors import UsageError
from transformations.stores import adoption
from transformations.stores.adoption import adopt

DAY = datetime(2024, 5, 1, tzinfo=UTC)
NEXT = DAY + timedelta(days=1)
FOREVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
VALUES: dict[str, tuple[Any, list[Any]]] = {
    "fare": (Int64, [5, None]),
    "tip": (Float64, [0.1, 2.5]),
    "narrow": (Float32, [0.1, None]),
    "seats": (Int32, [4, 2]),
    "note": (String, ["", "ü"]),
    "night": (Bool, [True, None]),
    "began": (UnixTimestamp, [DAY, NEXT]),
    "stops": (Array(Int64), [[1, 2], []]),
}
REFERENCES = [f"trips:{name}" for name in VALUES]


@pytest.fixture
def trips(tmp_path: Path) -> list[Any]:
    """A pushed view with a feature of each kind, one of a composite key, and one without an entity."""
    table = {name: pa.array(values) for name, (_, values) in VALUES.items()} | {
        "trip_id": pa.array([1, 2]),
        "event_timestamp": pa.array([DAY, DAY], pa.timestamp("us", "UTC")),
    }
    pq.write_table(pa.table(table), tmp_path / "trips.parquet")
    stored = FileSource(name="stored", path=str(tmp_path / "trips.parquet"), timestamp_field="event_timestamp")
    trip = Entity(name="trip", join_keys=["trip_id"], value_type=ValueType.INT64)
    zone = Entity(name="zone", join_keys=["zone"], value_type=ValueType.STRING)
    fields = [Field(name=name, dtype=dtype) for name, (dtype, _) in VALUES.items()]
    pushed = PushSource(name="pushed", batch_source=stored)
    fare = [Field(name="fare", dtype=Int64)]
    return [
        trip,
        zone,
        FeatureView(name="trips", entities=[trip], schema=fields, source=pushed),
        FeatureView(name="zones", entities=[trip, zone], schema=fare, source=stored, ttl=timedelta(days=9999)),
        FeatureView(name="city", entities=[], schema=fare, source=stored),
    ]


@pytest.fixture
def stock(tmp_path: Path, trips: list[Any], redis: Redis) -> FeatureStore:
    """Feast's own stores over the test's Redis."""
    config = RepoConfig(
        project="test",
        provider="local",
        registry=str(tmp_path / "registry.pb"),
        offline_store={"type": "duckdb"},
        online_store={"type": "redis", "connection_string": _address(redis)},
        entity_key_serialization_version=3,
    )
    config.repo_path = tmp_path
    store = FeatureStore(config=config)
    store.apply(trips)
    return store


@pytest.fixture
def ours(tmp_path: Path, trips: list[Any], redis: Redis) -> FeatureStore:
    store = FeatureStore(config=our_config(tmp_path))
    store.apply(trips)
    return store


def _address(redis: Redis) -> str:
    """In Feast's form, whose store wants a host, too."""
    return f"localhost:1,unix_socket_path={redis.connection_pool.connection_kwargs['path']}"


def _write(store: FeatureStore, view: str = "trips", **columns: Any) -> None:
    frame = pd.DataFrame({"event_timestamp": [NEXT], **{name: [value] for name, value in columns.items()}})
    store.write_to_online_store(view, frame)


def _online(store: FeatureStore, references: list[str], **key: Any) -> dict[str, Any]:
    found = store.get_online_features(references, [key]).to_dict()
    return {name: values[0] for name, values in found.items() if name not in key}


def _trip(**changed: Any) -> dict[str, Any]:
    return {name: values[0] for name, (_, values) in VALUES.items()} | {"trip_id": 7} | changed


def test_every_row_of_stocks_has_the_value_here_that_it_had_there(stock: FeatureStore, ours: FeatureStore) -> None:
    stock.materialize(*FOREVER, ["trips"])
    _write(stock, **_trip())
    _write(stock, "zones", trip_id=1, zone="a,b}", fare=3)
    _write(stock, "city", fare=9)
    found = adopt(ours)
    assert {name: moved.rows for name, moved in found.views.items()} == {"trips": 3, "zones": 1, "city": 1}
    assert (dict(found.unknown), found.foreign, found.removed) == ({}, 0, 0)
    for key in (1, 2, 7):
        theirs = _online(stock, REFERENCES, trip_id=key)
        assert _online(ours, REFERENCES, trip_id=key) == theirs
    assert _online(ours, ["zones:fare"], trip_id=1, zone="a,b}") == {"fare": 3}
    assert _online(ours, ["city:fare"]) == {"fare": 9}


def test_newer_rows_of_ours_stay_and_a_repetition_changes_nothing(
    stock: FeatureStore, ours: FeatureStore, redis: Redis
) -> None:
    _write(stock, **_trip())
    _write(stock, **_trip(trip_id=8))
    ours.push(
        "pushed",
        pd.DataFrame(
            {name: [value] for name, value in _trip(fare=99).items()} | {"event_timestamp": [NEXT + timedelta(hours=1)]}
        ),
    )
    adopt(ours)
    assert _online(ours, ["trips:fare"], trip_id=7) == {"fare": 99}
    assert _online(ours, ["trips:fare"], trip_id=8) == {"fare": 5}
    before = _content(redis)
    assert adopt(ours).views["trips"].rows == 2
    assert _content(redis) == before


def test_adopted_rows_live_through_a_load_and_loaded_ones_through_an_adoption(
    stock: FeatureStore, ours: FeatureStore
) -> None:
    _write(stock, **_trip())
    ours.materialize(*FOREVER, ["trips"])
    adopt(ours)
    ours.materialize(*FOREVER, ["trips"])
    assert [_online(ours, ["trips:fare"], trip_id=key)["fare"] for key in (1, 2, 7)] == [5, None, 5]


def test_an_adoption_that_is_killed_anywhere_is_completed_by_the_next(
    stock: FeatureStore, ours: FeatureStore, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    for key in range(6):
        _write(stock, **_trip(trip_id=key))
    monkeypatch.setattr("transformations.stores.redis.stock_rows.KEYS_A_STEP", 2)
    written, removed = adoption.PackedRedisOnlineStore.online_write_batch, adoption.remove_unchanged

    def killed(*arguments: Any) -> None:
        written(*arguments)
        raise KeyboardInterrupt

    def killed_later(*arguments: Any) -> None:
        removed(*arguments)
        raise KeyboardInterrupt

    for place, kill in (("PackedRedisOnlineStore.online_write_batch", killed), ("remove_unchanged", killed_later)):
        with monkeypatch.context() as patch:
            patch.setattr(f"transformations.stores.adoption.{place}", kill)
            with pytest.raises(KeyboardInterrupt):
                adopt(ours, remove=True)
    adopt(ours, remove=True)
    assert [_online(ours, ["trips:fare"], trip_id=key)["fare"] for key in range(6)] == [5] * 6
    assert [key for key in redis.scan_iter(_type="HASH", match="*test") if not key.startswith(b"{features}")] == []


def test_what_cannot_be_taken_is_counted_and_stays(
    stock: FeatureStore, ours: FeatureStore, redis: Redis, trips: list[Any]
) -> None:
    _write(stock, **_trip())
    far = pd.DataFrame({name: [value] for name, value in _trip(trip_id=8).items()})
    stock.write_to_online_store("trips", far.assign(event_timestamp=[datetime(2999, 1, 1, tzinfo=UTC)]))
    gone = FeatureView(
        name="gone", entities=trips[:1], schema=[Field(name="fare", dtype=Int64)], source=trips[3].source
    )
    other = FeatureView(name="city", entities=[], schema=[Field(name="fare", dtype=String)], source=trips[3].source)
    stock.apply([gone, other])
    _write(stock, "gone", trip_id=9, fare=1)
    _write(stock, "city", fare="nine")
    redis.hset("no entity of test", "field", "value")
    redis.hset("mytest", "field", "value")
    redis.set("a text of test", "value")
    found = adopt(ours, remove=True)
    moved = found.views["trips"]
    assert (moved.rows, moved.in_future, moved.unfit) == (1, 1, 0)
    assert (found.views["city"].rows, found.views["city"].unfit) == (0, 1)
    assert "Int64" in found.views["city"].example
    assert (dict(found.unknown), found.foreign, found.removed) == ({"gone": 1}, 2, 1)
    assert _online(ours, ["trips:fare"], trip_id=8) == {"fare": None}
    assert _online(stock, ["trips:fare"], trip_id=8) == {"fare": 5}
    assert _online(stock, ["trips:fare"], trip_id=7) == {"fare": None}


def test_stocks_keys_stay_unless_they_are_to_go_and_one_written_meanwhile_stays(
    stock: FeatureStore, ours: FeatureStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(stock, **_trip())
    _write(stock, **_trip(trip_id=8))
    before = {key: value for key, value in _content(redis).items() if not key.startswith(b"{")}
    adopt(ours)
    assert {key: value for key, value in _content(redis).items() if not key.startswith(b"{")} == before
    written = ours._get_provider().online_store.__class__.online_write_batch

    def write_meanwhile(*arguments: Any, **named: Any) -> None:
        written(*arguments, **named)
        monkeypatch.undo()
        _write(stock, **_trip(trip_id=8, fare=6, note="later"))

    monkeypatch.setattr("transformations.stores.online.PackedRedisOnlineStore.online_write_batch", write_meanwhile)
    stock.config.online_store.skip_dedup = True
    assert adopt(ours, remove=True).removed == 1
    assert _online(stock, ["trips:fare"], trip_id=8) == {"fare": 6}


def test_keys_that_stock_wrote_as_texts_are_found_as_the_integers_they_are_now(
    stock: FeatureStore, ours: FeatureStore, trips: list[Any], tmp_path: Path
) -> None:
    text = Entity(name="trip", join_keys=["trip_id"], value_type=ValueType.STRING)
    pushed = FeatureView(name="city", entities=[text], schema=[Field(name="fare", dtype=Int64)], source=trips[3].source)
    now = FeatureView(name="city", entities=trips[:1], schema=[Field(name="fare", dtype=Int64)], source=trips[3].source)
    stock.apply([text, pushed])
    ours.apply([now])
    _write(stock, "city", trip_id="12", fare=4)
    _write(stock, "city", trip_id="012", fare=5)
    found = adopt(ours).views["city"]
    assert (found.rows, found.unfit) == (1, 1)
    assert _online(ours, ["city:fare"], trip_id=12) == {"fare": 4}


def test_rows_come_from_another_database_where_that_is_named(
    stock: FeatureStore, ours: FeatureStore, redis: Redis
) -> None:
    stock.config.online_store.connection_string = f"{_address(redis)},db=3"
    _write(stock, **_trip())
    assert adopt(ours).hashes == 0
    assert adopt(ours, f"{_address(redis)},db=3").views["trips"].rows == 1
    assert _online(ours, ["trips:fare"], trip_id=7) == {"fare": 5}


def test_a_repository_of_feasts_own_store_is_refused(stock: FeatureStore) -> None:
    with pytest.raises(UsageError, match=r"the online store of feature_store.yaml is not ours: change its type first"):
        adopt(stock)


def _content(redis: Redis) -> dict[bytes, Any]:
    read: dict[bytes, Callable[[bytes], Any]] = {b"string": redis.get, b"hash": redis.hgetall}
    return {
        key: read[kind](key)
        for key in redis.scan_iter("*")
        if (kind := redis.type(key)) in read and b"features" not in key
    }

"""Values in Redis that are no rows of ours, damaged ones, and rows of the future: refused, or replaced by a load."""

import asyncio
import json
import logging
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64, String
from redis import Redis

from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import instant_to_micros
from transformations.engine.base.settings import get_settings
from transformations.stores.online import PackedRedisOnlineStore
from transformations.stores.redis.loaded import loaded_views
from transformations.stores.rows.packed_rows import HEADER, header
from validation.parity.causes import Cause, Kind
from validation.parity.live import check_live
from validation.parity.report import LiveReport

BEGINNING, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
NOW = "2024-06-01T00:00:00Z"
FEATURES = ["user_visits:spent", "user_visits:page"]
TABLE = """
user_id  event_timestamp  created_timestamp  spent  page
1        2024-05-01       2024-05-01         0.5    home
2        2024-05-02       2024-05-02         1.5    cart
3        2024-05-03       2024-05-03         -      -
"""
GOOD = {"spent": [0.5, 1.5, None], "page": ["home", "cart", None]}


@pytest.fixture
def view(stored: Callable[..., FeatureView], table_of: Callable[..., pa.Table]) -> FeatureView:
    rows = table_of(TABLE, spent=pa.float64(), page=pa.string())
    return stored("user_visits", rows, spent=Float64, page=String)


@pytest.fixture
def store(
    redis: Redis, store_of: Callable[..., FeatureStore], view: FeatureView, user: Entity, clock: Callable[[str], None]
) -> FeatureStore:
    clock(NOW)
    made = store_of(user, view)
    made.materialize(BEGINNING, END)
    return made


def key(redis: Redis, user: int) -> bytes:
    (found,) = redis.scan_iter(f"{{{user}}}*")
    return bytes(found)


def look(store: FeatureStore, *users: int) -> dict[str, list[Any]]:
    found = store.get_online_features(FEATURES, {"user_id": list(users)}).to_dict()
    return {name: found[name] for name in ("spent", "page")}


def look_async(store: FeatureStore, *users: int) -> dict[str, list[Any]]:
    async def ask() -> dict[str, list[Any]]:
        try:
            return (await store.get_online_features_async(FEATURES, {"user_id": list(users)})).to_dict()
        finally:
            await store.close()

    return asyncio.run(ask())


def read(store: FeatureStore, view: FeatureView, user: int) -> Any:
    entity = EntityKey(join_keys=["user_id"], entity_values=[Value(int64_val=user)])
    return PackedRedisOnlineStore().online_read(store.config, view, [entity])


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "it has 0 bytes": lambda row: b"",
    "it has 1 bytes": lambda row: b"x",
    "it has 17 bytes": lambda row: row[:17],
    "names schema 32767": lambda row: row[:16] + b"\xff\xfe" + row[18:],
    "names schema 0": lambda row: row[:16] + b"\x00\x00" + row[18:],
    "does not agree with its checksum": lambda row: row[:20] + bytes([row[20] ^ 4]) + row[21:],
    "it does not agree with its": lambda row: row[:-1],
}


@pytest.mark.parametrize("fault", DAMAGE)
def test_a_damaged_row_is_refused_by_view_and_key_and_a_load_from_the_beginning_replaces_it(
    fault: str, redis: Redis, store: FeatureStore, view: FeatureView, caplog: pytest.LogCaptureFixture
) -> None:
    redis.set(key(redis, 1), DAMAGE[fault](bytes(redis.get(key(redis, 1)) or b"")))
    for lookup in (lambda: look(store, 3, 1), lambda: look_async(store, 1), lambda: read(store, view, 1)):
        with pytest.raises(DataError, match=rf"user_visits: what Redis holds under the key \{{1\}}\w+ .*{fault}"):
            lookup()
    assert look(store, 2, 3) == {"spent": [1.5, None], "page": ["cart", None]}
    with caplog.at_level(logging.WARNING, "transformations"):
        store.materialize(BEGINNING, END)
    assert look(store, 1, 2, 3) == GOOD
    is_seen_by_the_writer = fault.endswith("bytes") or "32767" in fault  # others yield to a row as new as they are
    assert loaded_views(store, get_settings())["user_visits"].replaced == int(is_seen_by_the_writer)
    assert ("1 values in Redis under keys" in caplog.text) == is_seen_by_the_writer


OTHER_TYPES: dict[str, Callable[[Redis, bytes], object]] = {
    "list": lambda redis, name: redis.rpush(name.decode(), "a"),
    "hash": lambda redis, name: redis.hset(name.decode(), "a", "b"),
    "set": lambda redis, name: redis.sadd(name.decode(), "a"),
    "zset": lambda redis, name: redis.zadd(name.decode(), {"a": 1}),
    "stream": lambda redis, name: redis.xadd(name, {"a": "b"}),
}


@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_a_value_of_another_type_is_refused_by_view_and_key_and_the_next_load_replaces_and_counts_it(
    kind: str, redis: Redis, store: FeatureStore, view: FeatureView, caplog: pytest.LogCaptureFixture
) -> None:
    name = key(redis, 1)
    redis.delete(name)
    OTHER_TYPES[kind](redis, name)
    many = range(1, 99)
    for lookup in (
        lambda: look(store, 3, 1, 9),
        lambda: look(store, *many),
        lambda: look_async(store, 1),
        lambda: look_async(store, *many),
        lambda: read(store, view, 1),
    ):
        with pytest.raises(DataError, match=r"user_visits: .* the key \{1\}\w+ .* of another type than a string"):
            lookup()
    assert look(store, 2, 9) == {"spent": [1.5, None], "page": ["cart", None]}
    with caplog.at_level(logging.WARNING, "transformations"):
        store.materialize(BEGINNING, END)
    assert look(store, 1, 2, 3) == GOOD
    assert "1 values in Redis under keys of this view were no intact rows" in caplog.text


@pytest.mark.parametrize("kind", ["epoch:test", "views:2:test", "loaded:2:test"])
def test_another_type_under_a_key_of_our_own_is_refused_and_the_remedy_it_names_heals(
    kind: str, redis: Redis, store: FeatureStore, view: FeatureView
) -> None:
    name = f"{{features}}:{kind}"
    assert redis.delete(name)
    redis.rpush(name, "a")
    said = r"\{features\}:.* of another type than the online store's own.*`DEL`"
    if not kind.startswith("loaded"):
        with pytest.raises(DataError, match=said):
            look(FeatureStore(config=store.config), 1)
    with pytest.raises(DataError, match=said):
        store.materialize(BEGINNING, END)
    redis.delete(name)
    store.materialize(BEGINNING, END)
    assert look(FeatureStore(config=store.config), 1, 2, 3) == GOOD


def test_the_record_of_a_load_that_cannot_be_read_is_said_with_its_place(redis: Redis, store: FeatureStore) -> None:
    redis.hset("{features}:loaded:2:test", "user_visits", "none of ours")
    for attempt in (lambda: store.materialize(BEGINNING, END), lambda: loaded_views(store, get_settings())):
        with pytest.raises(DataError, match=r"record of a load.*HDEL \{features\}:loaded:2:test user_visits"):
            attempt()
    redis.hdel("{features}:loaded:2:test", "user_visits")
    store.materialize(BEGINNING, END)
    assert look(store, 1, 2, 3) == GOOD


def test_a_push_replaces_a_damaged_row(redis: Redis, store: FeatureStore, view: FeatureView) -> None:
    row = bytes(redis.get(key(redis, 1)) or b"")
    redis.set(key(redis, 1), b"\x7f" + row[1:])
    push(store, "2024-05-20", spent=2.5)
    assert look(store, 1)["spent"] == [2.5]


def test_damaged_values_are_not_carried_into_a_table_that_is_loaded_anew(
    redis: Redis, store: FeatureStore, view: FeatureView
) -> None:
    push(store, "2024-05-20", spent=2.5)
    pushed = bytes(redis.get(key(redis, 1)) or b"")
    redis.set(key(redis, 2), pushed[:-1])
    redis.set(key(redis, 3), b"\x01")
    redis.set(b"{4}" + key(redis, 1)[-5:], pushed[:-3])
    redis.rpush((b"{5}" + key(redis, 1)[-5:]).decode(), "x")
    redis.hdel("{features}:loaded:2:test", "user_visits")  # nobody knows what lies there
    store.materialize(BEGINNING, END)
    assert look(store, 1, 2, 3, 4, 5)["spent"] == [2.5, 1.5, None, None, None]


def test_rows_of_before_there_were_checksums_are_read_and_replaced_by_the_next_load(
    redis: Redis, store: FeatureStore, view: FeatureView
) -> None:
    table = key(redis, 1)[-5:]
    redis.hset(
        "{features}:views:2:test",
        "user_visits",
        json.dumps({"number": table.decode(), "schemas": ['[["spent","Float64"],["page","String"]]']}),
    )
    note = json.loads(redis.hget("{features}:loaded:2:test", "user_visits") or b"")
    note["schema"] = '[["spent","Float64"],["page","String"]]'
    redis.hset("{features}:loaded:2:test", "user_visits", json.dumps(note))
    redis.incr("{features}:epoch:test")
    moment = instant_to_micros(datetime(2024, 5, 1, tzinfo=UTC))
    redis.set(key(redis, 1), header(moment, moment, 1, 0) + struct.pack("<d", 9.5) + b"\xa3old")
    assert look(store, 1) == {"spent": [9.5], "page": ["old"]}
    store.materialize_incremental(END)
    assert look(store, 1, 2, 3) == GOOD
    assert len(redis.get(key(redis, 1)) or b"") == HEADER.size + 8 + 5 + 5


def test_an_entry_of_the_catalogue_that_cannot_be_read_is_said_with_its_view(redis: Redis, store: FeatureStore) -> None:
    redis.hset("{features}:views:2:test", "user_visits", "none of ours")
    redis.incr("{features}:epoch:test")
    with pytest.raises(DataError, match=r"user_visits: its entry in the online store's catalogue cannot be read.*HDEL"):
        look(store, 1)


# Rows of the future


def push(store: FeatureStore, at: str, **values: object) -> None:
    moment = pd.Timestamp(at, tz="UTC")
    row = {"user_id": 1, "event_timestamp": moment, "created_timestamp": moment, "spent": None, "page": None}
    store.write_to_online_store("user_visits", pd.DataFrame([{**row, **values}]))


def test_a_row_pushed_further_ahead_than_allowed_is_refused_with_all_beside_it(
    store: FeatureStore, view: FeatureView, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(store, "2024-06-01T00:05:00", spent=3.5)
    assert look(store, 1)["spent"] == [3.5]
    with pytest.raises(DataError, match=r"1 of 1 pushed rows lie in the future: row 0 .*2024-06-01T00:05:01"):
        push(store, "2024-06-01T00:05:01", spent=4.5)
    entity = EntityKey(join_keys=["user_id"], entity_values=[Value(int64_val=1)])
    moments = (END + timedelta(seconds=1), datetime(2031, 1, 1))
    rows: list[Any] = [(entity, {"spent": Value(double_val=5.5)}, moment, None) for moment in moments]
    online = PackedRedisOnlineStore()
    with pytest.raises(DataError, match=r"1 of 2 pushed rows .*row 1 .*2031.*FEATURES_PUSH_LEAD_SECONDS"):
        online.online_write_batch(store.config, view, rows, None)
    with pytest.raises(DataError, match="lie in the future"):
        asyncio.run(online.online_write_batch_async(store.config, view, rows, None))
    assert look(store, 1)["spent"] == [3.5]
    monkeypatch.setenv("FEATURES_PUSH_LEAD_SECONDS", "301")
    push(store, "2024-06-01T00:05:01", spent=4.5)
    assert look(store, 1)["spent"] == [4.5]


def test_a_row_of_the_future_from_before_this_was_refused_is_named_by_parity_and_the_remedy_it_names_heals(
    store: FeatureStore, view: FeatureView, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def report() -> LiveReport:
        return check_live(store, [view], loaded_views(store, get_settings()), get_settings().now())

    with monkeypatch.context() as older:
        older.setenv("FEATURES_PUSH_LEAD_SECONDS", str(10 * 365 * 86_400))
        push(store, "2031-01-01", spent=9.5)
        assert look(store, 1)["spent"] == [9.5]
    spent = report().features[0]
    assert spent.causes == {f"{Kind.SKEW}: {Cause.EARLY}": 1}
    assert "2031-01-01" in spent.examples[0].words
    with caplog.at_level(logging.WARNING, "transformations"):
        store.materialize(BEGINNING, END)  # "a full `feast materialize` from the beginning"
    assert look(store, 1, 2, 3) == GOOD
    assert report().outcomes == ()
    assert "1 values in Redis under keys of this view were no intact rows, or lay in the future" in caplog.text

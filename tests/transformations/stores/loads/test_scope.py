"""Whatever the online store holds, and of whichever table: after a load it says what training says.

Rows of a table that was built anew need not be newer than those they replace: newest-wins alone would keep the old.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64, Int64
from redis import Redis

from transformations.engine.base.errors import FeaturesError
from transformations.stores import loading
from transformations.stores.redis.unlinking import carry_pushed
from transformations.stores.views import feature_view

Store = Callable[..., FeatureStore]
Rows = Callable[..., pa.Table]
Publish = Callable[..., Any]
Define = Callable[[str], FeatureView]

DOMAIN = """
from transformations import Last, Sum, WindowedFeatures, at_least

user_visits = WindowedFeatures(
    name="user_visits",
    join_key="user_id",
    source="visits",
    description="Visits of a user",
    features=[
        Sum("spent", name="spend", description="What was spent", unit="USD", expect=at_least(0)),
        Last("spent", name="spent", description="What was spent last", unit="USD", expect=at_least(0)),
    ],
)
"""
SPEND, LAST = "spend_sum_lifetime", "spent_last_lifetime"
USERS = (1, 2, 3)
# Rows created late (a correction, a restore) and of days that were taken back; then the rebuilt table has none of them.
OLD = "1  2024-05-05  2024-05-20  5  6\n2  2024-05-09  2024-05-20  7  8\n3  2024-05-02  2024-05-20  1  2"
NEW = "1  2024-05-05  2024-05-05  50  60\n2  2024-05-03  2024-05-03  70  80"


@pytest.fixture
def defined(contracts: Path, module_of: Callable[[str, str], ModuleType], user: Entity) -> Define:
    """The view under a definition of this hash."""

    def make(definition: str) -> FeatureView:
        view = feature_view(module_of("visit_domain", DOMAIN).user_visits, entity=user, owner="team@example.com")
        view.tags["definition_hash"] = definition
        return view

    return make


@pytest.fixture
def visits(tmp_path: Path, user: Entity) -> Callable[..., FeatureView]:
    """A plain view over a folder."""

    def make(**field_mapping: str) -> FeatureView:
        return FeatureView(
            name="user_visits",
            entities=[user],
            schema=[
                Field(name="user_id", dtype=Int64),
                Field(name=SPEND, dtype=Float64),
                Field(name=LAST, dtype=Float64),
            ],
            source=FileSource(
                name="visits",
                path=str(tmp_path / "visits"),
                timestamp_field="event_timestamp",
                created_timestamp_column="created_timestamp",
                field_mapping=field_mapping,
            ),
            owner="team@example.com",
            description="Visits of a user",
        )

    return make


@pytest.fixture
def rows(table_of: Rows) -> Callable[[str], pa.Table]:
    head = f"user_id  event_timestamp  created_timestamp  {SPEND}  {LAST}\n"
    return lambda lines: table_of(head + lines, **{SPEND: pa.float64(), LAST: pa.float64()})


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, function: str) -> Iterator[None]:
    """What is loaded in here comes to its end when it calls this function."""

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(loading, function, killed)
        with pytest.raises(FeaturesError, match="interrupted"):
            yield


def load(store: FeatureStore) -> None:
    store.materialize_incremental(datetime(2024, 6, 1, tzinfo=UTC))


def online(store: FeatureStore) -> list[tuple[Any, Any]]:
    rows = [{"user_id": user} for user in USERS]
    found = store.get_online_features([f"user_visits:{name}" for name in (SPEND, LAST)], rows).to_dict()
    return list(zip(found[SPEND], found[LAST], strict=True))


def training(store: FeatureStore, table_of: Rows) -> list[tuple[Any, Any]]:
    spine = table_of("\n".join(["user_id  event_timestamp", *(f"{user}  2024-06-01" for user in USERS)]))
    found = store.get_historical_features(spine.to_pandas(), [f"user_visits:{name}" for name in (SPEND, LAST)])
    table = found.to_arrow()
    return list(zip(table[SPEND].to_pylist(), table[LAST].to_pylist(), strict=True))


def test_a_table_rebuilt_under_another_definition_replaces_rows_that_are_newer_than_its_own(
    redis: Redis, store_of: Store, user: Entity, defined: Define, rows: Rows, table_of: Rows, publish: Publish
) -> None:
    view = defined("a" * 16)
    store = store_of(user, view)
    publish(view, rows(OLD))
    load(store)
    assert online(store) == [(5, 6), (7, 8), (1, 2)]

    publish(defined("b" * 16), rows(NEW), kind="rebuild")
    store.apply([defined("b" * 16)])
    load(store)
    assert online(store) == training(store, table_of) == [(50, 60), (70, 80), (None, None)]

    changed_places = "1  2024-05-05  2024-05-05  60  50\n2  2024-05-03  2024-05-03  80  70"
    publish(defined("c" * 16), rows(changed_places), kind="rebuild")
    store.apply([defined("c" * 16)])
    load(store)
    assert online(store) == training(store, table_of) == [(60, 50), (80, 70), (None, None)]


def test_rows_of_a_first_load_that_was_killed_do_not_outlive_a_rebuild(
    redis: Redis,
    store_of: Store,
    user: Entity,
    defined: Define,
    rows: Rows,
    table_of: Rows,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = defined("a" * 16)
    store = store_of(user, view)
    publish(view, rows(OLD))
    with killed_at(monkeypatch, "record"):
        load(store)
    publish(defined("b" * 16), rows(NEW), kind="rebuild")
    store.apply([defined("b" * 16)])
    load(store)
    assert online(store) == training(store, table_of) == [(50, 60), (70, 80), (None, None)]


def test_rows_of_a_load_that_was_killed_when_it_had_just_replaced_others_do_not_outlive_a_rebuild(
    redis: Redis,
    store_of: Store,
    user: Entity,
    defined: Define,
    rows: Rows,
    table_of: Rows,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = store_of(user, defined("a" * 16))
    publish(defined("a" * 16), rows(NEW))
    load(store)
    publish(defined("b" * 16), rows(OLD), kind="rebuild")
    store.apply([defined("b" * 16)])
    with killed_at(monkeypatch, "record"):
        load(store)
    publish(defined("c" * 16), rows(NEW), kind="rebuild")
    store.apply([defined("c" * 16)])
    load(store)
    assert online(store) == training(store, table_of) == [(50, 60), (70, 80), (None, None)]


def test_a_load_that_is_killed_and_run_again_goes_on_in_the_same_table(
    redis: Redis,
    store_of: Store,
    user: Entity,
    defined: Define,
    rows: Rows,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = store_of(user, defined("a" * 16))
    publish(defined("a" * 16), rows(NEW))
    with killed_at(monkeypatch, "record"):
        load(store)
    before = sorted(redis.scan_iter("{?}?????"))
    publish(defined("a" * 16), rows(OLD))
    load(store)
    assert online(store) == [(5, 6), (7, 8), (1, 2)]
    assert set(before) <= set(redis.scan_iter("{?}?????"))
    assert not list(redis.scan_iter("{features}:begun:*"))


def test_rows_of_a_file_that_was_replaced_after_a_killed_load_are_gone(
    redis: Redis,
    store_of: Store,
    user: Entity,
    visits: Callable[..., FeatureView],
    rows: Rows,
    table_of: Rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "visits").mkdir()
    pq.write_table(rows("1  2024-05-01  2024-05-01  1  1"), tmp_path / "visits" / "1.parquet")
    store = store_of(user, visits())
    load(store)
    pq.write_table(rows(OLD), tmp_path / "visits" / "2.parquet")
    with killed_at(monkeypatch, "record"):
        load(store)
    pq.write_table(rows(NEW), tmp_path / "visits" / "2.parquet")
    load(store)
    assert online(store) == training(store, table_of) == [(50, 60), (70, 80), (None, None)]


def test_columns_that_a_source_maps_otherwise_are_read_anew(
    redis: Redis,
    store_of: Store,
    user: Entity,
    visits: Callable[..., FeatureView],
    rows: Rows,
    tmp_path: Path,
    table_of: Rows,
) -> None:
    (tmp_path / "visits").mkdir()
    stored = rows(NEW).rename_columns({SPEND: "one", LAST: "two"})
    pq.write_table(stored, tmp_path / "visits" / "1.parquet")
    store = store_of(user, visits(one=SPEND, two=LAST))
    load(store)
    store.apply([visits(two=SPEND, one=LAST)])
    load(store)
    assert online(store) == training(store, table_of) == [(60, 50), (80, 70), (None, None)]


def test_a_delta_table_that_was_made_anew_is_another_one_though_its_versions_count_the_same(
    redis: Redis,
    store_of: Store,
    user: Entity,
    visits: Callable[..., FeatureView],
    rows: Rows,
    tmp_path: Path,
    table_of: Rows,
) -> None:
    folder = tmp_path / "visits"
    write_deltalake(str(folder), rows(OLD))
    store = store_of(user, visits())
    load(store)
    shutil.rmtree(folder)
    write_deltalake(str(folder), rows(NEW))
    load(store)
    assert online(store) == training(store, table_of) == [(50, 60), (70, 80), (None, None)]


def test_a_load_of_the_old_table_does_not_take_the_place_of_one_of_the_rebuilt_table(
    redis: Redis,
    store_of: Store,
    user: Entity,
    defined: Define,
    rows: Rows,
    table_of: Rows,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = store_of(user, defined("0" * 16))
    publish(defined("0" * 16), rows(NEW))
    load(store)
    publish(defined("a" * 16), rows(OLD), kind="rebuild")
    store.apply([defined("a" * 16)])
    carry = carry_pushed
    others: list[str] = []

    def overtaken(*arguments: Any) -> None:
        if not others:
            others.append("the rebuild's load")
            publish(defined("b" * 16), rows(NEW), kind="rebuild")
            other = store_of(user, defined("b" * 16))
            load(other)
        carry(*arguments)

    monkeypatch.setattr(loading, "carry_pushed", overtaken)
    with pytest.raises(FeaturesError, match="was built from definition bbbb"):
        load(store)
    store = store_of()
    assert online(store) == training(store, table_of) == [(50, 60), (70, 80), (None, None)]


def test_a_load_that_another_one_has_overtaken_in_the_same_table_does_not_leave_its_rows(
    redis: Redis,
    store_of: Store,
    user: Entity,
    visits: Callable[..., FeatureView],
    rows: Rows,
    table_of: Rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "visits").mkdir()
    pq.write_table(rows("1  2024-05-01  2024-05-01  1  1"), tmp_path / "visits" / "1.parquet")
    store = store_of(user, visits())
    load(store)
    pq.write_table(rows(OLD), tmp_path / "visits" / "2.parquet")
    write = loading.Load._write
    others: list[str] = []

    def overtaken(*arguments: Any, **named: Any) -> int:
        written = write(*arguments, **named)
        if not others:
            others.append("a load after the file was replaced")
            pq.write_table(rows(NEW), tmp_path / "visits" / "2.parquet")
            load(store_of())
        return written

    monkeypatch.setattr(loading.Load, "_write", overtaken)
    load(store)
    assert online(store) == training(store, table_of) == [(50, 60), (70, 80), (None, None)]

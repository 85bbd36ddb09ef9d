"""Whole retrievals against a search of all history rows for each spine row, and against stock Feast if it is right."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.data_format import ParquetFormat
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.types import Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transformations.stores.base.feast_seams import with_offline_config
from transformations.stores.offline import PointInTimeOfflineStore
from transformations.stores.training import retrieval

START = datetime(2024, 5, 1, tzinfo=UTC)
TIMESTAMP = pa.timestamp("us", tz="UTC")
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
PAGE = Entity(name="page", join_keys=["page"], value_type=ValueType.STRING)
KEYS = {"user_visits": ("user_id",), "user_page_hits": ("user_id", "page"), "market": ()}
TYPES = {"user_id": (pa.int64(), Int64), "page": (pa.string(), String)}

ticks = st.integers(0, 5)
users, pages = st.sampled_from([1, 2, 2**53 + 1]), st.sampled_from(["home", "news"])
spine_rows = st.tuples(st.sampled_from([1, 2, 2**53 + 1, 9, None]), st.sampled_from(["home", "news", "?", None]), ticks)
history_rows = st.tuples(users, pages, ticks, st.none() | ticks, st.none() | st.integers(0, 99))


@dataclass(frozen=True)
class World:
    """What is in each view's files, file by file, with each view's ttl in microseconds; and the spine."""

    files: dict[str, list[list[tuple[Any, ...]]]]
    ttls: dict[str, int]
    spine: list[tuple[Any, ...]]
    as_served: bool = False
    threads: int = field(default=2)


@st.composite
def worlds(draw: Any) -> World:
    files = {name: draw(st.lists(st.lists(history_rows, max_size=8), min_size=1, max_size=3)) for name in KEYS}
    ttls = {name: draw(st.integers(0, 3)) for name in KEYS}
    return World(
        files, ttls, draw(st.lists(spine_rows, max_size=8)), draw(st.booleans()), draw(st.sampled_from([1, 2]))
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """An empty feature store, for what Feast's stores want beside views and a spine."""
    folder = tmp_path_factory.mktemp("store")
    config = RepoConfig(
        project="test",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": "transformations.stores.offline.PointInTimeOfflineStore"},
        online_store=None,
        entity_key_serialization_version=3,
    )
    config.repo_path = folder
    store = FeatureStore(config=config)
    store.apply([USER, PAGE])
    return store


@pytest.fixture(scope="module")
def view_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[World, str], FeatureView]:
    """Writes a view's files, in row groups of two rows, and declares the view."""
    root = tmp_path_factory.mktemp("files")

    def make(world: World, name: str) -> FeatureView:
        folder = root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for number, rows in enumerate(world.files[name]):
            pq.write_table(_table(rows, KEYS[name]), folder / f"{number}.parquet", row_group_size=2)
        return FeatureView(
            name=name,
            entities=[entity for entity in (USER, PAGE) if entity.join_key in KEYS[name]],
            ttl=timedelta(microseconds=world.ttls[name]),
            schema=[*(Field(name=key, dtype=TYPES[key][1]) for key in KEYS[name]), Field(name="seen", dtype=Int64)],
            source=FileSource(
                name=name,
                path=str(folder),
                timestamp_field="happened_at",
                created_timestamp_column="created_at" if name != "market" else "",
                file_format=ParquetFormat(),
            ),
        )

    return make


def _table(rows: list[tuple[Any, ...]], keys: tuple[str, ...]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [[]] * 5
    by_key = dict(zip(("user_id", "page"), columns, strict=False))
    return pa.table(
        {
            **{key: pa.array(by_key[key], TYPES[key][0]) for key in keys},
            "happened_at": pa.array([_at(tick) for tick in columns[2]], TIMESTAMP),
            "created_at": pa.array([tick if tick is None else _at(tick) for tick in columns[3]], TIMESTAMP),
            "seen": pa.array(columns[4], pa.int64()),
        }
    )


def _at(tick: int) -> datetime:
    return START + timedelta(microseconds=tick)


def _spine(world: World) -> pa.Table:
    columns = list(zip(*world.spine, strict=True)) or [[]] * 3
    return pa.table(
        {
            "user_id": pa.array(columns[0], pa.int64()),
            "page": pa.array(columns[1], pa.string()),
            "event_timestamp": pa.array([_at(tick) for tick in columns[2]], TIMESTAMP),
            "row": list(range(len(world.spine))),
        }
    )


def _expected(world: World, name: str, spine_row: tuple[Any, ...]) -> int | None:
    """The definition, over every row of every file in their order."""
    user, page, moment = spine_row
    key = {"user_id": user, "page": page}
    has_created = name != "market"
    best: tuple[int, int, int] | None = None
    value = None
    rows = [row for rows in world.files[name] for row in rows]
    for place, (row_user, row_page, happened, created, seen) in enumerate(rows):
        row_key = {"user_id": row_user, "page": row_page}
        if happened > moment or any(key[column] != row_key[column] for column in KEYS[name]):
            continue
        if world.as_served and has_created and (created is None or created > moment):
            continue
        rank = (happened, -1 if created is None or not has_created else created, place)
        if best is None or rank > best:
            best, value = rank, seen
    if best is None or (world.ttls[name] and moment - best[0] > world.ttls[name]):
        return None
    return value


@given(world=worlds(), recent=st.sampled_from([0, 1, 3, 60 * 86_400_000_000]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_spine_row_gets_of_every_view_what_a_search_of_all_rows_finds(
    world: World, recent: int, store: FeatureStore, view_of: Callable[[World, str], FeatureView]
) -> None:
    """recent: how long before the spine, in microseconds, rows are matched at once."""
    config = store.config.model_copy(deep=True)
    config.offline_store.threads = world.threads
    views = [view_of(world, name) for name in KEYS]
    spine = _spine(world)
    job = PointInTimeOfflineStore.get_historical_features(
        config,
        views,
        [f"{name}:seen" for name in KEYS],
        spine,
        store.registry,
        "test",
        full_feature_names=True,
        filter_by_created_timestamp=world.as_served,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "RECENT", timedelta(microseconds=recent))
        table = job.to_arrow()
    assert table.select(spine.column_names).equals(spine)
    for name in KEYS:
        assert table[f"{name}__seen"].type == pa.int64()
        assert table[f"{name}__seen"].to_pylist() == [_expected(world, name, row) for row in world.spine], name


@pytest.mark.proof
@given(world=worlds())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_where_stock_feast_is_right_the_result_is_the_same(
    world: World, store: FeatureStore, view_of: Callable[[World, str], FeatureView]
) -> None:
    """Stock needs a spine with rows and no null in a key, and cannot tell rows of equal timestamps apart."""
    spine = [row for row in world.spine if None not in row] or [(1, "home", 3)]
    files = {
        name: [[(user, page, tick, tick, number) for number, (user, page, tick, _, _) in enumerate(_distinct(rows))]]
        for name, rows in ((name, [row for rows in each for row in rows]) for name, each in world.files.items())
    }
    world = World(files, world.ttls, spine, world.as_served)
    views = [view_of(world, name) for name in KEYS]
    asked = ([f"{name}:seen" for name in KEYS], _spine(world).to_pandas(), store.registry, "test", True)
    feasts = with_offline_config(store.config, DuckDBOfflineStoreConfig())
    ours, theirs = (
        offline.get_historical_features(config, views, *asked, filter_by_created_timestamp=world.as_served).to_df()
        for offline, config in ((PointInTimeOfflineStore, store.config), (DuckDBOfflineStore, feasts))
    )
    names = ["row", *(f"{name}__seen" for name in KEYS)]
    pd.testing.assert_frame_equal(
        ours[names].astype("Int64"), theirs.sort_values("row").reset_index(drop=True)[names].astype("Int64")
    )


def _distinct(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """One row a moment, of any key: then each view has no ties."""
    return list({row[2]: row for row in rows}.values())

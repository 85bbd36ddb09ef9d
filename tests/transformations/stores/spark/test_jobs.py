"""Retrieval on Spark: bit for bit what the local engine gives, for every kind of spine, key, type and skew."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, OnDemandFeatureView, RequestSource, ValueType
from feast.data_format import ParquetFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.worlds.feast_stores import our_config
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.compute.spark import spark_session
from transformations.stores.spark import histories, retrieval

START = datetime(2024, 5, 1, tzinfo=UTC)
TIMESTAMP = pa.timestamp("us", tz="UTC")
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
PAGE = Entity(name="page", join_keys=["page"], value_type=ValueType.STRING)
SHOP = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
KEYS = {"visits": ("user_id",), "hits": ("user_id", "page"), "shops": ("shop",), "market": ()}
KINDS = {"user_id": (pa.int64(), Int64), "page": (pa.string(), String), "shop": (pa.string(), String)}
FEATURES: dict[str, tuple[pa.DataType, Any]] = {
    "seen": (pa.int64(), Int64),
    "narrow": (pa.int32(), Int32),
    "paid": (pa.float64(), Float64),
    "rate": (pa.float32(), Float32),
    "word": (pa.string(), String),
    "is_new": (pa.bool_(), Bool),
    "at": (TIMESTAMP, UnixTimestamp),
    "raw": (pa.binary(), Bytes),
    "list": (pa.list_(pa.int64()), Array(Int64)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spark")


@pytest.fixture(autouse=True)
def _is_shuffled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories are shuffled, small as they are, unless a test says that tasks read them whole."""
    if getattr(request, "param", True):
        monkeypatch.setattr(retrieval, "MOST_ROWS_READ", 0)


BOTH = pytest.mark.parametrize("_is_shuffled", [True, False], ids=["shuffled", "whole"], indirect=True)


@pytest.fixture
def stores(folder: Path, spark_settings: Settings) -> Callable[..., tuple[FeatureStore, FeatureStore]]:
    """Two stores with these objects applied: one with the local engine, one with Spark."""

    def make(*objects: Any) -> tuple[FeatureStore, FeatureStore]:
        local = FeatureStore(config=our_config(folder))
        local.apply(list(objects))
        return local, FeatureStore(config=our_config(folder, offline_store={"engine": "spark"}))

    return make


def history(random: np.random.Generator, keys: tuple[str, ...], rows: int, entities: int) -> pa.Table:
    """Rows of all features with nulls, ties and corrections among them."""

    def some(values: Any, kind: pa.DataType) -> pa.Array:
        return pa.array(list(values), kind, mask=random.random(rows) < 0.1)

    numbers = random.integers(0, 1_000, rows)
    columns = {
        "seen": some(numbers, pa.int64()),
        "narrow": some(numbers.astype(np.int32), pa.int32()),
        "paid": some(random.normal(size=rows), pa.float64()),
        "rate": some(random.normal(size=rows).astype(np.float32), pa.float32()),
        "word": some([f"ü{number}" for number in numbers], pa.string()),
        "is_new": some(numbers % 2 == 0, pa.bool_()),
        "at": some((numbers * 1_500_000).tolist(), pa.int64()).cast(TIMESTAMP),
        "raw": some([bytes([number % 256, 0]) for number in numbers], pa.binary()),
        "list": some([[number, 7][: number % 3] for number in numbers.tolist()], pa.list_(pa.int64())),
    }
    return pa.table({**_keys(random, keys, rows, entities), **_moments(random, rows), **columns})


def _keys(random: np.random.Generator, keys: tuple[str, ...], rows: int, entities: int) -> dict[str, pa.Array]:
    drawn = {key: random.integers(0, entities, rows) for key in keys}
    skewed = random.random(rows) < 0.2  # one entity has a fifth of all rows
    return {
        key: pa.array([value if KINDS[key][1] is Int64 else f"p{value}" for value in np.where(skewed, 1, of).tolist()])
        for key, of in drawn.items()
    }


def _moments(random: np.random.Generator, rows: int) -> dict[str, pa.Array]:
    happened = random.integers(0, 500, rows)
    created = happened + random.integers(0, 50, rows)
    return {
        "happened_at": pa.array([START + timedelta(seconds=int(each)) for each in happened], TIMESTAMP),
        "created_at": pa.array([START + timedelta(seconds=int(each)) for each in created], TIMESTAMP),
    }


def view_of(folder: Path, name: str, tables: list[pa.Table], ttl: timedelta = timedelta(0)) -> FeatureView:
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for number, table in enumerate(tables):
        pq.write_table(table, place / f"{number}.parquet", row_group_size=200)
    features = [column for column in tables[0].column_names if column in FEATURES]
    return FeatureView(
        name=name,
        entities=[entity for entity in (USER, PAGE, SHOP) if entity.join_key in KEYS[name]],
        ttl=ttl,
        schema=[
            *(Field(name=key, dtype=KINDS[key][1]) for key in KEYS[name]),
            *(Field(name=feature, dtype=FEATURES[feature][1]) for feature in features),
        ],
        source=FileSource(
            name=name,
            path=str(place),
            timestamp_field="happened_at",
            created_timestamp_column="created_at" if name != "market" else "",
            file_format=ParquetFormat(),
        ),
    )


def spine_of_world(random: np.random.Generator, rows: int, entities: int) -> pa.Table:
    columns = _keys(random, ("user_id", "page", "shop"), rows, entities + 2)
    columns = {name: pa.array(column.to_pylist(), mask=random.random(rows) < 0.02) for name, column in columns.items()}
    moments = [START + timedelta(seconds=int(each)) for each in random.integers(-10, 600, rows)]
    return pa.table(
        {
            "row": pa.array(range(rows)),
            **columns,
            "event_timestamp": pa.array(moments, TIMESTAMP),
            "factor": pa.array(random.normal(size=rows)),
        }
    )


def functions(visits: FeatureView, shops: FeatureView) -> OnDemandFeatureView:
    request = RequestSource(name="request", schema=[Field(name="factor", dtype=Float64)])

    @on_demand_feature_view(  # type: ignore[untyped-decorator]
        sources=[visits, shops, request], schema=[Field(name="product", dtype=Float64)], mode="pandas"
    )
    def product(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"product": inputs["visits__paid"] * inputs["shops__paid"] * inputs["factor"]})

    made: OnDemandFeatureView = product
    return made


@pytest.fixture
def world(folder: Path, stores: Callable[..., Any]) -> tuple[FeatureStore, FeatureStore, list[str], pa.Table]:
    """Four views of different keys with a feature of every type, a function over two of them, and a skewed spine."""
    random = np.random.default_rng(5)
    ttls = {
        "visits": timedelta(seconds=120),
        "hits": timedelta(0),
        "shops": timedelta(seconds=30),
        "market": timedelta(0),
    }
    views = {
        name: view_of(folder, name, [history(random, keys, rows, 20) for rows in (1_000, 1, 500)], ttls[name])
        for name, keys in KEYS.items()
    }
    local, spark = stores(USER, PAGE, SHOP, *views.values(), functions(views["visits"], views["shops"]))
    references = [f"{name}:{feature}" for name in KEYS for feature in FEATURES]
    return local, spark, [*references, "product:product"], spine_of_world(random, 3_000, 20)


@pytest.mark.proof
@BOTH
@pytest.mark.parametrize("as_served", [False, True])
def test_every_value_is_the_one_that_the_local_engine_gives(world: Any, as_served: bool) -> None:
    local, spark, references, spine = world
    asked: dict[str, Any] = {"full_feature_names": True, "filter_by_created_timestamp": as_served}
    expected = local.get_historical_features(spine, references, **asked).to_arrow()
    found = spark.get_historical_features(spine, references, **asked).to_arrow()
    assert found.equals(expected)
    assert all(expected[name].null_count < 2_900 for name in expected.column_names)


@pytest.mark.proof
def test_a_frame_keeps_its_index_and_order(world: Any) -> None:
    local, spark, references, spine = world
    frame = spine.to_pandas().sample(frac=1, random_state=3)
    expected = local.get_historical_features(frame, references, full_feature_names=True).to_df()
    found = spark.get_historical_features(frame, references, full_feature_names=True).to_df()
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.proof
@pytest.mark.parametrize("form", ["frame", "table", "path", "query"])
def test_a_spine_may_be_a_frame_a_table_or_a_path_of_sparks_or_a_query(
    world: Any, form: str, folder: Path, spark_settings: Settings
) -> None:
    local, spark, references, spine = world
    session = spark_session(spark_settings)
    pq.write_table(spine, folder / "spine.parquet")
    frame = session.read.parquet(str(folder / "spine.parquet"))
    frame.createOrReplaceTempView("asked")
    expected = local.get_historical_features(spine, references, full_feature_names=True).to_arrow()
    if form == "query":
        with pytest.raises(UsageError, match="the spine's query"):
            spark.get_historical_features("SELECT * FROM asked", references, full_feature_names=True)
        return
    given = {"frame": frame.repartition(3), "table": "asked", "path": str(folder / "spine.parquet")}[form]
    job = spark.get_historical_features(given, references, full_feature_names=True)
    assert job.to_arrow().sort_by("row").equals(expected)
    assert job.to_spark_df().columns == expected.column_names


@pytest.mark.proof
def test_the_result_is_written_by_sparks_tasks_and_read_as_a_saved_dataset(
    world: Any, folder: Path, spark_settings: Settings
) -> None:
    from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

    local, spark, references, spine = world
    frame = spark_session(spark_settings).createDataFrame(spine)
    job = spark.get_historical_features(frame, references, full_feature_names=True)
    storage = SavedDatasetFileStorage(path=str(folder / "saved"))
    spark.create_saved_dataset(job, "saved", storage)
    expected = local.get_historical_features(spine, references, full_feature_names=True).to_arrow()
    assert pa.concat_tables(map(pq.read_table, sorted((folder / "saved").iterdir()))).sort_by("row").equals(expected)
    assert local.get_saved_dataset("saved").to_df()["row"].sort_values().tolist() == list(range(spine.num_rows))
    with pytest.raises(Exception, match="saved"):
        job.persist(storage)
    job.persist(storage, allow_overwrite=True)
    assert [file.name for file in folder.iterdir() if file.name.startswith(".saved")] == []


@pytest.mark.proof
@BOTH
@pytest.mark.parametrize("rows", [0, 1])
def test_a_small_spine_gives_a_small_result(world: Any, rows: int) -> None:
    local, spark, references, spine = world
    small = spine.slice(0, rows)
    expected = local.get_historical_features(small, references, full_feature_names=True).to_arrow()
    assert spark.get_historical_features(small, references, full_feature_names=True).to_arrow().equals(expected)


@pytest.mark.proof
def test_a_large_key_is_dealt_out_over_partitions(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    local, spark, references, spine = world
    skewed = spine.set_column(1, "user_id", pa.array([1] * spine.num_rows, mask=np.arange(spine.num_rows) % 9 == 0))
    monkeypatch.setattr(histories, "FEWEST_LARGE_ROWS", 100)
    expected = local.get_historical_features(skewed, references, full_feature_names=True).to_arrow()
    assert spark.get_historical_features(skewed, references, full_feature_names=True).to_arrow().equals(expected)


@pytest.mark.proof
def test_a_view_and_a_function_of_it_are_the_same_on_spark(folder: Path, stores: Callable[..., Any]) -> None:
    random = np.random.default_rng(7)
    visits = view_of(folder, "visits", [history(random, ("user_id",), 200, 9)], timedelta(seconds=60))

    @on_demand_feature_view(sources=[visits], schema=[Field(name="twice", dtype=Float64)], mode="python")  # type: ignore
    def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"twice": [None if paid is None else 2 * paid for paid in inputs["paid"]]}

    local, spark = stores(USER, visits, doubled)
    spine = spine_of_world(random, 100, 9)
    references = [*(f"visits:{name}" for name in FEATURES), "doubled:twice"]
    expected = local.get_historical_features(spine, references).to_arrow()
    assert spark.get_historical_features(spine, references).to_arrow().equals(expected)


@pytest.mark.proof
@pytest.mark.parametrize("_is_shuffled", [False], indirect=True)
def test_an_error_of_a_task_is_told_as_the_local_engine_tells_it(
    folder: Path, stores: Callable[..., Any], spark_settings: Settings
) -> None:
    table = pa.table(
        {
            "user_id": [1],
            "happened_at": pa.array([START], TIMESTAMP),
            "created_at": pa.array([START], TIMESTAMP),
            "seen": [1.5],
        }
    )
    local, spark = stores(USER, view_of(folder, "visits", [table]))
    spine = pa.table({"user_id": [1], "event_timestamp": pa.array([START], TIMESTAMP)})
    told = []
    for store in (local, spark):
        with pytest.raises(DataError) as caught:
            store.get_historical_features(spine, ["visits:seen"]).to_arrow()
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert "feature 'seen'" in told[0]


def test_a_frame_of_sparks_is_refused_by_the_local_engine(world: Any, spark_settings: Settings) -> None:
    local, _, references, spine = world
    frame = spark_session(spark_settings).createDataFrame(spine)
    with pytest.raises(UsageError, match=r"this is DataFrame. `offline_store: {engine: spark}` takes data frames"):
        local.get_historical_features(frame, references, full_feature_names=True)


def test_a_name_that_spark_does_not_know_is_refused(world: Any) -> None:
    _, spark, references, _ = world
    with pytest.raises(DataError, match=r"'nothing\.here' is no table that Spark knows, and no path"):
        spark.get_historical_features("nothing.here", references, full_feature_names=True)


def test_on_spark_an_on_demand_feature_cannot_take_the_place_of_its_request_field(
    folder: Path, stores: Callable[..., Any]
) -> None:
    request = RequestSource(name="request", schema=[Field(name="factor", dtype=Float64)])

    @on_demand_feature_view(sources=[request], schema=[Field(name="factor", dtype=Float64)], mode="python")  # type: ignore
    def bounded(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"factor": [min(factor, 1.0) for factor in inputs["factor"]]}

    local, spark = stores(bounded)
    spine = pa.table({"factor": [0.5, 2.0], "event_timestamp": pa.array([START] * 2, TIMESTAMP)})
    assert local.get_historical_features(spine, ["bounded:factor"]).to_arrow()["factor"].to_pylist() == [0.5, 1.0]
    with pytest.raises(UsageError, match="the spine has a column 'factor', and so would the result"):
        spark.get_historical_features(spine, ["bounded:factor"]).to_arrow()


ticks = st.integers(0, 5)
spine_rows = st.tuples(st.sampled_from([1, 2, 9, None]), st.sampled_from(["p1", "p2", None]), ticks)
history_rows = st.tuples(
    st.sampled_from([1, 2]), st.sampled_from(["p1", "p2"]), ticks, st.none() | ticks, st.none() | ticks
)


@pytest.mark.proof
@BOTH
@given(
    files=st.fixed_dictionaries(
        {
            name: st.lists(st.lists(history_rows, max_size=8), min_size=1, max_size=3)
            for name in ("visits", "hits", "market")
        }
    ),
    ttls=st.tuples(*[st.integers(0, 3)] * 3),
    asked=st.lists(spine_rows, max_size=8),
    as_served=st.booleans(),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_small_worlds_are_the_same_on_spark(
    folder: Path, stores: Callable[..., Any], files: Any, ttls: Any, asked: Any, as_served: bool
) -> None:
    def at(tick: int | None) -> datetime | None:
        return None if tick is None else START + timedelta(microseconds=tick)

    def table(name: str, rows: Any) -> pa.Table:
        user, page, happened, created, seen = list(zip(*rows, strict=True)) or [[]] * 5
        keys = {"user_id": pa.array(user, pa.int64()), "page": pa.array(page, pa.string())}
        return pa.table(
            {key: keys[key] for key in KEYS[name]}
            | {
                "happened_at": pa.array(map(at, happened), TIMESTAMP),
                "created_at": pa.array(map(at, created), TIMESTAMP),
                "seen": pa.array(seen, pa.int64()),
            }
        )

    views = [
        view_of(folder, name, [table(name, rows) for rows in each], timedelta(microseconds=ttl))
        for (name, each), ttl in zip(files.items(), ttls, strict=True)
    ]
    local, spark = stores(USER, PAGE, *views)
    user, page, moments = list(zip(*asked, strict=True)) or [[]] * 3
    spine = pa.table(
        {
            "user_id": pa.array(user, pa.int64()),
            "page": pa.array(page, pa.string()),
            "event_timestamp": pa.array(map(at, moments), TIMESTAMP),
        }
    )
    named: dict[str, Any] = {"full_feature_names": True, "filter_by_created_timestamp": as_served}
    references = [f"{name}:seen" for name in files]
    expected = local.get_historical_features(spine, references, **named).to_arrow()
    assert spark.get_historical_features(spine, references, **named).to_arrow().equals(expected)

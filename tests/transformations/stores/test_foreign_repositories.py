"""Feature repositories as other teams write them, unchanged over our stores: applied, loaded, looked up, trained."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp

from tests.worlds.feast_stores import our_config, stock_config

DAY = datetime(2024, 5, 1, tzinfo=UTC)
LATER = pd.Timestamp("2024-05-02", tz="UTC")
FOREVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
TIMESTAMP = pa.timestamp("us", "UTC")
SHAPES: dict[str, Callable[[Path], "Shape"]] = {}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A repository's objects, what is asked of it, and the answer beside the keys. full: by full feature names."""

    objects: list[Any]
    features: Any
    rows: list[dict[str, Any]]
    expected: dict[str, list[Any]]
    full: bool = False


def shape(make: Callable[[Path], Shape]) -> Callable[[Path], Shape]:
    SHAPES[make.__name__] = make
    return make


def driver(value_type: ValueType | None = ValueType.INT64, name: str = "driver") -> Entity:
    return Entity(name=name, join_keys=["driver_id"], value_type=value_type)


def source(folder: Path, name: str = "stats", *, at: str = "event_timestamp", **columns: Any) -> FileSource:
    """A file of these columns, its moments of one day unless they are given."""
    rows = len(next(iter(columns.values())))
    table = {at: pa.array([DAY] * rows, TIMESTAMP), **columns}
    pq.write_table(pa.table(table), folder / f"{name}.parquet")
    return FileSource(name=name, path=f"{name}.parquet", timestamp_field=at)


def view(
    source: Any, *entities: Entity, name: str = "stats", ttl: timedelta = timedelta(0), **dtypes: Any
) -> FeatureView:
    schema = [Field(name=feature, dtype=dtype) for feature, dtype in dtypes.items()]
    return FeatureView(name=name, entities=list(entities), schema=schema or None, source=source, ttl=ttl)


TWO = [{"driver_id": 2}, {"driver_id": 1}]
KEYS = pa.array([1, 2])


@shape
def floats_with_a_ttl(folder: Path) -> Shape:
    stats = source(folder, driver_id=KEYS, rate=pa.array([0.5, 0.1], pa.float32()), trips=KEYS)
    made = view(stats, driver(), ttl=timedelta(days=1), rate=Float32, trips=Int64)
    expected = {"rate": [float(np.float32(0.1)), 0.5], "trips": [2, 1]}
    return Shape(objects=[driver(), made], features=["stats:rate", "stats:trips"], rows=TWO, expected=expected)


@shape
def a_row_past_its_ttl(folder: Path) -> Shape:
    stats = source(folder, driver_id=KEYS, trips=KEYS)
    made = view(stats, driver(), ttl=timedelta(hours=23), trips=Int64)
    return Shape(objects=[driver(), made], features=["stats:trips"], rows=TWO, expected={"trips": [None, None]})


@shape
def an_entity_without_a_value_type(folder: Path) -> Shape:
    made = view(source(folder, driver_id=KEYS, trips=KEYS), driver(None), trips=Int64)
    return Shape(objects=[driver(None), made], features=["stats:trips"], rows=TWO, expected={"trips": [2, 1]})


@shape
def a_key_and_a_moment_in_the_schema(folder: Path) -> Shape:
    stats = source(folder, driver_id=KEYS, trips=KEYS)
    made = view(stats, driver(None), driver_id=Int64, event_timestamp=UnixTimestamp, trips=Int64)
    return Shape(objects=[driver(None), made], features=["stats:trips"], rows=TWO, expected={"trips": [2, 1]})


@shape
def texts_for_keys(folder: Path) -> Shape:
    made = view(source(folder, driver_id=pa.array(["a", "b"]), trips=KEYS), driver(ValueType.STRING), trips=Int64)
    rows = [{"driver_id": "b"}, {"driver_id": "z"}]
    objects = [driver(ValueType.STRING), made]
    return Shape(objects=objects, features=["stats:trips"], rows=rows, expected={"trips": [2, None]})


@shape
def two_keys(folder: Path) -> Shape:
    city = Entity(name="city", join_keys=["city_id"], value_type=ValueType.STRING)
    stats = source(folder, driver_id=KEYS, city_id=pa.array(["x", "y"]), trips=KEYS)
    rows = [{"driver_id": 2, "city_id": "y"}, {"driver_id": 1, "city_id": "y"}]
    made = view(stats, driver(), city, trips=Int64)
    return Shape(objects=[driver(), city, made], features=["stats:trips"], rows=rows, expected={"trips": [2, None]})


@shape
def a_view_without_entities(folder: Path) -> Shape:
    world = view(source(folder, "world", total=pa.array([7])), name="world", total=Int64)
    made = view(source(folder, driver_id=KEYS, trips=KEYS), driver(), trips=Int64)
    expected = {"total": [7, 7], "trips": [2, 1]}
    return Shape(objects=[driver(), world, made], features=["world:total", "stats:trips"], rows=TWO, expected=expected)


@shape
def renamed_columns(folder: Path) -> Shape:
    stats = source(folder, at="ts", id=KEYS, t=KEYS)
    stats.field_mapping.update({"ts": "event_timestamp", "id": "driver_id", "t": "trips"})
    stats.timestamp_field = "event_timestamp"
    made = view(stats, driver(), driver_id=Int64, trips=Int64)
    return Shape(objects=[driver(), made], features=["stats:trips"], rows=TWO, expected={"trips": [2, 1]})


@shape
def a_created_timestamp_breaks_ties(folder: Path) -> Shape:
    created = pa.array([DAY, DAY + timedelta(hours=1)], TIMESTAMP)
    stats = source(folder, driver_id=pa.array([1, 1]), created=created, trips=KEYS)
    stats.created_timestamp_column = "created"
    rows, made = [{"driver_id": 1}], view(stats, driver(), trips=Int64)
    return Shape(objects=[driver(), made], features=["stats:trips"], rows=rows, expected={"trips": [2]})


@shape
def a_frame_as_pandas_writes_it(folder: Path) -> Shape:
    frame = pd.DataFrame(
        {"driver_id": [1, 2], "trips": [1, None], "event_timestamp": pd.to_datetime(["2024-05-01"] * 2)}
    )
    frame.set_index(pd.Index([5, 6])).to_parquet(folder / "stats.parquet")
    made = view(
        FileSource(name="stats", path="stats.parquet", timestamp_field="event_timestamp"), driver(), trips=Int64
    )
    return Shape(objects=[driver(), made], features=["stats:trips"], rows=TWO, expected={"trips": [None, 1]})


@shape
def features_of_the_file(folder: Path) -> Shape:
    made = view(source(folder, driver_id=KEYS, trips=KEYS, rate=pa.array([0.5, 0.25])), driver())
    expected = {"trips": [2, 1], "rate": [0.25, 0.5]}
    return Shape(objects=[driver(), made], features=["stats:trips", "stats:rate"], rows=TWO, expected=expected)


@shape
def narrow_integers(folder: Path) -> Shape:
    stats = source(folder, driver_id=pa.array([1, 2], pa.int32()), trips=pa.array([1, 2], pa.int32()))
    made = view(stats, driver(ValueType.INT32), driver_id=Int32, trips=Int32)
    objects = [driver(ValueType.INT32), made]
    return Shape(objects=objects, features=["stats:trips"], rows=TWO, expected={"trips": [2, 1]})


@shape
def lists(folder: Path) -> Shape:
    vectors, words = pa.array([[0.5], [1.5, 2.5]], pa.list_(pa.float32())), pa.array([["a"], []])
    stats = source(folder, driver_id=KEYS, vector=vectors, words=words, ids=pa.array([[1], [2]], pa.list_(pa.int32())))
    made = view(stats, driver(), vector=Array(Float32), words=Array(String), ids=Array(Int32))
    expected = {"vector": [[1.5, 2.5], [0.5]], "words": [[], ["a"]], "ids": [[2], [1]]}
    return Shape(
        objects=[driver(), made], features=["stats:vector", "stats:words", "stats:ids"], rows=TWO, expected=expected
    )


@shape
def flags_bytes_and_moments(folder: Path) -> Shape:
    stats = source(
        folder, driver_id=KEYS, on=pa.array([True, None]), raw=pa.array([b"a", b""]), seen=pa.array([DAY, None])
    )
    made = view(stats, driver(), on=Bool, raw=Bytes, seen=UnixTimestamp)
    expected = {"on": [None, True], "raw": [b"", b"a"], "seen": [None, DAY]}
    return Shape(
        objects=[driver(), made], features=["stats:on", "stats:raw", "stats:seen"], rows=TWO, expected=expected
    )


@shape
def a_push_source(folder: Path) -> Shape:
    pushed = PushSource(name="pushed", batch_source=source(folder, driver_id=KEYS, trips=KEYS))
    made = view(pushed, driver(), trips=Int64)
    return Shape(objects=[driver(), pushed, made], features=["stats:trips"], rows=TWO, expected={"trips": [2, 1]})


@shape
def two_views_of_one_source(folder: Path) -> Shape:
    stats = source(folder, driver_id=KEYS, trips=KEYS, rate=pa.array([0.5, 0.25]))
    made = [view(stats, driver(), name="counts", trips=Int64), view(stats, driver(), name="rates", rate=Float64)]
    expected = {"trips": [2, 1], "rate": [0.25, 0.5]}
    return Shape(objects=[driver(), *made], features=["counts:trips", "rates:rate"], rows=TWO, expected=expected)


@shape
def roles(folder: Path) -> Shape:
    made = view(source(folder, driver_id=KEYS, trips=KEYS), driver(), trips=Int64)
    views = [made.with_name(role).with_join_key_map({"driver_id": f"{role}_id"}) for role in ("giver", "taker")]
    service = FeatureService(name="pairs", features=views, tags={"full_feature_names": "true"})
    rows = [{"giver_id": 1, "taker_id": 2}]
    expected = {"giver__trips": [1], "taker__trips": [2]}
    return Shape(objects=[driver(), made, service], features=service, rows=rows, expected=expected, full=True)


@shape
def a_part_of_a_view_in_a_service(folder: Path) -> Shape:
    stats = source(folder, driver_id=KEYS, trips=KEYS, rate=pa.array([0.5, 0.25]))
    made = view(stats, driver(), trips=Int64, rate=Float64)
    service = FeatureService(name="some", features=[made[["rate"]]])
    return Shape(objects=[driver(), made, service], features=service, rows=TWO, expected={"rate": [0.25, 0.5]})


@shape
def a_folder_of_files(folder: Path) -> Shape:
    (folder / "stats").mkdir()
    for number in (1, 2):
        table = {"driver_id": [number], "event_timestamp": pa.array([DAY], TIMESTAMP), "trips": [number]}
        pq.write_table(pa.table(table), folder / "stats" / f"{number}.parquet")
    stats = FileSource(
        name="stats", path="stats/*.parquet", timestamp_field="event_timestamp", file_format=ParquetFormat()
    )
    made = view(stats, driver(), driver_id=Int64, trips=Int64)
    return Shape(objects=[driver(), made], features=["stats:trips"], rows=TWO, expected={"trips": [2, 1]})


@shape
def an_entity_by_another_name(folder: Path) -> Shape:
    account = driver(name="account")
    made = view(source(folder, driver_id=KEYS, trips=KEYS), account, trips=Int64)
    return Shape(objects=[account, made], features=["stats:trips"], rows=TWO, expected={"trips": [2, 1]})


@shape
def a_date_for_a_moment(folder: Path) -> Shape:
    stats = source(folder, driver_id=KEYS, trips=KEYS, event_timestamp=pa.array([DAY.date()] * 2, pa.date32()))
    made = view(stats, driver(), driver_id=Int64, trips=Int64)
    return Shape(objects=[driver(), made], features=["stats:trips"], rows=TWO, expected={"trips": [2, 1]})


def readings(store: FeatureStore, asked: Shape) -> list[dict[str, list[Any]]]:
    """What a lookup and a training frame give beside the keys, nulls as None."""
    spine = pd.DataFrame(asked.rows).assign(event_timestamp=LATER)
    online = store.get_online_features(asked.features, asked.rows, full_feature_names=asked.full).to_dict()
    job = store.get_historical_features(spine, asked.features, full_feature_names=asked.full)
    training = job.to_arrow().to_pydict()
    return [{name: found[name] for name in asked.expected} for found in (online, training)]


def prepared(store: FeatureStore, asked: Shape) -> FeatureStore:
    store.apply(asked.objects)
    store.materialize(*FOREVER)
    return store


@pytest.mark.parametrize("name", SHAPES)
def test_a_repository_has_its_values_in_training_and_online(
    tmp_path: Path, redis: Any, clock: Callable[[str], None], name: str
) -> None:
    clock(LATER.isoformat())
    asked = SHAPES[name](tmp_path)
    store = prepared(FeatureStore(config=our_config(tmp_path)), asked)
    assert readings(store, asked) == [asked.expected, asked.expected]


@pytest.mark.stock
@pytest.mark.parametrize("name", SHAPES)
def test_where_stock_feast_agrees_with_itself_it_gives_these_values_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = SHAPES[name](tmp_path)
    try:
        online, training = readings(prepared(FeatureStore(config=stock_config(tmp_path)), asked), asked)
    except Exception as error:  # whatever its stores fail with
        pytest.xfail(f"stock Feast refuses: {error}")
    if online != training:
        pytest.xfail(f"stock Feast does not agree with itself: {online} online, {training} in training")
    assert online == asked.expected

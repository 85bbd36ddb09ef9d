"""Views as other teams declare them: keys behind field mappings, stream views, keys and moments among the features."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import (
    BatchFeatureView,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    KafkaSource,
    LabelView,
    PushSource,
    RequestSource,
    StreamFeatureView,
    ValueType,
)
from feast.data_format import JsonFormat
from feast.errors import FeastJoinKeysDuringMaterialization
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Int64, String, UnixTimestamp

from tests.worlds.feast_stores import our_config
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import get_settings

TIMESTAMP = pa.timestamp("us", "UTC")
DAY = datetime(2024, 5, 1, tzinfo=UTC)
LATER = pd.Timestamp("2024-05-02", tz="UTC")
FOREVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., FileSource]:
    """A source of two rows, its file's key under the given name."""

    def make(key: str = "trip_id", keys: Any = (1, 2), **more: Any) -> FileSource:
        table = {key: pa.array(keys), "event_timestamp": pa.array([DAY, DAY], TIMESTAMP), "fare": pa.array([5, 6])}
        pq.write_table(pa.table(table), tmp_path / "trips.parquet")
        path = str(tmp_path / "trips.parquet")
        return FileSource(name="trips", path=path, timestamp_field="event_timestamp", **more)

    return make


@pytest.fixture
def loaded(tmp_path: Path, redis: Any) -> Callable[..., FeatureStore]:
    """A store in which these objects are applied and loaded."""

    def make(*objects: Any) -> FeatureStore:
        store = FeatureStore(config=our_config(tmp_path))
        store.apply(list(objects))
        store.materialize(*FOREVER)
        return store

    return make


def both(store: FeatureStore, features: Any, rows: list[dict[str, Any]], **more: Any) -> dict[str, list[Any]]:
    """What a lookup and a training frame give, which is the same."""
    online = store.get_online_features(features, rows, **more).to_dict()
    frame = store.get_historical_features(pd.DataFrame(rows).assign(event_timestamp=LATER), features, **more).to_df()
    assert frame.drop(columns="event_timestamp").to_dict("list") == online
    return online


@pytest.mark.parametrize("dtype", [Int64, String])
@pytest.mark.parametrize("schema", ["features", "nothing", "everything"])
def test_a_mapped_key_without_a_value_type_has_the_type_of_the_source(
    source: Callable[..., FileSource], loaded: Callable[..., FeatureStore], schema: str, dtype: Any
) -> None:
    keys = [1, 2] if dtype == Int64 else ["1", "2"]
    fields = {
        "features": [Field(name="fare", dtype=Int64)],
        "nothing": None,
        "everything": [Field(name="trip_id", dtype=dtype), Field(name="fare", dtype=Int64)],
    }[schema]
    trip = Entity(name="trip", join_keys=["trip_id"])
    view = FeatureView(
        name="trips",
        entities=[trip],
        schema=fields,
        source=source("id", keys, field_mapping={"id": "trip_id"}),
        ttl=timedelta(0),
    )
    store = loaded(trip, view)
    assert store.get_feature_view("trips").entity_columns == [Field(name="trip_id", dtype=dtype)]
    assert [field.name for field in store.get_feature_view("trips").features] == ["fare"]
    rows = [{"trip_id": keys[1]}, {"trip_id": keys[0]}]
    assert both(store, ["trips:fare"], rows) == {"trip_id": keys[::-1], "fare": [6, 5]}


def test_a_registry_that_another_store_wrote_without_the_keys_dtypes_is_refused(
    source: Callable[..., FileSource], loaded: Callable[..., FeatureStore], tmp_path: Path
) -> None:
    trip = Entity(name="trip", join_keys=["trip_id"])
    fields = [Field(name="fare", dtype=Int64)]
    mapped = source("id", field_mapping={"id": "trip_id"})
    store = loaded(trip, FeatureView(name="trips", entities=[trip], schema=fields, source=mapped))
    view = store.get_feature_view("trips")
    view.entity_columns = []  # as Feast's own stores leave it
    store.registry.apply_feature_view(view, "test")
    anew = FeatureStore(config=our_config(tmp_path))
    spine = pd.DataFrame({"trip_id": [1], "event_timestamp": [LATER]})
    for look in (
        lambda: anew.get_online_features(["trips:fare"], [{"trip_id": 1}]),
        lambda: anew.get_historical_features(spine, ["trips:fare"]).to_df(),
        lambda: anew.materialize(*FOREVER),
    ):
        with pytest.raises(DataError, match=r"trips: the registry has its entities .*Run `feast apply`"):
            look()


@pytest.mark.parametrize("kind", ["push", "kafka"])
@pytest.mark.parametrize("value_type", [None, ValueType.INT64])
@pytest.mark.parametrize("schema", [["trip_id", "fare"], ["fare"], ["trip_id", "event_timestamp", "fare"]])
def test_a_stream_view_is_loaded_served_and_trained_with(
    source: Callable[..., FileSource],
    loaded: Callable[..., FeatureStore],
    kind: str,
    value_type: ValueType | None,
    schema: list[str],
) -> None:
    trip = Entity(name="trip", join_keys=["trip_id"], value_type=value_type)
    batch = source()
    streams = {
        "push": PushSource(name="pushed", batch_source=batch),
        "kafka": KafkaSource(
            name="stream",
            kafka_bootstrap_servers="localhost:1",
            topic="trips",
            timestamp_field="event_timestamp",
            batch_source=batch,
            message_format=JsonFormat(schema_json="trip_id integer, fare integer"),
        ),
    }
    dtypes = {"event_timestamp": UnixTimestamp}
    view = StreamFeatureView(
        name="trips",
        entities=[trip],
        schema=[Field(name=name, dtype=dtypes.get(name, Int64)) for name in schema],
        source=streams[kind],
        mode="spark",
        timestamp_field="event_timestamp",
        ttl=timedelta(0),
    )
    store = loaded(trip, view)
    expected = {"trip_id": [2, 1], "fare": [6, 5]}
    rows = [{"trip_id": 2}, {"trip_id": 1}]
    assert both(store, ["trips:fare"], rows) == expected
    service = FeatureService(name="all", features=[store.registry.get_stream_feature_view("trips", "test")])
    store.apply(service)
    if "event_timestamp" not in schema:
        assert both(store, store.get_feature_service("all"), rows) == expected
    else:
        online = store.get_online_features(store.get_feature_service("all"), rows).to_dict()
        assert online == {**expected, "event_timestamp": [DAY, DAY]}
        spine = pd.DataFrame(rows).assign(event_timestamp=LATER)
        with pytest.raises(UsageError, match=r"the name of feature trips:event_timestamp.*full_feature_names=True"):
            store.get_historical_features(spine, store.get_feature_service("all")).to_df()


def test_an_on_demand_feature_named_like_its_input_is_the_one_that_was_asked_for(
    source: Callable[..., FileSource], loaded: Callable[..., FeatureStore]
) -> None:
    trip = Entity(name="trip", join_keys=["trip_id"], value_type=ValueType.INT64)
    trips = FeatureView(name="trips", entities=[trip], schema=[Field(name="fare", dtype=Int64)], source=source())

    @on_demand_feature_view(sources=[trips], schema=[Field(name="fare", dtype=Int64)], mode="python")  # type: ignore
    def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"fare": [None if fare is None else 2 * fare for fare in inputs["fare"]]}

    store = loaded(trip, trips, doubled)
    assert both(store, ["doubled:fare"], [{"trip_id": 2}]) == {"trip_id": [2], "fare": [12]}
    full = both(store, ["trips:fare", "doubled:fare"], [{"trip_id": 2}], full_feature_names=True)
    assert full == {"trip_id": [2], "trips__fare": [6], "doubled__fare": [12]}


def test_an_on_demand_feature_named_like_its_request_field_takes_its_place_in_training_as_it_does_online(
    source: Callable[..., FileSource], loaded: Callable[..., FeatureStore]
) -> None:
    trip = Entity(name="trip", join_keys=["trip_id"], value_type=ValueType.INT64)
    trips = FeatureView(name="trips", entities=[trip], schema=[Field(name="fare", dtype=Int64)], source=source())
    asked = RequestSource(name="asked", schema=[Field(name="tip", dtype=Int64)])

    @on_demand_feature_view(sources=[trips, asked], schema=[Field(name="tip", dtype=Int64)], mode="python")  # type: ignore
    def at_least_one(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"tip": [max(tip, 1) for tip in inputs["tip"]]}

    @on_demand_feature_view(sources=[asked], schema=[Field(name="twice", dtype=Int64)], mode="python")  # type: ignore
    def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"twice": [2 * tip for tip in inputs["tip"]]}

    service = FeatureService(name="paid", features=[trips, at_least_one, doubled])
    store = loaded(trip, trips, at_least_one, doubled, service)
    rows = [{"trip_id": 2, "tip": 0}, {"trip_id": 1, "tip": 3}]
    given = pd.DataFrame(rows, index=[7, 8]).assign(event_timestamp=LATER)
    expected = {"trip_id": [2, 1], "fare": [6, 5], "tip": [1, 3], "twice": [0, 6]}
    assert store.get_online_features(service, rows).to_dict() == expected
    job = store.get_historical_features(given, service)
    assert job.to_arrow().drop_columns("event_timestamp").to_pydict() == expected
    frame = job.to_df()
    assert frame.drop(columns="event_timestamp").to_dict("list") == expected
    assert (list(frame.index), list(given["tip"])) == ([7, 8], [0, 3])
    by_full_name = store.get_historical_features(given, ["at_least_one:tip"], full_feature_names=True).to_df()
    assert by_full_name[["tip", "at_least_one__tip"]].to_numpy().tolist() == [[0, 1], [3, 3]]


def test_files_without_the_join_key_fail_as_feast_callers_expect(
    source: Callable[..., FileSource], loaded: Callable[..., FeatureStore]
) -> None:
    ride = Entity(name="ride", join_keys=["ride_id"], value_type=ValueType.INT64)
    trips = FeatureView(name="trips", entities=[ride], schema=[Field(name="fare", dtype=Int64)], source=source())
    with pytest.raises(FeastJoinKeysDuringMaterialization, match="trips: its files have no column 'ride_id'") as caught:
        loaded(ride, trips)
    assert isinstance(caught.value, DataError)


def test_an_on_demand_feature_named_like_a_key_is_refused_on_both_paths(
    source: Callable[..., FileSource], loaded: Callable[..., FeatureStore]
) -> None:
    trip = Entity(name="trip", join_keys=["trip_id"], value_type=ValueType.INT64)
    trips = FeatureView(name="trips", entities=[trip], schema=[Field(name="fare", dtype=Int64)], source=source())

    @on_demand_feature_view(sources=[trips], schema=[Field(name="trip_id", dtype=Int64)], mode="python")  # type: ignore
    def keyed(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"trip_id": [2 * (fare or 0) for fare in inputs["fare"]]}

    store = loaded(trip, trips, keyed)
    spine = pd.DataFrame({"trip_id": [1], "event_timestamp": [LATER]})
    with pytest.raises(UsageError, match="feature keyed:trip_id has the name of a join key"):
        store.get_online_features(["keyed:trip_id"], [{"trip_id": 1}])
    with pytest.raises(UsageError, match="the name of feature keyed:trip_id"):
        store.get_historical_features(spine, ["keyed:trip_id"]).to_df()


@pytest.mark.parametrize("keys", ["lossless", "declared"])
def test_a_key_that_feast_takes_for_a_text_is_found_where_the_files_hold_integers(
    source: Callable[..., FileSource], loaded: Callable[..., FeatureStore], monkeypatch: pytest.MonkeyPatch, keys: str
) -> None:
    monkeypatch.setenv("FEATURES_KEYS", keys)
    get_settings.cache_clear()
    trip = Entity(name="trip", join_keys=["trip_id"])
    pushed = PushSource(name="labelled", batch_source=source())
    trips = FeatureView(name="trips", entities=[trip], schema=[Field(name="fare", dtype=Int64)], source=source())
    labels = LabelView(name="labels", entities=[trip], schema=[Field(name="fare", dtype=Int64)], source=pushed)
    store = loaded(trip, trips, labels)
    spine = pd.DataFrame({"trip_id": [2, 1, 3], "event_timestamp": [LATER] * 3})
    rows = pd.DataFrame({"trip_id": [2], "fare": [8], "event_timestamp": [DAY]})
    if keys == "declared":
        texts = spine.assign(trip_id=spine["trip_id"].astype(str))
        with pytest.raises(DataError, match="join key 'trip_id' is declared String, its files hold BIGINT"):
            store.get_historical_features(texts, ["labels:fare"]).to_df()
        return
    assert store.get_historical_features(spine, ["labels:fare"]).to_arrow()["fare"].to_pylist() == [6, 5, None]
    store.push("labelled", rows)
    for key in (2, "2"):
        online = store.get_online_features(["labels:fare"], [{"trip_id": key}]).to_dict()
        assert online == {"trip_id": ["2"], "fare": [8]}


def _doubling(trips: FeatureView) -> Any:
    @on_demand_feature_view(sources=[trips], schema=[Field(name="double", dtype=Int64)], mode="python")  # type: ignore
    def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"double": [None if fare is None else 2 * fare for fare in inputs["fare"]]}

    return doubled


@pytest.mark.parametrize("full_names", [False, True])
def test_an_on_demand_view_that_a_service_renames_is_trained_with_as_it_is_served(
    source: Callable[..., FileSource], loaded: Callable[..., FeatureStore], full_names: bool
) -> None:
    trip = Entity(name="trip", join_keys=["trip_id"], value_type=ValueType.INT64)
    trips = FeatureView(name="trips", entities=[trip], schema=[Field(name="fare", dtype=Int64)], source=source())
    doubled = _doubling(trips)
    service = FeatureService(name="renaming", features=[trips, doubled.with_name("twice")])
    store = loaded(trip, trips, doubled, service)
    found = both(store, store.get_feature_service("renaming"), [{"trip_id": 2}], full_feature_names=full_names)
    assert {name: found[name] for name in found if "double" in name} == {
        "twice__double" if full_names else "double": [12]
    }


@pytest.mark.parametrize("kind", [FeatureView, BatchFeatureView])
def test_a_view_that_is_never_loaded_is_refused_online_and_trained_with(
    source: Callable[..., FileSource], loaded: Callable[..., FeatureStore], kind: type, redis: Any
) -> None:
    trip = Entity(name="trip", join_keys=["trip_id"], value_type=ValueType.INT64)
    stored = source() if kind is BatchFeatureView else PushSource(name="pushed", batch_source=source())
    trips = kind(name="trips", entities=[trip], schema=[Field(name="fare", dtype=Int64)], source=stored, online=False)
    other = FeatureView(name="other", entities=[trip], schema=[Field(name="fare", dtype=Int64)], source=source())
    doubled = _doubling(trips)
    store = loaded(trip, trips, other, doubled)
    spine = pd.DataFrame({"trip_id": [2], "event_timestamp": [LATER]})
    for reference, name in (("trips:fare", "fare"), ("doubled:double", "double")):
        with pytest.raises(UsageError, match="feature view trips has online=False, so nothing is loaded for it"):
            store.get_online_features([reference], [{"trip_id": 2}])
        assert store.get_historical_features(spine, [reference]).to_df()[name].tolist() == [6 if name == "fare" else 12]
    store.write_to_online_store("trips", pd.DataFrame({"trip_id": [2], "fare": [8], "event_timestamp": [DAY]}))
    assert store.get_online_features(["doubled:double"], [{"trip_id": 2}]).to_dict()["double"] == [16]


def test_a_view_without_any_source_is_applied_and_tells_so_where_it_is_loaded_or_trained_with(
    tmp_path: Path, redis: Any
) -> None:
    trip = Entity(name="trip", join_keys=["trip_id"], value_type=ValueType.INT64)
    later = FeatureView(name="later", entities=[trip], schema=[Field(name="fare", dtype=Int64)])
    store = FeatureStore(config=our_config(tmp_path))
    store.apply([trip, later])
    assert store.get_online_features(["later:fare"], [{"trip_id": 1}]).to_dict() == {"trip_id": [1], "fare": [None]}
    spine = pd.DataFrame({"trip_id": [1], "event_timestamp": [LATER]})
    with pytest.raises(UsageError, match="feature view later has no source to load or train with"):
        store.get_historical_features(spine, ["later:fare"]).to_df()
    with pytest.raises(UsageError, match="feature view later has no source to load or train with"):
        store.materialize(*FOREVER)

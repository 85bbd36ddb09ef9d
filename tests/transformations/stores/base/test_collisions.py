"""Names that a service has twice: which are refused, and which are no collision."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.base_feature_view import BaseFeatureView
from feast.errors import FeatureNameCollisionError
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_contents import RepoContents
from feast.repo_operations import apply_total, apply_total_with_repo_instance
from feast.types import Float64, Int64

from tests.worlds.feast_stores import our_config
from transformations import ANYTHING, on_demand
from transformations import Float64 as Column
from transformations.engine.base.errors import DefinitionError
from transformations.stores.base.collisions import collisions_of
from transformations.stores.computed.on_demand import on_demand_view

DAY = datetime(2024, 5, 1, tzinfo=UTC)
OTHERS = """
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)

def view(name):
    source = FileSource(name=name, path=f"{name}.parquet", timestamp_field="event_timestamp")
    return FeatureView(name=name, entities=[user], schema=[Field(name="spend", dtype=Float64)], source=source)

a, b = view("a"), view("b")
both = FeatureService(name="both", features=[a, b])
"""
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
SHOP = Entity(name="s", join_keys=["shop_id"], value_type=ValueType.INT64)
CART = RequestSource(name="cart", schema=[Field(name="price", dtype=Float64)])


def view(name: str, *features: str, key: Entity = USER, moment: str = "event_timestamp") -> FeatureView:
    source = FileSource(name=name, path=f"{name}.parquet", timestamp_field=moment)
    fields = [Field(name=feature, dtype=Float64) for feature in features]
    keys = [Field(name=key.join_key, dtype=Int64)]
    return FeatureView(name=name, entities=[key], schema=[*keys, *fields], source=source)


@on_demand(unit="ratio", expect=ANYTHING)
def twice(price: Column) -> Column:
    """The price, twice."""
    return price


def now(name: str, *sources: RequestSource) -> BaseFeatureView:
    return on_demand_view(name, [twice], sources=list(sources), owner="web", description="Now")


def said(*views: BaseFeatureView, **facts: object) -> list[str]:
    service = FeatureService(name="s_v1", features=list(views), **facts)  # type: ignore[arg-type]
    return list(collisions_of(service, {each.name: each for each in views}))


def test_different_names_are_no_collision() -> None:
    assert said(view("a", "spend"), view("b", "trips"), now("c", CART)) == []


@pytest.mark.parametrize(
    ("views", "clash"),
    [
        ((view("a", "spend"), view("b", "spend")), "a and b have a feature spend each"),
        ((view("a", "twice"), now("c", CART)), "a and c have a feature twice each"),
        ((now("c", CART), now("d", CART)), "c and d have a feature twice each"),
        ((view("a", "price"), now("c", CART)), "feature price of a has the name of a request field of c"),
        (
            (view("a", "shop_id"), view("b", "spend", key=SHOP)),
            "feature shop_id of a has the name of a join key of b",
        ),
        ((view("a", "event_timestamp", moment="at"),), "feature event_timestamp of a has the name of the time"),
        (
            (
                view("a", "spend").with_name("origin").with_join_key_map({"user_id": "origin_id"}),
                view("a", "spend").with_name("target").with_join_key_map({"user_id": "target_id"}),
            ),
            "origin and target have a feature spend each",
        ),
    ],
)
def test_two_values_of_one_name_are_refused(views: tuple[BaseFeatureView, ...], clash: str) -> None:
    (fault,) = said(*views)
    assert fault.startswith(f"service s_v1: {clash}")
    assert "full_feature_names=True" in fault


def test_a_view_may_have_its_own_moment_and_key_among_its_features() -> None:
    streamed = view("a", "event_timestamp")
    streamed.projection.features.append(Field(name="user_id", dtype=Int64))  # as Feast's registry gives a stream view
    assert said(streamed) == []


def test_an_on_demand_feature_may_have_the_name_of_its_own_request_field() -> None:
    @on_demand_feature_view(sources=[CART], schema=[Field(name="price", dtype=Float64)], mode="python")  # type: ignore
    def clean(inputs: dict[str, list[float]]) -> dict[str, list[float]]:
        return {"price": inputs["price"]}

    assert said(clean, now("c", CART)) == []
    (fault,) = said(clean, view("a", "price"))
    assert fault.startswith("service s_v1: clean and a have a feature price each")


def test_readers_by_full_names_tell_them_apart() -> None:
    assert said(view("a", "spend"), view("b", "spend"), tags={"full_feature_names": "true"}) == []


@pytest.fixture
def store(store_of: Callable[..., FeatureStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    """A store whose registry is found as a repository of ours finds it."""
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "data"))
    found = store_of()
    found.config.registry.path = "sqlite://?plugin=features"
    return found


def service(*views: object, **facts: object) -> FeatureService:
    return FeatureService(name="s_v1", features=list(views), **facts)  # type: ignore[arg-type]


def test_an_apply_without_feasts_validation_is_refused_as_well(store: FeatureStore) -> None:
    a, b = view("a", "spend"), view("b", "spend")
    nothing: dict[str, list[object]] = {kind: [] for kind in RepoContents._fields}
    given = {"feature_views": [a, b], "entities": [USER], "feature_services": [service(a, b)]}
    declared = RepoContents(**{**nothing, **given})  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="service s_v1: a and b have a feature spend each"):
        apply_total_with_repo_instance(store, "test", store.registry, declared, skip_source_validation=True)
    assert store.list_feature_services() == []


@pytest.mark.parametrize(
    "declared",
    [
        lambda: service(view("a", "spend"), view("b", "spend")),
        lambda: service("a", "b:spend"),
        lambda: service(view("a", "spend")[["spend"]], "b"),
    ],
    ids=["views", "names", "both"],
)
def test_what_is_applied_is_held_against_what_the_registry_knows(
    store: FeatureStore, declared: Callable[[], FeatureService]
) -> None:
    store.apply([USER, view("a", "spend"), view("b", "spend", "trips")])
    with pytest.raises(DefinitionError, match=r"(?s)a and b have a feature spend each.*was not written"):
        store.apply([declared()])
    assert store.list_feature_services() == []
    store.apply([service("a", "b:trips")])
    with pytest.raises(DefinitionError, match="a and b have a feature spend each"):
        store.apply([service("a", "b")])
    (kept,) = store.list_feature_services()
    assert [[feature.name for feature in each.features] for each in kept.feature_view_projections] == [
        ["spend"],
        ["trips"],
    ]


def test_keys_and_request_fields_of_registered_views_count(store: FeatureStore) -> None:
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
    store.apply([USER, shop, view("a", "price"), now("c", CART), view("b", "spend", key=shop), view("d", "shop_id")])
    with pytest.raises(DefinitionError, match="feature price of a has the name of a request field of c"):
        store.apply([service("a", "c")])
    with pytest.raises(DefinitionError, match="feature shop_id of d has the name of a join key of b"):
        store.apply([service("d", "b")])


def test_a_service_for_readers_by_full_names_is_applied(store: FeatureStore) -> None:
    store.apply([USER, view("a", "spend"), view("b", "spend"), service("a", "b", tags={"full_feature_names": "true"})])
    assert [each.name for each in store.list_feature_services()] == ["s_v1"]


def test_another_teams_service_of_one_name_is_applied_and_read_by_full_names_alone(
    tmp_path: Path, redis: object, caplog: pytest.LogCaptureFixture
) -> None:
    """As with Feast's own stores, whose registry takes it: nothing in the repository need be changed."""
    (tmp_path / "of_one_name.py").write_text(OTHERS)
    for name, spend in (("a", 1.5), ("b", 2.5)):
        table = {"user_id": [1], "event_timestamp": [DAY], "spend": [spend]}
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    with contextlib.chdir(tmp_path), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        config = our_config(tmp_path, registry={"registry_type": "file", "path": str(tmp_path / "registry.pb")})
        apply_total(config, tmp_path, skip_source_validation=False)
        sys.modules.pop("of_one_name", None)
    assert "service both has several values called spend. Ask for it with full_feature_names=True" in caplog.text
    store = FeatureStore(config=config)
    store.materialize(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
    both, rows = store.get_feature_service("both"), [{"user_id": 1}]
    spine = pd.DataFrame(rows).assign(event_timestamp=pd.Timestamp("2024-05-02", tz="UTC"))
    with pytest.raises(FeatureNameCollisionError):
        store.get_online_features(both, rows)
    with pytest.raises(FeatureNameCollisionError):
        store.get_historical_features(spine, both)
    online = store.get_online_features(both, rows, full_feature_names=True).to_dict()
    training = store.get_historical_features(spine, both, full_feature_names=True).to_df()
    for name, spend in (("a", 1.5), ("b", 2.5)):
        assert online[f"{name}__spend"] == training[f"{name}__spend"].tolist() == [spend]

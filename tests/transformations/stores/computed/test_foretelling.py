"""Code that is not here is an error at once, never a null; `feast apply` tells what a later request would refuse."""

import asyncio
import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore

from tests.worlds import feast_views as world
from tests.worlds.feast_stores import our_config
from transformations.engine.base.errors import DataError, DefinitionError
from transformations.stores.base.views import contents

PORTED = '''
import pyarrow.compute as pc
from transformations import ANYTHING, Float64, Int64, on_demand

@on_demand(unit="trips", expect=ANYTHING)
def twice(trips: Int64) -> Int64:
    """Twice the trips."""
    return pc.multiply(trips, 2)
'''
HELPERS = """
import door_helpers
from feast import Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Int64
from tests.worlds.feast_views import drivers

@on_demand_feature_view(sources=[drivers], schema=[Field(name="thrice", dtype=Int64)], mode="python")
def by_helper(inputs):
    return {"thrice": [door_helpers.thrice(trips or 0) for trips in inputs["trips"]]}
"""
AT = pd.Timestamp("2024-06-01", tz="UTC")


@pytest.fixture(autouse=True)
def _paths(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever is put on the path for a test leaves it afterwards, and so do its modules."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in ("door_functions", "door_helpers", "door_views"):
        sys.modules.pop(name, None)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.fixture
def apply(repository: Path, redis: Any) -> Callable[[str], FeatureStore]:
    """Applies a view of code in the repository's folder, and opens the store in a process that has none of it."""

    def make(view: str) -> FeatureStore:
        pq.write_table(world.DRIVERS, repository / "drivers.parquet")
        (repository / "door_functions.py").write_text(PORTED)
        (repository / "door_helpers.py").write_text("def thrice(value):\n    return 3 * value\n")
        (repository / "door_views.py").write_text(HELPERS)
        sys.path.append(str(repository))
        importlib.invalidate_caches()
        store = FeatureStore(config=our_config(repository))
        store.apply([world.driver, world.drivers, _declared(view)])
        store.materialize(pd.Timestamp(0).to_pydatetime(), AT.to_pydatetime(), ["drivers"])
        sys.path.remove(str(repository))
        for name in ("door_functions", "door_helpers", "door_views"):
            sys.modules.pop(name, None)
        return FeatureStore(config=our_config(repository))

    return make


def _declared(view: str) -> Any:
    if view == "by_helper":
        return importlib.import_module("door_views").by_helper
    from transformations.stores.computed.on_demand import on_demand_view

    functions = importlib.import_module("door_functions")
    return on_demand_view("ported", [functions.twice], [world.drivers], owner="me", description="Ported")


def _lookups(store: FeatureStore, reference: str) -> list[Callable[[], dict[str, Any]]]:
    spine = pd.DataFrame({"driver_id": [1], "event_timestamp": [AT]})
    return [
        lambda: store.get_online_features([reference], [{"driver_id": 1}]).to_dict(),
        lambda: store.get_historical_features(spine, [reference]).to_df().to_dict("list"),
    ]


@pytest.mark.parametrize(("view", "feature", "value"), [("ported", "twice", 20), ("by_helper", "thrice", 30)])
def test_a_notebook_in_another_folder_finds_the_repositorys_code(
    apply: Callable[[str], FeatureStore], view: str, feature: str, value: int
) -> None:
    for look in _lookups(apply(view), f"{view}:{feature}"):
        assert look()[feature] == [value]


@pytest.mark.parametrize(("view", "feature"), [("ported", "twice"), ("by_helper", "thrice")])
def test_code_that_is_nowhere_is_an_error_on_every_path(
    apply: Callable[[str], FeatureStore], repository: Path, view: str, feature: str
) -> None:
    store = apply(view)
    for code in repository.glob("*.py"):
        code.unlink()
    importlib.invalidate_caches()
    for look in _lookups(store, f"{view}:{feature}"):
        with pytest.raises(DataError, match=f"the code of view {view} is not importable here: .*door_"):
            look()


def test_a_server_without_a_views_code_does_not_start(apply: Callable[[str], FeatureStore], repository: Path) -> None:
    store = apply("ported")
    (repository / "door_functions.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(DataError, match="the code of view ported is not importable here: there is no module"):
        asyncio.run(store.initialize())


def test_a_server_tells_at_its_start_which_of_feasts_own_views_it_cannot_compute(
    apply: Callable[[str], FeatureStore], repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = apply("by_helper")
    (repository / "door_helpers.py").unlink()
    importlib.invalidate_caches()
    asyncio.run(store.initialize())
    assert "the code of view by_helper is not importable here" in caplog.text
    assert "Requests for this view will be refused." in caplog.text


def test_apply_tells_of_every_view_that_a_later_request_would_be_refused_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "views.py").write_text(REPOSITORY)
    config = our_config(tmp_path, offline_store={"on_demand": "strict"})
    store = FeatureStore(config=config)
    with caplog.at_level(logging.WARNING):
        store._get_provider().validate_data_source(config, world.drivers.batch_source)
    told = {record.message for record in caplog.records}
    assert any("far: s3://somewhere/far.parquet is remote" in each and "loads of view far" in each for each in told)
    assert any("on-demand view paired, on Feast's own stores" in each for each in told)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("inputs['hour']", "its function reads 'hour', which is none of its inputs: Known: .*far__spent, .*spent"),
        ("[1 / 0]", r"calls its function once, .*\(spent, .*far__spent.*\), on which it fails: ZeroDivisionError"),
    ],
)
def test_a_function_that_fails_as_feast_calls_it_at_apply_is_named_with_its_inputs(
    tmp_path: Path, body: str, message: str
) -> None:
    views = REPOSITORY.replace('inputs["spent"] * 2', body)
    (tmp_path / "views.py").write_text(views)
    declared = contents(tmp_path)
    (tmp_path / "feature_store.yaml").touch()
    with pytest.raises(DefinitionError, match=f"(?s)on-demand view paired.*{message}") as caught:
        FeatureStore(config=our_config(tmp_path)).apply([*declared.feature_views, *declared.on_demand_feature_views])
    assert "views.py, line 14" in caught.value.format_message()


@pytest.mark.parametrize(
    ("mode", "remedy"),
    [
        ("python", 'write it in mode="pandas", with at least one input that has one.'),
        ("pandas", "give the view a further input that has one."),
    ],
)
def test_a_function_is_not_blamed_for_inputs_that_feast_has_no_sample_of(
    tmp_path: Path, mode: str, remedy: str
) -> None:
    apply = _applied(tmp_path, mode, "Json", "1")
    with pytest.raises(
        DefinitionError, match="on-demand view paired: its function did not fail, but `feast apply`"
    ) as no:
        apply()
    assert "no sample of inputs of some dtypes (far__spent, spent)" in no.value.message
    assert no.value.message.endswith(f"Declare them in another dtype (JSON is text: String), or {remedy}")


def test_the_remedies_for_inputs_without_a_sample_are_remedies(tmp_path: Path, redis: Any) -> None:
    _applied(tmp_path, "python", "String", "1")()
    _applied(tmp_path, "pandas", 'Json), Field(name="paid", dtype=Int64', "1")()


def test_a_function_that_fails_on_a_missing_sample_is_named_as_the_one_that_fails(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"on which it fails: TypeError: .*NoneType"):
        _applied(tmp_path, "python", "Json", "len(inputs['spent'])")()


def test_a_result_that_feast_cannot_take_is_no_failure_of_the_function(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"and fails on its result: .*nonetype"):
        _applied(tmp_path, "python", "String", "None")()


def _applied(folder: Path, mode: str, dtype: str, body: str) -> Callable[[], None]:
    """Applies the repository with an input of that dtype, and a view in that mode that has one value."""
    views = REPOSITORY.replace('"spent", dtype=Float64', f'"spent", dtype={dtype}').replace(
        'mode="pandas"', f"mode={mode!r}"
    )
    views = views.replace("import Float64, Int64", "import Float64, Int64, Json, String")
    views = views.replace('pd.DataFrame({"pair": inputs["spent"] * 2})', MADE[mode].format(body))
    (folder / "views.py").write_text(views.replace('"pair", dtype=Float64', '"pair", dtype=Int64'))
    (folder / "feature_store.yaml").touch()
    declared = contents(folder)
    objects = [*declared.entities, *declared.feature_views, *declared.on_demand_feature_views]
    return lambda: FeatureStore(config=our_config(folder)).apply(objects)


MADE = {"python": '{{"pair": [{}]}}', "pandas": 'pd.DataFrame({{"pair": [{}] * len(inputs)}})'}


def test_a_view_over_a_source_that_is_never_loaded_is_told_of_at_apply_and_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, redis: Any
) -> None:
    views = REPOSITORY.replace("source=far_source", "source=far_source, online=False")
    (tmp_path / "views.py").write_text(views)
    store = FeatureStore(config=our_config(tmp_path))
    store._get_provider().validate_data_source(store.config, world.drivers.batch_source)
    declared = contents(tmp_path)
    store.apply([*declared.entities, *declared.feature_views, *declared.on_demand_feature_views])
    asyncio.run(store.initialize())
    messages = [record.message for record in caplog.records]
    told = [message.rpartition(". ")[2] for message in messages if "view far, which has online=False" in message]
    assert told == ["Until then, lookups of it are refused.", "Lookups of it will be refused."]


REPOSITORY = """
import pandas as pd
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
fields = [Field(name="user_id", dtype=Int64), Field(name="spent", dtype=Float64)]
far_source = FileSource(name="far", path="s3://somewhere/far.parquet", timestamp_field="event_timestamp")
far = FeatureView(name="far", entities=[user], schema=fields, source=far_source)

@on_demand_feature_view(sources=[far], schema=[Field(name="pair", dtype=Float64)], mode="pandas")
def paired(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"pair": inputs["spent"] * 2})
"""

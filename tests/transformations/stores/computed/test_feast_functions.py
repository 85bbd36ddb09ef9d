"""On-demand views as Feast's users write them: the same values in training and online, whatever rows come together."""

import contextlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore, Field, OnDemandFeatureView
from feast.aggregation import Aggregation
from feast.errors import SpecifiedFeaturesNotPresentError
from feast.types import Float64, String
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds import feast_views as world
from tests.worlds import more_feast_views as more
from tests.worlds.feast_stores import our_config, stock_config
from transformations.engine.base.errors import DataError, UsageError
from transformations.stores.computed.evaluation import evaluate

NO_MOMENTS = pa.nulls(0, pa.timestamp("us", "UTC"))
MOMENT = pd.Timestamp("2024-06-01", tz="UTC")
SHAPES = sorted(world.EXPECTED)
STOCK_AGREES = 26  # so many of these shapes have one value each in stock Feast


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feature repository with these views applied, beside its files."""
    folder = tmp_path_factory.mktemp("feast_views")
    pq.write_table(world.DRIVERS, folder / "drivers.parquet")
    pq.write_table(world.HOMES, folder / "homes.parquet")
    store = FeatureStore(config=our_config(folder))
    store.apply([world.driver, world.drivers, world.homes, *world.VIEWS.values()])
    return folder


@pytest.fixture
def store(folder: Path, redis: Any) -> FeatureStore:
    store = FeatureStore(config=our_config(folder))
    store.materialize(pd.Timestamp(0).to_pydatetime(), MOMENT.to_pydatetime())
    return store


def training(store: FeatureStore, references: list[str], rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    spine = pd.DataFrame(rows).assign(event_timestamp=MOMENT)
    found = store.get_historical_features(spine, references).to_arrow()
    return {name: found[name].to_pylist() for name in found.column_names}


def online(store: FeatureStore, references: list[str], rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = store.get_online_features(references, rows).to_dict()
    return found


def test_every_shape_has_its_values_in_training_and_online_for_rows_together_and_alone(store: FeatureStore) -> None:
    references = [f"of_{name}:{name}" for name in SHAPES]
    together, served = training(store, references, world.ROWS), online(store, references, world.ROWS)
    wrong = {}
    for name, expected in world.EXPECTED.items():
        if not together[name] == served[name] == expected:
            wrong[name] = (together[name], served[name], expected)
    for number, row in enumerate(world.ROWS):
        alone, served = training(store, references, [row]), online(store, references, [row])
        for name, expected in world.EXPECTED.items():
            if not alone[name] == served[name] == [expected[number]]:
                wrong[f"{name}, row {number} alone"] = (alone[name], served[name], expected[number])
    assert not wrong


@pytest.mark.parametrize("name", more.REFUSED)
def test_feast_itself_refuses_a_dtype_that_the_function_does_not_return(folder: Path, name: str) -> None:
    with pytest.raises(SpecifiedFeaturesNotPresentError, match=name):
        FeatureStore(config=our_config(folder)).apply(more.REFUSED[name])


def test_a_load_computes_nothing_for_a_view_that_feast_computes_when_written(store: FeatureStore, redis: Any) -> None:
    before = redis.dbsize()
    store.materialize(pd.Timestamp(0).to_pydatetime(), MOMENT.to_pydatetime(), ["of_computed_when_written"])
    assert redis.dbsize() == before
    rows = pd.DataFrame({"driver_id": [1], "event_timestamp": [MOMENT], "computed_when_written": [99.0]})
    with pytest.raises(UsageError, match=r"of_computed_when_written is computed when it is read.*Write the rows to"):
        store.write_to_online_store("of_computed_when_written", rows, transform_on_write=False)


def test_strict_refuses_on_both_paths_what_feasts_own_stores_would_compute_differently(
    folder: Path, store: FeatureStore
) -> None:
    strict = FeatureStore(config=our_config(folder, offline_store={"on_demand": "strict"}))
    for name, reason in {
        "keeps_the_index": "its mode is 'pandas'",
        "singleton": "it is a singleton",
        "lists_computed_when_written": "Feast computes it when written",
    }.items():
        for read in (training, online):
            with pytest.raises(UsageError, match=f"of_{name}, on Feast's own stores, .*{reason}"):
                read(strict, [f"of_{name}:{name}"], world.ROWS)
    assert training(strict, ["of_lists:lists"], world.ROWS)["lists"] == world.EXPECTED["lists"]
    assert online(strict, ["of_lists:lists"], world.ROWS)["lists"] == world.EXPECTED["lists"]


@pytest.mark.stock
def test_where_stock_feast_agrees_with_itself_it_gives_these_values_too(tmp_path: Path) -> None:
    pq.write_table(world.DRIVERS, tmp_path / "drivers.parquet")
    pq.write_table(world.HOMES, tmp_path / "homes.parquet")
    store = FeatureStore(config=stock_config(tmp_path))
    objects = [world.driver, world.drivers, world.homes, *world.VIEWS.values()]
    with contextlib.chdir(tmp_path):
        store.apply(objects)
        store.materialize(pd.Timestamp(0).to_pydatetime(), MOMENT.to_pydatetime(), ["drivers", "homes"])
        agreeing = {name: values for name in SHAPES if (values := _agreed(store, name)) is not None}
    differing = {name: values for name, values in agreeing.items() if values != world.EXPECTED[name]}
    # Stock puts whatever the spine or the request has before what a view declares; here is what it declares.
    assert differing == {"by_position": [row["driver_id"] + 1 for row in world.ROWS]}
    assert len(agreeing) >= STOCK_AGREES


def _agreed(store: FeatureStore, name: str) -> list[Any] | None:
    """What stock Feast gives for a shape, if it is the same in training and online, for rows together and alone."""
    references = [f"of_{name}:{name}"]
    try:
        readings = [read(store, references, world.ROWS)[name] for read in (training, online)]
        readings += [[read(store, references, [row])[name][0] for row in world.ROWS] for read in (training, online)]
    except Exception:  # whatever a function fails with
        return None
    return readings[0] if all(reading == readings[0] for reading in readings) else None


COLUMNS = st.fixed_dictionaries(
    {
        "trips": st.none() | st.integers(-3, 3),
        "active": st.none() | st.booleans(),
        "acc_rate": st.none() | st.floats(-2, 2),
        "name": st.none() | st.sampled_from(["", "Ann Lee", "ß"]),
    }
)
TAKEN_ALONE = {  # each sees its whole frame, and gives a text of whatever pandas makes of a row
    "as_text": "return inputs.assign(out=inputs['trips'].astype(str) + inputs['active'].astype(str))",
    "row_by_row": "return inputs.assign(out=inputs.apply(lambda row: repr((row['trips'], row['active'])), axis=1))",
    "of_values": "return pd.DataFrame({'out': [repr(row) for row in inputs[['trips', 'active']].values.tolist()]})",
    "sorted": "ordered = inputs.sort_values('acc_rate')\n    return ordered.assign(out=ordered['trips'].astype(str))",
}


@given(rows=st.lists(COLUMNS, min_size=1, max_size=6), name=st.sampled_from(sorted(TAKEN_ALONE)))
def test_a_rows_value_follows_from_that_row_alone(rows: list[dict[str, Any]], name: str) -> None:
    view = view_of(TAKEN_ALONE[name], "pandas")
    kinds = {"trips": pa.int64(), "active": pa.bool_(), "acc_rate": pa.float64(), "name": pa.string()}

    def computed(some: list[dict[str, Any]]) -> list[Any]:
        columns = {f"drivers:{each}": pa.array([row[each] for row in some], kind) for each, kind in kinds.items()}
        empty = {f"drivers:{field.name}": pa.nulls(len(some)) for field in world.drivers.features}
        found: list[Any] = evaluate(view, {**empty, **columns}, NO_MOMENTS)["out"].to_pylist()
        return found

    assert computed(rows) == [computed([row])[0] for row in rows]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "return pd.DataFrame({'out': pd.cut(inputs['trips'], [-1, 0, 5], labels=['none', 'some'])})",
            ["some", "none", None],
        ),
        ("return inputs['trips'].map({2.0: 'two'}).astype('category').to_frame('out')", ["two", None, None]),
        ("return inputs.eval('trips + 1').astype('Int64').astype('string').to_frame('out')", ["3", "1", None]),
    ],
)
def test_what_pandas_keeps_in_a_type_of_its_own_is_the_declared_dtype(body: str, expected: list[str | None]) -> None:
    columns = {f"drivers:{field.name}": pa.nulls(3) for field in world.drivers.features}
    columns["drivers:trips"] = pa.array([2, 0, None], pa.int64())
    view = view_of(body, "pandas")
    assert evaluate(view, columns, NO_MOMENTS)["out"] == pa.array(expected, pa.string())
    for row, value in enumerate(expected):
        alone = {name: column.slice(row, 1) for name, column in columns.items()}
        assert evaluate(view, alone, NO_MOMENTS)["out"].to_pylist() == [value]


@pytest.mark.parametrize(
    ("body", "mode", "message"),
    [
        ("return inputs['trips']", "pandas", "its function returned Series, no data frame"),
        ("return inputs[inputs['trips'] > 1].assign(out='a')", "pandas", "returned 1 value for 3 rows"),
        ("return inputs[['trips']]", "pandas", "returned trips, without 'out', which the view declares once"),
        ("return inputs['trisp']", "pandas", "reads 'trisp', which is none of its .* mean 'trips'.*Known"),
        (
            "return inputs[['trips', 'driver_id']]",
            "pandas",
            "reads 'driver_id', which is none.*join keys.*are no inputs",
        ),
        ("return {'out': inputs['driver_id']}", "python", "reads 'driver_id', which is none of its inputs"),
        (
            "return {'out': [{}[each] for each in inputs['trips']]}",
            "python",
            "its function fails on row 0 .KeyError: 2",
        ),
        ("return {'out': [1 // trips for trips in inputs['trips']]}", "python", "fails on row 1 .ZeroDivisionError"),
        ("return [1, 2, 3]", "python", "its function returned list, no dictionary of features"),
        ("return {'other': inputs['trips']}", "python", "returned other, without 'out'"),
        ("return {'out': inputs['trips'] * 2}", "python", "returned 2 values for 1 row"),
        ("return {'out': [helper(each) for each in inputs['trips']]}", "python", "its function needs 'helper'"),
        ("return {'out': [1.5, 2.0, 3.0]}", "python", "output 'out' is declared String, but holds double"),
    ],
)
def test_a_function_that_fails_is_named_with_what_it_did(body: str, mode: str, message: str) -> None:
    columns = {f"drivers:{field.name}": pa.nulls(3) for field in world.drivers.features}
    columns["drivers:trips"] = pa.array([2, 0, 1])
    with pytest.raises(DataError, match=message) as caught:
        evaluate(view_of(body, mode), columns, NO_MOMENTS)
    assert "made" in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "body"),
    [
        ("pandas", "return inputs.assign(out=inputs['acc_rate'].astype(str))"),
        ("pandas", "return inputs[['acc_rate']].astype(str)"),
        ("python", "return {'out': [str(each) for each in inputs['acc_rate']]}"),
    ],
)
def test_a_feature_that_two_source_views_have_is_told_by_its_full_names(mode: str, body: str) -> None:
    columns = {f"drivers:{field.name}": pa.nulls(2) for field in world.drivers.features}
    columns |= {f"homes:{field.name}": pa.nulls(2) for field in world.homes.features}
    with pytest.raises(DataError, match=r"'acc_rate', which 2 .* Read 'drivers__acc_rate' or 'homes__acc_rate'"):
        evaluate(view_of(body, mode, world.drivers, world.homes), columns, NO_MOMENTS)


@pytest.mark.parametrize(
    ("body", "of_nothing"),
    [
        ("return {'out': [f'{trips + 1} of {int(n)}' for trips, n in zip(inputs['trips'], inputs['hour'])]}", None),
        (
            "return {'out': [f'{(trips or 0) + 1} of {n}' for trips, n in zip(inputs['trips'], inputs['hour'])]}",
            "1 of 7",
        ),
    ],
)
def test_what_feast_computes_when_written_is_null_for_an_entity_without_rows_where_the_function_takes_no_nulls(
    body: str, of_nothing: str | None
) -> None:
    """Feast calls it for no entity that has none; where it takes nulls, that is its value in training."""
    view = view_of(body, "python", world.drivers, world.asked, write_to_online_store=True, entities=[world.driver])
    columns = {f"drivers:{field.name}": pa.nulls(3) for field in world.drivers.features}
    columns["drivers:trips"] = pa.array([2, None, 4])
    columns |= {"amount": pa.nulls(3, pa.float64()), "hour": pa.array([5, 7, 9])}
    expected = ["3 of 5", of_nothing, "5 of 9"]
    assert evaluate(view, columns, NO_MOMENTS)["out"].to_pylist() == expected
    for row, value in enumerate(expected):
        alone = {name: column.slice(row, 1) for name, column in columns.items()}
        assert evaluate(view, alone, NO_MOMENTS)["out"].to_pylist() == [value]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return {'out': [helper(each) for each in inputs['trips']]}", "its function needs 'helper'"),
        ("return {'out': [str(1 // (each - 4)) for each in inputs['trips']]}", "fails on row 2 .ZeroDivisionError"),
        ("return {'out': [str({}[each]) for each in inputs['trips']]}", "fails on row 0 .KeyError: 2"),
    ],
)
def test_a_written_views_other_failures_are_told(body: str, message: str) -> None:
    columns = {f"drivers:{field.name}": pa.nulls(3) for field in world.drivers.features}
    columns["drivers:trips"] = pa.array([2, None, 4])
    view = view_of(body, "python", world.drivers, write_to_online_store=True, entities=[world.driver])
    with pytest.raises(DataError, match=message):
        evaluate(view, columns, NO_MOMENTS)
    with pytest.raises(DataError, match=r"on-demand view made: its function fails on row 1 .TypeError"):
        evaluate(view_of("return {'out': [str(each + 1) for each in inputs['trips']]}", "python"), columns, NO_MOMENTS)


@pytest.mark.parametrize("mode", ["pandas", "python"])
def test_without_rows_no_function_is_called(mode: str) -> None:
    columns = {f"drivers:{field.name}": pa.nulls(0) for field in world.drivers.features}
    assert evaluate(view_of("raise ValueError", mode), columns, NO_MOMENTS)["out"] == pa.array([], pa.string())


def test_views_that_aggregate_are_refused() -> None:
    aggregating = OnDemandFeatureView(
        name="sums",
        sources=[world.drivers],
        schema=[Field(name="sum_trips", dtype=Float64)],
        aggregations=[Aggregation(column="trips", function="sum")],
        mode="python",
    )
    with pytest.raises(UsageError, match="on-demand view sums cannot be computed: it aggregates"):
        evaluate(aggregating, {}, NO_MOMENTS)


@pytest.mark.parametrize(
    "source",
    [world.drivers.with_name("others"), world.drivers.with_join_key_map({"driver_id": "other_id"})],
)
def test_a_source_in_another_role_is_refused(source: Any) -> None:
    view = view_of("return inputs.assign(out='a')", "pandas", source)
    with pytest.raises(UsageError, match="made cannot be computed: its source drivers is renamed or joined by other"):
        evaluate(view, {}, NO_MOMENTS)


def view_of(body: str, mode: str, *sources: Any, **more: Any) -> OnDemandFeatureView:
    """A view `made` of one text, whose function has this body."""
    text = f"def made(inputs):\n    {body}\n"
    namespace: dict[str, Any] = {"pd": pd}
    exec(text, namespace)
    return OnDemandFeatureView(
        name="made",
        sources=[*sources] or [world.drivers],
        schema=[Field(name="out", dtype=String)],
        udf=namespace["made"],
        udf_string=text,
        mode=mode,
        **more,
    )

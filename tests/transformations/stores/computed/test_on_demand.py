"""On-demand views: what a parameter means, what Feast is given, and that one evaluation serves every path."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import dill
import pyarrow as pa
import pytest
from feast import FeatureStore, Field, OnDemandFeatureView, RequestSource
from feast import FeatureView as FeastView
from feast.diff.registry_diff import diff_registry_objects
from feast.infra.registry.registry import FeastObjectType
from feast.types import Float64, Int64, String, UnixTimestamp

from transformations.engine.base.errors import DataError, DefinitionError, UsageError
from transformations.stores.base.views import contents
from transformations.stores.computed.evaluation import evaluate
from transformations.stores.computed.on_demand import Source, on_demand_view

OWNER = "team@example.com"
TIMESTAMP = pa.timestamp("us", tz="UTC")

FUNCTIONS = '''
import pyarrow.compute as pc
from transformations import ANYTHING, Float64, Int64, String, UnixTimestamp, on_demand

FACTOR = 2.0

def doubled(values):
    return pc.multiply(values, FACTOR)

@on_demand(unit="USD", expect=ANYTHING)
def twice(spent: Float64) -> Float64:
    """Twice what was spent."""
    return doubled(spent)

@on_demand(unit="ratio", expect=ANYTHING)
def against_twice(price: Float64, twice: Float64) -> Float64:
    """The price against twice what was spent."""
    return pc.divide(price, twice)

@on_demand(unit="seconds", expect=ANYTHING)
def seconds_since(request_timestamp: UnixTimestamp, last_at: UnixTimestamp) -> Int64:
    """Seconds since the last visit."""
    return pc.seconds_between(last_at, request_timestamp)

@on_demand(unit="category", expect=ANYTHING)
def known_plan(plan: String) -> String:
    """The plan, null where nobody knows it."""
    return pc.if_else(pc.equal(plan, "gold"), plan, None)

@on_demand(unit="USD", expect=ANYTHING)
def chicken(egg: Float64) -> Float64:
    """From the egg."""
    return egg

@on_demand(unit="USD", expect=ANYTHING)
def egg(chicken: Float64) -> Float64:
    """From the chicken."""
    return chicken

@on_demand(unit="USD", expect=ANYTHING)
def typo(spend: Float64) -> Float64:
    """Reads what is not there."""
    return spend

@on_demand(unit="USD", expect=ANYTHING)
def of_visits(user_visits__spent: Float64) -> Float64:
    """Names the view too."""
    return user_visits__spent

@on_demand(unit="visits", expect=ANYTHING)
def miscounted(spent: String) -> String:
    """Takes a number for a text."""
    return spent

def plain(spent):
    return spent
'''

price = RequestSource(name="cart", schema=[Field(name="price", dtype=Float64)])


@pytest.fixture
def functions(module_of: Callable[[str, str], ModuleType]) -> ModuleType:
    return module_of("visit_functions", FUNCTIONS)


@pytest.fixture
def visits(stored: Callable[..., FeastView]) -> FeastView:
    return stored("user_visits", spent=Float64, last_at=UnixTimestamp, pages=Int64, plan=String)


def view_of(name: str, functions: Sequence[Any], sources: Sequence[Source], **more: Any) -> OnDemandFeatureView:
    return on_demand_view(name, functions, sources, **{"owner": OWNER, "description": "Now", **more})


def test_a_functions_output_is_another_ones_input_in_whatever_order_they_are_given(
    functions: ModuleType, visits: FeastView
) -> None:
    view = view_of("user_now", [functions.against_twice, functions.twice], [visits, price])
    columns = {"user_visits:spent": pa.array([10.0, None, 0.5]), "price": pa.array([30, 5, None])}
    values = evaluate(view, columns, pa.nulls(3, TIMESTAMP))
    assert {name: column.to_pylist() for name, column in values.items()} == {
        "against_twice": [1.5, None, None],
        "twice": [20.0, None, 1.0],
    }
    assert list(evaluate(view, columns, pa.nulls(3, TIMESTAMP), ["against_twice"])) == ["against_twice"]


def test_sources_are_narrowed_to_the_features_that_are_read(functions: ModuleType, visits: FeastView) -> None:
    view = view_of("user_now", [functions.twice], [visits])
    projection = view.source_feature_view_projections["user_visits"]
    assert [feature.name for feature in projection.features] == ["spent"]
    assert [feature.name for feature in visits.projection.features] == ["spent", "last_at", "pages", "plan"]


def test_now_is_the_moment_of_each_row(functions: ModuleType, visits: FeastView, at: Callable[[str], datetime]) -> None:
    view = view_of("user_now", [functions.seconds_since], [visits])
    last = pa.array([at("2024-05-01"), at("2024-05-01"), None], TIMESTAMP)
    moments = pa.array([at("2024-05-01T00:00:10"), at("2024-05-02"), at("2024-05-02")], TIMESTAMP)
    assert evaluate(view, {"user_visits:last_at": last}, moments)["seconds_since"].to_pylist() == [10, 86_400, None]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["chicken", "egg"], "its functions need each other: (chicken → egg → chicken|egg → chicken → egg)"),
        (
            ["typo"],
            r"parameter 'spend' of typo is no stored feature, request field or function: did you mean 'spent'\?",
        ),
        (["miscounted"], "parameter 'spent' of miscounted is declared String, but user_visits:spent is Float64"),
        (["plain"], r"plain is not declared @on_demand\(unit=…\)"),
    ],
)
def test_functions_that_cannot_be_wired_are_refused(
    functions: ModuleType, visits: FeastView, names: list[str], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        view_of("user_now", [getattr(functions, name) for name in names], [visits])


def test_a_parameter_with_two_sources_names_them_and_the_way_out(
    functions: ModuleType, visits: FeastView, stored: Callable[..., FeastView]
) -> None:
    others = stored("user_calls", spent=Float64)
    with pytest.raises(DefinitionError) as refused:
        view_of("user_now", [functions.twice], [visits, others])
    assert "could be user_visits:spent or user_calls:spent" in str(refused.value)
    assert "Name the parameter user_visits__spent or user_calls__spent" in str(refused.value)
    view = view_of("user_now", [functions.of_visits], [visits, stored("user_bills", price=Float64), price][:1])
    assert evaluate(view, {"user_visits:spent": pa.array([1.0])}, pa.nulls(1, TIMESTAMP))["of_visits"].to_pylist() == [
        1.0
    ]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (Field(name="price", dtype=Float64), "no function reads request field 'price'"),
        (Field(name="spent", dtype=Float64), "'spent' is a field of cart and a feature of user_visits"),
        (Field(name="twice", dtype=Float64), "'twice' is a function of this view and a field of cart"),
        (Field(name="request_timestamp", dtype=UnixTimestamp), "request_timestamp is supplied by us"),
    ],
)
def test_a_request_field_that_would_mean_two_things_or_nothing_is_refused(
    functions: ModuleType, visits: FeastView, field: Field, message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        view_of("user_now", [functions.twice], [visits, RequestSource(name="cart", schema=[field])])


def test_a_view_that_nothing_reads_is_refused(
    functions: ModuleType, visits: FeastView, stored: Callable[..., FeastView]
) -> None:
    with pytest.raises(DefinitionError, match="no function reads view user_bills"):
        view_of("user_now", [functions.twice], [visits, stored("user_bills", amount=Float64)])


@pytest.mark.parametrize("fact", ["owner", "description"])
def test_nothing_is_declared_without_owner_and_description(functions: ModuleType, visits: FeastView, fact: str) -> None:
    with pytest.raises(DefinitionError, match=f"user_now has no {fact}"):
        view_of("user_now", [functions.twice], [visits], **{fact: " "})


def test_a_lossy_request_value_is_refused_by_field_value_and_dtype(module_of: Callable[[str, str], ModuleType]) -> None:
    text = '''
from transformations import ANYTHING, Int64, on_demand

@on_demand(unit="items", expect=ANYTHING)
def ordered(items: Int64) -> Int64:
    """Items in the cart."""
    return items
'''
    cart = RequestSource(name="cart", schema=[Field(name="items", dtype=Int64)])
    view = view_of("cart_now", [module_of("cart_functions", text).ordered], [cart])
    assert evaluate(view, {"items": pa.array([3.0, None])}, pa.nulls(2, TIMESTAMP))["ordered"].to_pylist() == [3, None]
    with pytest.raises(DataError, match=r"cart_now: request field 'items' is declared Int64, but row 1 holds 5.7"):
        evaluate(view, {"items": pa.array([5, 5.7])}, pa.nulls(2, TIMESTAMP))


def test_documentation_travels_in_tags_because_feast_drops_that_of_the_fields(
    functions: ModuleType, visits: FeastView
) -> None:
    view = view_of("user_now", [functions.twice], [visits], tags={"team": "web"})
    assert {key: tag for key, tag in view.tags.items() if not key.endswith(".hash")} == {
        "team": "web",
        "twice.function": "visit_functions:twice",
        "twice.inputs": "user_visits:spent",
        "twice.description": "Twice what was spent.",
        "twice.unit": "USD",
        "twice.expect": "anything",
    }


def test_feast_keeps_the_view_as_it_was_applied_and_sees_no_change_in_it(
    functions: ModuleType, visits: FeastView, user: Any, store_of: Callable[..., FeatureStore]
) -> None:
    view = view_of("user_now", [functions.against_twice, functions.twice], [visits, price])
    store = store_of(user, visits, view)
    applied = store.get_on_demand_feature_view("user_now")
    assert not diff_registry_objects(applied, view, FeastObjectType.ON_DEMAND_FEATURE_VIEW).feast_object_property_diffs
    columns = {"user_visits:spent": pa.array([10.0]), "price": pa.array([30.0])}
    assert evaluate(applied, columns, pa.nulls(1, TIMESTAMP))["against_twice"].to_pylist() == [1.5]
    store.apply([user, visits, view_of("user_now", [functions.against_twice, functions.twice], [visits, price])])
    assert len(store.list_feature_view_versions("user_now")) == 1


REPOSITORY = """
import visit_functions
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, Project, ValueType
from feast.types import Float64, Int64
from transformations.stores.computed.on_demand import on_demand_view

project = Project(name="test")
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
visits = FeatureView(
    name="user_visits",
    entities=[user],
    schema=[Field(name="user_id", dtype=Int64), Field(name="spent", dtype=Float64)],
    source=FileSource(name="visits", path="visits.parquet", timestamp_field="event_timestamp"),
    ttl=timedelta(0),
)
now = on_demand_view("user_now", [visit_functions.twice], [visits], owner="me", description="Now")
"""


def test_feast_plan_shows_a_change_in_a_shared_helper_and_in_a_constant(
    module_of: Callable[[str, str], ModuleType], store_of: Callable[..., FeatureStore], tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "views.py").write_text(REPOSITORY)
    store = store_of()

    def plan(functions: str) -> str:
        module_of("visit_functions", functions)
        return re.sub(r"\x1b\[\d+m", "", store.plan(contents(repo))[0].to_string())

    module_of("visit_functions", FUNCTIONS)
    declared = contents(repo)
    store.apply([*declared.projects, *declared.entities, *declared.feature_views, *declared.on_demand_feature_views])
    assert plan(FUNCTIONS) == "No changes to registry"
    assert plan(FUNCTIONS.replace("Twice what was", "Doubled: what was")).startswith(
        "Updated on demand feature view user_now"
    )
    for old, new in (("FACTOR = 2.0", "FACTOR = 3.0"), ("pc.multiply(values", "pc.add(values")):
        assert plan(FUNCTIONS.replace(old, new)).startswith("Updated on demand feature view user_now")
    unrelated = FUNCTIONS.replace("Seconds since", "The seconds since")
    assert plan(unrelated) == "No changes to registry"


def test_other_code_than_was_applied_is_not_run(module_of: Callable[[str, str], ModuleType], visits: FeastView) -> None:
    view = view_of("user_now", [module_of("visit_functions", FUNCTIONS).twice], [visits])
    module_of("visit_functions", FUNCTIONS.replace("FACTOR = 2.0", "FACTOR = 3.0"))
    with pytest.raises(DataError, match=r"visit_functions:twice was applied with code .*, but its code here is"):
        evaluate(view, {"user_visits:spent": pa.array([1.0])}, pa.nulls(1, TIMESTAMP))


def test_feasts_check_takes_a_function_that_is_null_on_its_synthetic_row(
    functions: ModuleType, visits: FeastView, user: Any, store_of: Callable[..., FeatureStore]
) -> None:
    view = view_of("user_now", [functions.known_plan, functions.seconds_since], [visits])
    applied = store_of(user, visits, view).get_on_demand_feature_view("user_now")
    assert {field.name: field.dtype for field in applied.features} == {"known_plan": String, "seconds_since": Int64}


def test_feasts_check_refuses_a_function_whose_dtype_is_not_the_declared_one(
    module_of: Callable[[str, str], ModuleType], visits: FeastView, user: Any, store_of: Callable[..., FeatureStore]
) -> None:
    wrong = module_of("wrong_functions", FUNCTIONS.replace("-> Int64:", "-> String:")).seconds_since
    with pytest.raises(DefinitionError, match=r"on-demand view user_now fails on a row of ones: .*returned int64"):
        store_of(user, visits, view_of("user_now", [wrong], [visits]))


def test_the_stored_text_needs_nothing_from_the_module_it_was_made_in(functions: ModuleType, visits: FeastView) -> None:
    view = view_of("user_now", [functions.twice, functions.against_twice], [visits, price])
    assert view.feature_transformation is not None
    udf = dill.loads(dill.dumps(view.feature_transformation.udf, recurse=True))
    inputs = {"user_visits__spent": [1.5, None], "price": [6, 1]}
    assert udf(inputs) == {"twice": [3.0, None], "against_twice": [2.0, None]}


def plain_view(visits: FeastView, **more: Any) -> OnDemandFeatureView:
    def halved(inputs):
        return {"half": [None if value is None else value / 2 for value in inputs["spent"]]}

    text = "def halved(inputs):\n    return {'half': [None if v is None else v / 2 for v in inputs['spent']]}\n"
    settings = {"mode": "python", "schema": [Field(name="half", dtype=Float64)], **more}
    return OnDemandFeatureView(name="user_half", sources=[visits], udf=halved, udf_string=text, **settings)


def test_a_plain_feast_view_of_lists_is_computed_by_the_same_code(visits: FeastView) -> None:
    columns = {f"user_visits:{name}": pa.array([5.0, None]) for name in ("spent", "last_at", "pages", "plan")}
    assert evaluate(plain_view(visits), columns, pa.nulls(2, TIMESTAMP))["half"].to_pylist() == [2.5, None]
    as_integers = plain_view(visits, schema=[Field(name="half", dtype=Int64)])
    with pytest.raises(DataError, match=r"user_half: output 'half' is declared Int64, but row 0 holds 2.5"):
        evaluate(as_integers, columns, pa.nulls(2, TIMESTAMP))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"singleton": True}, "it is a singleton"),
        ({"write_to_online_store": True}, "Feast computes it when written"),
        ({"mode": "pandas"}, "its mode is 'pandas'"),
    ],
)
def test_a_view_that_feast_would_compute_unevenly_is_refused_where_the_repository_says_strict(
    visits: FeastView, more: dict[str, Any], reason: str
) -> None:
    columns = {f"user_visits:{name}": pa.array([5.0]) for name in ("spent", "last_at", "pages", "plan")}
    message = f"user_half, on Feast's own stores, does not give the same values in training and serving: {reason}"
    with pytest.raises(UsageError, match=message):
        evaluate(plain_view(visits, **more), columns, pa.nulls(1, TIMESTAMP), is_strict=True)


def test_nothing_heavy_is_loaded_to_evaluate(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = """
from transformations.engine.launch.quickening import quicken_feast; quicken_feast()
import sys, transformations.stores.lookups.lookup
print([m for m in sys.modules if m in ('pyspark', 'duckdb', 'deltalake', 'great_expectations', 'ibis')])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"

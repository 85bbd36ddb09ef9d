"""Traps of on-demand features: what a function is given, what becomes of its result, and which code it is.

Where a view of Feast's cannot give equal values on both paths, our stores may refuse it, with an error that says so.
"""

import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureView, Field, OnDemandFeatureView, RequestSource
from feast.types import FeastType, Float64, Int64, String

from transformations.engine.base.errors import FeaturesError
from transformations.stores.computed.on_demand import on_demand_view

from .traps import trap
from .worlds import Answer, Lookup, RefusedError, Row, SdkLookup, World

Agree = Callable[..., Answer]

USER = [{"user_id": 1}]
USERS = [{"user_id": 1}, {"user_id": 2}]
CART = RequestSource(name="cart", schema=[Field(name="number", dtype=Int64), Field(name="price", dtype=Float64)])


def stock_view(
    name: str,
    function: Callable[..., Any],
    sources: Sequence[FeatureView | RequestSource],
    output: FeastType,
    mode: str = "python",
    **more: Any,
) -> OnDemandFeatureView:
    """An on-demand view as Feast's own decorator makes it, of one feature called as the view."""
    text = textwrap.dedent(inspect.getsource(function))
    schema = [Field(name=name, dtype=output)]
    return OnDemandFeatureView(
        name=name, sources=list(sources), schema=schema, mode=mode, udf=function, udf_string=text, **more
    )


def refused(action: Callable[[], object]) -> str | None:
    """What was said where our stores, or the server, refused; None where they did not."""
    try:
        action()
    except (FeaturesError, RefusedError) as error:
        return str(error)
    except Exception as error:
        raise AssertionError(f"neither an answer nor a refusal: {error!r}") from error
    return None


def agreed_or_refused(
    agree: Agree, world: World, lookup: Lookup, features: list[str], rows: Sequence[Row], name: str
) -> None:
    """Both paths give the same, or both refuse and name the view."""
    online = refused(lambda: lookup(features, rows))
    training = refused(lambda: world.training(features, rows))
    if online is None and training is None:
        agree(world, lookup, features, rows)
    else:
        assert name in (online or "")
        assert name in (training or "")


def materialized(world: World, view: FeatureView, *rows: tuple[Any, ...]) -> None:
    world.write(view, *rows)
    world.apply(view)
    world.materialize("2024-06-01", view.name)


def as_text(inputs):  # type: ignore[no-untyped-def]
    return inputs.assign(pages_text=inputs["pages"].astype(str))[["pages_text"]]


def in_batches(world: World) -> None:
    view = world.view("batch_visits", pages=Int64)
    materialized(world, view, (1, "2024-05-01", None, 5), (2, "2024-05-01", None, None))
    world.apply(stock_view("pages_text", as_text, [view], String, mode="pandas"))


@trap("T8: batch")
def test_t08_a_value_does_not_depend_on_what_else_is_asked(world: World, lookup: Lookup, agree: Agree) -> None:
    world.once(in_batches)

    for rows in (USER, USERS, USERS[1:]):
        agreed_or_refused(agree, world, lookup, ["pages_text:pages_text"], rows, "pages_text")


FUNCTIONS = '''
from transformations import ANYTHING, Float64, on_demand
import pyarrow.compute as pc

def scaled(values):
    return pc.multiply(values, FACTOR)

@on_demand(unit="USD", expect=ANYTHING)
def scaled_spend(spent: Float64) -> Float64:
    """Scaled."""
    return scaled(spent)
'''


def scaled_spend(inputs):  # type: ignore[no-untyped-def]
    import conformance_functions

    return {"scaled_spend": [value * conformance_functions.FACTOR for value in inputs["spent"]]}


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], Any]]:
    """Installs the functions' module with some factor in it, as a new release would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def release(factor: float) -> Any:
        (tmp_path / "conformance_functions.py").write_text(f"FACTOR = {factor}\n{FUNCTIONS}")
        sys.modules.pop("conformance_functions", None)
        importlib.invalidate_caches()
        from transformations.stores.computed import wiring

        wiring.calls_of.cache_clear()  # a new release is a new process
        return importlib.import_module("conformance_functions")

    yield release
    sys.modules.pop("conformance_functions", None)


@trap("T10")
def test_t10_a_function_whose_code_is_not_the_applied_one_is_not_served(
    world: World, lookup: Lookup, deploy: Callable[[float], Any]
) -> None:
    view = world.view("scaled_visits", spent=Float64)
    materialized(world, view, (1, "2024-05-01", None, 5.0))
    code = deploy(2.0)
    facts = {"owner": "team@example.com", "description": "Scaled"}
    if world.is_ours:
        world.apply(on_demand_view("scaled_now", [code.scaled_spend], [view], **facts))
    else:
        now = stock_view("scaled_spend", scaled_spend, [view], Float64)
        now.name = "scaled_now"
        world.apply(now)
    features = ["scaled_now:scaled_spend"]
    assert lookup(features, USER).values["scaled_spend"] == [10.0]

    deploy(3.0)

    assert "scaled_spend" in (refused(lambda: restarted(world, lookup, features)) or "")
    assert "scaled_spend" in (refused(lambda: world.training(features, USER)) or "")


def restarted(world: World, lookup: Lookup, features: list[str]) -> Any:
    """The answer of a process that starts now; new code comes with a new process."""
    assert isinstance(lookup, SdkLookup)
    anew = type(lookup)(world.open(), lookup.runner)
    try:
        return anew(features, USER)
    finally:
        anew.close()


def doubled_one(inputs):  # type: ignore[no-untyped-def]
    return {"doubled_one": inputs["pages"] * 2}


def of_singletons(world: World) -> None:
    view = world.view("single_visits", pages=Int64)
    materialized(world, view, (1, "2024-05-01", None, 5), (2, "2024-05-01", None, 6))
    world.apply(stock_view("doubled_one", doubled_one, [view], Int64, singleton=True))


@trap("T11")
def test_t11_a_singleton_function_gives_every_row_its_value_or_is_refused(
    world: World, lookup: Lookup, agree: Agree
) -> None:
    world.once(of_singletons)

    agreed_or_refused(agree, world, lookup, ["doubled_one:doubled_one"], USERS, "doubled_one")


def doubled(inputs):  # type: ignore[no-untyped-def]
    return {"doubled": [None if pages is None else pages * 2 for pages in inputs["pages"]]}


def of_lists(world: World) -> None:
    view = world.view("list_visits", pages=Int64)
    materialized(world, view, (1, "2024-05-01", None, 5), (2, "2024-05-01", None, None))
    world.apply(stock_view("doubled", doubled, [view], Int64))


@trap("T12")
def test_t12_full_feature_names_hold_for_on_demand_features_too(world: World, lookup: Lookup, agree: Agree) -> None:
    world.once(of_lists)

    answer = lookup(["doubled:doubled"], USERS, full_feature_names=True)
    assert answer.values.get("doubled__doubled") == [10, None]
    agree(world, lookup, ["doubled:doubled"], USERS, full_feature_names=True)


def surroundings(inputs):  # type: ignore[no-untyped-def]
    seen = "event_timestamp" in inputs or "spent" in inputs
    return {"surroundings": [seen] * len(inputs["pages"])}


def in_company(world: World) -> None:
    from feast.types import Bool

    view, undeclared = world.view("seen_visits", pages=Int64), world.view("unseen_visits", spent=Float64)
    materialized(world, view, (1, "2024-05-01", None, 5))
    materialized(world, undeclared, (1, "2024-05-01", None, 6.0))
    world.apply(stock_view("surroundings", surroundings, [view], Bool))


@trap("T13")
def test_t13_a_function_is_given_only_what_it_declares(world: World, lookup: Lookup, agree: Agree) -> None:
    world.once(in_company)

    answer = agree(world, lookup, ["unseen_visits:spent", "surroundings:surroundings"], USER)
    assert answer.values["surroundings"] == [False]


@trap("T13: extra columns", paths=())
def test_t13_a_training_frame_has_the_features_that_were_asked_for_and_no_others(world: World) -> None:
    world.once(in_company)

    assert list(world.training(["surroundings:surroundings"], USER)) == ["surroundings"]


def of_the_request(inputs):  # type: ignore[no-untyped-def]
    pairs = zip(inputs["number"], inputs["price"], strict=True)
    return {"of_the_request": [number * price for number, price in pairs]}


def requested(world: World) -> None:
    view = world.view("cart_visits", pages=Int64)
    materialized(world, view, (1, "2024-05-01", None, 5))
    world.apply(stock_view("of_the_request", of_the_request, [view, CART], Float64))


@trap("T14")
def test_t14_a_request_value_that_its_dtype_cannot_hold_is_refused_and_named_on_both_paths(
    world: World, lookup: Lookup
) -> None:
    world.once(requested)
    features, rows = ["of_the_request:of_the_request"], [{"user_id": 1, "number": 5.7, "price": 2.0}]

    for said in (refused(lambda: lookup(features, rows)), refused(lambda: world.training(features, rows))):
        assert said is not None
        assert all(fact in said for fact in ("number", "5.7", "Int64"))


@trap("T14: widening")
def test_t14_a_whole_number_is_taken_where_a_float_is_declared(world: World, lookup: Lookup, agree: Agree) -> None:
    world.once(requested)

    answer = agree(world, lookup, ["of_the_request:of_the_request"], [{"user_id": 1, "number": 5, "price": 2}])
    assert answer.values["of_the_request"] == [10.0]


def shown(inputs):  # type: ignore[no-untyped-def]
    return {"shown": [str(pages) for pages in inputs["pages"]]}


def computed_when_written(world: World) -> None:
    view = world.view("shown_visits", pages=Int64)
    materialized(world, view, (1, "2024-05-01", None, 5), (2, "2024-05-01", None, None))
    world.apply(stock_view("shown", shown, [view], String, write_to_online_store=True, entities=[world.user]))
    refused(lambda: world.materialize("2024-06-01", "shown"))


@trap("T20")
def test_t20_a_view_computed_when_written_equals_training_or_is_refused(
    world: World, lookup: Lookup, agree: Agree
) -> None:
    world.once(computed_when_written)

    agreed_or_refused(agree, world, lookup, ["shown:shown"], USERS, "shown")

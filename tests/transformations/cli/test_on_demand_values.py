"""Values of on-demand features in the commands: explained by what they read, compared over views of different keys."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.worlds.clicking import DOMAIN, VIEWS
from transformations.insight.repository import open_store
from transformations.stores.base.feast_seams import online_client

PAGES_AND_FUNCTIONS = '''
import pyarrow.compute as pc

from transformations import Float64, Int64, UnixTimestamp, between, on_demand, quotient

page_clicks = WindowedFeatures(
    name="page_clicks",
    join_key="page",
    source="clicks",
    windows=[days(7)],
    available_after=hours(4),
    description="How a page is read",
    features=[Count(name="page_clicks", description="Clicks on a page", unit="clicks", expect=at_least(0))],
)


@on_demand(unit="ratio", expect=at_least(0))
def haste(pace: Float64, attention_seconds_sum_7d: Float64) -> Float64:
    """The pace of this visit against the attention of 7 days."""
    return quotient(pace, attention_seconds_sum_7d)


@on_demand(unit="ratio", expect=at_least(0))
def haste_by_page(haste: Float64, page_clicks_count_7d: Int64) -> Float64:
    """Haste, weighted by how much the page is read."""
    return pc.multiply(haste, pc.cast(page_clicks_count_7d, "double"))


@on_demand(unit="seconds", expect=at_least(0))
def seconds_since_click(click_at_last_lifetime: UnixTimestamp, request_timestamp: UnixTimestamp) -> Int64:
    """Seconds since the last click."""
    return pc.seconds_between(click_at_last_lifetime, request_timestamp)
'''
OFFER = """
from feast import Field, RequestSource
from feast.types import Float64
from transformations.stores.computed.on_demand import on_demand_view

page = Entity(name="page", join_keys=["page"], value_type=ValueType.STRING, description="A page", owner="web@x.org")
page_clicks = feature_view(clicking.page_clicks, entity=page, owner="web@x.org")
visit = RequestSource(name="visit", schema=[Field(name="pace", dtype=Float64, description="Pages a minute")])
visit_now = on_demand_view(
    "visit_now",
    [clicking.haste, clicking.haste_by_page, clicking.seconds_since_click],
    sources=[user_clicks, page_clicks, visit],
    owner="web@x.org",
    description="A user on a page",
)
"""
REQUEST = '{"pace": 30.0}'


@pytest.fixture
def served(serve: Callable[..., Any]) -> Any:
    return serve("2024-05-05T12:00:00+00:00", domain=DOMAIN + PAGES_AND_FUNCTIONS, views=VIEWS + OFFER)


def explain(world: Any, *arguments: str) -> dict[str, Any]:
    return json.loads(world.run("explain", *arguments, "--json").stdout)


def test_a_computed_value_is_explained_by_each_stored_feature_that_it_reads(served: Any) -> None:
    found = explain(served, "haste_by_page", "user_id=1,page=/cats", "--request", REQUEST)

    assert (found["value"], found["offline"], found["unit"]) == (2.0, 2.0, "ratio")  # 30 / (10 + 5), once clicked
    assert found["function"] == "transformations.clicking:haste_by_page"
    assert found["reads"] == ["haste", "page_clicks:page_clicks_count_7d"]
    assert (found["key"], found["request"]) == ({"user_id": 1, "page": "/cats"}, {"pace": 30.0})
    online = found["online"]
    assert (online["value"], online["status"], online["difference"]) == (2.0, "PRESENT", None)
    inputs = {each["feature"]: each for each in found["inputs"]}
    assert {name: (each["value"], each["key"], len(each["events"])) for name, each in inputs.items()} == {
        "attention_seconds_sum_7d": (15.0, {"user_id": 1}, 2),
        "page_clicks_count_7d": (1, {"page": "/cats"}, 1),
    }
    assert (found["remarks"], [each["remarks"] for each in found["inputs"]]) == ([], [[], []])


@pytest.mark.proof
def test_at_another_moment_the_inputs_of_then_count_and_the_moment_is_one_itself(served: Any) -> None:
    key = "user_id=1,page=/cats"
    earlier = explain(served, "haste", key, "--at", "2024-05-03T05:59:59Z", "--request", REQUEST)
    assert (earlier["value"], earlier["offline"], earlier["online"]["value"]) == (3.0, 3.0, 2.0)

    since = explain(served, "seconds_since_click", key, "--at", "2024-05-04T16:00:00Z", "--request", REQUEST)
    assert (since["value"], since["offline"]) == (172_800, 172_800)

    # A day is the first moment at which all inputs of that day can be served: four hours after midnight in New York.
    day = explain(served, "haste_by_page", key, "--at", "2024-05-03", "--request", REQUEST)
    assert day["moment"] == "2024-05-03 08:00:00+00:00"
    assert {each["as_of"] for each in day["inputs"]} == {"2024-05-03"}


def test_an_input_that_was_corrected_since_explains_the_difference(served: Any) -> None:
    rows = "click_id,user_id,page,seconds,clicked_at\n2,1,/dogs,50.0,2024-05-02T16:00:00\n"
    served.deliver("clicks", rows, correction=True)
    assert served.run("build").exit_code == 0

    found = explain(served, "haste", "user_id=1,page=/cats", "--request", REQUEST)
    assert (found["value"], found["offline"], found["online"]["value"]) == (0.5, 0.5, 2.0)
    assert re.match(
        "corrected since, not materialized: by its input attention_seconds_sum_7d: ", found["online"]["difference"]
    )


def test_it_reads_as_a_page_and_what_is_missing_is_named(served: Any) -> None:
    said = served.run("explain", "haste", "user_id=1,page=/cats", "--request", REQUEST).stdout
    assert "visit_now:haste of user_id 1, page /cats, pace 30.0, at 2024-05-05 12:00:00 UTC" in said
    assert "transformations.clicking:haste of pace, user_clicks:attention_seconds_sum_7d" in said
    assert "By definition: 2.0 ratio" in said
    assert "user_clicks:attention_seconds_sum_7d of user_id 1, at 2024-05-05 12:00:00 UTC" in said
    assert "as training has it at this moment" in said

    served.tell_times_of("America/New_York")
    local = ("--at", "2024-05-03T02:00", "--request", REQUEST)  # at which the row as-of 3 May is there
    said = served.run("explain", "haste", "user_id=1,page=/cats", *local).stdout
    assert "visit_now:haste of user_id 1, page /cats, pace 30.0, at 2024-05-03 02:00:00 -04:00" in said
    assert ("By definition: 2.0 ratio" in said, "UTC" in said) == (True, False)

    refused = {
        (
            "haste",
            "user_id=1,page=/cats",
        ): r"needs of the request: pace \(Float64\)\. Write --request '\{\"pace\": …\}'",
        ("haste", "user_id=1,page=/cats", "--request", '{"pase": 1}'): r"no request field 'pase': .*pace",
        ("haste", "1", "--request", REQUEST): r"'1' is no key of visit_now:haste, .*user_id=…,page=…",
        ("clicks_count_7d", "1", "--request", REQUEST): "a stored feature, which reads nothing of a request",
    }
    for arguments, message in refused.items():
        found = served.run("explain", *arguments)
        assert (found.exit_code, bool(re.search(message, found.stderr))) == (2, True), found.stderr


def test_parity_compares_it_for_the_entities_of_all_its_views_together(served: Any) -> None:
    found = json.loads(served.run("parity", "visit_now", "--all", "--request", REQUEST, "--json").stdout)
    assert (found["skipped"], found["differing"]) == ({}, 0)
    # Two users and three pages: each of them in at least one pair.
    assert {each["feature"]: each["compared"] for each in found["features"]} == {
        "visit_now:haste": 3,
        "visit_now:haste_by_page": 3,
        "visit_now:seconds_since_click": 3,
    }

    store = open_store(served.settings)
    redis = online_client(store)
    (row_of_dogs,) = redis.scan_iter(b"*/dogs*")
    assert redis.delete(row_of_dogs)
    lost = served.run("parity", "visit_now", "--all", "--request", REQUEST)
    assert lost.exit_code == 3
    assert "by its input page_clicks_count_7d" in lost.stderr

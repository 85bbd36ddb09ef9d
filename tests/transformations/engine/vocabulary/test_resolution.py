"""A definition against its contracts: dtypes, the errors that need a schema, and the hash."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.worlds.contracts import attribute_source, event_source
from transformations import (
    ANYTHING,
    LIFETIME,
    Count,
    Float64,
    Int64,
    Last,
    LastK,
    Lookup,
    Max,
    Mean,
    Sum,
    TopK,
    UnixTimestamp,
    WindowedFeatures,
    column,
    days,
    derived,
    hours,
    on_demand,
)
from transformations.contracts import Column, Contract, ContractError
from transformations.engine.base.errors import DefinitionError
from transformations.engine.vocabulary.aggregations import Aggregation
from transformations.engine.vocabulary.functions import RowFunction
from transformations.engine.vocabulary.resolution import Resolved, resolve

CLICKS = event_source(
    "clicks",
    [
        Column("user_id", "Int64", False, "User"),
        Column("page_id", "Int64", False, "Page"),
        Column("kind", "String", True, "Kind", allowed=("link", "button")),
        Column("seconds", "Float64", True, "Time on page", minimum=0, maximum=3600),
        Column("is_bot", "Bool", False, "Bot"),
        Column("clicked_at", "UnixTimestamp", False, "When"),
        Column("billed_on", "Date", True, "Billing day"),
    ],
    key=["user_id", "clicked_at"],
    at="clicked_at",
    business_day_zone="Europe/Berlin",
)
PAGES = attribute_source(
    "pages",
    [Column("page_id", "Int64", False, "Page"), Column("section", "String", True, "Section")],
    key=["page_id"],
    business_day_zone="Europe/Berlin",
)


def resolved(*features: Aggregation, **changes: Any) -> Resolved:
    facts = {"name": "user_clicks", "join_key": "user_id", "source": "clicks", "description": "C", "windows": [days(7)]}
    return resolve(WindowedFeatures(**(facts | changes), features=features), _read)


USER_CLICKS = WindowedFeatures(
    name="user_clicks",
    join_key="user_id",
    source="clicks",
    description="Clicks",
    features=[Count(name="clicks", description="Clicks", unit="clicks")],
)


def _read(name: str) -> Contract:
    return {"clicks": CLICKS, "pages": PAGES}[name]


def count(**changes: Any) -> Count:
    return Count(**({"name": "clicks", "description": "Clicks", "unit": "clicks"} | changes))


FACTS: dict[str, Any] = {"name": "measure", "description": "A measure", "unit": "unit"}


@pytest.mark.parametrize(
    ("aggregation", "dtype"),
    [
        (count(), "Int64"),
        (Sum("seconds", **FACTS), "Float64"),
        (Sum("page_id", **FACTS), "Int64"),
        (Mean("page_id", **FACTS), "Float64"),
        (Max("kind", **FACTS), "String"),
        (Last("clicked_at", **FACTS), "UnixTimestamp"),
        (LastK("page_id", k=3, **FACTS), "Array(Int64)"),
        (TopK("kind", k=3, **FACTS), "Array(String)"),
    ],
)
def test_dtypes_follow_from_the_contract_and_the_aggregation(aggregation: Aggregation, dtype: str) -> None:
    assert [str(feature.dtype) for feature in resolved(aggregation).features] == [dtype]


def test_a_looked_up_attribute_can_be_part_of_the_key() -> None:
    view = resolved(count(), join_key=["user_id", "section"], lookups=[Lookup("section", source="pages", on="page_id")])
    assert {key: str(dtype) for key, dtype in view.join_keys.items()} == {"user_id": "Int64", "section": "String"}


@pytest.mark.parametrize(
    ("aggregation", "message"),
    [
        (Sum("secondz", **FACTS), "column 'secondz' is not in clicks: did you mean 'seconds'"),
        (Sum("kind", **FACTS), "needs a number, the column is String"),
        (Max("is_bot", **FACTS), "Bool has no order"),
        (Last("billed_on", **FACTS), "would be a Date"),
        (count(where=column("kind") == "swipe"), "can never hold: its contract allows kind to be link, button"),
        (count(where=column("seconds") > 3600), "can never hold"),
        (
            count(where=(column("kind") == "link") & (column("kind") == "button")),
            "cannot be 'link' and 'button' at once",
        ),
        (count(where=column("seconds") == "long"), "compares seconds"),
        (count(where=column("page_id") == "7"), "compares page_id (Int64) with '7'. Use a Int64 value"),
        (count(where=column("kind").isin("link", "swipe")), "`kind == 'swipe'` can never hold"),
        (count(where=~(column("kind") == "swipe")), "`kind == 'swipe'` can never hold"),
        (count(where=column("kind") != "swipe"), "always holds: its contract allows kind to be link, button"),
        (count(where=column("seconds").between(3601, 4000)), "`seconds >= 3601` can never hold"),
        (count(where=column("seconds") == 2**53 + 1), "Use a Float64 value"),
        (count(where=column("is_bot") > False), "orders is_bot, which is a Bool"),
        (count(where=column("is_bot") == 1), "Use a Bool value"),
        (count(where=column("is_bot").isin([True, 1])), "`is_bot == 1`"),
        (count(where=column("page_id").isin(1, True)), "`page_id == True`"),
        (count(where=column("clicked_at") > "2024-01-01"), "A time is compared with another column"),
        (count(where=column("clicked_at") > column("billed_on")), "(UnixTimestamp) with billed_on (Date)"),
        (count(where=column("page_id") > column("seconds")), "page_id (Int64) with seconds (Float64)"),
        (count(where=column("page_id") > column("page_id")), "compares page_id with itself"),
        (count(where=column("page_id") > column("pageid")), "column 'pageid' is not in clicks: did you mean 'page_id'"),
        (count(where=~column("kint").is_null()), "column 'kint' is not in clicks"),
        (count(where=column("kint") == "link"), "column 'kint' is not in clicks: did you mean 'kind'"),
    ],
)
def test_what_cannot_mean_anything_is_refused_with_its_place(aggregation: Aggregation, message: str) -> None:
    with pytest.raises(DefinitionError, match="user_clicks") as error:
        resolved(aggregation)
    assert message in str(error.value)


def test_a_condition_with_alternatives_of_one_column_can_hold() -> None:
    assert resolved(count(where=(column("kind") == "link") | (column("kind") == "button"))).features


def test_a_condition_may_ask_for_nulls_and_compare_columns_of_one_dtype() -> None:
    condition = column("seconds").is_null() | (column("user_id") == column("page_id"))
    assert resolved(count(where=condition)).features


def test_a_lookup_source_does_not_bound_the_events_own_columns() -> None:
    pages = replace(PAGES, columns=(*PAGES.columns, Column("seconds", "Float64", True, "To read", maximum=10)))
    definition = WindowedFeatures(
        name="user_clicks",
        join_key="user_id",
        source="clicks",
        description="Clicks",
        lookups=[Lookup("section", source="pages", on="page_id")],
        features=[count(where=column("seconds") > 60)],
    )
    assert resolve(definition, {"clicks": CLICKS, "pages": pages}.__getitem__).features


@pytest.mark.parametrize(
    ("lookup", "message"),
    [
        (Lookup("section", source="pages", on="user_id"), "its contract key is page_id"),
        (Lookup("sektion", source="pages", on="page_id"), "has no column 'sektion': did you mean 'section'"),
    ],
)
def test_a_lookup_that_does_not_fit_is_refused(lookup: Lookup, message: str) -> None:
    with pytest.raises(DefinitionError, match="lookup in pages") as error:
        resolved(count(), lookups=[lookup])
    assert message in str(error.value)


def test_a_join_key_of_another_dtype_than_integer_or_string_is_refused() -> None:
    with pytest.raises(DefinitionError, match="join key 'seconds' is Float64"):
        resolved(count(), join_key="seconds")


@derived(unit="minutes")
def minutes(seconds: Float64) -> Float64:
    """Time on page."""
    return pc.divide(seconds, 60.0)


def _in_half_minutes() -> RowFunction:
    @derived(unit="minutes")
    def minutes(seconds: Float64) -> Float64:
        """Another function of the same name."""
        return pc.divide(seconds, 30.0)

    return minutes


@derived(unit="minutes")
def wrong_dtype(page_id: Float64) -> Float64:
    """Declares a number the source has as an integer."""
    return page_id


@derived(unit="pages")
def chained(minutes: Float64, page_id: Int64) -> Float64:
    """A function of a derived column."""
    return pc.add(minutes, pc.cast(page_id, pa.float64()))


def test_derived_columns_may_build_on_each_other_in_order() -> None:
    view = resolved(Sum("chained", **FACTS), derived=[minutes, chained])
    assert str(view.columns["chained"]) == "Float64"


@on_demand(unit="minutes", expect=ANYTHING)
def waited(seconds: Float64, page_id: Int64) -> Float64:
    """Minutes a page, on demand and in batch."""
    return pc.divide(pc.divide(seconds, 60.0), pc.cast(page_id, pa.float64()))


@on_demand(unit="seconds", expect=ANYTHING)
def waiting(request_timestamp: UnixTimestamp) -> Int64:
    """Depends on when it is asked."""
    return pc.second(request_timestamp)


def test_an_on_demand_function_is_a_derived_column_too_but_not_one_of_the_moment() -> None:
    view = resolved(Sum("waited", **FACTS), derived=[waited])
    assert str(view.columns["waited"]) == "Float64"
    assert waited.evaluate({"seconds": pa.array([120.0, None]), "page_id": pa.array([4, 1])}).to_pylist() == [0.5, None]
    with pytest.raises(DefinitionError, match="derived column waiting: parameter 'request_timestamp'"):
        resolved(count(), derived=[waiting])


@pytest.mark.parametrize(
    ("functions", "message"), [([wrong_dtype], "as Float64, the source has Int64"), ([chained], "minutes")]
)
def test_a_derived_column_on_unfit_inputs_is_refused(functions: list[RowFunction], message: str) -> None:
    with pytest.raises(DefinitionError) as error:
        resolved(count(), derived=functions)
    assert message in str(error.value)


def test_the_hash_ignores_words_and_notices_everything_that_decides_a_value() -> None:
    base = resolved(count()).hash
    assert resolved(count(description="Other words", unit="times")).hash == base
    changed = [
        resolved(count(), windows=[days(8)]),
        resolved(count(where=column("kind") == "link")),
        resolved(count(), available_after=hours(1)),
        resolved(count(), windows=[LIFETIME]),
        resolved(count(unseen=0)),
        resolved(count(), derived=[minutes]),
        resolve(resolved(count()).definition, lambda name: replace(_read(name), business_day_zone="UTC")),
    ]
    assert len({base, *(view.hash for view in changed)}) == len(changed) + 1


def changed_features(before: Resolved, after: Resolved) -> set[str]:
    """The features of both that have another hash."""
    names = before.feature_hashes.keys() & after.feature_hashes.keys()
    return {name for name in names if before.feature_hashes[name] != after.feature_hashes[name]}


def test_the_hash_of_a_feature_notices_what_decides_its_own_values_alone() -> None:
    spent, chains = Sum("minutes", **FACTS | {"name": "spent"}), Sum("chained", **FACTS | {"name": "chains"})
    base = resolved(count(), spent, chains, derived=[minutes, chained])
    everything = set(base.feature_hashes)
    assert everything == {"clicks_count_7d", "spent_sum_7d", "chains_sum_7d"}

    def change(*features: Aggregation, **facts: Any) -> set[str]:
        return changed_features(base, resolved(*features, **{"derived": [minutes, chained], **facts}))

    assert change(chains, count(description="Other words", unit="times"), spent) == set()
    assert change(count(), spent, chains, Sum("seconds", **FACTS | {"name": "added"})) == set()
    assert change(spent) == set()
    assert change(count(where=column("kind") == "link"), spent, chains) == {"clicks_count_7d"}
    assert change(count(unseen=0), spent, chains) == {"clicks_count_7d"}
    assert change(count(), spent, chains, available_after=hours(1)) == everything
    assert change(count(), spent, chains, derived=[_in_half_minutes(), chained]) == {"spent_sum_7d", "chains_sum_7d"}
    other_zone = resolve(base.definition, lambda name: replace(_read(name), business_day_zone="UTC"))
    assert changed_features(base, other_zone) == everything


def test_the_hash_of_a_feature_notices_its_lookups_and_which_sources_its_days_wait_for() -> None:
    sections = Count(name="sports", where=column("section") == "sports", description="Clicks", unit="clicks")

    def looking_up(*columns: str, pages: Contract = PAGES) -> Resolved:
        wider = replace(pages, columns=(*pages.columns, Column("author", "String", True, "Author")))
        definition = resolved(count(), sections, lookups=[Lookup("section", source="pages", on="page_id")]).definition
        lookups = [Lookup(*columns, source="pages", on="page_id")]
        return resolve(replace(definition, lookups=lookups), {"clicks": CLICKS, "pages": wider}.__getitem__)

    base = looking_up("section")
    assert changed_features(base, looking_up("section", "author")) == set()
    assert changed_features(base, looking_up("section", pages=replace(PAGES, delivery="append"))) == {"sports_count_7d"}
    assert changed_features(resolved(count()), base) == {"clicks_count_7d"}


def test_a_source_without_contract_says_so() -> None:
    from transformations.contracts import read_contract

    with pytest.raises(ContractError, match="no contract for a source 'clickz'"):
        resolve(replace(USER_CLICKS, source="clickz"), read_contract)

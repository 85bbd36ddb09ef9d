"""Traps of stored features: what is written, what is read, and what training says of the same moment."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from feast import ValueType
from feast.types import Float32, Float64, Int32, Int64, UnixTimestamp

from tests.worlds.contracts import event_source
from transformations import LIFETIME, Count, WindowedFeatures, at_least, hours
from transformations.contracts import Column
from transformations.engine.base.settings import get_settings
from transformations.engine.compute.build import build
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable
from transformations.engine.vocabulary.resolution import resolve
from transformations.stores.views import feature_view

from .traps import trap
from .worlds import Answer, Lookup, World

Agree = Callable[..., Answer]

USER = [{"user_id": 1}]
USERS = [{"user_id": 1}, {"user_id": 2}]


def expiring(world: World) -> None:
    view = world.view("expiring_visits", ttl=timedelta(days=1), spent=Float64)
    world.write(view, (1, "2024-05-01", None, 5.0))
    world.apply(view)
    world.materialize("2024-06-01", view.name)


@trap("T1")
def test_t01_a_value_past_its_ttl_is_withheld_on_both_paths(world: World, lookup: Lookup, agree: Agree) -> None:
    world.once(expiring)

    answer = agree(world, lookup, ["expiring_visits:spent"], USER)
    assert answer.values["spent"] == [None]
    assert answer.statuses["spent"] == ["OUTSIDE_MAX_AGE"]


def corrected(world: World) -> None:
    view = world.view("corrected_visits", spent=Float64)
    world.write(view, (1, "2024-05-01", None, 5.0))
    world.apply(view)
    world.materialize("2024-05-02", view.name)
    world.write(view, (1, "2024-05-01", None, 5.0), (1, "2024-05-01", "2024-05-03", 7.0))
    world.materialize("2024-05-04", view.name)


@trap("T2")
def test_t02_a_correction_of_equal_event_time_reaches_both_paths(world: World, lookup: Lookup, agree: Agree) -> None:
    world.once(corrected)

    assert agree(world, lookup, ["corrected_visits:spent"], USER).values["spent"] == [7.0]


def extended(name: str) -> Callable[[World], None]:
    def scenario(world: World) -> None:
        view = world.view(name, pages=Int64)
        world.write(view, (1, "2024-05-01", None, 3))
        world.apply(view)
        world.materialize("2024-05-02", view.name)
        view = world.view(name, pages=Int64, spent=Float64)
        world.write(view, (1, "2024-05-01", None, 3, 5.0))
        world.apply(view)

    scenario.__name__ = name
    return scenario


def backfilled(world: World) -> None:
    extended("backfilled_visits")(world)
    world.materialize_incremental("2024-05-03", "backfilled_visits")


@trap("T3")
def test_t03_a_feature_added_to_a_view_is_backfilled_by_the_next_run(
    world: World, lookup: Lookup, agree: Agree
) -> None:
    world.once(backfilled)

    answer = agree(world, lookup, ["backfilled_visits:pages", "backfilled_visits:spent"], USER)
    assert (answer.values["pages"], answer.values["spent"]) == ([3], [5.0])


@trap("T3: older schema")
def test_t03_until_then_the_added_feature_is_not_found_and_the_others_are_served(world: World, lookup: Lookup) -> None:
    world.once(extended("extended_visits"))

    answer = lookup(["extended_visits:pages", "extended_visits:spent"], USER)
    assert (answer.values["pages"], answer.values["spent"]) == ([3], [None])
    assert (answer.statuses["pages"], answer.statuses["spent"]) == (["PRESENT"], ["NOT_FOUND"])


def late(world: World) -> None:
    view = world.view("late_visits", spent=Float64)
    world.write(view, (1, "2024-05-01", None, 5.0))
    world.apply(view)
    world.materialize("2024-05-10", view.name)
    world.write(view, (1, "2024-05-01", None, 5.0), (2, "2024-05-05", "2024-05-11", 6.0))
    world.materialize_incremental("2024-05-12", view.name)


@trap("T4")
def test_t04_a_row_that_came_late_is_loaded_by_the_next_incremental_run(
    world: World, lookup: Lookup, agree: Agree
) -> None:
    world.once(late)

    assert agree(world, lookup, ["late_visits:spent"], USERS).values["spent"] == [5.0, 6.0]


def old(world: World) -> None:
    view = world.view("old_visits", spent=Float64)
    world.write(view, (1, "2014-05-01", None, 5.0))
    world.apply(view)
    world.materialize_incremental("2024-05-02", view.name)


@trap("T5")
def test_t05_a_first_incremental_run_loads_old_data(world: World, lookup: Lookup, agree: Agree) -> None:
    world.once(old)

    assert agree(world, lookup, ["old_visits:spent"], USER).values["spent"] == [5.0]


def rounded(world: World) -> None:
    view = world.view("rounded_visits", share=Float32, seen_at=UnixTimestamp)
    world.write(view, (1, "2024-05-01", None, 0.1, datetime(2024, 4, 30, 12, 0, 0, 123_456, tzinfo=UTC)))
    world.apply(view)
    world.materialize("2024-06-01", view.name)


@trap("T7")
def test_t07_both_paths_return_what_the_declared_dtype_can_hold(world: World, lookup: Lookup, agree: Agree) -> None:
    world.once(rounded)

    answer = agree(world, lookup, ["rounded_visits:share", "rounded_visits:seen_at"], USER)
    assert answer.values["share"] == [0.10000000149011612]
    assert answer.values["seen_at"] == [datetime(2024, 4, 30, 12, tzinfo=UTC)]


def nan(world: World) -> None:
    view = world.view("nan_visits", spent=Float64)
    world.write(view, (1, "2024-05-01", None, float("nan")), (2, "2024-05-01", None, 6.0))
    world.apply(view)
    world.materialize("2024-06-01", view.name)


@trap("T8")
def test_t08_not_a_number_is_null_on_both_paths(world: World, lookup: Lookup, agree: Agree) -> None:
    world.once(nan)

    assert agree(world, lookup, ["nan_visits:spent"], USERS).values["spent"] == [None, 6.0]


def large(world: World) -> None:
    view = world.view("large_visits", number=Int64)
    world.write(view, (1, "2024-05-01", None, 2**53 + 1), (2, "2024-05-01", None, None))
    world.apply(view)
    world.materialize("2024-06-01", view.name)


@trap("T9")
def test_t09_an_integer_beyond_2_to_the_53_beside_a_null_stays_exact(
    world: World, lookup: Lookup, agree: Agree
) -> None:
    world.once(large)

    assert agree(world, lookup, ["large_visits:number"], USERS).values["number"] == [2**53 + 1, None]


def written(world: World) -> None:
    view = world.view("written_visits", spent=Float64)
    world.write(view, (1, "2024-05-01", None, 5.0), (2, "2024-05-01", None, None))
    world.apply(view)
    world.materialize("2024-06-01", view.name)


@trap("T15")
def test_t15_an_entity_without_a_row_is_not_found(world: World, lookup: Lookup, agree: Agree) -> None:
    world.once(written)

    answer = agree(world, lookup, ["written_visits:spent"], [*USERS, {"user_id": 404}])
    assert answer.values["spent"] == [5.0, None, None]
    assert answer.statuses["spent"] == ["PRESENT", "NULL_VALUE", "NOT_FOUND"]


def two_widths(world: World) -> None:
    world.user.value_type = ValueType.UNKNOWN  # each view declares its own
    narrow, wide = world.view("narrow_visits", key=Int32, pages=Int64), world.view("wide_visits", spent=Float64)
    world.user.value_type = ValueType.INT64
    world.write(narrow, (1, "2024-05-01", None, 3))
    world.write(wide, (1, "2024-05-01", None, 5.0))
    world.apply(narrow, wide)
    world.materialize("2024-06-01", narrow.name, wide.name)


@trap("T16")
@pytest.mark.parametrize("order", [1, -1], ids=["narrow first", "wide first"])
def test_t16_views_whose_join_key_has_other_widths_can_be_asked_together(
    world: World, lookup: Lookup, agree: Agree, order: int
) -> None:
    world.once(two_widths)

    answer = agree(world, lookup, ["narrow_visits:pages", "wide_visits:spent"][::order], USER)
    assert (answer.values["pages"], answer.values["spent"]) == ([3], [5.0])


@trap("T17", paths=())
def test_t17_writing_one_view_does_not_prolong_the_rows_of_another(world: World) -> None:
    first = world.view("passing_visits", ttl=timedelta(days=10_000), spent=Float64)
    second = world.view("lasting_visits", ttl=timedelta(days=10_000), spent=Float64)
    for view in (first, second):
        world.write(view, (17, "2024-05-01", None, 5.0))
    world.apply(first, second)
    before = set(world.redis.scan_iter())
    world.materialize("2024-06-01", first.name)
    rows = [key for key in world.redis.scan_iter() if key not in before and world.redis.ttl(key) > 0]
    assert rows, "a row of a view with a ttl expires"
    for key in rows:
        world.redis.expire(key, 1000)

    world.materialize("2024-06-01", second.name)

    assert all(world.redis.ttl(key) <= 1000 for key in rows)


def crowded(world: World) -> None:
    """The references crowded_visits:f71209 and crowded_visits:f128990 have one mmh3 hash of 32 bits."""
    view = world.view("crowded_visits", f71209=Int64, f128990=Int64)
    world.write(view, (1, "2024-05-01", None, 1, 2))
    world.apply(view)
    world.materialize("2024-06-01", view.name)


@trap("T18")
def test_t18_features_whose_names_collide_in_32_bits_keep_their_values(
    world: World, lookup: Lookup, agree: Agree
) -> None:
    world.once(crowded)

    answer = agree(world, lookup, ["crowded_visits:f71209", "crowded_visits:f128990"], USER)
    assert (answer.values["f71209"], answer.values["f128990"]) == ([1], [2])


def nulled(world: World) -> None:
    import pandas as pd

    view = world.view("nulled_visits", spent=Float64)
    world.write(view, (1, "2024-05-01", None, 5.0))
    world.apply(view)
    world.materialize("2024-06-01", view.name)
    later = pd.Timestamp("2024-05-02", tz="UTC")
    row = {
        "user_id": [1],
        "event_timestamp": [later],
        "created_timestamp": [later],
        "spent": pd.array([None], "Float64"),
    }
    with pytest.warns(UserWarning, match="empty feature columns"):
        world.store.write_to_online_store(view.name, pd.DataFrame(row))


@trap("T19")
def test_t19_a_row_of_nulls_written_online_replaces_the_old_one(world: World, lookup: Lookup) -> None:
    world.once(nulled)

    assert lookup(["nulled_visits:spent"], USER).values["spent"] == [None]


def early(world: World) -> None:
    now = datetime.now(UTC)
    view = world.view("early_visits", spent=Float64)
    world.write(view, (1, now - timedelta(days=1), None, 5.0), (1, now + timedelta(days=1), None, 6.0))
    world.apply(view)
    world.materialize(now + timedelta(days=2), view.name)


@trap("T21")
def test_t21_a_row_of_the_future_is_not_served_yet(world: World, lookup: Lookup, agree: Agree) -> None:
    world.once(early)

    assert agree(world, lookup, ["early_visits:spent"], USER).values["spent"] == [5.0]


PAGE_VIEWS = event_source(
    "page_views",
    [
        Column("view_id", "Int64", False, "Identity"),
        Column("user_id", "Int64", False, "User"),
        Column("viewed_at", "UnixTimestamp", False, "When"),
    ],
    key=["view_id"],
    at="viewed_at",
    business_day_zone="UTC",
)
USER_PAGES = WindowedFeatures(
    name="user_pages",
    join_key="user_id",
    source="page_views",
    windows=[LIFETIME],
    available_after=hours(2),
    description="Pages that a user viewed",
    features=[Count(name="pages", description="Pages", unit="pages", expect=at_least(0))],
)


def vanished_from_the_raw_zone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: events are retracted from the raw zone, and the engine says so in the table."""
    settings = get_settings()
    resolved = resolve(USER_PAGES, {"page_views": PAGE_VIEWS}.__getitem__)
    monkeypatch.setattr(
        "transformations.stores.base.views.contract_reader", lambda _: {"page_views": PAGE_VIEWS}.__getitem__
    )
    view = feature_view(USER_PAGES, entity=world.user, owner="team@example.com")
    raw = RawTable(PAGE_VIEWS, settings.raw_dir)
    events = [{"view_id": user, "user_id": user, "viewed_at": datetime(2024, 5, 1, 12, tzinfo=UTC)} for user in (1, 2)]
    drop = pa.Table.from_pylist(events, source_schema(PAGE_VIEWS))
    raw.append(
        drop, Origin(file_name="drop", content_hash="1", ingested_at=settings.now()), complete_through=date(2024, 5, 2)
    )
    build(resolved, settings)
    world.apply(view)
    world.materialize("2024-06-01", view.name)
    raw.retract(
        drop.slice(0, 1).select(["view_id"]),
        Origin(file_name="retraction", content_hash="2", ingested_at=settings.now()),
    )
    build(resolved, settings)
    world.materialize_incremental(settings.now(), view.name)


def vanished_from_the_file(world: World) -> None:
    view = world.view("user_pages", pages_count_lifetime=Int64)
    world.write(view, (1, "2024-05-02", None, 1), (2, "2024-05-02", None, 1))
    world.apply(view)
    world.materialize("2024-06-01", view.name)
    world.write(view, (2, "2024-05-02", None, 1))
    world.materialize("2024-06-01", view.name)


@trap("T22")
@pytest.mark.usefixtures("_spark")
def test_t22_what_is_retracted_offline_is_gone_online(
    world: World, lookup: Lookup, agree: Agree, monkeypatch: pytest.MonkeyPatch
) -> None:
    if world.is_ours:

        def vanished(world: World) -> None:
            vanished_from_the_raw_zone(world, monkeypatch)

        world.once(vanished)
    else:
        world.once(vanished_from_the_file)

    assert agree(world, lookup, ["user_pages:pages_count_lifetime"], USERS).values["pages_count_lifetime"] == [None, 1]

"""The sweep against the brute-force reference: every feature of the vocabulary, at every instant, for generated
histories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations import (
    LIFETIME,
    Count,
    CountDistinct,
    First,
    Float64,
    Last,
    LastK,
    Max,
    Mean,
    Min,
    Ratio,
    Share,
    StdDev,
    Sum,
    TopK,
    Variance,
    WindowedFeatures,
    column,
    days,
    derived,
    hours,
)
from transformations.contracts import Column, Contract
from transformations.engine.base.business_days import day_number, day_of_instant, start_of_day
from transformations.engine.compute.folds import carry_schema
from transformations.engine.compute.sweep import SweepPlan
from transformations.engine.compute.sweep import sweep as swept
from transformations.engine.testing.reference import reference_row
from transformations.engine.upkeep.restore import restored_rows
from transformations.engine.vocabulary.resolution import Resolved, resolve

ZONE = "America/New_York"
FIRST_DAY = date(2017, 3, 8)  # the clocks change on 2017-03-12: that day has 23 hours
LATER = datetime(2020, 1, 1, tzinfo=UTC)
LAST_DAY = date(2017, 3, 24)


@derived(unit="points")
def doubled(amount: Float64) -> Float64:
    """Twice the amount."""
    import pyarrow.compute as pc

    return pc.multiply(amount, 2.0)


CONTRACT = Contract(
    name="events",
    version="1.0.0",
    description="User events",
    owner="tests@example.com",
    columns=(
        Column("event_id", "Int64", False, "Identity"),
        Column("user_id", "Int64", False, "User"),
        Column("event_type", "String", True, "What happened"),
        Column("amount", "Float64", True, "Amount"),
        Column("quantity", "Int64", True, "Quantity"),
        Column("happened_at", "UnixTimestamp", False, "When"),
    ),
    key=("event_id",),
    event_time="happened_at",
    timestamp_zone="UTC",
    business_day_zone=ZONE,
    valid_from=None,
    delivery="append",
)

EVERYTHING = WindowedFeatures(
    name="user_everything",
    join_key="user_id",
    source="events",
    windows=[days(1), days(3), LIFETIME],
    available_after=hours(2),
    description="Every aggregation of the vocabulary",
    derived=[doubled],
    features=[
        Count(name="events", description="Events", unit="events"),
        Count(name="purchases", where=column("event_type") == "buy", description="Purchases", unit="events"),
        Count(name="by_type", per=column("event_type").each("buy", "see"), description="By type", unit="events"),
        Count(
            name="others",
            where=~column("event_type").isin("buy", "see")
            | (column("amount").is_null() & column("quantity").not_null()),
            description="Neither bought nor seen, or without an amount",
            unit="events",
        ),
        Count(name="positive", where=column("doubled") > column("amount"), description="Of value", unit="events"),
        CountDistinct("event_type", name="types", description="Types", unit="types"),
        CountDistinct(
            "quantity", name="quantities", where=column("amount") > 0.0, description="Quantities", unit="values"
        ),
        Sum("amount", name="spend", description="Spend", unit="USD"),
        Sum("quantity", name="units", description="Units", unit="units"),
        Sum("doubled", name="doubled", description="Twice the spend", unit="USD"),
        Mean("amount", name="amount", description="Amount", unit="USD"),
        Mean("quantity", name="quantity", description="Quantity", unit="units"),
        Min("amount", name="amount", description="Amount", unit="USD"),
        Max("event_type", name="type", description="Type", unit="category"),
        Max("quantity", name="quantity", description="Quantity", unit="units"),
        Variance("amount", name="amount", description="Amount", unit="USD^2"),
        StdDev("quantity", name="quantity", description="Quantity", unit="units"),
        First("amount", name="amount", description="Amount", unit="USD"),
        Last("event_type", name="type", description="Type", unit="category"),
        Last("happened_at", name="seen_at", description="Last seen", unit="UTC time"),
        LastK("event_type", k=2, name="types", description="Types", unit="category"),
        TopK("event_type", k=2, name="types", description="Types", unit="category"),
        Share(Count(), column("event_type") == "buy", name="bought", description="Bought", unit="ratio"),
        Share(Sum("amount"), column("quantity") > 1, name="bulk", description="In bulk", unit="ratio"),
        Ratio(Sum("amount"), CountDistinct("event_type"), name="per_type", description="A type", unit="USD"),
        Ratio(
            Sum("amount"),
            Sum("quantity"),
            name="price",
            where=column("event_type") != "see",
            description="P",
            unit="USD",
        ),
    ],
)


SUMS = replace(
    EVERYTHING,
    name="user_sums",
    windows=[days(1), days(4), days(7), LIFETIME],
    features=[each for each in EVERYTHING.features if isinstance(each, Count | Sum | Mean | Share)],
)
"""Results that can be undone, so that no run needs the days in the middle of a window."""

NOTHING = dict.fromkeys(feature.name for feature in EVERYTHING.declared)
"""What is served of an entity without history, since no feature declares an `unseen` value."""


@pytest.fixture(scope="module")
def everything() -> Resolved:
    return resolve(EVERYTHING, {"events": CONTRACT}.__getitem__)


@pytest.fixture(scope="module")
def sums() -> Resolved:
    return resolve(SUMS, {"events": CONTRACT}.__getitem__)


def instants() -> st.SearchStrategy[datetime]:
    """Instants at the edges of business days and inside them, ties included."""
    day = st.integers(0, (LAST_DAY - FIRST_DAY).days - 1).map(lambda offset: FIRST_DAY + timedelta(days=offset))
    within = st.sampled_from([0, 1, 3_600_000_000, 43_200_000_000, 43_200_000_001, -1])
    return st.builds(lambda d, micros: start_of_day(d, ZONE) + timedelta(microseconds=micros), day, within)


AMOUNTS = st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.3, -5.0, 1e16, 1.0]), st.floats(-1e6, 1e6))


def histories(users: int = 2) -> st.SearchStrategy[list[dict[str, Any]]]:
    event = st.fixed_dictionaries(
        {
            "user_id": st.integers(1, users),
            "event_type": st.sampled_from(["buy", "see", "click", None]),
            "amount": AMOUNTS,
            "quantity": st.sampled_from([None, -1, 0, 1, 2, 2**53 + 1]),
            "_event_timestamp": instants(),
        }
    )
    return st.lists(event, max_size=14).map(
        lambda events: [
            event | {"event_id": i, "happened_at": event["_event_timestamp"]} for i, event in enumerate(events)
        ]
    )


def events_table(resolved: Resolved, events: Sequence[Mapping[str, Any]]) -> pa.Table:
    timestamp = pa.timestamp("us", tz="UTC")
    schema = pa.schema(
        [(name, dtype.arrow) for name, dtype in resolved.columns.items() if name != "doubled"]
        + [("_event_timestamp", timestamp), ("_business_day", pa.int32())]
    )
    rows = [event | {"_business_day": day_number(day_of_instant(event["_event_timestamp"], ZONE))} for event in events]
    return pa.Table.from_pylist(rows, schema)


def no_marks(resolved: Resolved) -> pa.Table:
    keys = [(key, dtype.arrow) for key, dtype in resolved.join_keys.items()]
    return pa.schema([*keys, ("_from_day", pa.int64())]).empty_table()


def no_rows(resolved: Resolved) -> pa.Table:
    from transformations.engine.tables.offline_tables import table_schema

    return table_schema(resolved).empty_table()


def sweep(plan: SweepPlan, events: pa.Table, marks: pa.Table, stored: pa.Table) -> pa.Table:
    """The rows of a sweep to which nothing is carried over."""
    return swept(plan, events, marks, stored, carry_schema(plan.resolved).empty_table()).rows


def first_load(resolved: Resolved) -> SweepPlan:
    return sweep_plan(resolved, None, day_number(LAST_DAY))


def sweep_plan(resolved: Resolved, first_day: int | None, last_day: int, carried_day: int | None = None) -> SweepPlan:
    """A first load, or with a first day a later run that counts as known on `LATER`."""
    is_first = first_day is None
    return SweepPlan(
        resolved=resolved,
        first_day=first_day,
        last_day=last_day,
        initial=is_first,
        created=None if is_first else LATER,
        carried_day=carried_day,
    )


def value_at(rows: Sequence[Mapping[str, Any]], user: int, as_of: date, resolved: Resolved) -> dict[str, Any] | None:
    """What newest-wins serves as-of that day: of the rows not after it, the latest event, then the latest created."""
    until = resolved.available_from(as_of)
    known = [row for row in rows if row["user_id"] == user and row["event_timestamp"] <= until]
    if not known:
        return None
    newest = max(known, key=lambda row: (row["event_timestamp"], row["created_timestamp"]))
    return {feature.name: newest[feature.name] for feature in resolved.features}


def every_day() -> list[date]:
    return [FIRST_DAY + timedelta(days=offset) for offset in range((LAST_DAY - FIRST_DAY).days + 1)]


def assert_equals_reference(
    resolved: Resolved, rows: pa.Table, events: Sequence[Mapping[str, Any]], users: int = 2
) -> None:
    written = rows.to_pylist()
    for user in range(1, users + 1):
        own = [event for event in events if event["user_id"] == user]
        for as_of in every_day():
            expected = reference_row(resolved, own, as_of)
            assert value_at(written, user, as_of, resolved) == expected, (user, as_of)


@given(events=histories())
def test_first_load_equals_the_definition_at_every_instant(everything: Resolved, events: list[dict[str, Any]]) -> None:
    rows = sweep(first_load(everything), events_table(everything, events), no_marks(everything), no_rows(everything))
    assert_equals_reference(everything, rows, events)


@pytest.mark.parametrize("busy_days", range(1, 13))
@pytest.mark.parametrize("other_days", range(4))
def test_an_extreme_of_many_days_beside_few_of_another_entity_is_its_own(
    everything: Resolved, busy_days: int, other_days: int
) -> None:
    """Extremes are looked up over 1, 2, 4, … days at once: each such number must be there, however few days are."""
    days_of = {1: other_days, 2: busy_days}
    events = [
        {"user_id": user, "event_type": None, "amount": amount, "quantity": quantity, "_event_timestamp": moment}
        for user, (amount, quantity) in {1: (-5.0, 2**53 + 1), 2: (1.0, 2)}.items()
        for moment in (start_of_day(FIRST_DAY + timedelta(days=day), ZONE) for day in range(days_of[user]))
    ]
    events = [event | {"event_id": i, "happened_at": event["_event_timestamp"]} for i, event in enumerate(events)]
    rows = sweep(first_load(everything), events_table(everything, events), no_marks(everything), no_rows(everything))
    assert_equals_reference(everything, rows, events)


@given(events=histories())
def test_a_row_is_stored_only_where_a_value_changes(everything: Resolved, events: list[dict[str, Any]]) -> None:
    rows = sweep(first_load(everything), events_table(everything, events), no_marks(everything), no_rows(everything))
    names = [feature.name for feature in everything.features]
    previous: dict[int, list[Any]] = {}
    for row in rows.to_pylist():
        values = [row[name] for name in names]
        assert previous.get(row["user_id"]) != values
        previous[row["user_id"]] = values


@given(events=histories(), split=st.integers(1, 15))
def test_two_incremental_runs_equal_one_backfill(
    everything: Resolved, events: list[dict[str, Any]], split: int
) -> None:
    middle = FIRST_DAY + timedelta(days=split)
    early = [event for event in events if event["_event_timestamp"] < start_of_day(middle, ZONE)]
    first = sweep_plan(everything, None, day_number(middle))
    second = sweep_plan(everything, day_number(middle) + 1, day_number(LAST_DAY))
    one = sweep(first, events_table(everything, early), no_marks(everything), no_rows(everything))
    two = sweep(second, events_table(everything, events), no_marks(everything), no_rows(everything))
    assert_equals_reference(everything, pa.concat_tables([one, two]), events)


@given(events=histories(), ends=st.sets(st.integers(1, 15), max_size=6))
def test_runs_that_see_only_what_is_carried_and_the_days_they_need_equal_one_backfill(
    everything: Resolved, sums: Resolved, events: list[dict[str, Any]], ends: set[int]
) -> None:
    """Each run is given no event that it does not ask for."""
    for resolved in (everything, sums):
        assert_equals_reference(resolved, swept_in_runs(resolved, events, sorted(ends)), events)


def swept_in_runs(resolved: Resolved, events: Sequence[Mapping[str, Any]], ends: Sequence[int]) -> pa.Table:
    """The rows of one run up to each of these days and one to the last, each going on from the one before."""
    carried = carry_schema(resolved).empty_table()
    rows, carried_day, begin = [], None, None
    for end in [*(day_number(FIRST_DAY) + offset for offset in ends), day_number(LAST_DAY)]:
        plan = sweep_plan(resolved, begin, end, carried_day)
        needed = [event for event in events if any(_day(event) in stretch for stretch in plan.days)]
        result = swept(plan, events_table(resolved, needed), no_marks(resolved), no_rows(resolved), carried)
        rows.append(result.rows)
        carried, carried_day, begin = result.carry, end, end + 1
    return pa.concat_tables(rows)


def test_a_day_of_sums_needs_the_new_day_and_those_that_leave_a_window(everything: Resolved, sums: Resolved) -> None:
    today = day_number(LAST_DAY)
    plan = sweep_plan(sums, today, today, carried_day=today - 1)
    leaving = [range(today - 1 - length, today - length) for length in (7, 4)]
    assert plan.days == (*leaving, range(today - 2, today))
    assert replace(plan, resolved=everything).days == (range(today - 4, today),)


@given(before=histories(), after=histories(), split=st.integers(1, 15))
def test_a_run_after_a_restore_equals_one_backfill_whatever_the_restored_run_had_written(
    everything: Resolved, before: list[dict[str, Any]], after: list[dict[str, Any]], split: int
) -> None:
    """Two runs, back to the first, and a run that goes on from there: meanwhile all later events are others."""
    middle = FIRST_DAY + timedelta(days=split)
    early = [event for event in before if event["_event_timestamp"] < start_of_day(middle, ZONE)]
    late = [event for event in after if event["_event_timestamp"] >= start_of_day(middle, ZONE)]
    whole = [*early, *({**event, "event_id": 100 + event["event_id"]} for event in late)]
    first = sweep(
        sweep_plan(everything, None, day_number(middle)),
        events_table(everything, early),
        no_marks(everything),
        no_rows(everything),
    )
    on = sweep_plan(everything, day_number(middle) + 1, day_number(LAST_DAY))
    second = sweep(on, events_table(everything, before), no_marks(everything), no_rows(everything))
    rows = pa.concat_tables([first, second])
    rows = pa.concat_tables([rows, restored_rows(everything, rows, first, LATER + timedelta(days=1))])
    assert_reads_as(everything, rows, first)
    beyond = rows.filter(pc.field("event_timestamp") > start_of_day(middle, ZONE) + hours(2))
    third = sweep(
        replace(on, created=LATER + timedelta(days=2)),
        events_table(everything, whole),
        no_marks(everything),
        beyond,
    )
    every = pa.concat_tables([rows, third]).to_pylist()
    for user in (1, 2):
        own = [event for event in whole if event["user_id"] == user]
        for as_of in every_day():
            expected = reference_row(everything, own, as_of)
            actual = value_at(every, user, as_of, everything)
            assert (actual or NOTHING) == (expected or NOTHING), (user, as_of)


@given(now=histories(), then=histories())
def test_any_content_can_be_restored_over_any_other(
    everything: Resolved, now: list[dict[str, Any]], then: list[dict[str, Any]]
) -> None:
    """As after a rebuild, when the earlier version's rows are not among the table's."""
    stored, earlier = (
        sweep(first_load(everything), events_table(everything, events), no_marks(everything), no_rows(everything))
        for events in (now, then)
    )
    rows = restored_rows(everything, stored, earlier, datetime(2020, 1, 1, tzinfo=UTC))
    assert_reads_as(everything, pa.concat_tables([stored, rows]), earlier)


def assert_reads_as(resolved: Resolved, rows: pa.Table, earlier: pa.Table) -> None:
    """Newest-wins serves the same from both at every instant; restoring a second time would write nothing."""
    for user in (1, 2):
        for as_of in every_day():
            now, then = (value_at(table.to_pylist(), user, as_of, resolved) for table in (rows, earlier))
            assert (now or NOTHING) == (then or NOTHING), (user, as_of)
    assert restored_rows(resolved, rows, earlier, datetime(2030, 1, 1, tzinfo=UTC)).num_rows == 0


def _day(event: Mapping[str, Any]) -> int:
    return day_number(day_of_instant(event["_event_timestamp"], ZONE))


@given(before=histories(), after=histories())
def test_corrections_are_re_asserted_so_that_newest_wins_serves_the_truth(
    everything: Resolved, before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    """The worst case: everything known before is replaced, entities vanish and appear, and the table only grows."""
    stored = sweep(first_load(everything), events_table(everything, before), no_marks(everything), no_rows(everything))
    first = {user: min(_changed_days(before, after, user), default=None) for user in (1, 2)}
    marks = pa.Table.from_pylist(
        [{"user_id": user, "_from_day": day + 1} for user, day in first.items() if day is not None],
        no_marks(everything).schema,
    )
    touched = [event for event in after if first[event["user_id"]] is not None]
    to_check = [row for row in stored.to_pylist() if first[row["user_id"]] is not None]
    plan = sweep_plan(everything, day_number(LAST_DAY) + 1, day_number(LAST_DAY))
    rewritten = sweep(plan, events_table(everything, touched), marks, pa.Table.from_pylist(to_check, stored.schema))
    together = pa.concat_tables([stored, rewritten]).to_pylist()
    for user in (1, 2):
        own = [event for event in after if event["user_id"] == user]
        for as_of in every_day():
            expected = reference_row(everything, own, as_of)
            actual = value_at(together, user, as_of, everything)
            if expected is None and actual is not None:
                assert set(actual.values()) == {None}, (user, as_of)
            else:
                assert actual == expected, (user, as_of)


def _changed_days(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], user: int) -> list[int]:
    own = [[event for event in events if event["user_id"] == user] for events in (before, after)]
    changed = [event for event in own[0] if event not in own[1]] + [event for event in own[1] if event not in own[0]]
    return [_day(event) for event in changed]


def test_a_seven_day_sum_falls_to_zero_when_the_last_purchase_leaves_the_window() -> None:
    spend = WindowedFeatures(
        name="user_spend",
        join_key="user_id",
        source="events",
        windows=[days(7)],
        description="Spend",
        features=[Sum("amount", name="spend", description="Spend", unit="USD")],
    )
    resolved = resolve(spend, {"events": CONTRACT}.__getitem__)
    event = {"event_id": 1, "user_id": 1, "event_type": "buy", "amount": 30.0, "quantity": 1}
    at = datetime(2017, 3, 9, 12, tzinfo=UTC)
    rows = sweep(
        first_load(resolved),
        events_table(resolved, [event | {"happened_at": at, "_event_timestamp": at}]),
        no_marks(resolved),
        no_rows(resolved),
    )
    assert [(row["event_timestamp"], row["spend_sum_7d"]) for row in rows.to_pylist()] == [
        (datetime(2017, 3, 10, 5, tzinfo=UTC), 30.0),
        (datetime(2017, 3, 17, 4, tzinfo=UTC), 0.0),
    ]

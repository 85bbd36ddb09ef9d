"""The sweep against the brute-force reference: every feature of the vocabulary, at every instant, for generated
histories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.event_histories import (
    CONTRACT,
    EVERYTHING,
    FIRST_DAY,
    LAST_DAY,
    LATER,
    NOTHING,
    SUMS,
    ZONE,
    assert_equals_reference,
    events_table,
    every_day,
    first_load,
    histories,
    no_marks,
    no_rows,
    sweep,
    sweep_plan,
    value_at,
)
from transformations import (
    Sum,
    WindowedFeatures,
    days,
    hours,
)
from transformations.engine.base.business_days import day_number, day_of_instant, start_of_day
from transformations.engine.compute.folds import carry_schema
from transformations.engine.compute.sweep import sweep as swept
from transformations.engine.testing.reference import reference_row
from transformations.engine.upkeep.restore import restored_rows
from transformations.engine.vocabulary.resolution import Resolved, resolve


@pytest.fixture(scope="module")
def everything() -> Resolved:
    return resolve(EVERYTHING, {"events": CONTRACT}.__getitem__)


@pytest.fixture(scope="module")
def sums() -> Resolved:
    return resolve(SUMS, {"events": CONTRACT}.__getitem__)


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


@pytest.mark.proof
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


@pytest.mark.proof
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
    tables = rows.to_pylist(), earlier.to_pylist()
    for user in (1, 2):
        for as_of in every_day():
            now, then = (value_at(table, user, as_of, resolved) for table in tables)
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

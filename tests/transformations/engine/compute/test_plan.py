"""What a build has to do follows from the last run, the source versions and the clock, and from nothing else."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.literal_table import RUN
from tests.worlds.sales import resolved
from transformations.engine.base.business_days import day_number
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.compute.knowledge import Timeline, timeline
from transformations.engine.compute.plan import (
    AskedDays,
    Backfill,
    Built,
    FirstLoad,
    Incremental,
    Rebuild,
    estimate_cost,
    plan_build,
)
from transformations.engine.raw.drops import Drop, RawFile, RawSnapshot
from transformations.engine.tables.offline_tables import TableVersion
from transformations.engine.vocabulary.resolution import Resolved

NOW = datetime(2017, 3, 20, 12, tzinfo=UTC)
VIEW = resolved()


def march(day: int) -> date:
    return date(2017, 3, day)


def sales(*drops: tuple[int, int, int]) -> dict[str, RawSnapshot]:
    """Drops of ten sales each: first and last day of March, and the day through which sales are complete then."""
    files = [
        RawFile(
            path=f"{number}.parquet",
            drop=number,
            rows=10,
            first_day=day_number(march(first)),
            last_day=day_number(march(last)),
        )
        for number, (first, last, _) in enumerate(drops, 1)
    ]
    records = [
        Drop(
            number=number,
            version=number - 1,
            file_name=f"{number}.csv",
            content_hash=str(number),
            rows=10,
            ingested_at=datetime(2017, 3, through + 1, 14, tzinfo=UTC),
            complete_through=march(through),
            supersedes=0,
        )
        for number, (_, _, through) in enumerate(drops, 1)
    ]
    through = march(drops[-1][2]) if drops else None
    snapshot = RawSnapshot(
        source="sales",
        version=len(drops) - 1,
        parts=tuple(files),
        drops=tuple(records),
        complete_through=through,
    )
    return {"sales": snapshot}


def built(through: int, version: int, has_carry: bool = True, definition: str = VIEW.hash) -> Built:
    """A table of as-of days from March 2 to the day after `through`, from this version of sales."""
    run = replace(
        RUN,
        definition_hash=definition,
        first_as_of=march(2),
        complete_through=march(through),
        sources={"sales": version},
        last_created=datetime(2017, 3, through + 1, 20, tzinfo=UTC),
        carry="carry=a",
        counts={"events": 5},
        seconds=2.0,
    )
    return Built(
        TableVersion(version=version, files=("a.parquet",), run=run, rows=4, written_through=march(through)), has_carry
    )


MONTH = sales((1, 8, 8))
A_DAY_MORE = sales((1, 8, 8), (9, 9, 9))
LATE = sales((1, 8, 8), (5, 9, 9))  # a second drop that brings March 5 again


@pytest.mark.parametrize(
    ("snapshots", "table", "asked", "kind", "as_of_days", "carried_day", "replayed"),
    [
        (sales(), None, AskedDays(), None, None, None, False),
        (MONTH, None, AskedDays(), FirstLoad, (None, 9), None, False),
        (MONTH, None, AskedDays(first=march(4)), FirstLoad, (4, 9), None, False),
        (MONTH, None, AskedDays(first=march(4), last=march(3)), None, None, None, False),
        (LATE, None, AskedDays(), FirstLoad, (None, 10), None, True),
        (MONTH, built(8, 0, definition="another"), AskedDays(), Rebuild, (None, 9), None, False),
        (LATE, built(8, 0, definition="another"), AskedDays(), Rebuild, (None, 10), None, True),
        (MONTH, built(8, 0), AskedDays(), None, None, None, False),
        (A_DAY_MORE, built(8, 0), AskedDays(), Incremental, (10, 10), 9, False),
        (A_DAY_MORE, built(8, 0, has_carry=False), AskedDays(), Incremental, (10, 10), None, False),
        (LATE, built(8, 0), AskedDays(), Incremental, (10, 10), 9, True),
        (MONTH, built(8, 0), AskedDays(first=march(3)), Backfill, (3, 9), None, False),
        (MONTH, built(8, 0), AskedDays(first=march(3), last=march(4)), Backfill, (3, 4), None, False),
        (LATE, built(8, 0), AskedDays(last=march(4)), Backfill, (2, 4), None, False),
    ],
)
def test_the_plan_follows_from_table_sources_and_days_asked_for(
    snapshots: dict[str, RawSnapshot],
    table: Built | None,
    asked: AskedDays,
    kind: type | None,
    as_of_days: tuple[int | None, int] | None,
    carried_day: int | None,
    replayed: bool,
) -> None:
    plan = plan_build(VIEW, snapshots, table, NOW, asked)
    if plan is None:
        assert kind is None
        return
    sweep = plan.sweep
    days = [None if day is None else day - day_number(march(1)) + 1 for day in (sweep.first_day, sweep.last_day)]
    carried = None if sweep.carried_day is None else sweep.carried_day - day_number(march(1)) + 1
    assert (type(plan), tuple(days), carried, plan.is_replayed) == (kind, as_of_days, carried_day, replayed)


@given(st.lists(st.tuples(*[st.integers(1, 12)] * 3), min_size=1, max_size=6), st.sets(st.integers(1, 6)))
def test_where_drops_come_in_order_none_is_late(days: list[tuple[int, int, int]], superseding: set[int]) -> None:
    found = sales(*((min(first, last), max(first, last), through) for first, last, through in days))["sales"]
    drops = [replace(drop, supersedes=int(drop.number in superseding)) for drop in found.drops]
    snapshot = replace(found, drops=drops)
    if snapshot.comes_in_order:
        assert timeline(VIEW, {"sales": snapshot}).late == frozenset()
    assert snapshot.comes_in_order == all(
        snapshot.at(drop.version).comes_in_order and not drop.supersedes for drop in drops
    )


@pytest.mark.parametrize(
    ("snapshots", "is_in_order"),
    [
        (A_DAY_MORE, True),
        (sales((1, 8, 8), (9, 10, 9)), True),  # a day that may still be filling
        (LATE, False),
        (sales((1, 8, 8), (9, 9, 7)), False),  # takes a day back
    ],
)
def test_a_daily_plan_reads_of_no_earlier_drop_where_all_came_in_order(
    snapshots: dict[str, RawSnapshot], is_in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Resolved] = []

    def noting(view: Resolved, snapshots: Mapping[str, RawSnapshot]) -> Timeline:
        found.append(view)
        return timeline(view, snapshots)

    monkeypatch.setattr("transformations.engine.compute.plan.timeline", noting)
    plan = plan_build(VIEW, snapshots, built(8, 0), NOW)
    assert isinstance(plan, Incremental)
    assert (snapshots["sales"].comes_in_order, found == []) == (is_in_order, is_in_order)


def test_an_incremental_plan_knows_its_sources_before_the_late_drop() -> None:
    plan = plan_build(VIEW, LATE, built(8, 0), NOW)
    assert isinstance(plan, Incremental)
    assert plan.before == sales((1, 8, 8))
    assert plan.replayed_drops == (2,)


def test_a_backfill_reads_the_sources_as_the_table_was_built_from_them() -> None:
    plan = plan_build(VIEW, LATE, built(8, 0), NOW, AskedDays(first=march(1)))
    assert isinstance(plan, Backfill)
    assert plan.snapshots == sales((1, 8, 8))
    assert [replay.reads_stored for replay in plan.replays] == [False, True]  # as-of March 1, then the table's own days
    assert plan.replays[1].plan.created == NOW


def test_rows_written_again_are_newer_than_all_before_even_where_the_clock_went_back() -> None:
    back = datetime(2017, 3, 9, tzinfo=UTC)
    plan = plan_build(VIEW, MONTH, built(8, 0), back, AskedDays(first=march(3)))
    assert plan is not None
    assert plan.sweep.created == datetime(2017, 3, 9, 20, tzinfo=UTC) + timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (AskedDays(last=march(10)), "--to 2017-03-10 is after 2017-03-09, the last as-of day its source covers"),
        (AskedDays(first=march(5), last=march(4)), "--from 2017-03-05 is after --to 2017-03-04"),
    ],
)
def test_days_that_cannot_be_are_refused(asked: AskedDays, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_build(VIEW, MONTH, built(8, 0), NOW, asked)


def test_a_backfill_of_a_table_from_sources_that_are_gone_is_refused() -> None:
    with pytest.raises(DataError, match="has no version 3; it has versions 0 to 0"):
        plan_build(VIEW, MONTH, built(8, 3), NOW, AskedDays(first=march(3)))


def test_a_cost_is_estimated_from_the_plan_and_the_last_full_run() -> None:
    table = built(8, 0, definition="another")
    plan = plan_build(VIEW, MONTH, table, NOW)
    assert plan is not None
    first_load = replace(table.version.run, kind="first load")
    assert estimate_cost(plan, [first_load, replace(first_load, kind="incremental")]).seconds == 4.0  # 10 for 5 events
    assert estimate_cost(plan, []).seconds is None
    assert estimate_cost(plan, []).events == 10

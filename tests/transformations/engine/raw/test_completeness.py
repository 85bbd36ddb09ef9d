"""Completeness: what a drop declares, what its rows tell, and what has to be said."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.base import storage
from transformations.engine.base.business_days import day_number
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.raw.completeness import DayHistory, derived_through, remaining_through
from transformations.engine.raw.opened import RECORD, drop_of
from transformations.engine.raw.zone import RawTable

from .raw_tables import contract, events, keys, origin


def test_by_default_the_newest_events_day_may_still_be_filling(tmp_path):
    drop = RawTable(contract(), tmp_path).append(events((1, 1.0, "2020-01-05 04:30")), origin())
    assert drop.complete_through == date(2020, 1, 3)  # 04:30 UTC is 4 January in New York


def test_completeness_goes_back_only_as_a_correction(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-05 12:00")), origin("first"), complete_through=date(2020, 1, 20))
    late = events((2, 1.0, "2020-01-02 12:00"))
    with pytest.raises(UsageError, match=r"complete through 2020-01-20 already; 2020-01-02 would take days back"):
        table.append(late, origin("second"), complete_through=date(2020, 1, 2))
    assert table.append(late, origin("second")).complete_through == date(2020, 1, 20)
    taken = table.append(events(), origin("word"), complete_through=date(2020, 1, 5), correction=True)
    assert (taken.complete_through, table.snapshot().complete_through) == (date(2020, 1, 5), date(2020, 1, 5))


def test_a_stretch_of_days_without_rows_is_not_completed_unsaid(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-01 12:00"), (2, 1.0, "2020-01-03 12:00")), origin("first"))
    later = events((3, 1.0, "2020-01-12 12:00"), (4, 1.0, "2020-01-13 12:00"))
    with pytest.raises(DataError, match=r"of 8 days between 2020-01-03 and 2020-01-12 there is no row") as error:
        table.append(later, origin("second"))
    assert "--complete-through 2020-01-12; if it is still to come, say --complete-through 2020-01-02" in str(
        error.value
    )
    assert (table.snapshot().version, table.leftovers()) == (0, ())

    assert table.append(later, origin("second"), complete_through=date(2020, 1, 2)).rows == 2
    table.append(events((5, 1.0, "2020-01-06 12:00")), origin("between"))
    assert table.snapshot().complete_through == date(2020, 1, 5)


@pytest.mark.parametrize(
    ("days", "through"),
    [
        ((1, 9, 10), 9),  # a week without rows is a quiet one
        ((1, 11, 21), 20),  # every ten days: the source is like that
    ],
)
def test_quiet_days_are_completed_with_the_rest(tmp_path, days, through):
    rows = events(*((day, 1.0, f"2020-01-{day:02} 12:00") for day in days))
    assert RawTable(contract(), tmp_path).append(rows, origin()).complete_through == date(2020, 1, through)


def test_a_first_drop_with_a_hole_in_it_is_in_question_as_well(tmp_path):
    rows = events(*((day, 1.0, f"2019-01-{day:02} 12:00") for day in (1, 2, 3)), (9, 1.0, "2019-12-30 12:00"))
    with pytest.raises(DataError, match=r"of 360 days between 2019-01-03 and 2019-12-30"):
        RawTable(contract(), tmp_path).append(rows, origin())
    assert not RawTable(contract(), tmp_path).exists()


def test_retracted_rows_take_back_what_they_alone_completed(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-01 12:00")), origin("first"), complete_through=date(2020, 1, 2))
    table.append(events((2, 1.0, "2020-01-04 12:00"), (3, 1.0, "2020-01-09 12:00")), origin("second"))
    assert table.snapshot().complete_through == date(2020, 1, 8)
    assert table.retract(keys(3), origin("bogus")).complete_through == date(2020, 1, 3)
    assert table.retract(keys(2), origin("bogus too")).complete_through == date(2020, 1, 2)
    assert table.retract(keys(1), origin("all")).complete_through == date(2020, 1, 2)  # it was declared


def test_retracting_older_rows_leaves_completeness_alone(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-02 12:00"), (2, 1.0, "2020-01-09 12:00")), origin("first"))
    assert table.retract(keys(1), origin("bogus")).complete_through == date(2020, 1, 8)


def test_a_correction_that_moves_the_newest_rows_takes_back_what_they_completed(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-02 12:00"), (2, 1.0, "2020-01-09 12:00")), origin("first"))
    moved = table.append(events((2, 1.0, "2020-01-03 12:00")), origin("second"), correction=True)
    assert moved.complete_through == date(2020, 1, 2)


def test_what_was_declared_before_a_correction_took_it_back_stays_taken_back(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-02 12:00")), origin("first"), complete_through=date(2020, 1, 20))
    table.append(events(), origin("word"), complete_through=date(2020, 1, 3), correction=True)
    table.append(events((2, 1.0, "2020-01-06 12:00")), origin("second"))
    assert table.retract(keys(2), origin("bogus")).complete_through == date(2020, 1, 3)


def test_a_drop_recorded_without_a_word_on_the_matter_counts_as_declared(tmp_path):
    facts = {"number": 1, "file_name": "old", "content_hash": "1", "rows": 1, "ingested_at": "2020-01-10T00:00:00Z"}
    facts |= {"complete_through": "2020-01-08", "supersedes": 0, "unchanged": 0, "retracts": False, "valid_from": None}
    old = drop_of(storage.Commit(0, facts, RECORD))
    assert old.is_declared
    assert remaining_through([old], None) == date(2020, 1, 8)


def test_a_day_without_events_can_be_declared_complete(tmp_path):
    table = RawTable(contract(), tmp_path)
    table.append(events((1, 1.0, "2020-01-05 12:00")), origin("first"))
    quiet = table.append(events(), origin("nothing"), complete_through=date(2020, 1, 6))
    assert (quiet.rows, quiet.version, table.snapshot().complete_through) == (0, 1, date(2020, 1, 6))
    assert table.append(events(), origin("nothing"), complete_through=date(2020, 1, 6)) is None


def test_a_day_that_has_not_ended_cannot_be_complete(tmp_path):
    table = RawTable(contract(), tmp_path)
    with pytest.raises(UsageError, match=r"the last day that ended is 2020-01-31"):
        table.append(events(), origin(), complete_through=date(2020, 2, 1))
    ahead = events((1, 1.0, "2020-01-30 12:00"), (2, 1.0, "2031-01-01 12:00"))  # a contract may allow it
    assert table.append(ahead, origin()).complete_through == date(2020, 1, 29)


# --- quiet days that add up ------------------------------------------------------------------------------------------

FIRST = date(2019, 1, 1)


class Source:
    """The days of a source, and through which it is complete, as its drops come in."""

    def __init__(self, days: list[int]) -> None:
        self.days = set(days)
        self.through = FIRST + timedelta(days[-1] - 1)
        self.declared: date | None = None

    def deliver(self, *days: int) -> None:
        """A drop with a row on each of these days, counted from FIRST."""
        first = day_number(FIRST)
        history = DayHistory(
            previous=self.through,
            declared=self.declared,
            days_within=lambda asked: {first + day for day in self.days} & set(asked),
        )
        later = datetime(2025, 1, 1, tzinfo=UTC)
        self.through = derived_through(contract(), [first + day for day in days], history, later)
        self.days |= set(days)

    def declare(self, day: int) -> None:
        self.declared = self.through = FIRST + timedelta(day)


def test_a_daily_source_misses_a_week_once_but_not_again_and_again():
    source = Source(list(range(60)))
    source.deliver(67)  # 60 to 66 are quiet
    assert source.through == FIRST + timedelta(66)
    with pytest.raises(DataError) as error:
        source.deliver(75)
    assert str(error.value) == (
        "events: of the four weeks from 2019-02-17 to 2019-03-16, 14 days have no row and were not declared to be "
        "without events; usually 0 have none. To complete 2019-03-16 would make them days without events. Ingest what "
        "is missing first. If nothing is missing, say --complete-through 2019-03-16; if it is still to come, say "
        "--complete-through 2019-03-08. Nothing was written."
    )
    source.declare(74)
    source.deliver(75, 76, 77)
    assert source.through == FIRST + timedelta(76)


def test_stretches_cannot_grow_from_each_other():
    source = Source(list(range(60)))
    source.deliver(67)
    source.declare(80)
    source.deliver(81, 82, *range(83, 130))
    with pytest.raises(DataError, match="of 14 days between 2019-05-10 and 2019-05-25 there is no row"):
        source.deliver(144)  # 14 in a row were declared once; that is no habit


@pytest.mark.parametrize(
    ("days", "later"),
    [
        ([day for day in range(100) if day % 7 < 5], [105, 106, 112]),  # weekends, and a holiday
        (list(range(0, 100, 7)), [105, 112, 119]),  # once a week
        (list(range(0, 400, 30)), [420, 451, 479]),  # once a month
    ],
)
def test_a_source_may_stay_as_quiet_as_it_always_was(days, later):
    source = Source(days)
    for day in later:
        source.deliver(day)
    assert source.through == FIRST + timedelta(later[-1] - 1)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_whatever_a_daily_source_skips_unsaid_is_at_most_a_week_in_four(steps):
    source = Source(list(range(60)))
    day = 59
    for step in steps:
        day += step
        try:
            source.deliver(day)
        except DataError:
            break
    through = (source.through - FIRST).days
    quiet = [number not in source.days for number in range(through + 1)]
    assert max(sum(quiet[end - 28 : end]) for end in range(28, len(quiet) + 1)) <= 7

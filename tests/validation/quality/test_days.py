"""Business days as SQL, and which of them a drop makes due."""

from datetime import UTC, date, datetime

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformations.contracts import read_contract
from transformations.engine.base.business_days import day_number, days_of_instants
from validation.quality.days import day_sql, judged_days

# Midnight is skipped in São Paulo and repeated in Havana, Samoa skips a whole day, and Lord Howe shifts half an hour.
ZONES = ["UTC", "America/New_York", "America/Sao_Paulo", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe"]
MICROS = st.integers(1_320_000_000_000_000, 1_420_000_000_000_000)  # late 2011 to 2014


@settings(max_examples=30, deadline=None)
@given(zone=st.sampled_from(ZONES), moments=st.lists(MICROS, min_size=1, max_size=40))
def test_the_day_of_a_moment_is_that_of_the_calendar_in_every_zone(zone, moments):
    micros = np.array(moments)
    first, last = (int(end // 86_400_000_000) for end in (micros.min(), micros.max()))
    rows = duckdb.sql(f"SELECT {day_sql('m', first - 1, last + 1, zone)} FROM (SELECT unnest({moments}) AS m)")
    assert [day for (day,) in rows.fetchall()] == days_of_instants(micros, zone).tolist()


MAY = [day_number(date(2020, 5, day)) for day in range(32)[1:]]


@pytest.mark.parametrize(
    ("delivered", "before", "declared", "days", "unfinished"),
    [
        ([4, 6, 7], 3, None, [4, 5, 6, 7], [7]),
        ([4, 6], None, None, [4, 5, 6], []),
        ([4, 6], 3, 5, [4, 5, 6], [6]),
        ([4], 3, 6, [4, 5, 6], []),
        ([], 3, 5, [4, 5], []),
        ([2], 5, None, [2], []),
        ([], 5, None, [], []),
    ],
)
def test_days_come_due_as_they_are_reached_over_or_declared(source, delivered, before, declared, days, unfinished):
    source.rules()
    events = read_contract("events", source.settings.contracts)
    now = datetime(2020, 5, 7, 9, tzinfo=UTC)
    known = [None if day is None else date(2020, 5, day) for day in (before, declared)]
    found = judged_days(events, [MAY[day - 1] for day in delivered], *known, now)
    assert [MAY.index(day) + 1 for day in found.days] == days
    assert sorted(MAY.index(day) + 1 for day in found.unfinished) == unfinished

"""Drafts: every measured day keeps the rules that were drafted from it, and what grows says so."""

import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.transformations.engine.expected.tables import DAY, VIEW, row, write
from transformations.engine.expected import judging
from transformations.engine.expected.drafting import MOST_DAYS, Draft, days_to_measure, grows
from transformations.engine.expected.files import read_expected, write_expected
from transformations.engine.expected.judging import breaches
from transformations.engine.expected.measured import snapshots
from transformations.engine.expected.model import Band, ExpectedView, Growth, Statistic

DAYS = [DAY - timedelta(days=ago) for ago in (20, 12, 5, 0)]


def drafted(files: Any, rows: int, days: Any = DAYS) -> ExpectedView:
    draft = Draft(VIEW, 0.25)
    with snapshots(VIEW, files, rows, days) as found:
        for each in found:
            draft.add(each)
    return draft.expected({"clicks_count_7d": frozenset({"5%", "gone"})})


def test_what_accumulates_over_a_lifetime_grows() -> None:
    assert {each.name for each in VIEW.features if grows(each)} == {"clicks_count_lifetime", "click_at_last_lifetime"}


VALUES = st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(0, 3).map(float))


@examples(max_examples=10, deadline=None)
@example([[None, None, None], [None, None, 0.0], [None, None, 1.0], [None, None, None]])  # nothing on the last day
@given(st.lists(st.lists(VALUES, min_size=3, max_size=3), min_size=4, max_size=4))
def test_every_measured_day_keeps_the_drafted_rules(tmp_path_factory: pytest.TempPathFactory, drawn: Any) -> None:
    """Even by the letter, without what chance allows."""
    rows = [
        row(
            user,
            as_of=day,
            seconds_mean_7d=value,
            clicks_count_lifetime=None if value is None else int(value),
            page_last_7d=str(value),
        )
        for day, values in zip(DAYS, drawn, strict=True)
        for user, value in enumerate(values)
    ]
    files = write(tmp_path_factory.mktemp("rows"), rows)
    expected = drafted(files, len(rows))
    with snapshots(VIEW, files, len(rows), DAYS) as found:
        for snapshot in found:
            for name, feature in expected.features.items():
                listed = [each.name for each in feature.rules if each.group == "shares"]
                for statistic, rule in feature.rules.items():
                    observed = snapshot.features[name].observed(statistic, listed)
                    band = rule.on(snapshot.day, expected.last)
                    assert observed is None or band.low - 1e-6 <= observed.value <= band.high + 1e-6, (name, statistic)


def test_a_draft_states_ranges_growths_and_shares(tmp_path: Path) -> None:
    """Every user clicks once a day; nine in ten are on one page. What leads to a person has no shares."""
    rows = [
        row(
            user,
            as_of=day,
            clicks_count_7d=7,
            clicks_count_lifetime=100 - (DAY - day).days,
            page_last_7d="/a" if user % 10 else "/b",
            mail_last_7d=f"{user}@example.com",
        )
        for day in DAYS
        for user in range(100)
    ]
    found = drafted(write(tmp_path, rows), len(rows)).features
    median = Statistic("quantiles", "50%")
    assert found["clicks_count_7d"].rules[median] == Band(6, 8)
    assert found["clicks_count_7d"].warns == {"5%"}
    growth = found["clicks_count_lifetime"].rules[median]
    assert isinstance(growth, Growth)
    assert (growth.was, growth.a_day) == (100, Band(0.75, 1.25))
    assert [str(each) for each in found["page_last_7d"].rules] == [
        "share of nulls",
        "share of '/a'",
        "share of '/b'",
        "share of others",
    ]
    assert found["page_last_7d"].rules[Statistic("shares", "/b")] == Band(0.075, 0.125)
    assert [str(each) for each in found["mail_last_7d"].rules] == ["share of nulls"]


def test_a_growth_rule_catches_what_stands_still_and_what_doubles(tmp_path: Path) -> None:
    def rows(later: int) -> list[dict[str, Any]]:
        counts = {day: 1000 - 10 * (DAY - day).days for day in DAYS} | {DAY + timedelta(days=60): later}
        return [
            row(user, as_of=day, clicks_count_lifetime=count) for day, count in counts.items() for user in range(200)
        ]

    expected = drafted(write(tmp_path, rows(1600)), 1000)
    day = DAY + timedelta(days=60)
    broken = {}
    for later in (1000, 1600, 2400):
        files = write(tmp_path, rows(later))
        with snapshots(VIEW, files, 1000, [day], ["clicks_count_lifetime"]) as found:
            broken[later] = [str(each) for snapshot in found for each in breaches(snapshot, expected)]
    assert broken[1600] == []
    assert broken[1000][2] == "clicks_count_lifetime: median is 1000, expected 1325 to 1875; such as user_id 0 (1000)"
    assert len(broken[2400]) == 5
    assert judging.LEAST_ENTITIES == 100


@pytest.mark.parametrize(("span", "count"), [(0, 1), (1, 2), (13, 14), (300, MOST_DAYS)])
def test_days_are_measured_evenly_apart(span: int, count: int) -> None:
    first = date(2024, 1, 1)
    found = days_to_measure(first, first + timedelta(days=span))
    assert (found[0], found[-1], len(set(found))) == (first, first + timedelta(days=span), count)


@pytest.mark.parametrize("extreme", [math.inf, -math.inf, 1.7e308, -1.7e308, 5e-324, 0.0])
def test_a_column_of_extremes_has_rules_that_it_keeps_itself(tmp_path: Path, extreme: float) -> None:
    """What is not finite counts as null: no quantile says where it would be."""
    rows = [row(user, seconds_mean_7d=extreme) for user in range(150)]
    files = write(tmp_path, rows)
    expected = drafted(files, len(rows), [DAY])
    path = write_expected(expected, {}, tmp_path)
    assert read_expected("user_clicks", tmp_path) == expected, path.read_text()
    with snapshots(VIEW, files, len(rows), [DAY]) as found:
        assert [str(each) for snapshot in found for each in breaches(snapshot, expected)] == []
    nulls = expected.features["seconds_mean_7d"].rules[Statistic("", "null_share")]
    assert nulls == (Band(0, 0.02) if math.isfinite(extreme) else Band(0.98, 1))


def test_entities_that_are_lost_are_a_breach_however_few_are_left(tmp_path: Path) -> None:
    """Ten more came each day, up to 200; two weeks later there may be as many or some 350, and not 90."""
    counts = {DAY - timedelta(days=ago): 200 - 10 * ago for ago in (10, 5, 0)}
    rows = [row(user, as_of=min(day for day, count in counts.items() if user < count)) for user in range(200)]
    expected = drafted(write(tmp_path, rows), len(rows), sorted(counts))
    assert expected.entities == Growth(was=200, a_day=Band(0, 12.5), within=20)

    day = DAY + timedelta(days=14)
    said = {}
    for left in (90, 200, 350, 400):
        files = write(tmp_path, [row(user, as_of=DAY, clicks_count_7d=1) for user in range(left)])
        with snapshots(VIEW, files, left, [day], []) as found:
            said[left] = [str(each) for snapshot in found for each in breaches(snapshot, expected)]
    assert said[90] == ["entities: number is 90, expected 180 to 395"]
    assert said[200] == said[350] == []
    assert said[400] == ["entities: number is 400, expected 180 to 395"]


def test_entities_of_a_single_measured_day_may_grow_by_the_tolerance(tmp_path: Path) -> None:
    rows = [row(user) for user in range(200)]
    assert drafted(write(tmp_path, rows), 200, [DAY]).entities == Growth(was=200, a_day=Band(0, 50), within=20)

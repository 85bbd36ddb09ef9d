"""The statistics of a snapshot, against what plain Python makes of the same rows."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.transformations.engine.expected.tables import DAY, VIEW, moment, row, write
from transformations.engine.expected import measured
from transformations.engine.expected.measured import MeasuredFeature, share, snapshots
from transformations.engine.expected.model import QUANTILES, Band, Statistic

USERS = st.integers(1, 8)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user": USERS,
            "as_of": st.sampled_from([DAY - timedelta(days=3), DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)]),
            "seconds_mean_7d": st.one_of(st.none(), st.floats(-50, 200), st.just(math.nan)),
            "page_last_7d": st.sampled_from([None, "/a", "/b", "/c"]),
        }
    ),
    min_size=1,
    max_size=30,
)


def measure(folder: Path, *files: list[dict[str, Any]], day: Any = DAY) -> tuple[int, dict[str, MeasuredFeature]]:
    paths = write(folder, *files)
    with snapshots(VIEW, paths, sum(map(len, files)), [day]) as found:
        (snapshot,) = found
        return snapshot.entities, dict(snapshot.features)


@examples(max_examples=25, deadline=None)
@given(ROWS)
def test_statistics_are_of_the_newest_row_of_each_entity(
    tmp_path_factory: pytest.TempPathFactory, given_rows: Any
) -> None:
    rows = [row(**{**each, "created": number}) for number, each in enumerate(given_rows)]
    newest: dict[int, Any] = {}
    for each in sorted(rows, key=lambda each: (each["event_timestamp"], each["created_timestamp"])):
        if each["event_timestamp"] <= VIEW.available_from(DAY):
            newest[each["user_id"]] = each
    half = len(rows) // 2

    entities, features = measure(tmp_path_factory.mktemp("rows"), rows[:half], rows[half:])

    assert entities == len(newest)
    if not newest:
        return
    known = sorted(
        value for each in newest.values() if (value := each["seconds_mean_7d"]) is not None and not math.isnan(value)
    )
    seconds, pages = features["seconds_mean_7d"], [each["page_last_7d"] for each in newest.values()]
    assert seconds.nulls.value == (entities - len(known)) / entities
    assert seconds.outside is not None
    assert seconds.outside.value == (sum(not 0 <= value <= 100 for value in known) / len(known) if known else 0)
    if known:
        found = {name: observed.value for name, observed in seconds.quantiles.items()}
        assert found == {name: known[max(math.ceil(place * len(known)) - 1, 0)] for name, place in QUANTILES.items()}
    assert features["page_last_7d"].counts == {page: pages.count(page) for page in {*pages} - {None}}


def test_moments_are_measured_as_days_before_the_as_of_day_and_lists_by_their_length(tmp_path: Path) -> None:
    """The business day begins in New York, at 05:00 UTC."""
    rows = [
        row(1, click_at_last_lifetime=moment("2024-02-28T17:00:00"), pages_last_7d=["/a", "/b"]),
        row(2, click_at_last_lifetime=moment("2024-02-29T05:00:00"), pages_last_7d=[]),
    ]
    _, features = measure(tmp_path, rows)
    assert features["click_at_last_lifetime"].quantiles["95%"].value == 1.5
    assert features["click_at_last_lifetime"].quantiles["5%"].value == 1.0
    assert features["pages_last_7d"].quantiles["95%"].value == 2


def test_a_value_that_only_few_have_counts_as_others(tmp_path: Path) -> None:
    _, features = measure(tmp_path, [row(user, page_last_7d="/a" if user < 8 else "/b") for user in range(10)])
    pages = features["page_last_7d"]
    found = [pages.observed(Statistic("shares", "/a"), ["/a"]), pages.observed(Statistic("", "others"), ["/a"])]
    assert [each and each.value for each in found] == [0.8, 0.2]


def test_before_the_first_row_nothing_is_measured(tmp_path: Path) -> None:
    assert measure(tmp_path, [row(1)], day=DAY - timedelta(days=1)) == (0, {})


@pytest.mark.parametrize(
    ("expected", "breaks"),
    [(Band(0, 0.05), True), (Band(0, 0.08), False), (Band(0.12, 1), False), (Band(0.14, 1), True)],
)
def test_a_share_of_few_entities_may_be_off_by_chance(expected: Band, breaks: bool) -> None:
    """100 of 1,000 were as likely 7 to 13 of a hundred."""
    assert share(100, 1000).breaks(expected) is breaks


def test_of_a_large_table_whole_entities_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "MOST_ROWS", 500)
    rows = [row(user, as_of=DAY - timedelta(days=ago), clicks_count_7d=ago) for user in range(1000) for ago in (1, 0)]
    entities, features = measure(tmp_path, rows)
    assert 150 < entities < 350
    assert features["clicks_count_7d"].quantiles["95%"].value == 0  # the newest row, of each that is looked at

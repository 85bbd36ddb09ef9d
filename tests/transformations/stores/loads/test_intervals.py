"""The intervals that Feast records of loads are joined: a view is as small after years of daily loads."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.protos.feast.core.FeatureView_pb2 import MaterializationInterval as Interval
from feast.types import Int64
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.feast_stores import our_config
from transformations.stores.loads.intervals import MOST, join

START = datetime(2020, 1, 1, tzinfo=UTC)


def interval(start: int, end: int) -> Interval:
    made = Interval()
    made.start_time.FromDatetime(START + timedelta(days=start))
    made.end_time.FromDatetime(START + timedelta(days=end))
    return made


def days_of(intervals: list[Interval]) -> list[tuple[int, int]]:
    def day(moment: datetime) -> int:
        return (moment - START.replace(tzinfo=None)).days

    return [(day(each.start_time.ToDatetime()), day(each.end_time.ToDatetime())) for each in intervals]


def test_those_that_adjoin_or_overlap_become_one() -> None:
    recorded = [(1, 3), (3, 4), (4, 5), (9, 10), (0, 1), (9, 12)]
    assert days_of(join(interval(*each) for each in recorded)) == [(0, 5), (9, 12)]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=12))
def test_they_cover_what_was_covered_and_the_latest_end_stays(recorded: list[tuple[int, int]]) -> None:
    joined = days_of(join(interval(*each) for each in recorded))
    assert max((end for _, end in joined), default=0) == max((end for _, end in recorded), default=0)

    def covered(intervals: list[tuple[int, int]]) -> set[float]:
        halves = [each / 2 for each in range(42)]
        return {half for half in halves for start, end in intervals if start <= half <= end}

    assert covered(joined) == covered(recorded)
    proper = [each for each in joined if each[0] <= each[1]]
    assert all(end < start for (_, end), (start, _) in pairwise(proper))
    assert {each for each in recorded if each[0] > each[1]} == {*joined} - {*proper}


def test_of_many_gaps_the_latest_stretches_stay() -> None:
    joined = days_of(join(interval(2 * number, 2 * number + 1) for number in range(MOST + 5)))
    assert (len(joined), joined[-1]) == (MOST, (2 * MOST + 8, 2 * MOST + 9))


def test_a_registry_of_ours_holds_one_whatever_number_of_daily_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("FEATURES_REGISTRY_URL", raising=False)
    store = FeatureStore(config=our_config(tmp_path, registry={"path": "sqlite://?plugin=features"}))
    user = Entity(name="user", join_keys=["user_id"])
    source = FileSource(name="source", path=str(tmp_path / "none.parquet"), timestamp_field="event_timestamp")
    schema = [Field(name="user_id", dtype=Int64), Field(name="visits", dtype=Int64)]
    view = FeatureView(name="view", entities=[user], schema=schema, source=source, ttl=timedelta(0))
    store.registry.apply_entity(user, store.project)
    store.registry.apply_feature_view(view, store.project)
    for day in range(6):
        loaded = store.registry.get_feature_view("view", store.project)
        moments = (START + timedelta(days=each) for each in (day, day + 1))
        store.registry.apply_materialization(loaded, store.project, *moments)
    stored = store.registry.get_feature_view("view", store.project)
    assert stored.materialization_intervals == [(START, START + timedelta(days=6))]
    assert stored.most_recent_end_time == START + timedelta(days=6)

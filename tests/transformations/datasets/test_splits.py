"""Which rows a split takes: by moment, by the label's window, by the sample."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.datasets.config import DatasetConfig, LabelConfig
from transformations.datasets.splits import KnownLabel, select
from transformations.engine.base.errors import DataError, UsageError
from transformations.stores.training.spine import Spine, spine_of

START = datetime(2024, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LABEL = KnownLabel(LabelConfig(column="label", horizon=2 * DAY), START + timedelta(days=30))


def config(**changes: Any) -> DatasetConfig:
    document = {
        "name": "visits",
        "feature_service": "visits_v1",
        "spine": {"query": "SELECT 1"},
        "label": {"column": "label", "horizon": "2 days"},
        "split": {"train": "2024-05-01", "validation": "2024-05-11", "test": "2024-05-21"},
    }
    return DatasetConfig.model_validate(document | changes)


def spine(*moments: datetime, labels: list[bool | None] | None = None) -> Spine:
    kind = pa.timestamp("us", "UTC")
    rows = {"user_id": list(range(len(moments))), "event_timestamp": pa.array(moments, kind)}
    return spine_of(pa.table({**rows, "label": pa.array(labels or [True] * len(moments), pa.bool_())}))


def after(**duration: float) -> datetime:
    return START + timedelta(**duration)


MICROSECOND = timedelta(microseconds=1)


def test_a_row_whose_label_window_ends_at_the_boundary_stays_and_one_microsecond_later_it_is_dropped() -> None:
    moments = [after(days=8), after(days=8) + MICROSECOND, after(days=10), after(days=28), after(days=28) + MICROSECOND]
    found = select(spine(*moments), config(), LABEL)
    assert {name: places.tolist() for name, places in found.rows.items()} == {
        "train": [0],
        "validation": [2],
        "test": [3],
    }
    assert found.dropped == {
        "outside the splits": 0,
        "without a label": 0,
        "label crosses a split boundary": 1,
        "label passes the data's end": 1,
    }


@given(st.lists(st.integers(-48, 35 * 24), min_size=1, max_size=40), st.integers(0, 3))
def test_every_row_is_where_its_moment_and_its_label_window_say(hours: list[int], seed: int) -> None:
    sure = [0, 10 * 24, 20 * 24]  # so that no split is empty
    moments = [after(hours=hour) for hour in (*sure, *hours)]
    found = select(spine(*moments), config(seed=seed), LABEL)
    bounds = {"train": (0, 10), "validation": (10, 20), "test": (20, 10_000)}
    for name, (first, last) in bounds.items():
        expected = [
            place
            for place, moment in enumerate(moments)
            if after(days=first) <= moment < after(days=last)
            and moment + timedelta(days=2) <= min(after(days=last), LABEL.known_until)
        ]
        assert sorted(found.rows[name].tolist()) == expected
    assert len(found.order) + sum(found.dropped.values()) == len(moments)


def test_the_order_within_a_split_is_the_seed_s_and_not_the_spine_s() -> None:
    moments = [after(hours=hour) for hour in (*range(100), 10 * 24, 20 * 24)]
    rows = spine(*moments)
    found = select(rows, config(seed=1), LABEL).rows["train"].tolist()
    assert found != sorted(found)
    assert select(rows, config(seed=2), LABEL).rows["train"].tolist() != found
    reverse = list(range(len(moments)))[::-1]
    turned = select(spine_of(rows.rows.take(reverse)), config(seed=1), LABEL).rows["train"]
    assert [reverse[place] for place in turned] == found


def test_a_sample_keeps_a_row_whatever_other_rows_there_are() -> None:
    moments = [after(hours=hour / 4) for hour in range(800)] + [after(days=10 + hour / 24) for hour in range(480)]
    whole = spine(*moments)
    sampled = select(whole, config(sample=0.25), LABEL)
    kept = set(sampled.rows["train"].tolist())
    assert 130 < len(kept) < 240
    half = spine_of(whole.rows.take(list(range(0, len(moments), 2))))
    assert {2 * place for place in select(half, config(sample=0.25), LABEL).rows["train"].tolist()} == {
        place for place in kept if place % 2 == 0
    }
    assert sampled.dropped["not in the sample"] + len(sampled.order) == sum(
        len(places) for places in select(whole, config(), LABEL).rows.values()
    )
    assert len(select(whole, config(sample=1.0), LABEL).order) == len(select(whole, config(), LABEL).order)


def test_rows_without_a_label_and_outside_of_all_splits_are_counted_apart() -> None:
    moments = [after(days=-1), after(days=1), after(days=1), after(days=12), after(days=22), after(days=25)]
    split = {"train": "2024-05-01", "validation": "2024-05-11", "test": "2024-05-21", "end": "2024-05-25"}
    found = select(spine(*moments, labels=[None, None, True, True, True, True]), config(split=split), LABEL)
    assert found.dropped["outside the splits"] == 2
    assert found.dropped["without a label"] == 1


def test_dates_begin_at_the_start_of_their_day_in_the_zone_of_the_split() -> None:
    split = {"train": "2024-05-01", "zone": "America/New_York"}
    found = select(spine(after(hours=4) - MICROSECOND, after(hours=4)), config(split=split), LABEL)
    assert found.rows["train"].tolist() == [1]


def test_an_empty_split_and_a_missing_label_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"split 'test' has no row: the spine has 2 rows \(1 label passes the data's end"
    ):
        select(spine(after(days=1), after(days=29)), config(split={"train": "2024-05-01", "test": "2024-05-21"}), LABEL)
    with pytest.raises(UsageError, match=r"the spine has no column 'clicked', the label\. It has user_id"):
        select(spine(after(days=1)), config(), replace(LABEL, config=LabelConfig(column="clicked", horizon=DAY)))


def test_without_a_label_every_row_is_for_scoring_and_the_splits_are_by_time_alone() -> None:
    moments = [after(days=8), after(days=10, hours=-1), after(days=40)]
    whole = select(spine(*moments, labels=[None, True, None]), config(label=None, split=None), None)
    assert {name: sorted(places.tolist()) for name, places in whole.rows.items()} == {"scoring": [0, 1, 2]}
    assert whole.dropped == {"outside the splits": 0}
    split = select(spine(*moments), config(label=None, split={"train": "2024-05-01", "test": "2024-05-21"}), None)
    assert {name: sorted(places.tolist()) for name, places in split.rows.items()} == {"train": [0, 1], "test": [2]}


def test_a_label_needs_splits() -> None:
    with pytest.raises(ValueError, match="split is missing"):
        config(split=None)

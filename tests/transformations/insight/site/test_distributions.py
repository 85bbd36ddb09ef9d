"""Distributions of stored values: bars, nulls and quantiles of literal columns."""

import math
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.insight.site import distributions
from transformations.insight.site.distributions import Distribution, distributions_of


def distribution(folder: Path, values: Any, kind: pa.DataType) -> Distribution | None:
    """Of a column `x` with these values."""
    table = pa.table({"key": pa.array(range(len(values))), "x": pa.array(values, kind)})
    pq.write_table(table, folder / "part.parquet")
    version: Any = SimpleNamespace(files=(str(folder / "part.parquet"),), rows=len(values), version=3)
    return distributions_of(version, ["key"], ["x"]).get("x")


def bars(found: Distribution | None) -> dict[str, int]:
    assert found is not None
    return {bar.label: bar.rows for bar in found.bars}


def test_names_are_counted_the_most_frequent_first(tmp_path: Path) -> None:
    found = distribution(tmp_path, ["b", "a", "b", None], pa.string())
    assert bars(found) == {"b": 2, "a": 1}
    assert found is not None
    assert (found.rows, found.nulls, found.outside, found.version) == (4, 1, 0, 3)


def test_names_beyond_twelve_are_counted_together(tmp_path: Path) -> None:
    found = distribution(tmp_path, [*"abcdefghijklmno", "a"], pa.string())
    assert found is not None
    assert (len(found.bars), found.outside) == (12, 3)


def test_few_numbers_are_counted_as_they_are_in_their_order(tmp_path: Path) -> None:
    assert list(bars(distribution(tmp_path, [10, 2, 2, 0], pa.int64())).items()) == [("0", 1), ("2", 2), ("10", 1)]


def test_many_numbers_make_ranges_of_equal_width_and_none_is_lost(tmp_path: Path) -> None:
    found = distribution(tmp_path, [*(float(number) for number in range(101)), None], pa.float64())
    assert found is not None
    assert (found.low, found.high, found.is_binned, found.nulls) == ("1", "99", True, 1)
    assert dict(found.quantiles) == {"least": "0", "5 %": "5", "median": "50", "95 %": "95", "greatest": "100"}
    assert sum(bar.rows for bar in found.bars) + found.outside == 101


def test_numbers_that_are_not_finite_stand_beyond_the_axis(tmp_path: Path) -> None:
    found = distribution(
        tmp_path, [*(float(number) for number in range(50)), math.inf, -math.inf, math.nan], pa.float64()
    )
    assert found is not None
    assert sum(bar.rows for bar in found.bars) + found.outside == 53
    assert found.quantiles[-1] == ("greatest", "49")


def test_times_have_days_on_their_axis(tmp_path: Path) -> None:
    times = [datetime(2024, 5, day, tzinfo=UTC) for day in range(1, 21)]
    found = distribution(tmp_path, times, pa.timestamp("us", tz="UTC"))
    assert found is not None
    assert dict(found.quantiles)["greatest"] == "2024-05-20"


def test_lists_are_shown_by_their_length(tmp_path: Path) -> None:
    found = distribution(tmp_path, [["a"] * number for number in range(3)], pa.list_(pa.string()))
    assert found is not None
    assert found.axis == "number of items"


def test_bytes_are_not_shown(tmp_path: Path) -> None:
    assert distribution(tmp_path, [b"a"], pa.binary()) is None


def test_a_large_table_is_sampled_and_always_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributions, "MOST_ROWS", 100)
    found = distribution(tmp_path, [float(number) for number in range(1000)], pa.float64())
    assert found is not None
    assert found.is_sample
    assert 50 < found.rows < 200
    assert found == distribution(tmp_path, [float(number) for number in range(1000)], pa.float64())

"""What the reader counts of recorded predictions is what counting them one by one gives."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.transformations.monitoring.conftest import EARLIER, LAST, watch
from tests.transformations.monitoring.served_days import DAY, NOON, baseline, compared, write
from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.batch.publishing import batches_folder
from transformations.models.records.reference import Categories, Histogram
from transformations.monitoring.reading.records import SCORE
from transformations.monitoring.reading.served import changed_since, days_served, files_of, read_day, versions_served


def test_numbers_categories_nulls_and_scores_are_counted_where_they_belong(settings: object) -> None:
    write(
        {
            "amount": pa.array([-1.0, 0.0, 9.99, 10.0, None, float("nan")]),
            "count": pa.array([1, 2, 3, None, 5, 6], pa.int64()),
            "color": pa.array(["red", "green", "blue", None, "red", "it's"]),
            "member": pa.array([True, False, None, True, True, False]),
        },
        [0.1, 0.25, 0.3, 0.5, 0.9, 0.2],
    )
    known = baseline(
        amount=compared(Histogram(edges=(0.0, 10.0), counts=(0, 0, 0), nulls=0)),
        count=compared(Histogram(edges=(2.0,), counts=(0, 0), nulls=0)),
        color=compared(Categories(counts={"red": 0, "it's": 0}, others=0, nulls=0)),
        member=compared(Histogram(edges=(0.0, 1.0), counts=(0, 0, 0), nulls=0)),
        gone=compared(Histogram(edges=(), counts=(0,), nulls=0)),
    )
    served = read_day(known, DAY, get_settings())
    assert served is not None
    layout = known.layout
    assert layout.of("amount", served.counts) == [1, 2, 1, 2]
    assert layout.of("count", served.counts) == [1, 4, 1]
    assert layout.of("color", served.counts) == [2, 1, 2, 1]
    assert layout.of("member", served.counts) == [0, 2, 3, 1]
    assert layout.of(SCORE, served.counts) == [2, 2, 2, 0]
    assert served.absent == ("gone",)
    assert (served.rows, served.acted, served.decided, served.stale) == (6, 2, 6, {"seen": 0})


def test_a_number_that_was_hashed_is_no_number_and_infinity_is_in_the_last_bin(settings: object) -> None:
    write({"age": pa.array(["9f2", "c41"]), "spend": pa.array([float("inf"), float("-inf")])}, [0.1, 0.2])
    bins = Histogram(edges=(0.0, 10.0), counts=(0, 0, 0), nulls=0)
    known = baseline(age=compared(bins), spend=compared(bins))
    served = read_day(known, DAY, get_settings())
    assert served is not None
    assert served.absent == ("age",)
    assert known.layout.of("spend", served.counts) == [1, 0, 1, 0]


def test_a_rate_is_by_day_since_its_origin(settings: object) -> None:
    write({"total": pa.array([10.0, 30.0])}, [0.1, 0.1])
    origin = NOON - timedelta(days=10)
    bins = Histogram(edges=(2.0,), counts=(0, 0), nulls=0)
    served = read_day(baseline(total=compared(bins, way="as a rate", origin=origin)), DAY, get_settings())
    assert served is not None
    assert baseline(total=compared(bins)).layout.of("total", served.counts) == [1, 1, 0]


def test_a_shadow_is_no_answer_and_an_old_view_is_counted(settings: object) -> None:
    write({"x": pa.array([1.0])}, [0.1], hours=25)
    write({"x": pa.array([1.0, 2.0])}, [0.1, 0.2], role="shadow")
    known = baseline(x=compared(Histogram(edges=(), counts=(0,), nulls=0)))
    served = read_day(known, DAY, get_settings())
    assert served is not None
    assert (served.rows, served.stale) == (1, {"seen": 1})
    shadow = read_day(known, DAY, get_settings(), roles=("shadow",))
    assert shadow is not None
    assert shadow.rows == 2


def test_values_that_stay_are_told_from_those_that_change_by_key(settings: object) -> None:
    write({"x": pa.array([1.0, 2.0, 3.0, None]), "y": pa.array(["a", "b", "c", "d"])}, [0.1] * 4)
    before = {"x": pa.array([1.0, 9.0, None, None]), "y": pa.array(["a", "b", "c", "d"])}
    write(before, [0.1] * 4, day=date(2024, 4, 29))
    bins = Histogram(edges=(), counts=(0,), nulls=0)
    known = baseline(x=compared(bins), y=compared(Categories(counts={}, others=0, nulls=0)))
    found = changed_since(known, DAY, [date(2024, 4, 29), date(2024, 4, 22)], get_settings())
    assert found is not None
    assert (found.before, found.keys, found.shares) == (date(2024, 4, 29), 4, {"x": 0.5, "y": 0.0})
    assert changed_since(known, DAY, [date(2024, 4, 22)], get_settings()) is None


def test_batches_and_their_days_are_found_and_counted_like_their_rows(scored: Path) -> None:
    settings = get_settings()
    assert days_served(weekly.MODEL, settings)[0] == EARLIER
    assert versions_served(weekly.MODEL, LAST, settings) == [1]
    assert versions_served(weekly.MODEL, date(2024, 5, 21), settings) == []
    (file,) = files_of(weekly.MODEL, 1, LAST, settings)
    assert file.is_relative_to(batches_folder(weekly.MODEL, settings) / f"{LAST}-v1")
    known = watch(scored).baseline(1)
    served = read_day(known, LAST, settings)
    assert served is not None
    rows = pq.read_table(file, partitioning=None).to_pylist()
    for name in ("visits_28d", "spend_28d", "days_since"):
        edges = known.layout.features[name].edges
        values = [row["features"][name]["value"] for row in rows]
        bins = Counter(len(edges) + 1 if value is None else sum(edge <= value for edge in edges) for value in values)
        assert known.layout.of(name, served.counts) == [bins[place] for place in range(len(edges) + 2)]
    assert served.mean_score == pytest.approx(sum(row["score"] for row in rows) / len(rows))

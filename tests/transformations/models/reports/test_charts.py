"""Charts in pixels: scales, ticks, and whiskers."""

import pytest

from transformations.models.evaluation.facts import Bin
from transformations.models.records.gates import Interval
from transformations.models.reports import charts
from transformations.models.reports.charts import horizontal, round_step, vertical, whiskers


@pytest.mark.parametrize(("step", "rounded"), [(0.17, 0.2), (0.2, 0.2), (0.21, 0.25), (3, 5), (7, 10), (0, 1)])
def test_steps_are_round(step: float, rounded: float) -> None:
    assert round_step(step) == pytest.approx(rounded)


def test_ticks_are_round_numbers_within_the_axis() -> None:
    assert [tick.text for tick in horizontal(0, 1).ticks()] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [tick.text for tick in vertical(-31, 52).ticks()] == ["-20", "0", "20", "40"]
    assert [tick.text for tick in horizontal(0, 0.12).ticks()] == ["0.000", "0.025", "0.050", "0.075", "0.100"]


def test_up_is_more() -> None:
    scale = vertical(0, 10)
    assert (scale(0), scale(10)) == (charts.BOTTOM, charts.TOP)
    assert horizontal(5, 5)(5) == charts.LEFT  # all values alike


def test_whiskers_share_a_scale_through_zero() -> None:
    both, none, lone = whiskers([(0.5, Interval(low=0.0, high=1.0)), (None, None), (1.0, None)], through_zero=True)
    assert both is not None
    assert lone is not None
    assert none is None
    assert both.low == both.zero < both.value < both.high
    assert (lone.low, lone.high) == (both.high, both.high)


def test_a_dot_is_as_large_as_the_rows_in_its_bin() -> None:
    bins = [Bin(score=0.1, label=0.2, rows=100), Bin(score=0.6, label=0.5, rows=25)]
    large, small = charts.reliability(bins, is_classification=True).points
    assert large.radius == 2 * small.radius
    assert large.title == "predicted 0.1, happened 0.2, 100 rows"

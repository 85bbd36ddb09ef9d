"""A baseline is made once, knows what moves by construction or by the calendar, and more rows have lower limits."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.transformations.monitoring.conftest import LAST, watch
from tests.worlds import weekly
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.models.records.reference import Histogram
from transformations.monitoring.judging.day import judge_day
from transformations.monitoring.reading import baseline
from transformations.monitoring.reading.baseline import states_of
from transformations.monitoring.reading.limits import drawn_limits
from transformations.monitoring.reading.records import SCORE, Limits
from transformations.monitoring.statistics.draws import Blocks
from transformations.monitoring.statistics.layout import Layout


def test_a_baseline_is_made_once_and_the_dataset_is_not_read_again(scored: Path) -> None:
    made = watch(scored).baseline(1)
    shutil.rmtree(get_settings().datasets_dir / weekly.DATASET / "data", ignore_errors=True)
    for file in (get_settings().datasets_dir / weekly.DATASET).rglob("*.parquet"):
        file.unlink()
    assert watch(scored).baseline(1) == made
    assert judge_day(watch(scored), LAST).findings


def test_versions_of_one_reference_share_its_limits(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = watch(scored).baseline(1)
    assert made.entity == "user_id"
    (file,) = (get_settings().monitoring_dir / weekly.MODEL / "baselines").iterdir()
    other = made.model_copy(update={"version": 2})
    file.rename(file.with_name(file.name.replace("v1-", "v2-"))).write_text(other.text())
    drawn: list[tuple[str, ...]] = []

    def noted(blocks: Blocks, *said: Any) -> tuple[Limits, ...]:
        drawn.append(blocks.layout.names)
        return drawn_limits(blocks, *said)

    monkeypatch.setattr(baseline, "drawn_limits", noted)
    again = watch(scored).baseline(1)
    assert again.limits == made.limits
    assert drawn == [(SCORE,)], "the scores alone are those of the version"
    weekly.declare(scored / "repo", monitoring={"leave_out": ["spend_28d"]})
    assert watch(scored).baseline(1).limits != made.limits


def test_limits_are_lower_the_more_rows_there_are_and_lie_between_those_of_the_sizes(scored: Path) -> None:
    known = watch(scored).baseline(1)
    found = [known.limit("day", "spend_28d", rows) for rows in (20, 30, 40, 80)]
    values = [each.value for each in found if each is not None]
    assert len(values) == 4
    assert values == sorted(values, reverse=True)
    assert values[0] < 10
    assert known.limit("day", "spend_28d", 19) is None
    greatest = known.limits["day"][-1].rows
    assert known.limit("day", "spend_28d", 10**6) == known.limit("day", "spend_28d", greatest)


def test_what_the_declaration_says_of_an_input_decides_how_it_is_compared(scored: Path) -> None:
    weekly.declare(scored / "repo", monitoring={"growing": ["visits_28d"], "leave_out": ["spend_28d"]})
    known = watch(scored).baseline(1)
    assert known.inputs["visits_28d"].way == "as a rate"
    assert known.inputs["visits_28d"].origin is not None
    assert known.inputs["spend_28d"].way == "not compared"
    judged = judge_day(watch(scored), LAST)
    assert {each.text for each in judged.findings if each.subject == "spend_28d"} == {
        "not compared: left out as declared"
    }
    weekly.declare(scored / "repo", monitoring={"leave_out": ["spend_27d"]})
    told = r"monitoring.leave_out: version 1 takes no 'spend_27d'; did you mean 'spend_28d'"
    with pytest.raises(UsageError, match=told):
        watch(scored).baseline(1)


def test_a_feature_of_the_calendar_is_compared_with_days_of_the_same_state_alone() -> None:
    """Winter days have 0 and summer days have 5: beside all days each looks changed, beside its own kind none does."""
    layout = Layout({"x": Histogram(edges=(1.0, 5.0), counts=(0, 0, 0), nulls=0)})
    days = np.repeat(np.arange(0, 56, 7), 20)
    is_summer = days >= 28
    codes = np.where(is_summer, 2, 0).astype(np.int32).reshape(-1, 1)
    entities = np.tile(np.arange(20), 8)
    states = {"x": {int(day): "summer" if day >= 28 else "winter" for day in np.unique(days)}}
    plain = Blocks(layout=layout, codes=codes, entities=entities, blocks=days, period=7)
    alike = Blocks(layout=layout, codes=codes, entities=entities, blocks=days, period=7, states=states)
    assert plain.against_reference([20], draws=20)[0].values.min() > 0.5
    assert alike.against_reference([20], draws=20)[0].values.max() < 0.05
    earlier = alike.against_earlier([20], draws=40)
    assert earlier is not None
    assert earlier[0].values.max() < 0.05


def test_the_state_of_a_day_is_that_of_most_of_its_rows() -> None:
    found = states_of(pa.array(["a", "a", "b", "b", None]), np.array([1, 1, 1, 2, 2]))
    assert found == {1: "a", 2: "b"}

"""Expected ranges beside found values: places on one axis, in hundredths of it, from literal rows and rules."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.transformations.engine.expected.tables import DAY, VIEW, row, write
from transformations.engine.expected.model import Band, ExpectedFeature, ExpectedView, Growth, Rule, Statistic
from transformations.insight.site.expected_plots import ExpectedPlot, expected_plots

MEDIAN, NULLS = Statistic("quantiles", "50%"), Statistic("", "null_share")
HUNDRED = [row(user, seconds_mean_7d=40.0) for user in range(100)]


def plots(
    folder: Path, rows: list[dict[str, Any]], feature: str, rules: dict[Statistic, Rule], built_by: str = VIEW.hash
) -> tuple[ExpectedPlot, ...]:
    """Of one feature with these rules, measured four days before the rows' day."""
    files = write(folder, rows)
    run = SimpleNamespace(definition_hash=built_by, complete_through=DAY - timedelta(days=1))
    version: Any = SimpleNamespace(files=tuple(files), rows=len(rows), run=run)
    first = DAY - timedelta(days=4)
    expected = ExpectedView(view=VIEW.name, first=first, last=first, features={feature: ExpectedFeature(rules=rules)})
    return expected_plots(VIEW, expected, version, [feature]).get(feature, ())


def test_values_and_shares_stand_on_axes_of_their_own(tmp_path: Path) -> None:
    rows = [*HUNDRED[:75], *(row(user) for user in range(75, 100))]
    values, shares = plots(tmp_path, rows, "seconds_mean_7d", {MEDIAN: Band(20.0, 60.0), NULLS: Band(0.2, 0.5)})
    assert (values.axis, values.low, values.high, values.entities, values.as_of) == (
        "value, units",
        "20",
        "60",
        100,
        "2024-03-01",
    )
    (median,) = values.tracks
    assert (median.statistic, median.expected, median.found) == ("median", "20 to 60", "40")
    assert (median.left, median.width, median.mark, median.is_broken) == (0.0, 100.0, 50.0, False)
    (nulls,) = shares.tracks
    assert (shares.axis, shares.low, shares.high) == ("share of entities", "0 %", "50 %")
    assert (nulls.expected, nulls.found, nulls.left, nulls.mark) == ("20 to 50 %", "25 %", 40.0, 50.0)


def test_what_breaks_its_rule_is_marked(tmp_path: Path) -> None:
    (values,) = plots(tmp_path, HUNDRED, "seconds_mean_7d", {MEDIAN: Band(0.0, 30.0)})
    assert (values.tracks[0].is_broken, values.tracks[0].mark) == (True, 100.0)


def test_few_entities_are_not_judged(tmp_path: Path) -> None:
    (values,) = plots(tmp_path, HUNDRED[:99], "seconds_mean_7d", {MEDIAN: Band(0.0, 30.0)})
    assert not values.tracks[0].is_broken


def test_a_growing_value_is_expected_where_it_has_grown_to(tmp_path: Path) -> None:
    """Four days after it was 30, and 1 to 3 more each day."""
    rule = Growth(was=30.0, a_day=Band(1.0, 3.0), within=2.0)
    (values,) = plots(tmp_path, HUNDRED, "seconds_mean_7d", {MEDIAN: rule})
    assert values.tracks[0].expected == "32 to 44"


def test_a_single_allowed_value_is_still_seen(tmp_path: Path) -> None:
    (values,) = plots(tmp_path, HUNDRED, "seconds_mean_7d", {MEDIAN: Band(40.0, 40.0)})
    assert values.tracks[0].width > 0
    assert values.tracks[0].expected == "40"


def test_values_of_another_definition_are_not_held_against_the_rules(tmp_path: Path) -> None:
    assert plots(tmp_path, HUNDRED, "seconds_mean_7d", {MEDIAN: Band(0.0, 1.0)}, built_by="another") == ()

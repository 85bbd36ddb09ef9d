"""A run is held against the expectations before it is published: it stops, warns, or is accepted, and says so."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.transformations.engine.expected.tables import DAY, VIEW, row, write
from tests.worlds.sales import SalesWorld, sale
from transformations.engine.base.settings import Settings
from transformations.engine.expected.candidates import refused
from transformations.engine.expected.checking import UnexpectedValuesError, found_breaches
from transformations.engine.expected.drafting import draft
from transformations.engine.expected.files import read_expected, write_expected
from transformations.engine.expected.model import Band, ExpectedView
from transformations.engine.upkeep.vacuum import vacuum_table

USERS = 150
FIRST = date(2017, 3, 1)


def sales_of(day: date, amount: float | None = 10.0) -> list[dict[str, Any]]:
    """Every user buys once on this day."""
    ordinal = (day - FIRST).days * USERS
    return [sale(ordinal + user, f"{day}T17:00", amount, user_id=user) for user in range(1, USERS + 1)]


def expect(world: SalesWorld, *, warns: str = "") -> None:
    """What is expected after the first days, from what was built of them."""
    latest = world.latest()
    kept = {feature.name: frozenset({warns}) for feature in world.view.features} if warns else {}
    last = latest.run.complete_through + timedelta(days=1)
    expected = draft(world.view, latest, [last - timedelta(days=1), last], tolerance=0.25, warns=kept)
    assert expected is not None
    write_expected(expected, {}, world.settings.expectations)


@pytest.fixture
def bought(spark_settings: Settings, tmp_path: Path) -> SalesWorld:
    """Three days on which every user bought for 10, built, and expected to go on."""
    world = SalesWorld(spark_settings.model_copy(update={"expectations": tmp_path / "expectations"}))
    days = [FIRST + timedelta(days=ahead) for ahead in range(3)]
    world.deliver_rows([each for day in days for each in sales_of(day)], through=days[-1])
    world.build()
    expect(world)
    return world


def test_a_breach_stops_the_commit_until_it_is_accepted(bought: SalesWorld) -> None:
    day = FIRST + timedelta(days=3)
    bought.deliver_rows(sales_of(day, amount=1_000.0), through=day)

    with pytest.raises(UnexpectedValuesError) as error:
        bought.build()

    message = str(error.value)
    path = bought.settings.expectations / "user_sales.yaml"
    assert message.startswith(f"user_sales: its values as-of 2017-03-05 break 10 rules of {path}:\n")
    assert "  spend_sum_2d: median is 1010, expected 17.5 to 22.5; such as user_id 1 (1010.0)\n" in message
    assert "Version 0 stays the newest" in message
    assert "features build --accept user_sales" in message
    assert error.value.exit_code == 3

    kept = refused(bought.table)
    assert kept is not None
    assert (kept.after, kept.as_of, kept.rows) == (0, date(2017, 3, 5), USERS)
    assert bought.latest().version == 0
    assert not {*kept.files} & {*bought.latest().files}
    assert not list(bought.table.path.glob("run=*/refused.json"))

    with pytest.raises(UnexpectedValuesError) as again:
        bought.build()
    assert str(again.value) == message
    assert len(list(bought.table.path.glob("refused=*"))) == 1

    accepted = bought.build_accepted()
    assert (accepted.version, accepted.rows) == (1, USERS)
    assert accepted.accepted[0].startswith("spend_sum_2d: 5 % quantile is 1010")
    assert bought.latest().run == accepted  # as the log has it
    assert refused(bought.table) is None
    bought.assert_equals_definition()


def test_a_rule_that_warns_is_recorded_and_does_not_stop(bought: SalesWorld) -> None:
    expect(bought, warns="quantiles")
    day = FIRST + timedelta(days=3)
    bought.deliver_rows(sales_of(day, amount=1_000.0), through=day)
    run = bought.build()
    assert run is not None
    assert len(run.warned) == 10
    assert run.accepted == ()


def test_what_goes_on_as_expected_passes_and_so_does_growth(bought: SalesWorld) -> None:
    """The sums over a lifetime grow by 10 a day: a week later by 70."""
    days = [FIRST + timedelta(days=ahead) for ahead in range(3, 10)]
    bought.deliver_rows([each for day in days for each in sales_of(day)], through=days[-1])
    run = bought.build()
    assert run is not None
    assert (run.warned, run.accepted) == ((), ())
    assert run.lineage["spend_sum_2d"] == ("sales.amount",)


def test_a_feature_that_is_gone_from_the_view_is_told(bought: SalesWorld) -> None:
    expected = read_expected("user_sales", bought.settings.expectations)
    assert expected is not None
    rules = expected.features["spend_sum_2d"]
    write_expected(replace(expected, features={"gone_sum_2d": rules}), {}, bought.settings.expectations)
    day = FIRST + timedelta(days=3)
    bought.deliver_rows(sales_of(day), through=day)
    run = bought.build()
    assert run is not None
    assert run.warned == ("gone_sum_2d: the view has no such feature, yet rules",)


def test_vacuum_removes_what_was_refused(bought: SalesWorld) -> None:
    day = FIRST + timedelta(days=3)
    bought.deliver_rows(sales_of(day, amount=None), through=day)
    with pytest.raises(UnexpectedValuesError, match="spend_sum_2d"):
        bought.build()
    vacuum_table(bought.table, timedelta(0))
    assert refused(bought.table) is None
    assert bought.latest().version == 0


def test_entities_are_judged_where_no_feature_is(tmp_path: Path) -> None:
    files = write(tmp_path, [row(user) for user in range(100)])
    expected = ExpectedView(view=VIEW.name, first=DAY, last=DAY, entities=Band(200, 300))
    (breach,) = found_breaches(VIEW, expected, files, 100, DAY)
    assert (str(breach), breach.stops) == ("entities: number is 100, expected 200 to 300", True)
    assert found_breaches(VIEW, expected, files, 100, DAY - timedelta(days=1)) == []

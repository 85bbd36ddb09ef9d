"""The readout of a rollout equals what a hand-written query over visits and recorded predictions says."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.transformations.monitoring.conftest import watch
from tests.worlds import weekly
from transformations.cli.commands.data.model import model
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.predictions.published import Place, table_of, write_place
from transformations.models.records.base import Role
from transformations.models.records.events import ModelEvent, RolloutStep
from transformations.models.records.predictions import PredictionRecord
from transformations.models.rollout.splitting import share_of, unit_text
from transformations.monitoring.judging.experiment import experiment, missing_outcomes, prospect

MONDAYS = [datetime(2024, 4, 1, 6, tzinfo=UTC) + timedelta(weeks=week) for week in range(7)]
"""Of the last, outcomes are not known yet when the clock of `weekly` stands at its day."""
USERS = range(1, weekly.USERS + 1)
BUSINESS = [
    {
        "name": "reached", "query": "SELECT count(*) FROM predictions WHERE decision AND returns",
        "owner": weekly.OWNER, "unit": "users", "direction": "up", "horizon": "7 days",
    }
]  # fmt: skip
Answered = Callable[[int, datetime], bool]


def append(change: RolloutStep, moment: datetime) -> int:
    log = EventLog("shop")
    number = len(log.events(weekly.MODEL)) + 1
    log.append(
        ModelEvent(model=weekly.MODEL, number=number, at=moment, who="ada", why="because", version=2, change=change)
    )
    return number


def record(
    user: int, moment: datetime, version: int, role: Role, event: int, *, holdout: bool = False
) -> PredictionRecord:
    return PredictionRecord(
        id=f"{user}-{moment:%m%d}-{role}",
        request_timestamp=moment,
        model=weekly.MODEL,
        version=version,
        artifact="0" * 64,
        role=role,
        event=event,
        keys={"user_id": user},
        features={},
        score=0.8 if user % 2 else 0.3,
        decision=bool(user % 2),
        holdout=holdout,
    )


def arm_of(user: int) -> bool:
    return bool(share_of([unit_text([user])], "s", 50)[0])


def rolled_out(project: Path, answered: Answered = lambda _user, _moment: True) -> int:
    """A rollout at 50 %, from the second Monday on, whose predictions are recorded; its event's number."""
    step = RolloutStep(action="start", step=1, shadow=True, salt="s", unit=("user_id",))
    shadow = append(step, MONDAYS[0] - timedelta(hours=1))
    half = append(
        RolloutStep(action="advance", step=2, percent=50, salt="s", unit=("user_id",)), MONDAYS[1] - timedelta(hours=1)
    )
    for moment in MONDAYS:
        found: list[PredictionRecord] = []
        for user in USERS:
            if moment == MONDAYS[0]:
                found += [record(user, moment, 1, "production", shadow), record(user, moment, 2, "shadow", shadow)]
            elif answered(user, moment):
                role: Role = "canary" if arm_of(user) else "production"
                found.append(record(user, moment, 2 if arm_of(user) else 1, role, half, holdout=user % 10 == 0))
        for version in (1, 2):
            mine = [each for each in found if each.version == version]
            write_place(Place(weekly.MODEL, moment.date(), version), table_of(mine), get_settings())
    return half


def by_hand(users: list[int]) -> tuple[float, float]:
    """The mean of the label, and the reached per user, of users on the Mondays whose outcomes are known."""
    visits: dict[int, list[datetime]] = {}
    for user, at in zip(*(weekly.visits()[name].to_pylist() for name in ("user_id", "at")), strict=True):
        visits.setdefault(user, []).append(at)
    labels, reached = [], 0
    there = set()
    for moment in MONDAYS[1:]:
        if moment + timedelta(days=7) > datetime(2024, 5, 20, tzinfo=UTC):
            continue
        for user in users:
            if min(visits.get(user, [moment])) >= moment:
                continue  # the query asks for users who have visited before
            label = any(moment <= at < moment + timedelta(days=7) for at in visits[user])
            labels.append(label)
            there.add(user)
            reached += label and user % 2
    return sum(labels) / len(labels), reached / len(there)


@pytest.fixture
def project(weekly_challenged: Path) -> Path:
    return weekly_challenged


def test_arms_are_compared_by_what_came_of_them(project: Path) -> None:
    path = project / "repo" / "models" / f"{weekly.MODEL}.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "business": BUSINESS}))
    rolled_out(project)
    found = experiment(watch(project))
    acted_on = [user for user in USERS if user % 10]
    candidate = by_hand([user for user in acted_on if arm_of(user)])
    production = by_hand([user for user in acted_on if not arm_of(user)])
    assert [each.name for each in found.differences] == ["mean of returns", "log_loss", "reached"]
    label, _, reached = found.differences
    assert (label.production, label.candidate) == pytest.approx((production[0], candidate[0]))
    assert label.value == pytest.approx(candidate[0] - production[0])
    assert label.low is not None
    assert label.high is not None
    assert label.low < candidate[0] - production[0] < label.high
    assert (reached.production, reached.candidate) == pytest.approx((production[1], candidate[1])), (
        "counts are per unit"
    )
    assert (found.production.version, found.candidate.version) == (1, 2)
    assert found.is_whole
    assert found.waiting > 0


def test_a_lost_part_of_an_arm_ends_with_3(project: Path) -> None:
    rolled_out(project, answered=lambda user, _moment: not arm_of(user) or user % 5 == 0)
    ended = CliRunner().invoke(model, ["experiment", weekly.MODEL])
    assert ended.exit_code == 3
    assert "which is not its share by chance" in ended.output


def test_the_command_tells_figures_and_whether_they_have_matured(project: Path) -> None:
    rolled_out(project)
    said = CliRunner().invoke(model, ["experiment", weekly.MODEL]).output
    assert "candidate version 2:" in said
    assert "the experiment has matured" in said
    assert "sample ratio at 50 %" in said
    assert "mean of returns" in said


def test_a_plan_that_waits_for_outcomes_says_what_is_missing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no rollout has had two arms" in missing_outcomes(watch(project), 2)[0]
    rolled_out(project)
    assert missing_outcomes(watch(project), 2) == ()
    late = append(
        RolloutStep(action="start", step=1, percent=10, salt="t", unit=("user_id",)), MONDAYS[-1] - timedelta(hours=1)
    )
    assert late
    assert "of none of the predictions of this rollout" in missing_outcomes(watch(project), 2)[0]


def test_without_two_arms_there_is_no_experiment(project: Path) -> None:
    with pytest.raises(UsageError, match="no rollout has had two arms yet"):
        experiment(watch(project))


def test_what_an_experiment_can_show_is_told_before_it_begins(project: Path) -> None:
    found = prospect(watch(project), 2)
    assert found is not None
    assert (found.percent, found.horizon.days) == (10, 28)
    assert 50 < found.units <= weekly.USERS
    assert 0 < found.effect < 1
    started = CliRunner().invoke(model, ["rollout", weekly.MODEL, "--start", "2"])
    assert "planned horizon 28 days: at 10 %" in started.output

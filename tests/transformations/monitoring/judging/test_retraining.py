"""Drift leads to a release up to staging, once, and only where it can help; what fails twice is left to a person."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from feast import FeatureStore

from tests.transformations.monitoring.conftest import LAST, multiplied, publish_changed, score, watch
from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.evaluation.looks import FILE as LOOKS
from transformations.models.log.event_log import EventLog
from transformations.models.versions import standing
from transformations.monitoring.judging.day import judge_day
from transformations.monitoring.judging.retraining import Answer, answer, failures_over, read_attempts
from transformations.monitoring.judging.watched import Watched

BEGAN = date(2024, 4, 15)
"""Before the test period of the declared dataset."""


def drifted(project: Path, since: date, **changes: object) -> Watched:
    """A model whose spend is in another unit since a Monday, every day judged but the last; nobody has looked yet."""
    monday = since
    while monday <= LAST:
        publish_changed(multiplied("spend_28d", 100.0), monday)
        monday += timedelta(days=7)
    score(project)
    weekly.declare(project / "repo", monitoring={"on_drift": "retrain", "cooldown": "7 days"}, **changes)
    (get_settings().models_dir / LOOKS).unlink(missing_ok=True)
    watched = watch(project)
    monday = since
    while monday < LAST:
        judge_day(watched, monday)
        monday += timedelta(days=7)
    return watched


def answered(watched: Watched) -> Answer:
    store = FeatureStore(repo_path=str(watched.repository))
    given = answer(watched, judge_day(watched, LAST), store)
    assert given is not None
    return given


@pytest.mark.proof
def test_a_release_ends_in_staging_and_is_made_once(production: Path) -> None:
    watched = drifted(production, BEGAN, hyperparameters={"l2": 3.0})
    first = answered(watched)
    assert (first.attempt is not None, first.pages) == (True, False), first.text
    stages = {number: each.stage for number, each in standing(weekly.MODEL, EventLog("shop")).versions.items()}
    assert stages == {1: "production", 2: "staging"}
    again = answered(watched)
    assert (again.attempt, again.pages) == (None, False)
    assert "has been answered by a release already" in again.text
    assert [(each.subject, each.began, each.version) for each in read_attempts(watched)] == [("spend_28d", BEGAN, 2)]


def test_a_dataset_that_ends_before_the_drift_makes_no_better_model(production: Path) -> None:
    watched = drifted(production, LAST)
    given = answered(watched)
    assert (given.attempt, given.pages) == (None, True)
    assert "begins on 2024-04-22, and the drift on 2024-05-20: it would be the same model again" in given.text
    assert set(standing(weekly.MODEL, EventLog("shop")).versions) == {1}


@pytest.mark.proof
def test_a_period_that_somebody_has_looked_at_judges_no_new_version(production: Path) -> None:
    looks = (get_settings().models_dir / LOOKS).read_bytes()
    watched = drifted(production, BEGAN)
    (get_settings().models_dir / LOOKS).write_bytes(looks)
    given = answered(watched)
    assert (given.attempt, given.pages) == (None, True)
    assert "somebody has looked at the period from 2024-04-22 on" in given.text
    assert set(standing(weekly.MODEL, EventLog("shop")).versions) == {1}


@pytest.mark.proof
def test_two_failures_are_left_to_the_owner_and_the_cooldown_is_kept(
    production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = {
        "entity": "user_id", "draws": 100, "baselines": {"prior": {"kind": "prior"}}, "gates": weekly.FAILING,
    }  # fmt: skip
    watched = drifted(production, BEGAN, evaluation=evaluation)
    first = answered(watched)
    assert (first.attempt is not None, first.pages) == (True, False)
    assert "does not pass its gates" in first.text
    assert "within the cooldown" in answered(watched).text

    monkeypatch.setenv("FEATURES_CLOCK", "2024-05-29T12:00:00Z")
    (get_settings().models_dir / LOOKS).unlink()
    second = answered(watch(production))
    assert second.pages, second.text
    third = answered(watch(production))
    assert (third.attempt, third.pages) == (None, True)
    assert "2 releases have failed over spend_28d, and no third is tried" in third.text
    watched = watch(production)
    failed = [failures_over(each, read_attempts(watched)) for each in (judge_day(watched, LAST).alerts, ())]
    assert failed == [2, 0], "over what stands, and over nothing"


def test_a_model_that_only_tells_is_not_retrained(production: Path) -> None:
    watched = drifted(production, BEGAN)
    weekly.declare(production / "repo")
    watched = watch(production)
    assert answer(watched, judge_day(watched, LAST), FeatureStore(repo_path=str(watched.repository))) is None

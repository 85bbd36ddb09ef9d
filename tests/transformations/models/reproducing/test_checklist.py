"""The checklist is performed, not filled in; evidence older than the version is none."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from feast import FeatureStore

from tests.worlds import weekly
from transformations.cli.commands.look.checklist import checklist
from transformations.engine.base.settings import Settings, get_settings
from transformations.models.batch.scoring import Scorer
from transformations.models.log.event_log import EventLog
from transformations.models.records.checklist import FILE, Checklist
from transformations.models.reproducing.checklist import perform_checklist


def perform(project: Path) -> Checklist:
    store = FeatureStore(repo_path=str(project / "repo"))
    return perform_checklist(weekly.MODEL, None, EventLog("shop"), store, get_settings())


@pytest.fixture
def ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where CI leaves its date, in a project root of the test's own."""
    monkeypatch.setattr(Settings, "project_root", property(lambda _self: tmp_path / "root"))
    (tmp_path / "root" / ".ci").mkdir(parents=True)
    return tmp_path / "root" / ".ci" / "passed"


def test_every_answer_is_yes_where_all_was_performed(weekly_production: Path, ci: Path) -> None:
    weekly.promote_another(weekly_production)
    store = FeatureStore(repo_path=str(weekly_production / "repo"))
    scorer = Scorer(model=weekly.MODEL, number=None, log=EventLog("shop"), store=store, settings=get_settings())
    scorer.day(date(2024, 5, 21), "known")
    ci.write_text("2024-05-21T12:00:01Z\n")

    made = perform(weekly_production)
    assert [(each.check, each.answer) for each in made.checks] == [
        (check, "yes") for check in ("dataset", "retrain", "rollback", "trace", "setup")
    ], made
    found = {each.check: each.found for each in made.checks}
    assert "bit for bit" in found["retrain"]
    assert found["rollback"].startswith("rehearsed from version 2 to 1 in 0.")
    assert "the same score today" in found["trace"]
    file = get_settings().models_dir / weekly.MODEL / FILE
    assert Checklist.from_text(file.read_text(), "kept") == made


def test_what_was_not_or_could_not_be_done_is_a_no_that_says_what_to_do(weekly_production: Path, ci: Path) -> None:
    made = perform(weekly_production)
    found = {each.check: (each.answer, each.found) for each in made.checks}
    assert found["dataset"][0] == found["retrain"][0] == "yes"
    assert found["rollback"] == (
        "not applicable",
        "nothing to roll back to: production had no version before",
    )
    assert found["trace"][1].endswith("features model predict user_return --as-of DAY")
    assert found["setup"] == ("no", "CI has not passed here yet: .ci/run")
    assert made.passed is False


def test_a_yes_that_is_older_than_the_version_is_a_no(weekly_production: Path, ci: Path) -> None:
    ci.write_text("2024-05-06T11:59:59Z\n")
    setup = perform(weekly_production).checks[-1]
    assert (setup.answer, setup.at) == ("no", datetime(2024, 5, 6, 11, 59, 59, tzinfo=UTC))
    assert setup.found == (
        "CI passed at 2024-05-06 11:59 UTC, before version 1 was registered (2024-05-06 12:00 UTC): .ci/run"
    )


def test_the_command_ends_with_3_where_an_answer_is_no(weekly_production: Path, ci: Path) -> None:
    shown = CliRunner().invoke(checklist, ["user_return"])
    assert shown.exit_code == 3
    assert "the model is retrained" in shown.stdout
    assert "the answer is no: a prediction is traced, the README sets it up" in shown.stderr
    document = json.loads(CliRunner().invoke(checklist, ["user_return", "--json"]).stdout)
    assert [each["answer"] for each in document["checks"]] == ["yes", "yes", "not applicable", "no", "no"]

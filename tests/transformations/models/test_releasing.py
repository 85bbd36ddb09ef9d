"""A release goes to staging or stops with its figures; what was done before from the same things is used again."""

import shutil
from pathlib import Path

import pytest
from feast import FeatureStore

from tests.worlds import weekly
from transformations.engine.base.errors import ConflictError, DataError
from transformations.engine.base.settings import get_settings
from transformations.engine.base.storage import exclusive
from transformations.models import releasing
from transformations.models.log import stages
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import Standing, standing_of
from transformations.models.releasing import Released
from transformations.models.versions import promote

MODEL = weekly.MODEL
STEPS = ["dataset", "check", "train", "evaluate", "staging"]


def release(project: Path) -> Released:
    store = FeatureStore(repo_path=str(project / "repo"))
    return releasing.release(MODEL, project / "repo", EventLog("shop"), store, get_settings())


def standing() -> Standing:
    return standing_of(MODEL, EventLog("shop").events(MODEL))


def done(released: Released) -> list[tuple[str, bool]]:
    return [(step.name, step.is_reused) for step in released.steps]


def test_a_release_leads_to_staging_and_a_second_one_does_nothing(weekly_project: Path) -> None:
    first = release(weekly_project)
    assert done(first) == [(name, False) for name in STEPS]
    assert standing().version(1).stage == "staging"
    events = EventLog("shop").events(MODEL)

    second = release(weekly_project)
    assert done(second) == [(name, True) for name in STEPS]
    assert (second.version, second.judged) == (1, first.judged)
    assert EventLog("shop").events(MODEL) == events


class KilledError(BaseException):
    pass


def test_a_release_killed_after_any_step_goes_on_from_there(
    weekly_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed_at(step: str, *, is_done: bool) -> None:
        original = getattr(releasing, step)

        def killed(*arguments: object, **named: object) -> None:
            if is_done:
                original(*arguments, **named)
            raise KilledError

        with monkeypatch.context() as patched:
            patched.setattr(releasing, step, killed)
            with pytest.raises(KilledError):
                release(weekly_project)

    for step in ("create", "train", "evaluate", "promote"):
        killed_at(step, is_done=False)
        killed_at(step, is_done=True)
    assert done(release(weekly_project)) == [(name, True) for name in STEPS]
    assert [event.change.kind for event in EventLog("shop").events(MODEL)] == ["registered", "evaluated", "stage"]


def test_it_stops_where_a_gate_does_not_pass_and_does_not_look_again(weekly_project: Path) -> None:
    weekly.declare(weekly_project / "repo", evaluation={"entity": "user_id", "draws": 100, "gates": weekly.FAILING})
    stopped = release(weekly_project)
    assert (stopped.passed, stopped.steps[-1].name) == (False, "evaluate")
    assert "0 of 1 gates passed, look 1" in stopped.steps[-1].text
    assert standing().version(1).stage == "development"

    assert done(release(weekly_project))[-1] == ("evaluate", True)
    assert len(EventLog("shop").events(MODEL)) == 2


def test_it_stops_at_a_dataset_that_is_not_fit_to_learn_from(weekly_project: Path) -> None:
    file = weekly_project / "repo" / "datasets" / f"{weekly.DATASET}.yaml"
    file.write_text(file.read_text().replace("label_noise: 0.5", "label_noise: 0.0001"))
    with pytest.raises(DataError, match=r"weekly_2024 is not fit to learn from: label noise: \d+\.\d+% of the labels"):
        release(weekly_project)
    assert EventLog("shop").events(MODEL) == ()


def test_a_changed_declaration_is_a_new_version_and_the_rest_is_reused(weekly_project: Path) -> None:
    release(weekly_project)
    weekly.declare(weekly_project / "repo", hyperparameters={"l2": 3.0})
    again = release(weekly_project)
    assert again.version == 2
    assert done(again) == [(name, name == "dataset") for name in STEPS]


def test_what_somebody_archived_is_not_brought_back(weekly_project: Path) -> None:
    release(weekly_project)
    promote(MODEL, 1, "archived", EventLog("shop"), get_settings(), why="complaints")
    with pytest.raises(
        DataError, match=r"version 1 was archived .*complaints\), and nothing it was made of has changed since"
    ):
        release(weekly_project)


def test_a_dataset_of_another_configuration_is_told_by_what_differs(weekly_project: Path) -> None:
    release(weekly_project)
    file = weekly_project / "repo" / "datasets" / f"{weekly.DATASET}.yaml"
    file.write_text(file.read_text().replace("seed: 7", "seed: 8"))
    with pytest.raises(DataError, match=r"another configuration than .*/datasets/weekly_2024\.yaml holds now: seed\."):
        release(weekly_project)


@pytest.mark.proof
def test_gates_against_production_are_judged_anew_when_production_has_changed(weekly_project: Path) -> None:
    criteria = {
        "entity": "user_id",
        "draws": 100,
        "gates": [{"metric": "log_loss", "not_worse_than": "production", "margin": 1, "entities": 9, "positives": 9}],
    }
    release(weekly_project)
    weekly.declare(weekly_project / "repo", hyperparameters={"l2": 3.0}, evaluation=criteria)
    alone = release(weekly_project)
    assert (alone.version, alone.passed) == (2, False)  # there is no production to compare with
    promote(MODEL, 1, "production", EventLog("shop"), get_settings(), why="in the meantime")

    again = release(weekly_project)
    assert done(again)[-2:] == [("evaluate", False), ("staging", False)]
    production = again.judged.judgement.evaluation.production
    assert production is not None
    assert production.version == 1

    log = EventLog("shop")
    first = standing().version(1)
    stages.register(log, MODEL, first.registered, who="ana", why="another", at=first.since)
    judged = next(event for event in log.events(MODEL) if event.change == first.evaluation)
    log.append(judged.model_copy(update={"number": standing().events + 1, "version": 3}))
    for stage in ("staging", "production"):
        stages.promote(log, MODEL, 3, stage, who="ana", why="it passed first", at=first.since)
    with pytest.raises(DataError, match="version 2 was compared with version 1, and production has version 3 now"):
        promote(MODEL, 2, "production", log, get_settings(), why="it passed against version 1")
    shutil.rmtree(again.judged.page.parent)
    with pytest.raises(DataError, match="the report of the comparison with production that it passed is not there"):
        promote(MODEL, 2, "production", log, get_settings(), why="it passed against version 1")


def test_two_at_once_are_refused(weekly_project: Path) -> None:
    settings = get_settings()
    with (
        exclusive(settings.models_dir / f".{MODEL}.release.lock", "it"),
        pytest.raises(ConflictError, match=f"the release of {MODEL}: process"),
    ):
        release(weekly_project)

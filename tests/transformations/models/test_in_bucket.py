"""Models whose data are in object storage: what one machine trains and records, others judge, trace and watch."""

import json
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from feast import FeatureStore
from redis import Redis

from tests.transformations.models.serving.conftest import ask, is_ready, running, until
from tests.worlds import weekly
from tests.worlds.returns import write_dataset, write_declaration
from transformations.cli.main import cli
from transformations.engine.base.errors import DataError
from transformations.engine.base.files.published import put_folder
from transformations.engine.base.settings import Settings, get_settings
from transformations.models import training
from transformations.models.evaluation.looks import looks
from transformations.models.log.event_log import EventLog
from transformations.models.serving.api.app import create_app
from transformations.models.training import clear_dead_runs, train
from transformations.models.versions import artifact_of, evaluate, judgement_of, standing

On = Callable[[str], Settings]
MODEL = "user_return"
MONDAYS = ["2024-04-15", "2024-04-22", "2024-04-29", "2024-05-06", "2024-05-13"]


@pytest.fixture
def on(at_machine: On, _mlflow_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> On:
    """The settings of a machine, from now on this process'. Machines share the bucket and the registry."""
    monkeypatch.setenv("FEATURES_REGISTRY_URL", f"sqlite:///{tmp_path / 'registry.db'}")

    def machine(name: str) -> Settings:
        settings = at_machine(name)
        mlflow = settings.mlflow_dir
        if not mlflow.exists():
            mlflow.mkdir(parents=True)
            shutil.copy(_mlflow_database, mlflow)
        return settings

    return machine


@pytest.fixture
def repository(on: On, tmp_path: Path) -> Path:
    """A repository that declares a model; machine a has published its dataset."""
    gates = [{"metric": "roc_auc", "beats": "prior", "entities": 20, "positives": 20}]
    evaluation = {"entity": "user_id", "draws": 100, "baselines": {"prior": {"kind": "prior"}}, "gates": gates}
    write_declaration(tmp_path / "repo", evaluation=evaluation)
    write_dataset(tmp_path / "finished")
    put_folder(tmp_path / "finished" / "returns_2020", on("a").datasets_dir / "returns_2020")
    return tmp_path / "repo"


def state() -> Any:
    return standing(MODEL, EventLog("shop")).version(1)


def test_a_version_that_one_machine_trained_others_judge_and_load(on: On, repository: Path, place: Path) -> None:
    made = train(MODEL, repository, EventLog("shop"), on("b"))
    judged = evaluate(MODEL, 1, repository, EventLog("shop"), on("c"))
    assert judged.passed

    loaded = artifact_of(MODEL, state(), on("d"))
    assert loaded.id == made.manifest.id
    assert judgement_of(MODEL, state(), on("d")) == judged.judgement
    assert [each.artifact for each in looks(on("d").models_dir)] == [loaded.id]

    for stored in (place / "models" / MODEL).glob("*/@files-*/*"):
        stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match=r"s3://.*damaged"):
        artifact_of(MODEL, state(), on("e"))


def test_what_a_killed_training_has_put_there_is_withdrawn(
    on: On, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    settings = on("a")
    with monkeypatch.context() as patched:
        patched.setattr(training, "register", killed)
        with pytest.raises(KeyboardInterrupt):
            train(MODEL, repository, EventLog("shop"), settings)
    (run,) = [each for each in (settings.models_dir / MODEL).iterdir() if not each.name.startswith(".")]
    assert clear_dead_runs(MODEL, settings.models_dir / MODEL, EventLog("shop")) == {run.name: False}
    assert not run.exists()
    again = on("b").models_dir / MODEL / run.name
    with pytest.raises(DataError, match="is missing"):
        artifact_of(MODEL, _registered(run.name), on("b"))
    assert not again.exists()


def _registered(run: str) -> Any:
    class Registered:
        run_id, artifact = run, "0" * 64

    class Version:
        number, registered = 1, Registered

    return Version


@pytest.mark.proof
async def test_what_machines_publish_of_a_model_all_of_them_serve_trace_and_watch(
    on: On, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in weekly.environment(tmp_path).items():
        if name != "FEATURES_DATA":
            monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    on("a")
    weekly.make(tmp_path)
    monkeypatch.setenv("FEATURES_CLOCK", weekly.PROMOTED)
    weekly.promote(tmp_path)
    (tmp_path / "repo" / "monitoring.yaml").write_text(yaml.safe_dump({"least_rows": 20, "draws": 200}))

    monkeypatch.setenv("FEATURES_CLOCK", weekly.NOW)
    on("b")
    run("model", "predict", weekly.MODEL, "--from", MONDAYS[0], "--to", MONDAYS[-1], "--version", "1")
    now = weekly.MONDAY.replace(hour=6) + timedelta(weeks=weekly.WEEKS)
    monkeypatch.setenv("FEATURES_CLOCK", now.isoformat())
    FeatureStore(repo_path=str(tmp_path / "repo")).materialize(weekly.MONDAY, now)
    async with running(create_app([weekly.MODEL])) as client:
        await until(lambda: is_ready(client))
        answer = (await ask(client, *range(1, weekly.USERS + 1))).json()
    scores = {each["id"]: each["score"] for each in answer["predictions"]}
    assert json.loads(run("predictions", "collect", "--json"))["records"] == len(scores)

    monkeypatch.setenv("FEATURES_CLOCK", weekly.NOW)
    on("c")
    assert json.loads(run("predictions", "check", "--json"))
    prediction = min(scores)
    (traced,) = json.loads(run("predictions", "trace", prediction, "--json"))
    assert (traced["record"]["score"], traced["again"]) == (scores[prediction], "same")
    judged = {each["day"]: each for each in json.loads(run("monitor", weekly.MODEL, "--json", code=None))}
    assert max(judged) == str(date(2024, 5, 20))

    on("d")
    again = json.loads(run("monitor", weekly.MODEL, "--day", "2024-05-20", "--json", code=None))
    assert again[0]["findings"] == judged["2024-05-20"]["findings"]
    assert sorted(each.name for each in (get_settings().monitoring_dir / weekly.MODEL / "days").glob("*.parquet"))


def run(*arguments: str, code: int | None = 0) -> str:
    found = CliRunner().invoke(cli, list(arguments))
    assert code is None or found.exit_code == code, found.output
    return found.stdout

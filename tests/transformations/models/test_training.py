"""Training leaves a version with all it came from, or nothing."""

import json
import shutil
import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.worlds.processes import start
from tests.worlds.returns import declaration, rows, write_dataset, write_declaration
from transformations.engine.base.errors import DataError, ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings, get_settings
from transformations.models import training
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import Standing, standing_of
from transformations.models.scoring.artifact import read_artifact
from transformations.models.tracking import mirror
from transformations.models.tracking.mirror import compare, repair
from transformations.models.tracking.runs import client_of
from transformations.models.training import Trained, train

MODEL = "user_return"
KILLED = """
import sys, time
from pathlib import Path
from transformations.engine.base.settings import get_settings
from transformations.models import training
from transformations.models.log.event_log import EventLog

def wait(*_, **__):
    print("here", flush=True)
    time.sleep(60)

setattr(training, sys.argv[2], wait)
training.train("user_return", Path(sys.argv[1]), EventLog("shop"), get_settings())
"""


def trained(repository: Path, settings: Settings) -> Trained:
    return train(MODEL, repository, EventLog("shop"), settings)


def standing() -> Standing:
    return standing_of(MODEL, EventLog("shop").events(MODEL))


def runs(settings: Settings) -> list[str]:
    """What a model's folder holds, but for what is noted of copies where it lies in object storage."""
    found = [each.name for each in (settings.models_dir / MODEL).iterdir()]
    return sorted(name for name in found if not name.endswith((".published", ".copying")))


def test_a_training_is_told_with_the_columns_that_scores_come_from(repository: Path, settings: Settings) -> None:
    trained(repository, settings)
    (line,) = (settings.data / "lineage" / "events.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert (event["job"]["name"], [each["name"] for each in event["inputs"]]) == (f"train_{MODEL}", ["returns_2020"])
    (output,) = event["outputs"]
    assert (output["name"], output["facets"]["version"]["datasetVersion"]) == (f"model.{MODEL}", "1")
    score = output["facets"]["columnLineage"]["fields"]["score"]["inputFields"]
    assert {(each["name"], each["field"]) for each in score} == {
        ("returns_2020", column) for column in ("visits", "days_since", "is_member", "country")
    }


def test_a_version_says_what_it_came_from(repository: Path, settings: Settings) -> None:
    made = trained(repository, settings)
    state = standing().version(1)

    assert (made.version, state.stage) == (1, "development")
    assert state.registered.artifact == made.manifest.id == read_artifact(made.folder).id
    assert made.folder.name == state.registered.run_id
    facts = made.manifest.facts
    assert facts.criteria_hash == state.registered.criteria_hash == declaration("logistic").evaluation.hash
    assert facts.dataset_hash == state.registered.dataset_hash
    assert facts.rows == {"train": 400, "validation": 300}
    assert facts.libraries["scikit-learn"] != "none"


def test_mlflow_has_the_run_and_the_version(repository: Path, settings: Settings) -> None:
    write_declaration(repository, "xgboost")
    made = trained(repository, settings)
    client = client_of(settings)
    run = client.get_run(made.folder.name)

    assert run.info.status == "FINISHED"
    assert run.data.params["hyperparameters.rounds"] == "8"
    assert run.data.tags["features.criteria_hash"] == made.manifest.facts.criteria_hash
    assert {"validation_logloss", "system/peak_memory_mb", "system/cpu_seconds"} <= set(run.data.metrics)
    assert run.inputs.dataset_inputs[0].dataset.digest == made.manifest.facts.dataset_hash[:36]
    assert len(client.get_metric_history(run.info.run_id, "validation_logloss")) > 1
    documents = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert documents == {"artifact", "dataset_manifest.json", "declaration.yaml", "libraries.json"}
    assert compare(standing(), settings) == []


def test_the_same_declaration_gives_the_same_artifact_and_another_version(repository: Path, settings: Settings) -> None:
    one, two = trained(repository, settings), trained(repository, settings)
    assert (one.version, two.version) == (1, 2)
    assert one.manifest.id == two.manifest.id
    assert one.folder != two.folder


def with_train_split(settings: Settings, flipped: float) -> None:
    """The dataset with 1,500 rows to learn from, and a share of their labels turned round."""
    table = rows(1_500, seed=1)
    turned = np.random.default_rng(4).random(table.num_rows) < flipped
    place = table.column_names.index("returns")
    table = table.set_column(place, "returns", pa.array(table["returns"].to_numpy() ^ turned))
    shutil.rmtree(settings.datasets_dir)
    write_dataset(settings.datasets_dir, table)


def test_flipped_labels_stop_a_training_and_leave_nothing(repository: Path, settings: Settings) -> None:
    with_train_split(settings, flipped=0.15)
    with pytest.raises(DataError, match=r"returns_2020 is not fit to learn from: label noise: 1\d\.\d+% of the labels"):
        trained(repository, settings)
    assert EventLog("shop").events(MODEL) == ()
    assert not (settings.models_dir / MODEL).exists()

    with_train_split(settings, flipped=0.0)
    assert trained(repository, settings).version == 1


def test_a_tampered_dataset_is_refused_before_anything_is_learned(repository: Path, settings: Settings) -> None:
    folder = settings.datasets_dir / "returns_2020"
    (folder / "test.parquet").replace(folder / "train.parquet")
    with pytest.raises(DataError, match=r"dataset returns_2020 is not what its manifest says: train\.parquet has 200"):
        trained(repository, settings)
    assert EventLog("shop").models() == []


def test_without_a_dataset_the_message_says_how_to_make_it(repository: Path, settings: Settings) -> None:
    write_declaration(repository, dataset="returns_2021")
    with pytest.raises(UsageError, match=r"features dataset create feature_repo/datasets/returns_2021\.yaml"):
        trained(repository, settings)


def test_an_error_leaves_no_version(repository: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DataError("the log is away")

    with monkeypatch.context() as patched:
        patched.setattr(training, "register", fail)
        with pytest.raises(DataError, match="the log is away"):
            trained(repository, settings)
    assert EventLog("shop").models() == []
    client = client_of(settings)
    (run,) = client.search_runs([str(client.get_experiment_by_name(MODEL).experiment_id)])
    assert run.info.status == "FAILED"

    made = trained(repository, settings)
    assert made.version == 1
    assert runs(settings) == [made.folder.name]


@pytest.mark.proof
def test_a_training_killed_before_its_version_leaves_none_and_the_next_one_clears_up(
    repository: Path, settings: Settings, tmp_path: Path
) -> None:
    process = start(KILLED, str(repository), "register", output=tmp_path / "killed")
    process.wait_for("here")
    process.kill()
    assert EventLog("shop").models() == []
    assert len(runs(settings)) == 2  # its artifact and its lock

    made = trained(repository, settings)
    assert made.version == 1
    assert runs(settings) == [made.folder.name]
    assert statuses(settings) == {"FINISHED": 1, "KILLED": 1}


def statuses(settings: Settings) -> Counter[str]:
    """Of the runs in MLflow."""
    client = client_of(settings)
    experiment = str(client.get_experiment_by_name(MODEL).experiment_id)
    return Counter(run.info.status for run in client.search_runs([experiment]))


@pytest.mark.proof
def test_a_training_killed_between_log_and_mlflow_has_its_version_and_the_next_one_repairs_the_copy(
    repository: Path, settings: Settings, tmp_path: Path
) -> None:
    process = start(KILLED, str(repository), "unmirrored_by", output=tmp_path / "killed")
    process.wait_for("here")
    process.kill()
    assert [str(each) for each in compare(standing(), settings)] == [
        "version 1: the log says development, MLflow says nothing"
    ]

    assert trained(repository, settings).version == 2
    assert compare(standing(), settings) == []
    assert read_artifact(settings.models_dir / MODEL / standing().version(1).registered.run_id).id
    assert len(runs(settings)) == 2  # both artifacts, and no lock
    assert statuses(settings) == {"FINISHED": 2}


def test_killed_between_log_and_mlflow_the_copy_is_repaired(
    repository: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(mirror, "repair", lambda *_: None)
        trained(repository, settings)
    assert [str(each) for each in compare(standing(), settings)] == [
        "version 1: the log says development, MLflow says nothing"
    ]

    repair(standing(), settings)
    assert compare(standing(), settings) == []


def test_a_foreign_alias_is_told_and_put_right_and_never_followed(repository: Path, settings: Settings) -> None:
    trained(repository, settings)
    client_of(settings).set_registered_model_alias(MODEL, "production", "1")

    assert [str(each) for each in compare(standing(), settings)] == [
        "alias production: the log says nothing, MLflow says version 1"
    ]
    assert standing().production is None
    repair(standing(), settings)
    assert compare(standing(), settings) == []


def test_where_mlflow_has_lost_its_runs_the_copy_is_made_of_our_own_folders(
    repository: Path, settings: Settings
) -> None:
    trained(repository, settings)
    client_of(settings).delete_registered_model(MODEL)
    with closing(sqlite3.connect(settings.mlflow_dir / "mlflow.db")) as database, database:
        database.execute("DELETE FROM runs")

    repair(standing(), settings)
    assert compare(standing(), settings) == []


def test_a_version_whose_copy_fails_is_told_with_a_warning(
    repository: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ServiceUnavailableError("MLflow is gone")

    monkeypatch.setattr(mirror, "repair", fail)
    assert trained(repository, settings).warnings[-1] == "MLflow's copy does not say so yet: MLflow is gone"
    assert list(standing().versions) == [1]


def test_two_at_once_are_two_versions(repository: Path, settings: Settings) -> None:
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: trained(repository, settings), range(2)))
    assert sorted(each.version for each in made) == list(standing().versions) == [1, 2]
    assert len(runs(settings)) == 2


def test_without_mlflow_nothing_is_trained(
    repository: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_MLFLOW_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    began = time.monotonic()
    with pytest.raises(ServiceUnavailableError, match=r"MLflow at http://127\.0\.0\.1:1 cannot be used"):
        trained(repository, get_settings())
    assert time.monotonic() - began < 60
    assert EventLog("shop").models() == []

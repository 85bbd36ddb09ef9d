"""A search finds what the validation rows favour, the same for the same seed, and never sees the test split."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.worlds import returns
from tests.worlds.returns import dataset_manifest, resolved, split_content, write_declaration
from transformations.datasets.manifest import FILE
from transformations.engine.base.errors import ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings, get_settings
from transformations.models.declaration.reading import read_declaration
from transformations.models.fitting.fit import fit
from transformations.models.log.event_log import EventLog
from transformations.models.tracking.runs import client_of
from transformations.models.tuning import Trial, Tuned, tune

MODEL = "user_return"
SPACE: dict[str, Any] = {
    "max_depth": {"low": 1, "high": 6},
    "learning_rate": {"low": 0.01, "high": 1.0, "log": True},
    "subsample": {"choices": [0.5, 0.8]},
}


def declare(repository: Path, trials: int = 5, **changes: Any) -> None:
    write_declaration(repository, "xgboost", tuning={"trials": trials, "space": SPACE}, **changes)


def tuned(repository: Path, settings: Settings) -> Tuned:
    return tune(MODEL, repository, settings)


def shown(trials: tuple[Trial, ...]) -> list[tuple[object, ...]]:
    return [(dict(trial.hyperparameters), trial.value) for trial in trials]


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(repository: Path, settings: Settings) -> None:
    declare(repository)
    one, two = tuned(repository, settings), tuned(repository, settings)
    assert shown(one.trials) == shown(two.trials)
    declare(repository, seed=8)
    assert shown(tuned(repository, settings).trials[1:]) != shown(one.trials[1:])


def test_the_best_trial_is_what_training_with_it_gives_and_the_declared_one_is_among_them(
    repository: Path, settings: Settings
) -> None:
    hyperparameters = {"rounds": 8, "max_depth": 3, "learning_rate": 0.3, "subsample": 0.8}
    declare(repository, hyperparameters=hyperparameters)
    made = tuned(repository, settings)

    assert dict(made.trials[0].hyperparameters) == {key: hyperparameters[key] for key in SPACE}
    values = [trial.value for trial in made.trials if trial.value is not None]
    assert made.best.value == min(values)
    assert dict(made.hyperparameters) == {"rounds": 8, **made.best.hyperparameters}
    again = fit(resolved("xgboost", hyperparameters=dict(made.hyperparameters)), returns.TRAIN, returns.VALIDATION)
    assert again.metrics["validation_log_loss"] == made.best.value


def with_splits(settings: Settings, **tables: pa.Table) -> None:
    """The dataset with other rows in some of its splits."""
    shutil.rmtree(settings.datasets_dir)
    folder = settings.datasets_dir / "returns_2020"
    folder.mkdir(parents=True)
    given = {"train": returns.TRAIN, "validation": returns.VALIDATION, "test": returns.TEST, **tables}
    for name, table in given.items():
        pq.write_table(table, folder / f"{name}.parquet")
    contents = [split_content(name, table) for name, table in given.items()]
    (folder / FILE).write_text(dataset_manifest(contents).text())


def test_neither_the_test_split_nor_the_rows_of_the_calibrator_change_a_trial(
    repository: Path, settings: Settings
) -> None:
    declare(repository, calibration="sigmoid")
    first = tuned(repository, settings)

    def turned(table: pa.Table, which: pa.Array) -> pa.Table:
        labels = [label != chosen for label, chosen in zip(table["returns"].to_pylist(), which, strict=True)]
        return table.set_column(table.column_names.index("returns"), "returns", pa.array(labels))

    moments = sorted(returns.VALIDATION["event_timestamp"].to_pylist())
    cut = moments[len(moments) // 2]
    later = [moment >= cut for moment in returns.VALIDATION["event_timestamp"].to_pylist()]
    with_splits(
        settings,
        test=turned(returns.TEST, [True] * returns.TEST.num_rows),
        validation=turned(returns.VALIDATION, later),
    )
    assert shown(tuned(repository, settings).trials) == shown(first.trials)
    earlier = [not each for each in later]
    with_splits(settings, validation=turned(returns.VALIDATION, earlier))
    assert shown(tuned(repository, settings).trials) != shown(first.trials)


def test_trials_are_child_runs_of_the_search_and_no_version_is_made(repository: Path, settings: Settings) -> None:
    declare(repository, trials=3)
    made = tuned(repository, settings)
    client = client_of(settings)
    (experiment,) = [client.get_experiment_by_name(MODEL)]
    runs = client.search_runs([str(experiment.experiment_id)])
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == made.run_id]

    assert {run.info.run_id for run in children} == {trial.run_id for trial in made.trials}
    assert {run.data.metrics["validation_log_loss"] for run in children} == {trial.value for trial in made.trials}
    assert client.get_run(made.run_id).data.metrics["best_trial"] == made.best.number
    assert EventLog("shop").models() == []


def test_of_a_metric_that_is_better_when_higher_the_highest_wins(repository: Path, settings: Settings) -> None:
    tuning = {"trials": 3, "metric": "average_precision", "space": SPACE}
    write_declaration(repository, "xgboost", tuning=tuning)
    made = tuned(repository, settings)
    assert made.best.value == max(trial.value or 0.0 for trial in made.trials)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"depth": {"low": 1, "high": 6}}, "tuning.space.depth: xgboost has no such hyperparameter"),
        ({"subsample": {"low": 0.5, "high": 1.5}}, r"tuning.space.subsample: 1.5: should be less than or equal to 1"),
        ({"max_depth": {"low": 6, "high": 1}}, "tuning.space.max_depth: low is below high"),
        ({"max_depth": {"low": 1}}, "tuning.space.max_depth: give low and high, or choices"),
        ({"gamma": {"low": 0.0, "high": 1.0, "log": True}}, "tuning.space.gamma: log is for spans above 0"),
    ],
)
def test_a_space_that_cannot_be_searched_is_told_with_its_line(
    repository: Path, space: dict[str, Any], said: str
) -> None:
    tuning = {"space": space}
    document = {"description": "d", "owner": "o", "dataset": "returns_2020", "task": "binary_classification"}
    text = yaml.safe_dump({**document, "trainer": "xgboost", "evaluation": {"entity": "user_id"}, "tuning": tuning})
    file = repository / "models" / "other.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_declaration(file)
    assert said in str(caught.value)
    assert caught.value.message.startswith(f"{file}:")


def test_without_a_space_it_says_how_to_write_one_and_without_mlflow_nothing_is_tried(
    repository: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"models/user_return\.yaml says nothing of tuning"):
        tuned(repository, settings)
    declare(repository)
    monkeypatch.setenv("FEATURES_MLFLOW_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServiceUnavailableError):
        tuned(repository, get_settings())

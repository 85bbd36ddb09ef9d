"""`features model` on a small project: train, judge, promote, roll back, and what it says of each."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.worlds import weekly
from tests.worlds.returns import write_dataset, write_declaration
from transformations.cli.commands.data.model import model
from transformations.engine.base.settings import Settings, get_settings
from transformations.insight.checkup import run_checks
from transformations.models.tracking.runs import client_of

PASSING = [{"metric": "roc_auc", "beats": "prior", "entities": 20, "positives": 20}]
FAILING = [{"metric": "roc_auc", "at_least": 0.999, "entities": 20, "positives": 20}]
Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings, mlflow_tables: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    repository = tmp_path / "repo"
    monkeypatch.setenv("FEATURE_REPO_DIR_ENV_VAR", str(repository))
    write_dataset(settings.datasets_dir)
    declare(repository, PASSING)
    (repository / "feature_store.yaml").write_text("project: shop\n")
    return lambda *arguments: CliRunner().invoke(model, [str(each) for each in arguments])


def declare(repository: Path, gates: list[dict[str, object]], **changes: object) -> None:
    evaluation = {"entity": "user_id", "draws": 100, "baselines": {"prior": {"kind": "prior"}}, "gates": gates}
    write_declaration(repository, evaluation=evaluation, **changes)


def test_from_training_to_production_and_back(run: Run, settings: Settings, tmp_path: Path) -> None:
    trained = run("train", "user_return")
    assert trained.exit_code == 0, trained.output
    assert "user_return version 1: development, artifact " in trained.stdout
    assert "train 400 rows, validation 300 rows of dataset returns_2020" in trained.stdout

    refused = run("promote", "user_return", 1, "--to", "staging")
    assert (refused.exit_code, "has not been judged by its gates" in refused.output) == (3, True)

    judged = run("evaluate", "user_return")
    assert judged.exit_code == 0, judged.output
    assert "roc_auc beats prior" in judged.stdout
    assert Path(judged.stdout.split("report: ")[1].strip()).is_file()
    for stage in ("staging", "production"):
        assert run("promote", "user_return", 1, "--to", stage).exit_code == 0
    assert client_of(settings).get_registered_model("user_return").aliases == {"production": 1}

    declare(tmp_path / "repo", PASSING, seed=8)
    assert run("train", "user_return").exit_code == 0
    assert run("evaluate", "user_return", 2).exit_code == 0
    for stage in ("staging", "production"):
        assert run("promote", "user_return", 2, "--to", stage, "--why", "better").exit_code == 0
    returned = run("rollback", "user_return", "--why", "complaints").stdout
    found = re.match(r"user_return version 1: production, after (\d+\.\d\d) s\n", returned)
    assert found is not None
    assert float(found[1]) < 5
    assert "To undo it: features model rollback user_return --to 2\nNothing is left to roll back to." in returned

    (listed,) = json.loads(run("list", "--json").stdout)
    assert [each["stage"] for each in listed["versions"]] == ["production", "archived"]
    shown = run("show", "user_return", 1).stdout
    assert "archived → production (rollback)" in shown
    assert "complaints" in shown
    assert "facts.declaration.seed" in run("compare", "user_return", 1, 2).stdout
    assert "gates" not in run("compare", "user_return", 1, 2).stdout

    assert run("rollback", "user_return", "--to", 2, "--why", "no complaints").exit_code == 0
    (listed,) = json.loads(run("list", "--json").stdout)
    assert [each["stage"] for each in listed["versions"]] == ["archived", "production"]


def test_a_comparison_names_the_gate_that_differs_and_in_what(run: Run, tmp_path: Path) -> None:
    assert run("train", "user_return").exit_code == 0
    changed = [{**PASSING[0], "margin": 0.01}, {"metric": "brier", "at_most": 0.4}, *PASSING[1:]]
    declare(tmp_path / "repo", changed)
    assert run("train", "user_return").exit_code == 0

    differing = json.loads(run("compare", "user_return", 1, 2, "--json").stdout)
    gates = {key: value for key, value in differing.items() if "gates" in key}
    assert gates["facts.declaration.evaluation.gates.roc_auc prior.margin"] == [0.0, 0.01]
    assert gates["facts.declaration.evaluation.gates.brier.at_most"] == [None, 0.4]
    assert not any(isinstance(value, list) for pair in gates.values() for value in pair)


def test_nobody_waives_the_review_by_a_declaration_of_his_own(run: Run, tmp_path: Path) -> None:
    for number, approval in ((1, "required"), (2, "none")):
        declare(tmp_path / "repo", PASSING, approval=approval)
        assert run("train", "user_return").exit_code == 0
        assert run("evaluate", "user_return", number).exit_code == 0
        assert run("promote", "user_return", number, "--to", "staging").exit_code == 0
    assert run("promote", "user_return", 1, "--to", "production", "--reviewer", "grace").exit_code == 0

    refused = run("promote", "user_return", 2, "--to", "production")
    assert (refused.exit_code, "approval: required in version 1" in refused.output) == (2, True)
    assert run("promote", "user_return", 2, "--to", "production", "--reviewer", "grace").exit_code == 0


def test_a_gate_that_does_not_pass_ends_with_3_and_says_what_is_needed(run: Run, tmp_path: Path) -> None:
    declare(tmp_path / "repo", FAILING)
    run("train", "user_return")
    judged = run("evaluate", "user_return")

    assert judged.exit_code == 3
    assert "user_return version 1 does not pass and goes no further" in judged.output
    assert "roc_auc at least 0.999" in judged.output
    assert run("promote", "user_return", 1, "--to", "staging").exit_code == 3


def test_criteria_that_changed_since_training_are_refused(run: Run, tmp_path: Path) -> None:
    declare(tmp_path / "repo", FAILING)
    run("train", "user_return")
    declare(tmp_path / "repo", PASSING)

    judged = run("evaluate", "user_return")
    assert (judged.exit_code, "`evaluation` has changed since version 1 was trained" in judged.output) == (2, True)


def test_without_mlflow_stages_still_move(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("train", "evaluate"):
        assert run(command, "user_return").exit_code == 0
    monkeypatch.setenv("FEATURES_MLFLOW_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    moved = run("promote", "user_return", 1, "--to", "staging")
    assert moved.exit_code == 0
    assert moved.stdout.startswith("user_return version 1: staging, after ")
    assert "MLflow's copy does not say so yet: MLflow at http://127.0.0.1:1 cannot be used" in moved.stderr
    assert run("promote", "user_return", 1, "--to", "production", "--why", " ").exit_code == 2

    monkeypatch.delenv("FEATURES_MLFLOW_URI")
    (get_settings().mlflow_dir / "mlflow.db").write_bytes(b"no database" * 1000)
    moved = run("promote", "user_return", 1, "--to", "production")
    assert (moved.exit_code, "MLflow's copy does not say so yet: " in moved.stderr) == (0, True)
    listed = run("list")
    assert (listed.exit_code, "MLflow's copy was not compared: " in listed.stderr) == (0, True)


def test_a_model_that_was_never_trained_is_told_how(run: Run) -> None:
    assert run("list").stdout == "no model has a version yet. Train one: features model train NAME\n"
    shown = run("show", "user_return")
    assert (shown.exit_code, "Train it: features model train user_return" in shown.output) == (2, True)


def test_a_release_says_what_it_did_and_what_it_used_again(weekly_project: Path) -> None:
    done, again = (CliRunner().invoke(model, ["release", "user_return"]) for _ in range(2))
    assert done.exit_code == again.exit_code == 0, done.output
    steps = [line.split(": ")[:2] for line in done.stdout.splitlines()[:5]]
    assert steps == [[step, "done"] for step in ("dataset", "check", "train", "evaluate", "staging")]
    assert "train: reused: version 1, artifact " in again.stdout
    assert "staging: reused: version 1 is in staging since 2024-05-21 12:00 UTC" in again.stdout

    weekly.declare(weekly_project / "repo", evaluation={"entity": "user_id", "draws": 100, "gates": weekly.FAILING})
    stopped = CliRunner().invoke(model, ["release", "user_return", "--json"])
    assert stopped.exit_code == 3
    document = json.loads(stopped.stdout)
    assert (document["version"], document["passed"], document["steps"][-1]["name"]) == (2, False, "evaluate")
    assert "roc_auc at least 0.999" in stopped.stderr


def test_the_scores_of_a_day_are_published_once(weekly_production: Path) -> None:
    done, again = (CliRunner().invoke(model, ["predict", "user_return", "--as-of", "2024-05-13"]) for _ in range(2))
    assert done.exit_code == again.exit_code == 0, done.output
    assert done.stdout.startswith("user_return version 1 as of 2024-05-13: 7")
    assert "scored, mean 0." in done.stdout
    assert "to act on\n" in done.stdout
    assert "(published before, at 2024-05-21 12:00 UTC)" in again.stdout

    several = ["predict", "user_return", "--from", "2024-05-06", "--to", "2024-05-20", "--json"]
    document = json.loads(CliRunner().invoke(model, several).stdout)
    assert [(each["day"], each["is_new"]) for each in document] == [
        ("2024-05-06", True),
        ("2024-05-13", False),
        ("2024-05-20", True),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give one of --as-of DAY, --from DAY --to DAY, and --spine FILE"),
        (["--as-of", "2024-05-13", "--from", "2024-05-06", "--to", "2024-05-07"], "give one of --as-of DAY"),
        (["--as-of", "2024-05-13", "--online"], "Feast knows no view of the scores of model user_return"),
        (["--from", "2024-05-06"], "--from and --to belong together"),
        (["--from", "2024-05-06", "--to", "2024-05-05"], "the last day, 2024-05-05, is before the first"),
    ],
)
def test_one_thing_is_scored_at_a_time(weekly_production: Path, options: list[str], said: str) -> None:
    refused = CliRunner().invoke(model, ["predict", "user_return", *options])
    assert (refused.exit_code, said in refused.output) == (2, True), refused.output


def test_a_search_prints_a_line_for_the_declaration(run: Run, tmp_path: Path) -> None:
    declare(
        tmp_path / "repo", PASSING, tuning={"trials": 3, "space": {"l2": {"low": 0.01, "high": 100.0, "log": True}}}
    )
    found = run("tune", "user_return")
    assert found.exit_code == 0, found.output
    assert "trial 1, as declared" in found.stdout
    assert "For user_return.yaml:\n  hyperparameters: {l2: " in found.stdout
    assert found.stderr.count("trial ") == 3
    document = json.loads(run("tune", "user_return", "--json").stdout)
    assert len(document["trials"]) == 3
    assert document["hyperparameters"] == document["best"]["hyperparameters"]


def test_an_alias_that_somebody_set_in_mlflow_is_told_by_the_doctor_and_put_right_by_the_list(
    weekly_production: Path,
) -> None:
    weekly.promote_another(weekly_production)
    client = client_of(get_settings())
    client.set_registered_model_alias("user_return", "production", "1")

    (check,) = [check for check in run_checks() if check.name == "models"]
    assert (check.status, check.remedy.startswith("Put MLflow's copy right: features model list")) == ("warn", True)
    assert "user_return, alias production: the log says version 2, MLflow says version 1" in check.detail
    assert client.get_registered_model("user_return").aliases["production"] == 1  # the doctor changes nothing

    listed = CliRunner().invoke(model, ["list"])
    assert "user_return: put right in MLflow: alias production: the log says version 2" in listed.stderr
    assert client.get_registered_model("user_return").aliases["production"] == 2
    assert [check.status for check in run_checks() if check.name == "models"] == ["ok"]
    assert CliRunner().invoke(model, ["list"]).stderr == ""


def test_a_list_without_mlflow_says_that_its_copy_was_not_compared(
    weekly_production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_MLFLOW_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    listed = CliRunner().invoke(model, ["list"])
    assert (listed.exit_code, "user_return" in listed.stdout) == (0, True)
    assert "MLflow's copy was not compared: MLflow at http://127.0.0.1:1 cannot be used" in listed.stderr


def test_training_shows_the_validation_metric_as_it_goes_on(run: Run, tmp_path: Path) -> None:
    declare(tmp_path / "repo", PASSING, trainer="xgboost")
    trained = run("train", "user_return")
    assert re.search(r"Training user_return: .+ m?s, iteration \d+, validation_logloss 0\.\d{5}", trained.stderr)

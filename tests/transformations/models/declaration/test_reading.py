"""A declaration is read whole: every fault at once, each with its file, line, key and the nearest word."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.worlds.returns import declaration
from transformations.engine.base.errors import UsageError
from transformations.models.declaration.reading import read_declaration, read_declared

WHOLE = """\
description: Does the user return within a week?
owner: team@example.com
dataset: returns_2020
task: binary_classification
trainer: xgboost
hyperparameters:
  rounds: 50
  max_depth: 3
seed: 7
transformations:
  country: {kind: one_hot}
calibration: isotonic
decision:
  costs: {unit: USD, true_positive: 5, false_positive: -1}
evaluation:
  entity: user_id
  baselines:
    prior: {kind: prior}
  gates:
    - {metric: log_loss, beats: prior}
business:
  - name: returns
    query: SELECT 1
    owner: team@example.com
    unit: users
    direction: up
    horizon: 7 days
rollout:
  unit: [user_id]
  steps: [shadow, 10 %, {percent: 50, rows: 200, time: 2 days}]
  holdout: 2 %
  limits: {divergence: 0.1}
"""
DATASET = """\
feature_service: returns_v1
spine: {query: SELECT 1}
label: {column: returns, horizon: 7 days}
split: {train: 2020-01-01, validation: 2020-02-01, test: 2020-03-01}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for folder, name, text in (("models", "user_return", WHOLE), ("datasets", "returns_2020", DATASET)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.yaml").write_text(text)
    return tmp_path


def replaced(repository: Path, old: str, new: str, folder: str = "models", name: str = "user_return") -> Path:
    file = repository / folder / f"{name}.yaml"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    return file


def test_a_whole_declaration_is_read(repository: Path) -> None:
    found = read_declared(repository, "user_return")
    assert found.name == "user_return"
    assert found.evaluation.gates[0].name == "log_loss beats prior"
    assert found.warnings() == []
    assert found.holds_rows_back


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seed: 7", "sead: 7", r"user_return.yaml:9: there is no key sead; did you mean 'seed'\?"),
        (
            "max_depth: 3",
            "max_dept: 3",
            r"yaml:8: there is no key hyperparameters.max_dept; did you mean 'max_depth'\?",
        ),
        ("max_depth: 3", "max_depth: deep", r"yaml:8: hyperparameters.max_depth: .* valid integer"),
        ("kind: one_hot", "kind: one_hut", r"yaml:11: transformations.country.kind: .*'one_hot'"),
        (
            "kind: one_hot",
            "knd: one_hot",
            r"yaml:11: there is no key transformations.country.knd; did you mean 'kind'\?",
        ),
        ("false_positive", "false_pos", r"yaml:14: there is no key decision.costs.false_pos; did you mean 'false_pos"),
        ("beats: prior}", "beats: recency}", r"yaml:15: evaluation: gate .* no baseline 'recency'"),
        ("beats: prior}", "beat: prior}", r"yaml:20: there is no key evaluation.gates.0.beat; did you mean 'beats'\?"),
        ("log_loss,", "rmse,", r"gate 'rmse beats prior': rmse is no metric of a binary_classification"),
        ("trainer: xgboost", "trainer: linear", r"yaml:5: trainer: linear is for regression"),
        ("trainer: xgboost", "trainer: xgbost", r"yaml:5: trainer: .*did you mean 'xgboost'"),
        ("owner: team@example.com\ndataset", "dataset", r"yaml:1: owner is missing"),
        ("horizon: 7 days", "horizon: 7", r"yaml:27: business.0.horizon: a duration is a number of days"),
        ("calibration: isotonic", "calibration: isotonic\nseed: 8", "the key 'seed' stands twice"),
        (
            "seed: 7",
            "seed: 7\nclass_weight: {negative: -1}",
            r"yaml:10: class_weight.negative: should be greater than 0",
        ),
        ("dataset: returns_2020", "dataset: ../returns_2020", r"yaml:3: dataset: .*pattern"),
        ("owner: team@example.com\ndataset", "owner: ' '\ndataset", r"yaml:2: owner: is empty\."),
        ("unit: [user_id]", "units: [user_id]", r"yaml:29: there is no key rollout.units; did you mean 'unit'\?"),
        ("[shadow, 10 %,", "[shade, 10 %,", r"yaml:30: rollout.steps.0: 'shade' is no share"),
        ("[shadow, 10 %,", "[shadow, 60 %,", r"yaml:28: rollout: steps ascend, and 50 % follows 60 %"),
        ("{percent: 50, rows: 200,", "{percent: 50, row: 200,", r"rollout.steps.2.row; did you mean 'rows'\?"),
        ("holdout: 2 %", "holdout: 70", r"yaml:31: rollout.holdout: should be less than 50"),
        ("holdout: 2 %", "holdout: 2.005", r"yaml:31: rollout.holdout: is counted in hundredths"),
        ("divergence: 0.1", "divergance: 0.1", r"rollout.limits.divergance; did you mean 'divergence'\?"),
        ("divergence: 0.1", "divergence: 1", r"rollout: divergence is below 1: scores are probabilities"),
        ("divergence: 0.1", "errors: {acceptable: 0.1}", r"rollout.limits.errors: acceptable is below unacceptable"),
        ("seed: 7", "seed: 7\nname: other", r"yaml:10: name: 'other' is not the file's name"),
    ],
)
def test_a_fault_is_named_with_its_line(repository: Path, old: str, new: str, said: str) -> None:
    file = replaced(repository, old, new)
    with pytest.raises(UsageError, match=said) as raised:
        read_declaration(file)
    assert raised.value.message.startswith(f"{file}:")


def test_all_faults_are_told_at_once(repository: Path) -> None:
    replaced(repository, "seed: 7", "sead: 7")
    with pytest.raises(UsageError) as raised:
        read_declaration(replaced(repository, "unit: users", "unit: users\n    units: 1"))
    assert len(raised.value.message.splitlines()) == 2


def test_a_decision_says_one_thing(repository: Path) -> None:
    file = replaced(repository, "decision:\n", "decision:\n  threshold: 0.5\n")
    with pytest.raises(UsageError, match="yaml:13: decision: give one of threshold, costs and top_k_a_day"):
        read_declaration(file)


def test_a_threshold_is_a_probability_and_a_business_metric_has_a_name_of_its_own() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        declaration(decision={"threshold": 17})
    metric = {"name": "a", "query": "SELECT 1", "owner": "o", "unit": "u", "direction": "up", "horizon": "1 day"}
    with pytest.raises(ValidationError, match="business metric 'a' stands twice"):
        declaration(business=[metric, metric])


def test_a_dataset_that_teaches_nothing_is_refused(repository: Path) -> None:
    replaced(repository, ", validation: 2020-02-01", "", "datasets", "returns_2020")
    with pytest.raises(UsageError, match=r"user_return\.yaml:3: dataset: returns_2020 has no split validation"):
        read_declared(repository, "user_return")


def test_an_unknown_model_is_answered_with_the_nearest_one(repository: Path) -> None:
    with pytest.raises(UsageError, match="declares no model 'user_retrun': did you mean 'user_return'"):
        read_declared(repository, "user_retrun")


def test_where_no_model_is_declared_it_is_said_where_to_begin(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"declares no model yet\. Declare 'churn' in models/churn\.yaml"):
        read_declared(tmp_path, "churn")


def test_an_empty_file_is_told_what_a_model_needs(tmp_path: Path) -> None:
    file = tmp_path / "user_return.yaml"
    file.write_text("")
    with pytest.raises(UsageError, match="A model needs description, owner, dataset, task, trainer, evaluation"):
        read_declaration(file)


def test_the_declaration_on_the_page_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "models.md").read_text()
    parts = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "user_return.yaml").write_text("".join(parts))
    assert read_declaration(tmp_path / "user_return.yaml").evaluation.gates[1].at_most == 0.03

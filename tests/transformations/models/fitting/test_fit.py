"""What training makes of two splits: held-back rows by time, weights, decisions, histograms."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.worlds.returns import TEST, TRAIN, VALIDATION, declaration, in_memory, resolved, trained
from transformations.engine.base.errors import DataError, FeaturesError
from transformations.engine.base.machine import processors
from transformations.models.fitting.fit import fit
from transformations.models.fitting.split import halves_by_time, split_of
from transformations.models.records.reference import Categories, Histogram
from transformations.models.scoring.predict import predict


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, name, values if isinstance(values, pa.Array) else pa.array(values))


def test_the_later_half_of_the_validation_split_is_held_back_by_time() -> None:
    known = resolved()
    earlier, later = halves_by_time(split_of(VALIDATION, "validation", known))
    assert earlier.moments.max() < later.moments.min()
    assert len(earlier) + len(later) == VALIDATION.num_rows
    assert abs(len(later) - len(earlier)) < 40


def test_early_stopping_does_not_see_the_rows_that_calibrate() -> None:
    later = split_of(VALIDATION, "validation", resolved()).moments
    is_later = later >= np.sort(later)[len(later) // 2]
    flipped = np.where(is_later, ~VALIDATION["returns"].to_numpy(), VALIDATION["returns"].to_numpy())
    table = with_column(VALIDATION, "returns", flipped)

    one = fit(resolved(calibration="isotonic"), TRAIN, VALIDATION)
    other = fit(resolved(calibration="isotonic"), TRAIN, table)
    assert one.files == other.files
    assert one.scores.calibrator != other.scores.calibrator


def test_threads_beyond_the_machines_processors_are_told_and_not_used() -> None:
    asked, usual = fit(resolved(threads=4_000), TRAIN, VALIDATION), fit(resolved(), TRAIN, VALIDATION)
    (warning,) = [text for text in asked.warnings if text.startswith("threads")]
    assert warning.startswith(f"threads: 4000 are declared and {processors()} processor")
    assert asked.id == usual.id


def test_a_validation_split_of_one_moment_cannot_be_halved() -> None:
    moment = pa.array([VALIDATION["event_timestamp"][0].as_py()] * VALIDATION.num_rows, pa.timestamp("us", "UTC"))
    with pytest.raises(DataError, match="no earlier part is left"):
        fit(resolved(calibration="sigmoid"), TRAIN, with_column(VALIDATION, "event_timestamp", moment))


def test_class_weights_move_the_scores_and_calibration_moves_them_back() -> None:
    def mean(**changes: Any) -> float:
        return float(np.mean(predict(in_memory(trained(**changes)), TEST).scores.to_numpy()))

    weights = {"negative": 1, "positive": 20}
    assert mean(class_weight=weights) > mean() + 0.1
    assert mean(class_weight=weights, calibration="isotonic") == pytest.approx(mean(calibration="isotonic"), abs=0.05)
    assert any("weights without calibration" in text for text in trained(class_weight="balanced").warnings)
    evaluation = {"entity": "user_id", "gates": [{"metric": "rmse", "at_most": 1}]}
    regression = declaration(
        task="regression",
        class_weight=None,
        calibration="none",
        decision=None,
        sample_weight="w",
        evaluation=evaluation,
    )
    assert regression.warnings() == []


def test_equal_weights_train_as_none_do() -> None:
    weighted = TRAIN.append_column("weight", pa.array(np.full(TRAIN.num_rows, 1.0)))
    validation = VALIDATION.append_column("weight", pa.array(np.full(VALIDATION.num_rows, 1.0)))
    assert fit(resolved(sample_weight="weight"), weighted, validation).files == trained().files


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0, -1.0, *[1.0] * 398], "is -1 in row 1; 1 rows are null, negative or infinite"),
        ([1.0, 1.0, *[None] * 398], "is null in row 2; 398 rows are null"),
        ([0.0] * 400, "is 0 in every row"),
    ],
)
def test_a_weight_that_is_none_is_named_with_its_row(weights: list[float | None], said: str) -> None:
    weighted = TRAIN.append_column("weight", pa.array(np.full(TRAIN.num_rows, 1.0)))
    with pytest.raises(DataError, match=f"split train: sample_weight 'weight' {said}"):
        fit(resolved(sample_weight="weight"), with_column(weighted, "weight", weights), VALIDATION)


def test_a_decision_comes_with_every_score() -> None:
    costs = {"unit": "USD", "true_positive": 5, "false_positive": -1}
    made = trained(calibration="isotonic", decision={"costs": costs})
    found = predict(in_memory(made), TEST)

    assert made.scores.decision is not None
    assert made.decision_value is not None
    assert made.decision_value.low <= made.decision_value.expected <= made.decision_value.high
    assert found.decisions is not None
    assert found.decisions.to_pylist() == [
        score >= made.scores.decision.threshold for score in found.scores.to_pylist()
    ]


def test_labels_that_are_none_are_refused() -> None:
    with pytest.raises(DataError, match="label 'returns' holds 2; a binary classification learns"):
        fit(resolved(), with_column(TRAIN, "returns", [2, *[0] * 399]), VALIDATION)
    with pytest.raises(DataError, match="label 'returns' has 1 null rows"):
        fit(resolved(), with_column(TRAIN, "returns", [None, *[0] * 399]), VALIDATION)
    with pytest.raises(DataError, match="label 'returns' is string, and no number"):
        fit(resolved(), with_column(TRAIN, "returns", ["yes"] * 400), VALIDATION)


def test_the_histograms_count_every_row() -> None:
    reference = trained().reference
    visits, country = reference.features["visits"], reference.features["country"]
    assert isinstance(visits, Histogram)
    assert isinstance(country, Categories)
    assert sum(visits.counts) + visits.nulls == reference.rows == TRAIN.num_rows
    assert sum(country.counts.values()) + country.nulls == TRAIN.num_rows
    known = np.array([value for value in TRAIN["visits"].to_pylist() if value is not None])
    assert visits.counts[0] == (known < visits.edges[0]).sum()


def test_each_iteration_is_reported() -> None:
    seen: list[int] = []
    fit(resolved("xgboost"), TRAIN, VALIDATION, lambda iteration, metrics: seen.append(iteration if metrics else 0))
    assert seen == list(range(1, len(seen) + 1))


def test_faults_of_a_trainer_of_your_own_are_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(tmp_path)
    for name, said in {
        "outside": r"'\.\./\.\./evil\.json' cannot be a file's name",
        "ours": "'manifest.json' cannot be a file's name",
        "text": "file model.json is str. Give bytes",
        "nothing": "faulty:nothing failed: AttributeError: 'NoneType'",
        "failing": "faulty:failing failed: KeyError: 'x'",
        "by_place": "scores a row otherwise among other rows, or in another order",
    }.items():
        with pytest.raises(FeaturesError, match=said):
            fit(resolved(trainer=f"faulty:{name}", hyperparameters={}), TRAIN, VALIDATION)


FAULTY = """
import numpy as np
from transformations.models.trainers.interface import Trainer

def load(files, task, threads):
    return lambda matrix: np.arange(len(matrix)) / 1000

def fail(job):
    raise KeyError("x")

def trainer(fit):
    return Trainer(name="faulty", fit=fit, load=load)

outside = trainer(lambda job: {"../../evil.json": b""})
ours = trainer(lambda job: {"manifest.json": b""})
text = trainer(lambda job: {"model.json": "text"})
nothing = trainer(lambda job: None)
failing = trainer(fail)
by_place = trainer(lambda job: {"model.json": b""})
"""

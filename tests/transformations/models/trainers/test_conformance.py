"""What every trainer keeps to: the same artifact again, and for a row the same bits of a score, wherever it stands."""

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.worlds.returns import CONSTANT, REGRESSIONS, TEST, TRAIN, VALIDATION, facts, in_memory, resolved, trained
from transformations.engine.base.errors import DataError
from transformations.models.fitting.fit import fit
from transformations.models.fitting.publishing import write_artifact
from transformations.models.scoring.artifact import Artifact, read_artifact
from transformations.models.scoring.predict import predict
from transformations.models.trainers.interface import BY_NAME

TRAINERS = (*BY_NAME, CONSTANT)
CALIBRATED = tuple(name for name in TRAINERS if name not in REGRESSIONS)


def bits(scores: pa.Array) -> list[int]:
    found: list[int] = np.asarray(scores.to_numpy()).view(np.int64).tolist()
    return found


@cache
def artifact_of(trainer: str, calibration: str = "none", threads: int = 1) -> Artifact:
    return in_memory(trained(trainer, calibration=calibration), threads)


def scores_of(trainer: str, table: pa.Table, threads: int = 1) -> list[int]:
    return bits(predict(artifact_of(trainer, threads=threads), table).scores)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_same_declaration_and_seed_give_the_same_artifact_with_any_number_of_threads(trainer: str) -> None:
    made = [trained(trainer, threads=threads) for threads in (1, 1, 2)]
    assert len({each.id for each in made}) == 1
    assert made[0].files == made[2].files


@pytest.mark.parametrize("trainer", ["xgboost", "lightgbm"])
def test_another_seed_gives_another_artifact(trainer: str) -> None:
    assert trained(trainer).id != trained(trainer, seed=8).id


@pytest.mark.parametrize(
    ("trainer", "calibration"),
    [*((each, "none") for each in TRAINERS), *((each, way) for each in CALIBRATED for way in ("sigmoid", "isotonic"))],
)
def test_the_score_of_a_row_is_the_same_bits_alone_in_any_batch_at_any_place(trainer: str, calibration: str) -> None:
    artifact = artifact_of(trainer, calibration)
    whole = bits(predict(artifact, TEST).scores)
    order = np.random.default_rng(5).permutation(TEST.num_rows)

    assert [bits(predict(artifact, TEST.slice(row, 1)).scores)[0] for row in range(60)] == whole[:60]
    assert bits(predict(artifact, TEST.take(pa.array(order))).scores) == [whole[place] for place in order]
    assert bits(predict(artifact, TEST.slice(3, 37)).scores) == whole[3:40]
    assert bits(predict(artifact, pa.concat_tables([TEST.slice(0, 9), TEST.slice(9)])).scores) == whole
    assert bits(predict(artifact, pa.concat_tables([TEST] * 20)).scores) == whole * 20


@pytest.mark.parametrize("trainer", TRAINERS)
def test_threads_change_no_score(trainer: str) -> None:
    assert scores_of(trainer, TEST, threads=1) == scores_of(trainer, TEST, threads=2)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_saving_and_loading_changes_no_score(trainer: str, tmp_path: Path) -> None:
    calibration = "none" if trainer in REGRESSIONS else "isotonic"
    made = trained(trainer, calibration=calibration)
    write_artifact(tmp_path / "run1", made, facts(made))
    loaded = read_artifact(tmp_path / "run1")

    assert loaded.id == made.id
    assert bits(predict(loaded, TEST).scores) == bits(predict(in_memory(made), TEST).scores)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_inputs_become_the_declared_dtype_once(trainer: str) -> None:
    """Doubles that hold whole numbers, other widths and dictionaries are the same rows."""
    place = TEST.column_names.index("visits")
    alike = TEST.set_column(place, "visits", TEST["visits"].cast(pa.float64()))
    place = TEST.column_names.index("country")
    alike = alike.set_column(place, "country", TEST["country"].dictionary_encode())
    assert scores_of(trainer, alike) == scores_of(trainer, TEST)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_an_unseen_category_scores_as_a_missing_one(trainer: str) -> None:
    place = TEST.column_names.index("country")
    unseen, missing = (
        TEST.set_column(place, "country", pa.array([value] * TEST.num_rows, pa.string())) for value in ("xx", None)
    )
    assert scores_of(trainer, unseen) == scores_of(trainer, missing)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_nan_is_null_and_infinity_is_refused(trainer: str) -> None:
    place = TEST.column_names.index("days_since")
    days = TEST["days_since"].to_numpy().copy()
    days[np.isnan(days)] = np.nan
    with_nan = TEST.set_column(place, "days_since", pa.array(days))
    assert scores_of(trainer, with_nan) == scores_of(trainer, TEST)

    days[4] = np.inf
    with pytest.raises(DataError, match=r"column 'days_since': row 4: inf is infinite. Send null"):
        scores_of(trainer, TEST.set_column(place, "days_since", pa.array(days)))


@pytest.mark.parametrize("trainer", TRAINERS)
def test_rows_without_any_value_have_a_finite_score_and_no_rows_have_none(trainer: str) -> None:
    artifact = artifact_of(trainer)
    nothing = pa.table({column.name: pa.nulls(2) for column in artifact.manifest.scores.inputs})

    first, second = predict(artifact, nothing).scores.to_pylist()
    assert np.isfinite(first)
    assert first == second
    assert len(predict(artifact, TEST.slice(0, 0)).scores) == 0


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_feature_that_is_null_throughout_is_told_and_does_no_harm(trainer: str) -> None:
    place = TRAIN.column_names.index("is_member")
    empty = TRAIN.set_column(place, "is_member", pa.nulls(TRAIN.num_rows, pa.bool_()))
    made = fit(resolved(trainer), empty, VALIDATION)

    assert any(text.startswith("is_member is null in every row of the train split") for text in made.warnings)
    assert np.isfinite(predict(in_memory(made), TEST).scores.to_numpy()).all()


@pytest.mark.parametrize("trainer", CALIBRATED)
def test_one_class_is_refused_where_something_must_be_learned_of_both(trainer: str) -> None:
    place = TRAIN.column_names.index("returns")

    def alike(table: pa.Table) -> pa.Table:
        return table.set_column(place, "returns", pa.array([True] * table.num_rows))

    with pytest.raises(DataError, match="split train: the label is true in all 400 rows, so there is nothing to tell"):
        fit(resolved(trainer), alike(TRAIN), VALIDATION)
    with pytest.raises(
        DataError, match=r"split validation, later half: the label is true in all .* nothing to calibrate"
    ):
        fit(resolved(trainer, calibration="sigmoid"), TRAIN, alike(VALIDATION))
    assert len(predict(in_memory(fit(resolved(trainer), TRAIN, alike(VALIDATION))), TEST).scores) == TEST.num_rows


@pytest.mark.parametrize("trainer", TRAINERS)
def test_an_empty_split_is_refused(trainer: str) -> None:
    with pytest.raises(DataError, match="split validation of dataset returns_2020 has no rows"):
        fit(resolved(trainer), TRAIN, VALIDATION.slice(0, 0))


@pytest.mark.parametrize("trainer", [name for name in TRAINERS if name != CONSTANT])
def test_a_trainer_learns(trainer: str) -> None:
    scores = predict(artifact_of(trainer), TEST).scores.to_numpy()
    labels = TEST["later_visits" if trainer in REGRESSIONS else "returns"].to_numpy().astype(float)
    assert np.corrcoef(scores, labels)[0, 1] > 0.5

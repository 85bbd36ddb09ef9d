"""Transformations are fitted on the train split alone, and a target encoding never sees a row's own label."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.worlds.returns import TRAIN, resolved
from transformations.engine.base.errors import DataError
from transformations.models.fitting.preparation import fit_transformations, train_matrix
from transformations.models.fitting.split import split_of
from transformations.models.scoring.fitted import Fitted, OneHot, TargetEncoding, Vocabulary, read_fitted
from transformations.models.trainers.interface import Matrix, trainer_of


def fitted(**country: Any) -> Fitted:
    known = resolved(transformations={"country": country})
    return fit_transformations(known, split_of(TRAIN, "train", known))


def encoded(part: OneHot | Vocabulary | TargetEncoding, values: list[str | None]) -> list[list[float]]:
    return [column.tolist() for column in part.apply(pa.array(values, pa.string()))]


def test_one_hot_has_a_column_for_each_of_the_most_frequent_categories() -> None:
    part = fitted(kind="one_hot", most=2).parts[-1]
    assert isinstance(part, OneHot)
    assert part.columns == ("country=de", "country=fr")
    assert encoded(part, ["fr", None, "us", "de"]) == [[0, 0, 0, 1], [1, 0, 0, 0]]


def test_a_category_is_its_place_and_what_training_never_saw_is_missing() -> None:
    part = fitted(kind="category").parts[-1]
    assert isinstance(part, Vocabulary)
    assert part.categories == ("de", "fr", "us")
    (places,) = encoded(part, ["us", "xx", None])
    assert places[0] == 2
    assert np.isnan(places[1:]).all()


def test_a_target_encoding_is_the_smoothed_mean_of_the_label() -> None:
    part = fitted(kind="target_encoding", smoothing=10).parts[-1]
    assert isinstance(part, TargetEncoding)
    labels = TRAIN["returns"].to_numpy().astype(float)
    of_fr = labels[np.array([value == "fr" for value in TRAIN["country"].to_pylist()])]
    expected = (of_fr.sum() + 10 * labels.mean()) / (len(of_fr) + 10)
    assert encoded(part, ["fr", "xx", None]) == [[pytest.approx(expected), labels.mean(), labels.mean()]]


def test_the_target_encoding_of_a_train_row_does_not_depend_on_its_own_label() -> None:
    known = resolved(transformations={"country": {"kind": "target_encoding"}})
    place = TRAIN.column_names.index("returns")

    def matrix(first: bool) -> Matrix:
        labels = TRAIN["returns"].to_pylist()
        table = TRAIN.set_column(place, "returns", pa.array([first, *labels[1:]]))
        train = split_of(table, "train", known)
        return train_matrix(fit_transformations(known, train), known, train, trainer_of("logistic"))

    one, other = matrix(True), matrix(False)
    assert one[0, -1] == other[0, -1]
    assert not np.array_equal(one[1:, -1], other[1:, -1])


def test_a_scaled_column_has_mean_0_and_deviation_1_and_keeps_its_gaps() -> None:
    known = resolved(transformations={"country": {"kind": "category"}, "days_since": {"kind": "scale"}})
    train = split_of(TRAIN, "train", known)
    days = fit_transformations(known, train).matrix(train.inputs, "float64")[:, 1]

    there = ~np.isnan(days)
    assert days[there].mean() == pytest.approx(0, abs=1e-12)
    assert days[there].std() == pytest.approx(1)
    assert (~there).sum() == TRAIN["days_since"].null_count


def test_categories_of_nothing_are_refused() -> None:
    known = resolved()
    place = TRAIN.column_names.index("country")
    train = split_of(TRAIN.set_column(place, "country", pa.nulls(400, pa.string())), "train", known)
    with pytest.raises(DataError, match="country is null in every row of the train split"):
        fit_transformations(known, train)


def test_the_stored_text_reads_back_with_the_same_hash() -> None:
    made = fitted(kind="target_encoding")
    assert read_fitted(made.text(), "here") == made
    with pytest.raises(DataError, match="here holds no transformations of ours"):
        read_fitted('[{"kind": "plane"}]', "here")

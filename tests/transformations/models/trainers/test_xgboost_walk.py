"""A walk through all trees at once gives the margins of the library, bit for bit; where it would not, nobody walks."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from transformations.models.trainers.interface import Floats, Matrix
from transformations.models.trainers.xgboost_walk import MOST_ROWS, Forest, forest_of, walked

WIDTH = 4


@cache
def booster(**parameters: Any) -> xgboost.Booster:
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(400, WIDTH)).astype(np.float32)
    rows[generator.random(rows.shape) < 0.2] = np.nan
    labels = np.nansum(rows, axis=1) > 0
    given = {"objective": "binary:logistic", "nthread": 1, "max_depth": 4, "base_score": 0.37, **parameters}
    trained = xgboost.train(given, xgboost.DMatrix(rows, labels, missing=np.nan), 20)
    return xgboost.Booster({"nthread": 1}, model_file=trained.save_raw("ubj"))


def library(matrix: Matrix, **parameters: Any) -> Floats:
    raw = booster(**parameters).inplace_predict(matrix, predict_type="margin", missing=np.nan)
    return np.asarray(raw, dtype=np.float64)


@cache
def forest(**parameters: Any) -> Forest:
    found = forest_of(booster(**parameters), lambda matrix: library(matrix, **parameters))
    assert found is not None
    return found


VALUES = st.floats(width=32) | st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf])
AT_THRESHOLDS = st.deferred(lambda: st.sampled_from(forest().threshold[~np.isnan(forest().threshold)].tolist()))


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 6), st.just(WIDTH)), elements=VALUES | AT_THRESHOLDS))
def test_margins_are_those_of_the_library(matrix: Matrix) -> None:
    assert forest().margins(matrix).tobytes() == library(matrix).tobytes()


@pytest.mark.parametrize(
    "parameters",
    [{"max_depth": 0, "max_leaves": 9, "grow_policy": "lossguide"}, {"gamma": 1e9}, {"objective": "reg:squarederror"}],
    ids=["uneven", "leaves alone", "regression"],
)
def test_trees_of_any_form_are_walked(parameters: dict[str, Any]) -> None:
    matrix = np.random.default_rng(5).normal(size=(50, WIDTH)).astype(np.float32)
    assert forest(**parameters).margins(matrix).tobytes() == library(matrix, **parameters).tobytes()


class Counted:
    """The library, and how many rows it was asked for, each time."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, matrix: Matrix) -> Floats:
        self.asked.append(len(matrix))
        return library(matrix)


def test_few_rows_are_walked_and_many_are_the_library_s() -> None:
    counted = Counted()
    score = walked(booster(), counted, 1)
    matrix = np.random.default_rng(6).normal(size=(MOST_ROWS + 1, WIDTH)).astype(np.float32)
    score(matrix[:1])
    counted.asked.clear()  # the first call tries the walk
    answers = [score(matrix[:MOST_ROWS]), score(matrix), score(matrix[:1])]
    assert counted.asked == [MOST_ROWS + 1]
    assert [each.tobytes() for each in answers] == [library(matrix[: len(each)]).tobytes() for each in answers]


def test_what_does_not_give_the_library_s_bits_is_not_walked() -> None:
    def other(matrix: Matrix) -> Floats:
        found = library(matrix)
        found[17:18] = np.nextafter(found[17:18], np.inf)
        return found

    assert forest_of(booster(), other) is None
    assert walked(booster(), other, 1)(np.ones((1, WIDTH), np.float32)) == library(np.ones((1, WIDTH), np.float32))


@pytest.mark.parametrize("kind", ["dart", "gblinear"])
def test_models_of_other_kinds_are_the_library_s(kind: str) -> None:
    assert forest_of(booster(booster=kind), lambda matrix: library(matrix, booster=kind)) is None


def test_a_model_of_very_many_nodes_is_the_library_s() -> None:
    counted = Counted()
    walked(booster(), counted, 2**30)(np.ones((1, WIDTH), np.float32))
    assert counted.asked == [1]

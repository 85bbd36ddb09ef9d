"""The prepared call gives what XGBoost's own method gives, bit for bit, from any thread and in any shape of memory."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from xgboost import core

from transformations.models.trainers.interface import Matrix, Scorer
from transformations.models.trainers.xgboost_calls import dense_margins

WIDTH = 4
VALUES = st.floats(width=32, allow_infinity=False) | st.sampled_from([0.0, -0.0, 0.5, np.nan])


@cache
def booster() -> xgboost.Booster:
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(400, WIDTH)).astype(np.float32)
    rows[generator.random(rows.shape) < 0.2] = np.nan
    labels = np.nansum(rows, axis=1) > 0
    parameters = {"objective": "binary:logistic", "nthread": 1, "max_depth": 4}
    trained = xgboost.train(parameters, xgboost.DMatrix(rows, labels, missing=np.nan), 20)
    return xgboost.Booster({"nthread": 1}, model_file=trained.save_raw("ubj"))


@cache
def scorer() -> Scorer:
    return dense_margins(booster())


def by_the_library(matrix: Matrix) -> bytes:
    raw = booster().inplace_predict(matrix, predict_type="margin", missing=np.nan, validate_features=False)
    return np.asarray(raw, dtype=np.float64).tobytes()


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 40), st.just(WIDTH)), elements=VALUES))
def test_margins_are_those_of_the_library(matrix: Matrix) -> None:
    assert scorer()(matrix).tobytes() == by_the_library(matrix)


def test_memory_in_another_order_and_other_dtypes_are_scored_alike() -> None:
    matrix = np.random.default_rng(1).normal(size=(30, 2 * WIDTH))
    for rows in (matrix[:, ::2].astype(np.float32)[::3], np.asfortranarray(matrix[:, :WIDTH]), matrix[::2, :WIDTH]):
        assert scorer()(rows).tobytes() == by_the_library(rows)


def test_an_answer_keeps_its_values_when_the_next_is_made() -> None:
    one, other = np.zeros((1, WIDTH), np.float32), np.ones((1, WIDTH), np.float32)
    first = scorer()(one)
    scorer()(other)
    assert first.tobytes() == by_the_library(one)


def test_threads_do_not_disturb_each_other() -> None:
    matrices = list(np.random.default_rng(2).normal(size=(200, 7, WIDTH)).astype(np.float32))
    expected = [by_the_library(each) for each in matrices]
    with ThreadPoolExecutor(8) as pool:
        assert [each.tobytes() for each in pool.map(scorer(), matrices)] == expected


def test_a_release_with_other_names_is_asked_by_its_public_method(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.ones((2, WIDTH), np.float32)
    expected = by_the_library(matrix)
    monkeypatch.delattr(core, "_ProxyDMatrix")
    assert dense_margins(booster())(matrix).tobytes() == expected

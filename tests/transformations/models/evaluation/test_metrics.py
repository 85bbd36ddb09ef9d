"""Metrics equal scikit-learn's, with ties and weights; what is undefined is NaN."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn
from sklearn.calibration import calibration_curve

from transformations.models.evaluation.metrics import (
    CLASSIFICATION,
    REGRESSION,
    average_precision,
    improvement,
    measure,
    roc_auc,
)


@st.composite
def classified(draw: Any) -> tuple[Any, Any, Any]:
    """Labels of both classes, scores that are often equal, and weights of which some are 0."""
    rows = draw(st.integers(2, 40))
    labels = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    assume(labels.any() and not labels.all())
    score = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.9, 1.0]) | st.floats(0, 1)
    scores = np.array(draw(st.lists(score, min_size=rows, max_size=rows)))
    weights = np.array(draw(st.lists(st.integers(0, 4), min_size=rows, max_size=rows)), dtype=np.float64)
    assume(weights[labels].sum() and weights[~labels].sum())
    return labels, scores, weights


@given(classified())
@settings(max_examples=50)
def test_classification_metrics_equal_scikit_learns(world: tuple[Any, Any, Any]) -> None:
    labels, scores, weights = world
    for given_weights in (None, weights):
        expected = {
            "average_precision": sklearn.average_precision_score(labels, scores, sample_weight=given_weights),
            "roc_auc": sklearn.roc_auc_score(labels, scores, sample_weight=given_weights),
            "log_loss": sklearn.log_loss(labels, scores, sample_weight=given_weights, labels=[False, True]),
            "brier": sklearn.brier_score_loss(labels, scores, sample_weight=given_weights),
        }
        for metric, value in expected.items():
            assert measure(metric, labels, scores, given_weights) == pytest.approx(value, rel=1e-12, abs=1e-15), metric


@given(classified())
@settings(max_examples=50)
def test_calibration_error_equals_that_of_scikit_learns_bins(world: tuple[Any, Any, Any]) -> None:
    labels, scores, _ = world
    true, scored = calibration_curve(labels, scores, n_bins=10, strategy="quantile")
    edges = np.percentile(scores, np.linspace(0, 1, 11) * 100)
    rows = np.bincount(np.searchsorted(edges[1:-1], scores), minlength=10)
    expected = np.sum(rows[rows > 0] / len(scores) * np.abs(true - scored))
    assert measure("calibration_error", labels, scores) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.integers(1, 5)), min_size=1, max_size=30))
def test_regression_metrics_equal_scikit_learns(rows: list[tuple[float, float, int]]) -> None:
    labels, predictions, weights = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    for given_weights in (None, weights):
        assert measure("mae", labels, predictions, given_weights) == pytest.approx(
            sklearn.mean_absolute_error(labels, predictions, sample_weight=given_weights)
        )
        assert measure("rmse", labels, predictions, given_weights) == pytest.approx(
            sklearn.root_mean_squared_error(labels, predictions, sample_weight=given_weights)
        )
        for quantile in (0.1, 0.5, 0.9):
            found = measure("quantile_loss", labels, predictions, given_weights, quantile=quantile)
            expected = sklearn.mean_pinball_loss(labels, predictions, sample_weight=given_weights, alpha=quantile)
            assert found == pytest.approx(expected)


def test_equal_scores_are_one_threshold_whatever_the_order_of_rows() -> None:
    scores = np.array([0.5, 0.5, 0.5, 0.5])
    for labels in ([True, False, False, False], [False, False, False, True]):
        assert average_precision(np.array(labels), scores) == 0.25
        assert roc_auc(np.array(labels), scores) == 0.5


def test_what_is_undefined_is_nan() -> None:
    false, true, none = np.zeros(2, dtype=bool), np.ones(2, dtype=bool), np.zeros(0, dtype=bool)
    scores, empty = np.array([0.2, 0.7]), np.zeros(0)
    assert math.isnan(average_precision(false, scores))
    assert average_precision(true, scores) == 1
    assert math.isnan(roc_auc(false, scores))
    assert math.isnan(roc_auc(true, scores))
    assert all(math.isnan(measure(metric, none, empty)) for metric in (*CLASSIFICATION, *REGRESSION))
    assert measure("log_loss", true, scores) == pytest.approx(-math.log(0.2 * 0.7) / 2)


def test_a_certain_score_that_was_wrong_costs_a_bounded_log_loss() -> None:
    assert measure("log_loss", np.array([True]), np.array([0.0])) == pytest.approx(36.04, abs=0.01)


def test_an_improvement_is_positive_where_ours_is_better() -> None:
    ours, theirs = np.array([0.6]), np.array([0.5])
    assert improvement("roc_auc", ours, theirs) > 0
    assert improvement("log_loss", ours, theirs) < 0

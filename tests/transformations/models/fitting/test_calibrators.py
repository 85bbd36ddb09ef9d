"""Fitted calibrators, held against scikit-learn's."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from transformations.models.fitting.calibrators import fit_calibrator
from transformations.models.scoring.calibration import calibrated, logistic

GENERATOR = np.random.default_rng(3)
MARGINS = GENERATOR.normal(0, 2, 500).round(2)
LABELS = (GENERATOR.random(500) < logistic(0.5 * MARGINS - 1)).astype(float)


def test_isotonic_is_scikit_learns_but_for_probabilities_of_0_and_1() -> None:
    found = calibrated(MARGINS, fit_calibrator("isotonic", MARGINS, LABELS))
    theirs = IsotonicRegression(out_of_bounds="clip").fit(logistic(MARGINS), LABELS).predict(logistic(MARGINS))
    np.testing.assert_allclose(found, np.clip(theirs, 0.001, 0.999), atol=1e-12)
    assert 0 < found.min() < found.max() < 1


def test_sigmoid_is_a_logistic_regression_on_the_log_odds() -> None:
    calibrator = fit_calibrator("sigmoid", MARGINS, LABELS)
    theirs = LogisticRegression(C=1e9, tol=1e-10).fit(MARGINS.reshape(-1, 1), LABELS)
    assert calibrator.x[0] == pytest.approx(theirs.coef_[0, 0], abs=0.02)
    assert calibrator.y[0] == pytest.approx(theirs.intercept_[0], abs=0.02)


def test_separated_classes_give_a_finite_sigmoid() -> None:
    calibrator = fit_calibrator("sigmoid", np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert 0 < calibrator.x[0] < 100

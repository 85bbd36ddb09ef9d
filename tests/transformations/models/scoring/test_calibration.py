"""Calibration at prediction time: exact at the points, straight between them, the same bits in any batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.models.records.artifact import Calibrator
from transformations.models.scoring.calibration import calibrated, logistic

ISOTONIC = Calibrator(method="isotonic", x=(0.2, 0.4, 0.4, 0.8), y=(0.1, 0.3, 0.5, 0.9))


def log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


@pytest.mark.parametrize(
    ("raw", "expected"), [(0.01, 0.1), (0.2, 0.1), (0.3, 0.2), (0.6, 0.7), (0.8, 0.9), (0.99, 0.9)]
)
def test_between_two_points_is_a_straight_line_and_beyond_them_it_is_flat(raw: float, expected: float) -> None:
    assert calibrated(np.array([log_odds(raw)]), ISOTONIC)[0] == pytest.approx(expected, abs=1e-12)


def test_one_point_is_a_constant() -> None:
    assert calibrated(np.array([-3.0, 3.0]), Calibrator(method="isotonic", x=(0.5,), y=(0.25,))).tolist() == [
        0.25,
        0.25,
    ]


def test_sigmoid_is_a_line_in_the_log_odds() -> None:
    found = calibrated(np.array([log_odds(0.3)]), Calibrator(method="sigmoid", x=(2.0,), y=(0.5,)))
    assert found[0] == pytest.approx(1 / (1 + np.exp(-(2 * log_odds(0.3) + 0.5))))


def test_the_largest_margins_overflow_nowhere() -> None:
    assert logistic(np.array([-1e300, -800.0, 0.0, 800.0, 1e300])).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


@given(st.lists(st.floats(-40, 40), min_size=1, max_size=70), st.integers(0, 5))
def test_a_row_has_the_same_bits_in_any_batch(margins: list[float], skipped: int) -> None:
    values = np.array(margins)
    for calibrator in (None, ISOTONIC, Calibrator(method="sigmoid", x=(1.3,), y=(-0.2,))):
        whole = calibrated(values, calibrator)
        alone = [calibrated(values[row : row + 1], calibrator)[0] for row in range(len(values))]
        assert whole.tolist() == alone
        assert calibrated(values[skipped:], calibrator).tolist() == whole[skipped:].tolist()

"""The sequential test keeps its error rates, against simulations that look after every observation."""

from itertools import pairwise, product

import numpy as np
import pytest

from transformations.models.rollout.sequential import RateTest

ERRORS = RateTest(acceptable=0.001, unacceptable=0.03, alpha=0.00625, beta=0.05)
SLOW = RateTest(acceptable=0.5, unacceptable=0.9, alpha=0.003, beta=0.05)


def stopped_share(test: RateTest, rate: float, rows: int, runs: int) -> float:
    """By simulation: how many of the runs are stopped at any of the looks."""
    failures = np.random.default_rng(5).random((runs, rows)) < rate
    failed = np.cumsum(failures, axis=1)
    clean = np.arange(1, rows + 1) - failed
    evidence = failed * np.log(test.unacceptable / test.acceptable) - clean * np.log(
        (1 - test.acceptable) / (1 - test.unacceptable)
    )
    return float((evidence >= test.threshold).any(axis=1).mean())


@pytest.mark.parametrize(("test", "rows"), [(ERRORS, 1_200), (SLOW, 150)])
def test_false_alarms_stay_below_alpha_however_often_one_looks(test: RateTest, rows: int) -> None:
    """Simulated, four standard errors allowed; and the bound is used, not far below."""
    runs = 6_000
    share = stopped_share(test, test.acceptable, rows, runs)
    error = (test.alpha / runs) ** 0.5
    assert test.alpha / 4 < share < test.alpha + 4 * error


def test_five_percent_errors_are_found_within_100_rows_with_95_percent_power() -> None:
    assert ERRORS.power(0.05, 100) >= 0.95
    assert abs(stopped_share(ERRORS, 0.05, 100, 10_000) - ERRORS.power(0.05, 100)) < 4 * 0.0022


def test_power_is_what_the_sum_over_all_sequences_gives() -> None:
    """Every sequence of ten observations, one by one."""
    test, rate = RateTest(acceptable=0.1, unacceptable=0.5, alpha=0.05, beta=0.1), 0.3
    total = 0.0
    for sequence in product((0, 1), repeat=10):
        looks = [
            test.outcome(place + 1 - sum(sequence[: place + 1]), sum(sequence[: place + 1])) for place in range(10)
        ]
        if "stop" in looks:
            total += rate ** sum(sequence) * (1 - rate) ** (10 - sum(sequence))
    assert test.power(rate, 10) == pytest.approx(total, abs=1e-12)


def test_what_it_takes_to_go_and_to_stop() -> None:
    assert ERRORS.rows_for_go() == 102
    assert [ERRORS.outcome(clean, 0) for clean in (0, 101, 102)] == ["open", "open", "go"]
    assert [ERRORS.outcome(98, failed) for failed in (0, 1, 2)] == ["open", "open", "stop"]
    assert ERRORS.outcome(0, 1) == "open"
    assert ERRORS.outcome(10_000, 2) == "go"


def test_a_lower_alpha_asks_for_more() -> None:
    thresholds = [
        RateTest(acceptable=0.001, unacceptable=0.03, alpha=alpha, beta=0.05).threshold for alpha in (0.1, 0.01, 0.001)
    ]
    assert all(one <= other for one, other in pairwise(thresholds))

"""Differences between arms: intervals hold the truth though rows cling to units, and a lost unit is noticed."""

import numpy as np
import pytest

from transformations.models.rollout.arms import Arms, RatioCheck, Rows, detectable_effect, difference, ratio_checks
from transformations.models.rollout.splitting import share_of, unit_text


def experiment(seed: int, *, effect: float = 0.0, users: int = 600) -> tuple[Arms, np.ndarray]:
    """Two steps of 10 and 50 %: each user has a level of its own and from 1 to 12 rows, all with its level."""
    generator = np.random.default_rng(seed)
    level = generator.normal(0, 1, users)
    texts = [unit_text([int(user) + seed * 10_000]) for user in range(users)]
    sides, steps, units, values = [], [], [], []
    for percent in (10.0, 50.0):
        inside = share_of(texts, "salt", percent)
        for user in range(users):
            for _ in range(int(generator.integers(1, 13))):
                sides.append(bool(inside[user]))
                steps.append(percent)
                units.append(str(texts[user]))
                values.append(level[user] + effect * inside[user] + generator.normal(0, 0.3) + percent / 10)
    return Arms(is_candidate=np.array(sides), steps=np.array(steps), units=units), np.array(values)


def mean_of(values: np.ndarray):  # type: ignore[no-untyped-def]
    return lambda kept: float(values[kept].mean()) if kept.any() else None


def test_intervals_hold_the_truth_as_often_as_they_say_though_rows_cling_to_units() -> None:
    """100 experiments of no effect; and an interval over rows, which forgets the units, would not."""
    held = naive = 0
    for seed in range(100):
        arms, values = experiment(seed, users=150)
        found = difference("mean", arms, mean_of(values))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0 <= found.high
        half = arms.steps == 50
        one, other = values[half & arms.is_candidate], values[half & ~arms.is_candidate]
        spread = (one.var() / len(one) + other.var() / len(other)) ** 0.5
        naive += abs(one.mean() - other.mean()) <= 1.96 * spread
    assert held >= 89
    assert naive < 75


def test_an_effect_is_found_and_steps_of_another_level_do_not_count_as_one() -> None:
    arms, values = experiment(1, effect=0.8)
    found = difference("mean", arms, mean_of(values))
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 0.8 < found.high
    raw = values[arms.is_candidate].mean() - values[~arms.is_candidate].mean()
    assert abs(raw - 0.8) > abs((found.value or 0) - 0.8), "the steps of 10 and 50 % have other levels"


def test_the_difference_is_the_mean_over_steps_that_one_works_out_by_hand() -> None:
    """Step of 10 %: 4 - 1 = 3 with 1 unit against 3, weight 3/4. Step of 50 %: 2 - 2 = 0 with 1 against 1, 1/2."""
    arms = Arms(
        is_candidate=np.array([True, False, False, False, True, False]),
        steps=np.array([10.0, 10, 10, 10, 50, 50]),
        units=["a", "b", "c", "d", "a", "b"],
    )
    values = np.array([4.0, 1, 1, 1, 2, 2])
    found = difference("mean", arms, mean_of(values))
    assert found.value == pytest.approx((0.75 * 3 + 0.5 * 0) / 1.25)
    assert (found.low, found.high) == (None, None), "of four units there is no interval"


def test_an_arm_that_lost_units_is_noticed() -> None:
    arms, _ = experiment(1)
    assert [check.percent for check in ratio_checks(arms)] == [10, 50]
    assert not any(check.is_suspicious for check in ratio_checks(arms))
    kept: Rows = ~(arms.is_candidate & (np.array([len(unit) + int(unit[1:-1]) for unit in arms.units]) % 3 == 0))
    lost = Arms(
        is_candidate=arms.is_candidate[kept],
        steps=arms.steps[kept],
        units=[unit for unit, is_kept in zip(arms.units, kept, strict=True) if is_kept],
    )
    assert [check.is_suspicious for check in ratio_checks(lost)][1]


def test_the_chance_of_a_ratio_is_that_of_the_binomial() -> None:
    """100 units, 60 in the arm of 50 %: exactly 0.0569."""
    arms = Arms(
        is_candidate=np.arange(100) < 60, steps=np.full(100, 50.0), units=[str(number) for number in range(100)]
    )
    (check,) = ratio_checks(arms)
    assert check == RatioCheck(percent=50, units=100, candidate_units=60, chance=pytest.approx(0.0569, abs=0.002))


def test_the_detectable_effect_is_found_in_four_of_five_experiments() -> None:
    generator = np.random.default_rng(8)
    values = generator.normal(0, 2, 400)
    effect = detectable_effect(values, 50)
    found = 0
    for _ in range(400):
        sample, arm = generator.normal(0, 2, 400), generator.random(400) < 0.5
        sample = sample + effect * arm
        one, other = sample[arm], sample[~arm]
        spread = (one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)) ** 0.5
        found += (one.mean() - other.mean()) / spread > 1.96
    assert 0.74 < found / 400 < 0.86

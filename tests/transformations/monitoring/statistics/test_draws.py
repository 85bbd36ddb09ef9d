"""Draws resample whole entities within one day or week, and limits hold for all features together."""

import numpy as np
import pytest

from transformations.models.records.reference import Histogram
from transformations.monitoring.statistics.draws import Blocks, limits
from transformations.monitoring.statistics.layout import Layout

EDGES = tuple(float(each) for each in range(1, 30))
LAYOUT = Layout({"x": Histogram(edges=EDGES, counts=(0,) * 30, nulls=0)})


def blocks(entities: list[int], days: list[int], period: int = 7) -> Blocks:
    """Row k has value k, so that counts tell which rows were drawn."""
    codes = np.arange(len(entities), dtype=np.int32).reshape(-1, 1)
    return Blocks(layout=LAYOUT, codes=codes, entities=np.array(entities), blocks=np.array(days), period=period)


def test_a_draw_takes_whole_entities_of_one_block() -> None:
    known = blocks([1, 2, 1, 3, 2, 2], [0, 0, 0, 1, 1, 1])
    for draw in range(50):
        counts = LAYOUT.count(known.sample(0, 4, 0, draw))
        assert counts[0] == counts[2], "the rows of entity 1 come together"
        assert counts[3:].sum() == 0, "no other day's row is drawn"
        assert counts[:3].sum() >= 2
    drawn = {tuple(LAYOUT.count(known.sample(0, 4, 0, draw))[:3]) for draw in range(50)}
    assert drawn == {(3, 0, 3), (2, 1, 2), (1, 2, 1), (0, 3, 0)}, "three entities, with replacement"


def test_a_draw_has_about_as_many_rows_as_asked_for_and_is_always_the_same() -> None:
    generator = np.random.default_rng(1)
    entities = generator.integers(0, 40, 30).tolist()
    known = blocks(entities, [0] * 30)
    sizes = [len(known.sample(0, 300, 0, draw)) for draw in range(200)]
    assert np.mean(sizes) == pytest.approx(300, rel=0.05)
    assert known.sample(0, 300, 5, 7).tolist() == known.sample(0, 300, 5, 7).tolist()
    assert known.sample(0, 300, 5, 7).tolist() != known.sample(0, 300, 5, 8).tolist()


def test_a_block_is_compared_with_all_others_and_not_with_itself() -> None:
    """Of two days that share no value each looks wholly changed, however small its part of the reference."""
    known = blocks([1, 2, 3, 4], [0, 0, 1, 1])
    (found,) = known.against_reference([100], draws=20)
    assert (found.values > 3).all()


def test_earlier_weeks_are_those_of_the_same_weekday() -> None:
    assert blocks([1, 2], [0, 3]).against_earlier([10], draws=5) is None
    found = blocks([1, 2, 3], [0, 3, 7]).against_earlier([10], draws=5)
    assert found is not None
    assert found[0].values.shape == (5, 1)
    assert (found[0].values > 1).all()


def test_draws_of_growing_numbers_of_rows_are_each_what_they_are_alone() -> None:
    """A smaller draw is how a larger one begins, so only the largest is made."""
    generator = np.random.default_rng(2)
    known = blocks(generator.integers(0, 9, 30).tolist(), generator.integers(0, 3, 30).tolist(), period=1)
    sizes = [3, 10, 40]
    for draw in (known.against_reference, known.against_earlier):
        together = draw(sizes, draws=12, seed=4)
        assert together is not None
        for rows, found in zip(sizes, together, strict=True):
            alone = draw([rows], draws=12, seed=4)
            assert alone is not None
            assert found.values.tolist() == alone[0].values.tolist()
    counts = LAYOUT.count(known.sample(1, 10, 4, 7)) - LAYOUT.count(known.sample(1, 3, 4, 7))
    assert (counts >= 0).all()


@pytest.mark.parametrize("is_one", [True, False])
def test_a_limit_is_passed_by_any_feature_in_the_share_of_draws_that_was_asked_for(is_one: bool) -> None:
    """Independent features, and one feature written down ten times: both keep the rate, and the latter costs less."""
    generator = np.random.default_rng(3)

    def effects(draws: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        values = generator.gamma(4.0, 0.01, (draws, 1 if is_one else 10))
        return np.repeat(values, 10, axis=1) if is_one else values

    found = limits(effects(4_000), 0.02)
    passed = (effects(20_000) > found).any(axis=1).mean()
    assert passed == pytest.approx(0.02, abs=0.007)
    alone = np.quantile(generator.gamma(4.0, 0.01, 100_000), 0.98)
    assert (found[0] < alone * 1.1) == is_one


def test_a_feature_without_any_spread_has_its_median_as_limit_or_what_matters_beyond_it() -> None:
    effects = np.column_stack([np.full(100, 0.5), np.arange(100) / 100])
    found = limits(effects, 0.1)
    assert found[0] == 0.5
    assert found[1] == pytest.approx(0.9, abs=0.02)
    assert limits(effects, 0.1, 0.03)[0] > 0.5


def test_a_feature_that_hardly_ever_moves_does_not_decide_for_the_others() -> None:
    """One null in a thousand rows is far in units of a spread of nearly 0, and says nothing of other features."""
    generator = np.random.default_rng(5)
    usual = generator.gamma(4.0, 0.01, 1_000)
    rare = np.where(np.arange(1_000) % 20 == 0, 0.02, 1e-9 * generator.random(1_000))
    alone = limits(usual[:, None], 0.01, 0.02)[0]
    assert limits(np.column_stack([usual, rare]), 0.01, 0.02)[0] < 2 * alone
    assert limits(np.column_stack([usual, rare]), 0.01)[0] > 5 * alone


def test_a_limit_from_few_weeks_is_wider_as_a_prediction_from_a_sample_is() -> None:
    """Weeks differ by a normal effect: a limit from 15 of them keeps its rate only when widened."""
    generator = np.random.default_rng(9)
    passed = dict.fromkeys((None, 15), 0)
    trials, rate = 4_000, 0.01
    for _ in range(trials):
        seen = 1.0 + 0.1 * generator.standard_normal(15)
        new = 1.0 + 0.1 * generator.standard_normal()
        for weeks in passed:
            passed[weeks] += new > limits(np.repeat(seen, 20)[:, None], rate, 0.0, weeks)[0]
    assert passed[15] < passed[None]
    assert passed[None] / trials > 3 * rate
    assert limits(np.repeat(seen, 20)[:, None], rate, 0.0, 1_000)[0] == pytest.approx(
        limits(np.repeat(seen, 20)[:, None], rate)[0], rel=0.01
    )

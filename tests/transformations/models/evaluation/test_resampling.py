"""Resampled metrics equal a naive loop over the same draws, and a draw is the same wherever it is computed."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformations.models.evaluation.metrics import CLASSIFICATION, REGRESSION, calibration_error, edges_of, measure
from transformations.models.evaluation.resampling import Clusters, resample, times_drawn

DRAWS = 8


@st.composite
def judged(draw: Any) -> tuple[Any, dict[str, Any], Any]:
    """Labels, two models' scores with ties, and the entity of each row."""
    rows = draw(st.integers(1, 60))
    labels = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    score = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)
    scores = {name: np.array(draw(st.lists(score, min_size=rows, max_size=rows))) for name in ("ours", "theirs")}
    entities = np.array(draw(st.lists(st.sampled_from("abcdefgh"), min_size=rows, max_size=rows)))
    return labels, scores, entities


@given(judged(), st.integers(0, 2**64 - 1))
@settings(max_examples=40)
def test_every_metric_in_every_draw_equals_a_naive_loop(world: tuple[Any, dict[str, Any], Any], seed: int) -> None:
    labels, scores, entities = world
    clusters = Clusters.of(entities)
    found = resample(labels, scores, clusters, CLASSIFICATION, draws=DRAWS, seed=seed)
    numbers = resample(labels * 2.5, scores, clusters, REGRESSION, draws=DRAWS, seed=seed, quantile=0.9)
    for draw in range(DRAWS):
        times = times_drawn(clusters.count, seed, draw)
        written_out = np.repeat(np.arange(len(labels)), times[clusters.numbers])
        for name, values in scores.items():
            drawn, truth = values[written_out], labels[written_out]
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                for metric in CLASSIFICATION:
                    expected = (
                        calibration_error(truth, drawn, edges_of(values))
                        if metric == "calibration_error"
                        else measure(metric, truth, drawn)
                    )
                    assert found[name][metric][draw] == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)
                for metric in REGRESSION:
                    expected = measure(metric, truth * 2.5, drawn, quantile=0.9)
                    assert numbers[name][metric][draw] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_draw_is_the_same_bits_whatever_is_computed_beside_it() -> None:
    chance = np.random.default_rng(0)
    labels, entities = chance.random(500) < 0.3, chance.integers(0, 60, 500)
    scores = {name: chance.random(500) for name in "abc"}
    clusters = Clusters.of(entities)
    many = resample(labels, scores, clusters, CLASSIFICATION, draws=20, seed=3)
    few = resample(labels, {"c": scores["c"]}, clusters, CLASSIFICATION[:2], draws=5, seed=3)
    for metric in CLASSIFICATION[:2]:
        assert np.array_equal(few["c"][metric], many["c"][metric][:5])
    other = resample(labels, {"c": scores["c"]}, clusters, CLASSIFICATION[:2], draws=5, seed=4)
    assert not np.array_equal(few["c"][CLASSIFICATION[0]], other["c"][CLASSIFICATION[0]])


def test_a_draw_takes_as_many_entities_as_there_are_evenly() -> None:
    drawn = np.array([times_drawn(40, 7, draw) for draw in range(2_000)])
    assert (drawn.sum(axis=1) == 40).all()
    assert np.abs(drawn.mean(axis=0) - 1).max() < 0.1  # four standard errors are 0.09
    assert drawn.var() == pytest.approx(39 / 40, abs=0.02)


def test_these_are_the_draws_of_this_platform_for_good() -> None:
    """Results are compared over years: neither NumPy nor we may change them unseen."""
    assert times_drawn(10, 1, 0).tolist() == [2, 2, 1, 1, 1, 0, 0, 1, 1, 1]
    assert times_drawn(10, 1, 1).tolist() == [1, 0, 0, 1, 0, 0, 2, 0, 2, 4]


def test_entities_are_counted_by_the_rows_that_they_hold() -> None:
    clusters = Clusters.of(np.array(["b", "a", "b", "c"]))
    assert (clusters.count, clusters.numbers.tolist()) == (3, [1, 0, 1, 2])
    assert clusters.holding(np.array([True, False, True, False])) == 1
    assert clusters.only(np.array([True, False, True, True])).numbers.tolist() == [0, 0, 1]

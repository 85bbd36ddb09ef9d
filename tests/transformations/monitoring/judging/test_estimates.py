"""An estimate is what calibrated scores lead to expect, marked as one; without calibration there is none."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.transformations.monitoring.conftest import LAST, watch
from tests.worlds import weekly
from transformations.cli.commands.look.monitor import monitor
from transformations.cli.commands.look.outcomes import outcomes as command
from transformations.models.evaluation.facts import MetricFigure
from transformations.models.records.gates import Interval
from transformations.monitoring.judging.estimates import METHOD, calibration_of, estimate
from transformations.monitoring.judging.outcomes import outcomes


def test_labels_drawn_by_the_scores_come_to_the_estimate() -> None:
    generator = np.random.default_rng(11)
    scores = generator.beta(1.0, 3.0, 400_000)
    acts = scores >= 0.4
    found = estimate(1, scores, acts, (0.01, 0.03))
    assert found is not None
    labels = generator.random(len(scores)) < scores
    assert found.label_mean == pytest.approx(labels.mean(), abs=0.003)
    assert found.brier == pytest.approx(((scores - labels) ** 2).mean(), abs=0.003)
    assert found.log_loss == pytest.approx(-np.log(np.where(labels, scores, 1 - scores)).mean(), abs=0.003)
    assert found.precision == pytest.approx(labels[acts].mean(), abs=0.005)


def test_certain_scores_have_no_expected_loss_and_nobody_to_act_on_has_no_precision() -> None:
    found = estimate(1, np.array([0.0, 1.0]), np.array([False, False]), (0.0, 0.1))
    assert found is not None
    assert (found.log_loss, found.brier, found.precision) == (0.0, 0.0, None)


@pytest.mark.parametrize("calibration", [None, (0.031, 0.03)])
def test_without_a_calibration_that_passes_there_is_none(calibration: tuple[float, float] | None) -> None:
    assert estimate(1, np.array([0.2, 0.4]), None, calibration) is None


def figure(value: float, high: float) -> tuple[MetricFigure, ...]:
    return (MetricFigure(metric="calibration_error", value=value, interval=Interval(low=0.0, high=high)),)


def test_what_was_realised_counts_and_a_gate_says_what_is_allowed(scored: Path) -> None:
    declaration = watch(scored).declaration
    assert declaration is not None
    assert calibration_of(declaration, figure(0.05, 0.09), figure(0.01, 0.02)) == (0.05, 0.02)
    assert calibration_of(declaration, (), figure(0.01, 0.02)) == (0.01, 0.02)
    assert calibration_of(declaration, figure(0.05, 0.09), ()) is None
    gates = [{"metric": "calibration_error", "at_most": 0.07}, *weekly.PASSING]
    evaluation = {
        "entity": "user_id", "draws": 100, "baselines": {"prior": {"kind": "prior"}}, "gates": gates,
    }  # fmt: skip
    weekly.declare(scored / "repo", evaluation=evaluation)
    declaration = watch(scored).declaration
    assert declaration is not None
    assert calibration_of(declaration, figure(0.05, 0.09), figure(0.01, 0.02)) == (0.05, 0.07)


def test_predictions_that_wait_are_estimated_marked_as_such_and_no_finding(scored: Path) -> None:
    found = outcomes(watch(scored), first=LAST)
    assert (found.groups, found.waiting) == ((), 78)
    (each,) = found.estimates
    assert (each.version, each.rows) == (1, 78)
    assert each.calibration <= each.allowed
    shown = CliRunner().invoke(command, [weekly.MODEL, "--from", str(LAST)])
    assert f"estimated before outcomes are known ({METHOD})" in shown.stdout
    assert "≈" in shown.stdout
    told = CliRunner().invoke(monitor, [weekly.MODEL, "--json"])
    assert "estimate" not in told.stdout

"""What each column adds to a score sums, with what it begins with, to the margin that the score is made from."""

import numpy as np
import pytest

from tests.worlds.returns import CONSTANT, TEST, in_memory, trained
from transformations.engine.base.errors import UsageError
from transformations.models.scoring.contributions import contributions_of
from transformations.models.scoring.predict import matrix_of

TREES, LINEAR = ["xgboost", "lightgbm"], ["logistic", "linear"]


@pytest.mark.parametrize("trainer", [*TREES, *LINEAR])
def test_contributions_and_base_sum_to_the_margin_of_every_row(trainer: str) -> None:
    artifact = in_memory(trained(trainer))
    found = contributions_of(artifact, TEST)
    margins = artifact.scorer(matrix_of(artifact, TEST))
    assert found.names == artifact.manifest.scores.columns
    assert found.parts.shape == (TEST.num_rows, len(found.names))
    # XGBoost sums in float32: some 24 bits of the largest term.
    assert np.abs(found.parts.sum(axis=1) + found.base - margins).max() < (2e-5 if trainer == "xgboost" else 1e-9)
    assert np.ptp(margins) > 0.1


@pytest.mark.parametrize("trainer", LINEAR)
def test_a_linear_model_begins_with_the_score_of_mean_values(trainer: str) -> None:
    artifact = in_memory(trained(trainer))
    nothing = np.full((1, len(artifact.manifest.scores.columns)), np.nan)
    assert contributions_of(artifact, TEST).base[0] == artifact.scorer(nothing)[0]


def test_a_trainer_that_cannot_tell_says_so() -> None:
    with pytest.raises(UsageError, match="tells no contributions"):
        contributions_of(in_memory(trained(CONSTANT)), TEST)

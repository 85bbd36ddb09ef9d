"""A plan of steps is one thing however it is written, and its hash tells whether it is still the same."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from transformations.models.records.rollout_plan import PlannedStep, RolloutPlan


def plan(**changes: object) -> RolloutPlan:
    return RolloutPlan.model_validate({"unit": ["user_id"], **changes})


def test_the_steps_unless_told_otherwise() -> None:
    assert [step.name for step in plan().steps] == ["shadow", "10 %", "50 %", "100 %"]
    assert plan().steps[1] == PlannedStep(percent=10, rows=500, time=timedelta(days=1))


def test_a_step_in_a_word_is_the_step_in_full() -> None:
    short = plan(steps=["shadow", 10, "50 %"])
    assert short == plan(steps=[{"percent": 0}, {"percent": 10.0}, {"percent": "50%", "time": "1 day"}])
    assert short.hash == RolloutPlan.model_validate(short.model_dump(mode="json")).hash
    assert short.hash != plan(steps=["shadow", 10, 50], alpha=0.04).hash


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": []}, "at least 1"),
        ({"steps": ["shadow"]}, "shadow alone leads nowhere"),
        ({"steps": [10, 10]}, "steps ascend, and 10 % follows 10 %"),
        ({"steps": [10.001]}, "counted in hundredths"),
        ({"steps": [True]}, "True is no share"),
        ({"steps": [{"percent": True}]}, "no share"),
        ({"unit": []}, "at least 1"),
        ({"unit": ["user_id", "user_id"]}, "unit names 'user_id' twice"),
        ({"horizon": "0 days"}, "longer than nothing"),
        ({"limits": {"latency": 1}}, "greater than 1"),
        ({"limits": {"errors": {"beta": 0.5}}}, "less than 0.5"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        plan(**changes)

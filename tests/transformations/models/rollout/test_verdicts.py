"""What follows from what was seen: breaches, what is missing, and nothing in between."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from transformations.models.records.rollout_plan import RolloutPlan
from transformations.models.rollout.board import Counters, Seen
from transformations.models.rollout.verdicts import Reading, Subject, errors_test, judge

BEGAN = datetime(2020, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PLAN = RolloutPlan.model_validate(
    {"unit": ["user_id"], "steps": [{"percent": 0, "rows": 200}, 10, 50, 100], "limits": {"divergence": 0.1}}
)
SUBJECT = Subject(model="user_return", version=2, production=1, step=1, event=7, began=BEGAN, most_difference=1.0)


def seen(
    *, clean: int = 500, failures: int = 0, differences: float = 0.02, units: int = 300, ratios: tuple[float, ...] = ()
) -> Seen:
    generator = np.random.default_rng(1)
    return Seen(
        counters=Counters(clean=clean, failed=failures),
        differences=generator.uniform(0, 2 * differences, units),
        failures=failures,
        ratios=np.array(ratios),
    )


def reading(sight: Seen, after: timedelta = DAY, plan: RolloutPlan = PLAN) -> Reading:
    return judge(plan, SUBJECT, sight, BEGAN + after)


def test_a_version_that_keeps_to_its_limits_may_go_on() -> None:
    found = reading(seen())
    assert (found.breaches, found.waits) == ((), ())
    assert found.divergence is not None
    assert found.divergence.low < 0.02 < found.divergence.high < 0.1


@pytest.mark.parametrize(
    ("sight", "after", "missing"),
    [
        (seen(clean=150), DAY, ["150 of 200 rows were scored by both versions"]),
        (seen(), DAY / 2, ["the step has lasted 12:00:00 of 1 day, 0:00:00"]),
        (seen(failures=4), DAY, ["errors: 4 units in 504 rows, which is too few to tell"]),
        (seen(differences=0.099), DAY, [r"divergence lies between 0.0\d+ and 0.1\d+; the limit is 0.1"]),
        (seen(clean=0, units=0), timedelta(0), ["0 of 200", "0:00:00 of", "0 units in 0 rows", "between 0.0000 and 1"]),
    ],
)
def test_what_is_missing_is_told(sight: Seen, after: timedelta, missing: list[str]) -> None:
    found = reading(sight, after)
    assert found.breaches == ()
    assert len(found.waits) == len(missing)
    for said, pattern in zip(found.waits, missing, strict=True):
        assert re.search(pattern, said), said


@pytest.mark.parametrize(
    ("sight", "breach"),
    [
        (seen(clean=90, failures=2), "errors: it failed on 2 units where production did not, in 92 rows"),
        (seen(differences=0.3, units=60), "divergence: the scores of 60 units differ by 0."),
        (seen(ratios=(2.5,) * 12), "latency: more than 2 times production's in 12 of 12 minutes"),
    ],
)
def test_a_breach_is_one_however_little_else_is_known(sight: Seen, breach: str) -> None:
    found = reading(sight, timedelta(0))
    assert [each[: len(breach)] for each in found.breaches] == [breach]
    assert found.waits == ()


def test_a_slow_minute_now_and_then_is_no_breach() -> None:
    assert reading(seen(ratios=(2.5, 1.0) * 50)).breaches == ()


def test_what_is_not_declared_is_not_judged() -> None:
    plan = PLAN.model_copy(update={"limits": PLAN.limits.model_copy(update={"divergence": None, "latency": None})})
    found = reading(seen(differences=0.4, ratios=(9.0,) * 50), plan=plan)
    assert (found.breaches, found.divergence, found.slow_minutes) == ((), None, 0)


def test_a_regression_is_judged_in_units_of_its_label() -> None:
    plan = PLAN.model_copy(update={"limits": PLAN.limits.model_copy(update={"divergence": 20.0})})
    subject = Subject(model="m", version=2, production=1, step=1, event=7, began=BEGAN, most_difference=None)
    kept = judge(plan, subject, seen(differences=5.0), BEGAN + DAY)
    broken = judge(plan, subject, seen(differences=60.0), BEGAN + DAY)
    assert (kept.breaches, kept.waits, len(broken.breaches)) == ((), (), 1)


def test_one_unit_alone_cannot_stop_a_regression() -> None:
    plan = PLAN.model_copy(update={"limits": PLAN.limits.model_copy(update={"divergence": 20.0})})
    subject = Subject(model="m", version=2, production=1, step=1, event=7, began=BEGAN, most_difference=None)
    sight = Seen(counters=Counters(clean=500), differences=np.r_[1e9, np.ones(299)], failures=0, ratios=np.array([]))
    assert judge(plan, subject, sight, BEGAN + DAY).breaches == ()


def test_the_error_rate_is_shared_out_over_the_steps() -> None:
    assert errors_test(PLAN).alpha == pytest.approx(0.05 / 2 / 4)
    assert errors_test(PLAN).power(0.05, 100) >= 0.95


def test_a_reading_reads_back_as_it_was_written() -> None:
    found = reading(seen())
    assert Reading.from_text(found.text(), "reading") == found

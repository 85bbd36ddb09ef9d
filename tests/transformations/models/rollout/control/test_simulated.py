"""Whole rollouts over clustered requests: versions that keep to their limits arrive, those that do not are stopped.

The quick twin of `make rollout-proof`, which does it a thousand times over the demo's real stream of requests.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.worlds import weekly
from tests.worlds.rollouts import LIMIT, Behaviour, Ending, Simulation, clustered_traffic
from transformations.models.log.event_log import EventLog


def endings(behaviour: Behaviour, count: int, seed: int) -> list[Ending]:
    begun = EventLog("shop").events(weekly.MODEL)
    found = []
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        traffic = clustered_traffic(generator, users=3_000, days=14, a_day=900)
        found.append(Simulation(begun, behaviour, generator).run(traffic))
    return found


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(), id="the same version twice"),
        pytest.param(Behaviour(difference=LIMIT / 4, failures=0.0005, slowness=1.5), id="within every limit"),
    ],
)
def test_a_version_within_its_limits_comes_to_production(weekly_challenged: Path, behaviour: Behaviour) -> None:
    found = endings(behaviour, 3, seed=1)
    assert [each.action for each in found] == ["promote"] * 3, found
    assert all(min(each.rows.values()) >= 500 for each in found)


@pytest.mark.parametrize(
    ("behaviour", "why", "step"),
    [
        (Behaviour(difference=3 * LIMIT), "divergence: the scores of", 1),
        (Behaviour(failures=0.05), "errors: it failed on", 1),
        (Behaviour(failures=0.05, broken_from=2), "errors: it failed on", 2),
        (Behaviour(slowness=3.0), "latency: more than 2 times", 1),
    ],
)
def test_a_version_beyond_a_limit_is_stopped(
    weekly_challenged: Path, behaviour: Behaviour, why: str, step: int
) -> None:
    for ending in endings(behaviour, 2, seed=2):
        assert (ending.action, ending.why[: len(why)], max(ending.rows)) == ("abort", why, step)


@pytest.mark.proof
def test_errors_of_five_percent_stop_a_canary_within_100_rows(weekly_challenged: Path) -> None:
    begun = EventLog("shop").events(weekly.MODEL)
    rows = []
    for number in range(4):
        generator = np.random.default_rng([3, number])
        traffic = clustered_traffic(generator, users=1_500, days=2, a_day=900)
        simulation = Simulation(begun, Behaviour(failures=0.05, clustered=0.0, broken_from=2), generator)
        rows.append(simulation.rows_until_stopped(traffic, at_step=2))
    assert sum(count is not None and count <= 100 for count in rows) >= 3, rows

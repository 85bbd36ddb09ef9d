"""How often intervals hold the truth: `make coverage-proof`, some minutes.

Customers of uneven size with labels that cling to a customer; two models that see the same latent
with different strength. The truth of every difference is that of a population of 200,000 customers. Each simulation
draws a fresh set of customers and asks whether the nominal 95 % interval of the difference, and of the metric itself,
holds it.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from transformations.models.evaluation.intervals import MODEL, Scored, measured
from transformations.models.evaluation.metrics import CLASSIFICATION
from transformations.models.evaluation.resampling import Clusters

METRICS = CLASSIFICATION[:4]
CUSTOMERS, CONFIDENCE = 400, 0.95
LOWEST, HIGHEST = 0.92, 0.98


def customers(count: int, seed: int) -> Scored:
    """So many customers with 1 to 12 rows each; about a quarter of the labels are true."""
    chance = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(count), chance.integers(1, 13, count))
    rows = len(numbers)
    habit = chance.normal(size=count)[numbers]
    labels = chance.random(rows) < 1 / (1 + np.exp(1.8 - 1.5 * habit - 0.5 * chance.normal(size=rows)))
    predictions = {
        name: 1 / (1 + np.exp(1.8 - strength * habit - noise * chance.normal(size=rows)))
        for name, strength, noise in ((MODEL, 1.4, 0.3), ("rival", 1.0, 0.8))
    }
    return Scored(
        labels=labels,
        predictions=predictions,
        clusters=Clusters(numbers, count),
        moments=np.zeros(rows, dtype=np.int64),
        segments={},
    )


def main() -> int:
    """Print a table of coverages; 1 where one is outside the allowed range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=500, metavar="N")
    parser.add_argument("--draws", type=int, default=1_000, metavar="N")
    given = parser.parse_args()
    truth = measured(customers(200_000, seed=1), METRICS, draws=1)
    held = dict.fromkeys([(metric, what) for metric in METRICS for what in ("difference", "metric")], 0)
    positives = []
    for simulation in range(given.simulations):
        found = measured(customers(CUSTOMERS, seed=1_000 + simulation), METRICS, draws=given.draws, seed=simulation)
        positives.append(found.positives)
        for metric in METRICS:
            for what, true, figure in (
                ("difference", truth.gain("rival", metric).value, found.gain("rival", metric)),
                ("metric", truth.figure(MODEL, metric).value, found.figure(MODEL, metric)),
            ):
                interval = figure.interval(CONFIDENCE)
                held[metric, what] += interval is not None and interval.low <= true <= interval.high
    print(f"{given.simulations} simulations, {min(positives)} to {max(positives)} entities with a true label")
    coverages = {key: count / given.simulations for key, count in held.items()}
    for (metric, what), coverage in coverages.items():
        print(f"{metric:<20}{what:<12}{coverage:.1%}{'' if LOWEST <= coverage <= HIGHEST else '   OUTSIDE'}")
    return int(any(not LOWEST <= coverage <= HIGHEST for coverage in coverages.values()))


if __name__ == "__main__":
    sys.exit(main())

"""Choosing the threshold of a decision on the validation split, and what deciding by it is worth."""

from __future__ import annotations

import numpy as np

from transformations.engine.base.errors import DataError
from transformations.models.declaration.config import Costs, DecisionRule
from transformations.models.fitting.split import Split
from transformations.models.records.artifact import Decision, DecisionValue
from transformations.models.trainers.interface import Floats

_DAY = 86_400 * 10**6
_DRAWS = 1_000


def choose(rule: DecisionRule, scores: Floats, split: Split, seed: int) -> tuple[Decision, DecisionValue | None]:
    """The decision that a rule asks for, on the rows of a split and their scores; its value, given costs."""
    if rule.threshold is not None:
        return Decision(threshold=rule.threshold, chosen_by="threshold"), None
    if rule.costs is not None:
        threshold = _where_it_pays(rule.costs, scores, split.labels)
        worth = _worth(rule.costs, scores >= threshold, split.labels)
        return Decision(threshold=threshold, chosen_by="costs"), _value(rule.costs.unit, worth, split, seed)
    if rule.top_k_a_day is None:
        raise DataError("a decision needs a threshold, costs or top_k_a_day.")
    days = len(np.unique(split.moments // _DAY))
    wanted = min(rule.top_k_a_day * days, len(scores))
    return Decision(threshold=float(np.sort(scores)[-wanted]), chosen_by="top_k"), None


def _where_it_pays(costs: Costs, scores: Floats, labels: Floats) -> float:
    """The threshold of the highest total value; of equal ones the highest. Just above all scores: never act."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], labels[order]
    acting = np.where(hits == 1, costs.true_positive, costs.false_positive)
    waiting = np.where(hits == 1, costs.false_negative, costs.true_negative)
    gains = np.cumsum(acting - waiting)
    last_of_its_score = np.append(ranked[1:] != ranked[:-1], True)
    gains = np.where(last_of_its_score, gains, -np.inf)
    best = int(np.argmax(gains))
    return float(ranked[best]) if gains[best] > 0 else float(np.nextafter(ranked[0], np.inf))


def _worth(costs: Costs, acts: np.ndarray[tuple[int], np.dtype[np.bool_]], labels: Floats) -> Floats:
    acting = np.where(labels == 1, costs.true_positive, costs.false_positive)
    return np.where(acts, acting, np.where(labels == 1, costs.false_negative, costs.true_negative))


def _value(unit: str, worth: Floats, split: Split, seed: int) -> DecisionValue:
    """The mean with its interval, by resampling entities whole."""
    _, places = np.unique(split.entities, return_inverse=True)
    sums, counts = np.bincount(places, weights=worth), np.bincount(places)
    generator = np.random.default_rng(seed)
    means = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        drawn = np.bincount(generator.integers(0, len(sums), len(sums)), minlength=len(sums))
        means[draw] = (drawn * sums).sum() / (drawn * counts).sum()
    low, high = np.quantile(means, (0.025, 0.975))
    return DecisionValue(unit=unit, expected=float(worth.mean()), low=float(low), high=float(high))

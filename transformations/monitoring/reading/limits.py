"""The limits of a version's days: of every question, for growing numbers of rows, from draws of its reference."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from transformations.models.records.reference import Histogram
from transformations.monitoring.reading.config import Monitoring
from transformations.monitoring.reading.records import Limits, Question
from transformations.monitoring.statistics.draws import Blocks, limits

_LARGEST_DRAW = 3_200


def drawn_limits(
    blocks: Blocks, question: Question, excepted: Collection[str], rate: float, config: Monitoring
) -> tuple[Limits, ...]:
    """What the effects of a question pass in this share of the draws; nothing where the reference cannot answer it.

    excepted: features of which the question is not asked.
    """
    features, least = blocks.layout.features, config.least_effects
    kept = [name for name in features if name not in excepted]
    taken = np.array([name in kept for name in features], dtype=np.bool_)
    of_values = {name: least.psi if isinstance(features[name], Histogram) else least.jensen_shannon for name in kept}
    of_all = np.array([*of_values.values(), *[least.nulls] * len(kept), *[least.unseen] * len(kept)])
    weeks = len(np.unique(blocks.blocks // blocks.period))
    found = []
    for wide, sizes in blocks.wide_enough(_sizes(config.least_rows)):
        draw = wide.against_earlier if question == "earlier" else wide.against_reference
        drawn = draw(sizes, draws=config.draws, seed=config.seed)
        if drawn is None or not kept:
            return ()
        for rows, effects in zip(sizes, drawn, strict=True):
            parts = [effects.values, np.abs(effects.nulls), np.abs(effects.unseen)]
            together = limits(np.concatenate([each[:, taken] for each in parts], axis=1), rate, of_all, weeks)
            values, nulls, unseen = (dict(zip(kept, each.tolist(), strict=True)) for each in np.split(together, 3))
            found.append(
                Limits(
                    rows=rows,
                    values={name: max(each, of_values[name]) for name, each in values.items()},
                    nulls={name: max(each, least.nulls) for name, each in nulls.items()},
                    unseen={name: max(each, least.unseen) for name, each in unseen.items()},
                )
            )
    return tuple(found)


def _sizes(least: int) -> list[int]:
    """Numbers of rows, each twice the one before."""
    found = [least]
    while found[-1] < _LARGEST_DRAW:
        found.append(found[-1] * 2)
    return found

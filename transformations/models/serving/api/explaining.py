"""Why a score is what it is: what each input adds to the model's margin, most of them by name, all of them in sum.

It takes many times what a score takes, so a thread of its own does it, one request after the other, while the event
loop goes on answering.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from transformations.models.scoring.contributions import contributions_of
from transformations.models.serving.answering import Answer, Part
from transformations.models.serving.predicting import Scored
from transformations.models.serving.refusals import BusyError

_MOST = 10

Explanations: TypeAlias = list[dict[str, Any]]
"""One a row, in the order of the request."""


class Explaining:
    """Explains answers for one event loop. seconds: that an explanation may take, those before it included."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explains")

    async def explain(self, answer: Answer) -> Explanations:
        """Each row's explanation: `base` plus all `contributions` plus `rest` is the margin, before calibration.

        contributions: the ten that add most, in either direction, largest first. UsageError where the model's trainer
        cannot tell, BusyError where it takes too long.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.get_running_loop().run_in_executor(self._thread, _explained, answer.parts)
        except TimeoutError:
            raise BusyError(
                f"not explained within {self._seconds:g} s. Ask for fewer rows at once.", "deadline"
            ) from None


def _explained(parts: Sequence[Part]) -> Explanations:
    found = {
        row: explanation for part in parts for row, explanation in zip(part.rows, _of_rows(part.scored), strict=True)
    }
    return [found[row] for row in range(len(found))]


def _of_rows(scored: Scored) -> Explanations:
    found = contributions_of(scored.served.artifact, scored.inputs)
    rows = []
    for parts, base in zip(found.parts, found.base, strict=True):
        order = sorted(range(len(found.names)), key=lambda place: -abs(parts[place]))
        rows.append(
            {
                "base": float(base),
                "contributions": {found.names[place]: float(parts[place]) for place in order[:_MOST]},
                "rest": float(sum(parts[place] for place in order[_MOST:])),
            }
        )
    return rows

"""Why a score is what it is: what each input adds to the model's margin, most of them by name, all of them in sum."""

from __future__ import annotations

from typing import Any

from transformations.models.scoring.contributions import contributions_of
from transformations.models.serving.predicting import Scored

_MOST = 10


def explained(scored: Scored) -> list[dict[str, Any]]:
    """Each row's explanation: `base` plus all `contributions` plus `rest` is the margin, before calibration.

    contributions: the ten that add most, in either direction, largest first. UsageError where the model's trainer
    cannot tell.
    """
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

"""What servers saw of a step, where the one that decides reads it: counters by server, observations by unit.

Counters are whole sums of a server, written again at every flush; an observation is written once a unit, by whoever was
first. So a flush that is repeated, or of which nobody knows whether it came through, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, select

from transformations.models.rollout.tables import COUNTERS, OBSERVATIONS, RolloutTables, insert_new, is_of, put

DIFFERENCE, FAILURE, LATENCY = "difference", "failure", "latency"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One observation. unit: the hash of a unit, or of latency a process and minute. value: the difference of the two
    scores without its sign, or how many times as long as the other the version took; 1 of a failure.
    """

    kind: str
    unit: str
    value: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Rows that one server has seen in one step. clean: both versions scored them. failed: the candidate alone did not.
    shed: the second score was left out, because there was too much to do.
    """

    clean: int = 0
    failed: int = 0
    shed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """All that is known of a step. differences: one a unit, in the order they came. failures: units that failed.

    ratios: of latency, one a process and minute.
    """

    counters: Counters
    differences: NDArray[np.float64]
    failures: int
    ratios: NDArray[np.float64]

    @property
    def rows(self) -> int:
        """The rows that both versions were to score, and did or failed to."""
        return self.counters.clean + self.counters.failed


class Board:
    """Where servers write what they saw, and the one that decides reads it."""

    def __init__(self, tables: RolloutTables) -> None:
        self._tables = tables

    def write(
        self, model: str, step: int, server: str, counters: Counters, observations: Sequence[Observation], micros: int
    ) -> None:
        """Write a server's counters and new observations of a step. micros: now, since the epoch."""
        base = {**self._tables.of_model(model), "step": step}
        rows = [
            {**base, "kind": each.kind, "unit": each.unit, "value": each.value, "seen_at": micros, "place": place}
            for place, each in enumerate(observations)
        ]
        sums = {"clean": counters.clean, "failed": counters.failed, "shed": counters.shed}
        with self._tables.engine.begin() as connection:
            insert_new(connection, OBSERVATIONS, rows)
            put(connection, COUNTERS, {**base, "server": server, **sums})

    def seen(self, model: str, step: int) -> Seen:
        """What all servers together have seen of a step."""
        base = {**self._tables.of_model(model), "step": step}
        sums = select(*(func.coalesce(func.sum(COUNTERS.c[name]), 0) for name in ("clean", "failed", "shed")))
        values = select(OBSERVATIONS.c.kind, OBSERVATIONS.c.value).where(is_of(OBSERVATIONS, base))
        order = (OBSERVATIONS.c.seen_at, OBSERVATIONS.c.place, OBSERVATIONS.c.unit)
        with self._tables.engine.connect() as connection:
            clean, failed, shed = connection.execute(sums.where(is_of(COUNTERS, base))).one()
            found: dict[str, list[float]] = {DIFFERENCE: [], FAILURE: [], LATENCY: []}
            for kind, value in connection.execute(values.order_by(*order)):
                found[kind].append(value)
        return Seen(
            counters=Counters(clean=int(clean), failed=int(failed), shed=int(shed)),
            differences=np.asarray(found[DIFFERENCE], dtype=np.float64),
            failures=len(found[FAILURE]),
            ratios=np.asarray(found[LATENCY], dtype=np.float64),
        )

    def forget(self, model: str, before: int) -> None:
        """Remove what was seen of steps that began with an earlier event."""
        base = self._tables.of_model(model)
        with self._tables.engine.begin() as connection:
            for table in (OBSERVATIONS, COUNTERS):
                connection.execute(delete(table).where(is_of(table, base), table.c.step < before))

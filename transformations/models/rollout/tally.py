"""What one server sees of one step, kept in memory until it is flushed to the board."""

from __future__ import annotations

import hashlib
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from transformations.models.rollout.board import DIFFERENCE, FAILURE, LATENCY, Board, Counters, Observation

_MOST_UNITS = 100_000
"""Units a server and step whose first difference is kept: far more than a verdict needs."""
_LEAST_CALLS = 10
"""Calls a minute of which a median is taken."""
_SECONDS_A_MINUTE = 60
_NO_UNIT = "none"


@dataclass
class _Minute:
    candidate: list[float] = field(default_factory=list)
    other: list[float] = field(default_factory=list)


class Tally:
    """Collects, for any thread, what both versions made of the same rows. server: a name that no other process has."""

    def __init__(self, model: str, step: int, salt: str, server: str) -> None:
        self.model = model
        self.step = step
        self._salt = salt
        self._server = server
        self._lock = threading.Lock()
        self._clean = self._failed = self._shed = 0
        self._known: dict[str, set[str]] = {DIFFERENCE: set(), FAILURE: set()}
        self._new: list[Observation] = []
        self._minutes: dict[int, _Minute] = {}
        self._is_changed = False

    def scored(self, units: Sequence[str | None], candidate: Sequence[float], other: Sequence[float]) -> None:
        """Both versions have scored these rows. A unit's first difference counts; a row without a unit has none."""
        with self._lock:
            self._clean += len(units)
            self._is_changed = True
            for unit, one, two in zip(units, candidate, other, strict=True):
                if unit is not None:
                    self._observe(DIFFERENCE, unit, abs(float(one) - float(two)))

    def failed(self, units: Sequence[str | None]) -> None:
        """The candidate has not scored these rows, or not in time, and the other version has.

        A unit fails once: what is wrong with a unit's data would otherwise count as often as it comes. So do all rows
        without a unit together.
        """
        with self._lock:
            self._failed += len(units)
            self._is_changed = True
            for unit in units:
                self._observe(FAILURE, unit if unit is not None else _NO_UNIT, 1.0)

    def shed(self, rows: int) -> None:
        """So many rows were not scored a second time, because there was too much to do."""
        with self._lock:
            self._shed += rows
            self._is_changed = True

    def took(self, candidate: float, other: float, monotonic: float) -> None:
        """How many seconds the versions took for the same rows, at a moment of the monotonic clock."""
        with self._lock:
            minute = self._minutes.setdefault(int(monotonic // _SECONDS_A_MINUTE), _Minute())
            minute.candidate.append(candidate)
            minute.other.append(other)

    def flush(self, board: Board, micros: int, monotonic: float) -> None:
        """Write what is new to the board. What cannot be written stays for the next time."""
        with self._lock:
            self._close_minutes(int(monotonic // _SECONDS_A_MINUTE))
            if not self._is_changed and not self._new:
                return
            new, counters = list(self._new), Counters(clean=self._clean, failed=self._failed, shed=self._shed)
            self._is_changed = False
        try:
            board.write(self.model, self.step, self._server, counters, new, micros)
        except BaseException:
            with self._lock:
                self._is_changed = True
            raise
        with self._lock:
            del self._new[: len(new)]

    def _observe(self, kind: str, unit: str, value: float) -> None:
        hashed = hashlib.sha256(f"{self._salt}:{unit}".encode()).hexdigest()[:32]
        known = self._known[kind]
        if hashed not in known and len(known) < _MOST_UNITS:
            known.add(hashed)
            self._new.append(Observation(kind=kind, unit=hashed, value=value))

    def _close_minutes(self, present: int) -> None:
        for number in [number for number in self._minutes if number < present]:
            minute = self._minutes.pop(number)
            other = statistics.median(minute.other)
            if len(minute.other) >= _LEAST_CALLS and other > 0:
                name = hashlib.sha256(f"{self._server}:{number}".encode()).hexdigest()[:32]
                ratio = statistics.median(minute.candidate) / other
                self._new.append(Observation(kind=LATENCY, unit=name, value=ratio))

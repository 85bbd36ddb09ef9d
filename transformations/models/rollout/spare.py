"""How much of an event loop's time is left for work that nobody waits for.

A loop whose requests keep it busy has next to none: a second score would make all of them wait. What they take is seen
a tenth of a second at a time, from how long the loop's thread ran or waited for a processor, without what was spent
here. Other work gets what they leave of 70 %, and always 1 %, so that a rollout goes on:

requests take   20 %   45 %   65 %   70 % and more
left            50 %   25 %    5 %    1 %
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from types import coroutine
from typing import Any, TypeVar

_MOST, _LEAST = 0.7, 0.01
"""Of a loop's time. Above the one, requests wait for each other more and more."""
_WINDOW = 0.1
_NANOSECONDS = 1e-9

T = TypeVar("T")


def busy_seconds() -> float:
    """For how long the calling thread has run, or waited for a processor, which Linux alone knows."""
    try:
        ran, waited, *_ = Path("/proc/thread-self/schedstat").read_text().split()
    except (OSError, ValueError):
        return time.thread_time()
    return (int(ran) + int(waited)) * _NANOSECONDS


class Spare:
    """One event loop's time to spare; for its thread alone.

    busy, ran: seconds for which this thread was busy, and has run, ever more.
    """

    def __init__(
        self,
        busy: Callable[[], float] = busy_seconds,
        ran: Callable[[], float] = time.thread_time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._busy, self._ran, self._clock = busy, ran, clock
        self._looked: tuple[float, float] | None = None
        self._spent = 0.0
        self._left = _MOST * _WINDOW

    def is_there(self) -> bool:
        """Whether there is time to spare now. It costs next to nothing."""
        moment = self._clock()
        if self._looked is None or moment - self._looked[0] >= _WINDOW:
            self._look(moment)
        return self._left > 0

    async def spend(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work, and count for how long its steps run."""
        return await self._counted(work)

    @coroutine
    def _counted(self, work: Coroutine[Any, Any, T]) -> Generator[Any, None, T]:
        error: BaseException | None = None
        while True:
            before = self._ran()
            try:
                waits_for = work.send(None) if error is None else work.throw(error)
            except StopIteration as end:
                found: T = end.value
                return found
            finally:
                taken = self._ran() - before
                self._spent += taken
                self._left -= taken
            error = None
            try:
                yield waits_for
            except BaseException as raised:  # a cancellation, say, which is the work's to handle
                error = raised

    def _look(self, moment: float) -> None:
        busy = self._busy()
        if self._looked is not None:
            before, busy_before = self._looked
            seconds = moment - before
            requests = busy - busy_before - self._spent
            left = max(_LEAST * seconds, _MOST * seconds - max(requests, 0.0))
            self._left = min(min(self._left, 0.0) + left, _MOST * _WINDOW)  # what was overdrawn is paid back
        self._looked, self._spent = (moment, busy), 0.0

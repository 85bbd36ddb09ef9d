"""Answers by the id that a client gave: a request that is sent again gets what it got, by the same version, once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from transformations.models.serving.refusals import ReusedIdError

_MOST, _MOST_ROWS = 10_000, 50_000
REMEMBERED_SECONDS = 300.0

T = TypeVar("T")


@dataclass(frozen=True)
class _Known(Generic[T]):
    columns: Mapping[str, Sequence[Any]]
    answer: asyncio.Task[T]
    since: float

    @property
    def rows(self) -> int:
        return max((len(values) for values in self.columns.values()), default=0)


class Memory(Generic[T]):
    """The last answers of one event loop, for five minutes. More than ten thousand push the oldest out, and so do more
    than fifty thousand rows of them, which take some hundred megabytes.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], _Known[T]] = OrderedDict()
        self._rows = 0

    def forget(self, named: tuple[str, str]) -> None:
        """Answer anew the next time."""
        if (known := self._known.pop(named, None)) is not None:
            self._rows -= known.rows

    async def answer(
        self, named: tuple[str, str], columns: Mapping[str, Sequence[Any]], make: Callable[[], Awaitable[T]]
    ) -> T:
        """What was answered under a model's name and an id, or what `make` gives, which is then remembered.

        A request that comes while the first is answered waits for it. An error is not remembered. ReusedIdError where
        the id came with other rows.
        """
        self._forget_old()
        known = self._known.get(named)
        if known is None:

            async def work() -> T:
                return await make()

            known = self._known[named] = _Known(columns, asyncio.create_task(work()), time.monotonic())
            self._rows += known.rows
        elif known.columns != columns:
            raise ReusedIdError.of(named[1])
        try:
            return await asyncio.shield(known.answer)
        except BaseException:
            if known.answer.done() and (known.answer.cancelled() or known.answer.exception() is not None):
                self.forget(named)
            raise

    def _forget_old(self) -> None:
        oldest = time.monotonic() - REMEMBERED_SECONDS
        while self._known:
            named, known = next(iter(self._known.items()))
            if len(self._known) < _MOST and self._rows < _MOST_ROWS and known.since >= oldest:
                return
            self.forget(named)

"""Requests that wait at the same moment are read and scored together: one round trip, one call of the model.

A request that is alone is read at once. While a read is on its way, those that come meanwhile wait for each other, and
go together when it is back, or after two milliseconds, whatever comes first. A row's score does not depend on who else
is in the batch; where a batch fails, each of its requests is scored by itself, so that the fault of one is its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from transformations.models.serving.features import Features
from transformations.models.serving.loading import Served
from transformations.models.serving.predicting import Scored, read_and_score, read_and_score_all
from transformations.models.serving.refusals import BusyError
from transformations.models.serving.requests import Asked
from transformations.stores.redis.channel import ALONE

_LONGEST_WAIT = 0.002
_MOST_ROWS = 256
"""Of one batch, but for a request that has more by itself: a batch answers none before it has scored all."""


@dataclass(frozen=True)
class _Waiting:
    asked: Asked
    moment: datetime
    answer: asyncio.Future[Scored]


@dataclass
class _Queue:
    """What waits for one version. reads: how many are on their way."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    reads: int = 0
    timer: asyncio.TimerHandle | asyncio.Handle | None = None


class Gathering:
    """Reads and scores for one event loop. is_alone: whether the request that asks is the only one in work."""

    def __init__(self, features: Features, is_alone: Callable[[], bool]) -> None:
        self._features, self._is_alone = features, is_alone
        self._queues: dict[Served, _Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def score(self, served: Served, asked: Asked, moment: datetime) -> Scored:
        """The scores of a request's rows. Errors: as `read_and_score`."""
        if self._is_alone():
            before = ALONE.set(True)
            try:
                return await read_and_score(served, asked, moment, self._features)
            finally:
                ALONE.reset(before)
        loop = asyncio.get_running_loop()
        queue = self._queues.get(served)
        if queue is None:
            queue = self._queues[served] = _Queue()
        waiting = _Waiting(asked, moment, loop.create_future())
        queue.waiting.append(waiting)
        if queue.timer is None:
            # With nothing on its way, those whose requests came in the same turn of the loop go together.
            start = self._start
            queue.timer = (
                loop.call_later(_LONGEST_WAIT, start, served, queue)
                if queue.reads
                else loop.call_soon(start, served, queue)
            )
        return await waiting.answer

    def _start(self, served: Served, queue: _Queue) -> None:
        if queue.timer is not None:
            queue.timer.cancel()
            queue.timer = None
        while queue.waiting:
            batch: list[_Waiting] = []
            rows = 0
            while queue.waiting and (not batch or rows + queue.waiting[0].asked.rows <= _MOST_ROWS):
                each = queue.waiting.popleft()
                if not each.answer.done():  # its deadline has not passed
                    batch.append(each)
                    rows += each.asked.rows
            if batch:
                queue.reads += 1
                task = asyncio.get_running_loop().create_task(self._work(served, queue, batch))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if not queue.reads:  # all of them have given up
            self._queues.pop(served, None)

    async def _work(self, served: Served, queue: _Queue, batch: list[_Waiting]) -> None:
        try:
            await self._answer(served, batch)
        finally:
            queue.reads -= 1
            if queue.waiting:
                self._start(served, queue)
            elif not queue.reads:
                self._queues.pop(served, None)

    async def _answer(self, served: Served, batch: list[_Waiting]) -> None:
        requests, moments = [each.asked for each in batch], [each.moment for each in batch]
        try:
            found = await read_and_score_all(served, requests, moments, self._features)
        except BusyError as error:  # features cannot be read, for none of them
            for each in batch:
                _settle(each, error)
        except Exception as error:
            if len(batch) == 1:
                _settle(batch[0], error)
                return
            for each in batch:
                try:
                    _settle(each, await read_and_score(served, each.asked, each.moment, self._features))
                except Exception as own:
                    _settle(each, own)
        else:
            for each, scored in zip(batch, found, strict=True):
                _settle(each, scored)


def _settle(waiting: _Waiting, found: Scored | Exception) -> None:
    if waiting.answer.done():
        return
    if isinstance(found, Exception):
        waiting.answer.set_exception(found)
    else:
        waiting.answer.set_result(found)

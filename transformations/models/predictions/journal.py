"""One event loop's way to the record: requests that are to be recorded in the same turn of the loop share one write.

request ──scored──┐
request ──scored──┼──▶ one write, one force to disk where each is to have one ──▶ each goes on to its answer
request ──scored──┘

Requests that were scored together come here together. Each waits for the write, so that nothing is answered before it
is recorded; a request that is alone in its loop waits for no turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from transformations.models.predictions.recorder import Receipt, Recorder


class Journal:
    """Records for one event loop. is_alone: whether the request that asks is the only one in work."""

    def __init__(self, recorder: Recorder, is_alone: Callable[[], bool]) -> None:
        self._recorder, self._is_alone = recorder, is_alone
        self._waiting: list[tuple[Sequence[bytes], asyncio.Future[Receipt | None]]] = []

    async def record(self, lines: Sequence[bytes]) -> Receipt | None:
        """Write a request's lines. What it gives and raises, and when: as `Recorder.record`.

        A request that is given up while it waits is not recorded, or marked as not answered where it was.
        """
        if self._is_alone():
            return self._recorder.record(lines)
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._write)
        written: asyncio.Future[Receipt | None] = loop.create_future()
        self._waiting.append((lines, written))
        try:
            return await written
        except asyncio.CancelledError:
            if written.done() and not written.cancelled() and written.exception() is None:
                self._recorder.unanswered(written.result())
            raise

    def _write(self) -> None:
        waiting = [(lines, written) for lines, written in self._waiting if not written.done()]
        self._waiting = []
        if not waiting:
            return
        try:
            found = self._recorder.record_all([lines for lines, _ in waiting])
        except Exception as error:
            for _, written in waiting:
                written.set_exception(error)
            return
        for (_, written), receipt in zip(waiting, found, strict=True):
            if isinstance(receipt, Exception):
                written.set_exception(receipt)
            else:
                written.set_result(receipt)

"""The second score of a row, by the version that did not answer it: after the answer, and only when there is time.

production answers ──▶ sent ──▶ queue ──▶ the candidate scores the same rows, at the same moment    (shadow)
candidate answers  ──▶ sent ──▶ queue ──▶ production scores the same rows, at the same moment       (canary)

So versions are compared on the same rows, and requests that were scored together are so a second time: what each took
can be compared. A loop that its requests keep busy scores next to nothing again, so that its queue is full; then the
second score is given up at the door, and what has waited for long as well. It is counted as shed, and no answer waits
for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from transformations.models.predictions.recorder import Recorder, UnrecordedError
from transformations.models.records.predictions import ServedView
from transformations.models.rollout.board import Board
from transformations.models.rollout.routing import Route
from transformations.models.rollout.spare import Spare
from transformations.models.rollout.splitting import units_of
from transformations.models.rollout.tally import Tally
from transformations.models.serving.features import Features
from transformations.models.serving.loading import Served
from transformations.models.serving.predicting import Scored, read_and_score_all
from transformations.models.serving.refusals import BusyError
from transformations.models.serving.requests import Asked

if TYPE_CHECKING:
    from transformations.models.serving.following import Followed

_LOG = logging.getLogger(__name__)
MOST_WAITING, LONGEST_WAIT = 100, 2.0
"""Answers that wait for their second score, and seconds."""
_PAUSE = 0.001
_LONG_PAUSE = 0.02
"""Until a loop is looked at again that had no time to spare."""


@dataclass(eq=False, kw_only=True, slots=True)
class Pair:
    """Rows that one version has answered and another is to score. ids: of their predictions."""

    route: Route
    first: Scored
    other: Served
    ids: Sequence[str]
    moment: datetime
    since: float

    @property
    def candidate(self) -> int:
        """The version that is on trial."""
        return self.route.candidate or 0

    @property
    def is_first_the_candidate(self) -> bool:
        """Whether the version on trial has answered, and production scores afterwards."""
        return self.first.served.number == self.candidate

    @property
    def units(self) -> list[str | None]:
        """The unit of each row."""
        return units_of(self.first.asked.columns, self.route.unit, self.first.asked.rows)


class Second:
    """One event loop's second scores. is_idle: whether no request waits. views_of: what a version's views were loaded
    with. server: a name that no other process has. spare: the loop's time.
    """

    def __init__(
        self,
        features: Features,
        recorder: Recorder,
        *,
        server: str,
        seconds: float,
        is_idle: Callable[[], bool],
        views_of: Callable[[Served], Mapping[str, ServedView]],
        spare: Spare | None = None,
    ) -> None:
        self._features, self._recorder, self._server, self._seconds = features, recorder, server, seconds
        self._is_idle, self._views_of, self._spare = is_idle, views_of, spare or Spare()
        self._waiting: deque[Pair] = deque()
        self._has_work = asyncio.Event()
        self._tallies: dict[tuple[str, int], Tally] = {}

    def want(self, model: Followed, route: Route, scored: Scored, ids: Sequence[str], moment: datetime) -> None:
        """Ask for the second score of rows, where their version is one of two that are compared."""
        number = scored.served.number
        other = route.production if number == route.canary else route.shadow if number == route.production else None
        if other is None or other == number or scored.is_degraded:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._tally(scored.served.model, route).shed(scored.asked.rows)
            return
        self._waiting.append(
            Pair(
                route=route,
                first=scored,
                other=model.served[other],
                ids=ids,
                moment=moment,
                since=time.monotonic(),
            )
        )
        self._has_work.set()

    def failed(self, model: str, route: Route, asked: Asked) -> None:
        """Say that the candidate has failed on rows that it was to answer, and production has answered them."""
        self._tally(model, route).failed(units_of(asked.columns, route.unit, asked.rows))

    async def run(self) -> None:
        """Score what waits, those together whose first scores were made together; never returns."""
        while True:
            if not self._waiting:
                self._has_work.clear()
                await self._has_work.wait()
            pair = self._waiting[0]
            tally = self._tally(pair.first.served.model, pair.route)
            if time.monotonic() - pair.since >= LONGEST_WAIT:
                self._waiting.popleft()
                tally.shed(pair.first.asked.rows)
            elif not self._spare.is_there():
                await asyncio.sleep(_LONG_PAUSE)
            elif not self._is_idle():
                await asyncio.sleep(_PAUSE)
            else:
                try:
                    await self._spare.spend(self._score(self._take(pair), tally))
                except Exception:
                    _LOG.exception("model %s: a second score failed", pair.first.served.model)
                await asyncio.sleep(0)

    def flush(self, board: Board, moment: datetime, followed: Mapping[str, int]) -> None:
        """Write what was seen to the board; call it from a thread. followed: by model the event of its route."""
        for (model, event), tally in list(self._tallies.items()):
            tally.flush(board, int(moment.timestamp() * 1_000_000), time.monotonic())
            if followed.get(model, event) != event:
                self._tallies.pop((model, event), None)

    def _take(self, pair: Pair) -> list[Pair]:
        """The pairs whose first scores were made together with this one's."""
        mine, others = list[Pair](), deque[Pair]()
        for each in self._waiting:
            is_mine = each.first.reading is pair.first.reading and each.route == pair.route
            (mine if is_mine else others).append(each)
        self._waiting = others
        return mine

    async def _score(self, pairs: Sequence[Pair], tally: Tally) -> None:
        other = pairs[0].other
        requests, moments = [pair.first.asked for pair in pairs], [pair.moment for pair in pairs]
        try:
            async with asyncio.timeout(self._seconds):
                found = await read_and_score_all(other, requests, moments, self._features)
        except BusyError:  # features could not be read: nobody's fault
            tally.shed(sum(asked.rows for asked in requests))
        except Exception as error:
            if len(pairs) == 1 or isinstance(error, TimeoutError):
                self._gave_none(pairs, tally)
                _LOG.warning("model %s version %s: %s", other.model, other.number, str(error) or type(error).__name__)
                return
            for pair in pairs:  # the fault of one is its own
                await self._score([pair], tally)
        else:
            self._compare(pairs, found, tally)

    def _gave_none(self, pairs: Sequence[Pair], tally: Tally) -> None:
        for pair in pairs:
            if pair.is_first_the_candidate:  # production failed on what the candidate could
                tally.shed(pair.first.asked.rows)
            else:
                tally.failed(pair.units)

    def _compare(self, pairs: Sequence[Pair], found: Sequence[Scored], tally: Tally) -> None:
        lines: list[bytes] = []
        for pair, second in zip(pairs, found, strict=True):
            if second.is_degraded:
                tally.shed(second.asked.rows)
                continue
            candidate, production = (pair.first, second) if pair.is_first_the_candidate else (second, pair.first)
            tally.scored(pair.units, candidate.scores, production.scores)
            if pair.first.together == second.together:  # what a request takes depends on how many share a call
                tally.took(candidate.seconds, production.seconds, time.monotonic())
            lines += second.lines(
                pair.ids,
                moment=pair.moment,
                role="shadow",
                event=pair.route.event,
                views=self._views_of(pair.other),
                seconds=second.seconds,
            )
        if lines:
            with suppress(UnrecordedError):  # which is counted, and makes the server unready
                self._recorder.answered(self._recorder.record(lines))

    def _tally(self, model: str, route: Route) -> Tally:
        key = (model, route.event)
        if key not in self._tallies:
            self._tallies[key] = Tally(model, route.event, route.salt, self._server)
        return self._tallies[key]

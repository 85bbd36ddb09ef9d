"""The second score of a row, by the version that did not answer it: after the answer, and only when there is time.

production answers ──▶ sent ──▶ queue ──▶ the candidate scores the same rows, at the same moment    (shadow)
candidate answers  ──▶ sent ──▶ queue ──▶ production scores the same rows, at the same moment       (canary)

So versions are compared on the same rows. A full queue and a long wait give the second score up first: it
is counted as shed, and no answer waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from transformations.engine.base.errors import FeaturesError
from transformations.models.predictions.recorder import Recorder
from transformations.models.records.predictions import ServedView
from transformations.models.rollout.board import Board
from transformations.models.rollout.routing import Route
from transformations.models.rollout.splitting import units_of
from transformations.models.rollout.tally import Tally
from transformations.models.serving.features import Features
from transformations.models.serving.loading import Served
from transformations.models.serving.predicting import Scored, read_and_score
from transformations.models.serving.refusals import BusyError
from transformations.models.serving.requests import Asked

if TYPE_CHECKING:
    from transformations.models.serving.following import Followed

_LOG = logging.getLogger(__name__)
_MOST_WAITING = 100
_LONGEST_WAIT = 2.0
_PAUSE = 0.001


@dataclass(frozen=True, kw_only=True)
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


class Second:
    """One event loop's second scores. is_idle: whether no request waits. views_of: what a version's views were loaded
    with. server: a name that no other process has.
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
    ) -> None:
        self._features, self._recorder, self._server, self._seconds = features, recorder, server, seconds
        self._is_idle, self._views_of = is_idle, views_of
        self._waiting: deque[Pair] = deque()
        self._has_work = asyncio.Event()
        self._tallies: dict[tuple[str, int], Tally] = {}

    def want(self, model: Followed, route: Route, scored: Scored, ids: Sequence[str], moment: datetime) -> None:
        """Ask for the second score of rows, where their version is one of two that are compared."""
        number = scored.served.number
        other = route.production if number == route.canary else route.shadow if number == route.production else None
        if other is None or other == number or scored.is_degraded:
            return
        if len(self._waiting) >= _MOST_WAITING:
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
        """Score what waits, one request after the other; never returns."""
        while True:
            if not self._waiting:
                self._has_work.clear()
                await self._has_work.wait()
            pair = self._waiting[0]
            while not self._is_idle() and time.monotonic() - pair.since < _LONGEST_WAIT:
                await asyncio.sleep(_PAUSE)
            self._waiting.popleft()
            tally = self._tally(pair.first.served.model, pair.route)
            if time.monotonic() - pair.since >= _LONGEST_WAIT:
                tally.shed(pair.first.asked.rows)
                continue
            try:
                await self._score(pair, tally)
            except Exception:
                _LOG.exception("model %s: a second score failed", pair.first.served.model)
            await asyncio.sleep(0)

    def flush(self, board: Board, moment: datetime, followed: Mapping[str, int]) -> None:
        """Write what was seen to the board; call it from a thread. followed: by model the event of its route."""
        for (model, event), tally in list(self._tallies.items()):
            tally.flush(board, int(moment.timestamp() * 1_000_000), time.monotonic())
            if followed.get(model, event) != event:
                self._tallies.pop((model, event), None)

    async def _score(self, pair: Pair, tally: Tally) -> None:
        asked, is_first = pair.first.asked, pair.first.served.number == pair.candidate
        units = units_of(asked.columns, pair.route.unit, asked.rows)
        try:
            async with asyncio.timeout(self._seconds):
                second = await read_and_score(pair.other, asked, pair.moment, self._features)
        except BusyError:  # features could not be read: nobody's fault
            tally.shed(asked.rows)
            return
        except (FeaturesError, TimeoutError, ArithmeticError, ValueError) as error:
            if is_first:  # production failed on what the candidate could
                tally.shed(asked.rows)
            else:
                tally.failed(units)
            _LOG.warning("model %s version %s: %s", pair.other.model, pair.other.number, error)
            return
        if second.is_degraded:
            tally.shed(asked.rows)
            return
        candidate, production = (pair.first, second) if is_first else (second, pair.first)
        tally.scored(units, candidate.scores, production.scores)
        tally.took(candidate.seconds, production.seconds, time.monotonic())
        lines = second.lines(
            pair.ids,
            moment=pair.moment,
            role="shadow",
            event=pair.route.event,
            views=self._views_of(pair.other),
            seconds=second.seconds,
        )
        self._recorder.answered(self._recorder.record(lines))

    def _tally(self, model: str, route: Route) -> Tally:
        key = (model, route.event)
        if key not in self._tallies:
            self._tallies[key] = Tally(model, route.event, route.salt, self._server)
        return self._tallies[key]

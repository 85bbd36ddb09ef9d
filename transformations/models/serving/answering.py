"""Answering a request for predictions: routed row by row, scored, recorded, and only then told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from transformations.engine.base.settings import Settings
from transformations.engine.base.words import show_reason
from transformations.models.predictions.journal import Journal
from transformations.models.predictions.recorder import Receipt, Recorder
from transformations.models.records.base import Role
from transformations.models.records.predictions import ServedView, request_id
from transformations.models.rollout.presence import server_name
from transformations.models.rollout.routing import Route
from transformations.models.rollout.splitting import split
from transformations.models.serving.features import Features
from transformations.models.serving.following import Followed, Follower
from transformations.models.serving.gathering import Gathering
from transformations.models.serving.loading import Served
from transformations.models.serving.metrics import Metrics
from transformations.models.serving.predicting import Scored
from transformations.models.serving.refusals import BusyError, UnknownModelError
from transformations.models.serving.remembering import Memory
from transformations.models.serving.repeating import answered_before
from transformations.models.serving.requests import Asked
from transformations.models.serving.second import Second

_LOG = logging.getLogger(__name__)

T = TypeVar("T")
NOT_LOADED = ServedView(table_version=None, loaded_through=None)


@dataclass(kw_only=True, slots=True)
class Part:
    """The rows of a request that one version has answered. rows: their places in the request. holdout: which of them
    nobody is to act on; None for none.
    """

    role: Role
    rows: Sequence[int]
    scored: Scored
    holdout: Sequence[bool] | None


@dataclass(kw_only=True, slots=True)
class Answer:
    """A request's predictions. ids: one a row. event: that routed it; None where the request named a version.
    receipt: of its record; None where it has none. remembered: under what it may be asked for again.
    """

    id: str
    ids: Sequence[str]
    event: int | None
    parts: Sequence[Part]
    moment: datetime
    receipt: Receipt | None = None
    remembered: tuple[str, str] | None = None

    @property
    def route(self) -> str:
        """By whom it was answered, in a word: a role, or `mixed`."""
        return self.parts[0].role if len(self.parts) == 1 else "mixed"

    @property
    def is_degraded(self) -> bool:
        """Whether a row was answered without features."""
        return any(part.scored.is_degraded for part in self.parts)


class Answering:
    """Answers by what a follower has loaded. views: what of each view the online store was loaded with. inside: how
    many requests are being worked on.
    """

    def __init__(self, follower: Follower, features: Features, recorder: Recorder, settings: Settings) -> None:
        self.follower, self.recorder, self.settings = follower, recorder, settings
        self.metrics = Metrics()
        self.views: Mapping[str, ServedView] = {}
        self.inside = 0
        self.name = server_name()
        self.second = Second(
            features,
            recorder,
            server=self.name,
            seconds=settings.predict_deadline_ms / 1000,
            is_idle=lambda: not self.inside,
            views_of=self.views_of,
        )
        self._gathering = Gathering(features, self._is_alone)
        self._journal = Journal(recorder, self._is_alone)
        self._views: tuple[Mapping[str, ServedView], dict[Served, dict[str, ServedView]]] = ({}, {})
        self._memory: Memory[Answer] = Memory()
        # A thread of its own: a disk that hangs keeps neither the log nor health waiting, which share the loop's.
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="looks for what was answered")

    def _is_alone(self) -> bool:
        return self.inside <= 1

    def views_of(self, served: Served) -> dict[str, ServedView]:
        """What the views that a version reads were loaded with."""
        views, known = self._views
        if views is not self.views:
            views, known = self._views = self.views, {}
        if served not in known:
            known[served] = {name: views.get(name, NOT_LOADED) for name in served.views}
        return known[served]

    def model(self, name: str) -> Followed:
        """A model that can answer. UnknownModelError for one that is not served here, BusyError until it is loaded."""
        found = self.follower.models.get(name)
        if found is not None:
            return found
        if name not in self.follower.names:
            raise UnknownModelError(f"this server has no model {name!r:.100}. It has {', '.join(self.follower.names)}.")
        raise BusyError(f"model {name} is not ready: {self.follower.reason(name)}", "not_ready")

    async def answer(self, model: Followed, asked: Asked, version: int | None = None) -> Answer:
        """Predictions for the rows of a request, recorded. version: that answers, by itself; by default the route's.

        BusyError where the deadline passes before that, ReusedIdError where its id came with other rows before.
        """
        if asked.id is None:
            return await self._made(model, asked, version, None)
        named = (model.name if version is None else f"{model.name}/{version}", asked.id)
        return await self._memory.answer(named, asked.columns, lambda: self._made(model, asked, version, named))

    def was_sent(self, model: Followed, answer: Answer, *, is_sent: bool) -> None:
        """Say what became of an answer. One that was not sent is marked so, and made anew if it is asked for again."""
        if is_sent:
            self.recorder.answered(answer.receipt)
        else:
            self.recorder.unanswered(answer.receipt)
            if answer.remembered is not None:
                self._memory.forget(answer.remembered)
        if answer.event is None:
            return
        route = model.route(answer.moment)
        if route.candidate is not None and route.event == answer.event:
            for part in answer.parts:
                self.second.want(model, route, part.scored, [answer.ids[row] for row in part.rows], answer.moment)

    async def _made(
        self, model: Followed, asked: Asked, version: int | None, remembered: tuple[str, str] | None
    ) -> Answer:
        began, moment = time.monotonic(), self.follower.clock()
        route = model.route(moment)
        before = None
        if asked.is_again and version is None and remembered is not None:
            look = partial(answered_before, model, asked, route, self.settings)
            before = await self._in_time(asyncio.get_running_loop().run_in_executor(self._looking, look))
        shares = before.shares if before else _shares(route, asked) if version is None else {version: range(asked.rows)}
        work = [self._part(model, route, number, rows, asked, moment) for number, rows in shares.items()]
        if len(work) == 1:
            parts = [await self._in_time(work[0])]
        else:
            parts = await self._in_time(asyncio.gather(*work))
        if before:
            parts = [replace(part, role=before.roles.get(part.scored.served.number, part.role)) for part in parts]
        named = asked.id or request_id(moment)
        ids = [f"{named}-{row}" for row in range(asked.rows)]
        event = None if version is not None else before.event if before else route.event
        receipt = await self._record(parts, ids, moment=moment, event=event, seconds=time.monotonic() - began)
        answer = Answer(
            id=named, ids=ids, event=event, parts=parts, moment=moment, receipt=receipt, remembered=remembered
        )
        self._count(model, answer)
        return answer

    async def _part(
        self, model: Followed, route: Route, number: int, rows: Sequence[int], asked: Asked, moment: datetime
    ) -> Part:
        """The rows that a version answers; where a candidate fails on them, production does."""
        mine = _taken(asked, rows)
        try:
            scored = await self._gathering.score(model.served[number], mine, moment)
        except BusyError:
            raise
        except Exception as error:
            if number != route.canary or route.production is None:
                raise
            _LOG.warning("model %s version %s failed on %s rows: %s", model.name, number, mine.rows, show_reason(error))
            self.second.failed(model.name, route, mine)
            number = route.production
            scored = await self._gathering.score(model.served[number], mine, moment)
        return Part(role=role_of(number, route), rows=rows, scored=scored, holdout=_held_out(model, route, mine))

    async def _in_time(self, work: Awaitable[T]) -> T:
        milliseconds = self.settings.predict_deadline_ms
        try:
            async with asyncio.timeout(milliseconds / 1000):
                return await work
        except TimeoutError:
            raise BusyError(
                f"no scores within {milliseconds} ms (FEATURES_PREDICT_DEADLINE_MS). Nothing was recorded; try again.",
                "deadline",
            ) from None

    async def _record(
        self, parts: Sequence[Part], ids: Sequence[str], *, moment: datetime, event: int | None, seconds: float
    ) -> Receipt | None:
        lines: list[bytes] = []
        for part in parts:
            lines += part.scored.lines(
                [ids[row] for row in part.rows],
                moment=moment,
                role=part.role,
                event=event,
                views=self.views_of(part.scored.served),
                seconds=seconds,
                holdout=part.holdout,
            )
        return await self._journal.record(lines)

    def _count(self, model: Followed, answer: Answer) -> None:
        for part in answer.parts:
            self.metrics.predictions_of(model.name, part.scored.served.number, part.role).inc(len(part.rows))
            if part.scored.is_degraded:
                self.metrics.degraded.labels(model.name).inc(len(part.rows))
            if answer.receipt is None:
                self.metrics.unrecorded.labels(model.name).inc(len(part.rows))


def role_of(number: int, route: Route) -> Role:
    """The role in which a version answers."""
    if number == route.production:
        return "production"
    return "canary" if number == route.canary else "shadow"


def _held_out(model: Followed, route: Route, asked: Asked) -> list[bool] | None:
    """Which rows nobody is to act on, as production's version says; whichever answers."""
    production = model.served.get(route.production or 0)
    if production is None or not production.holdout.percent:
        return None
    return [bool(each) for each in production.holdout.rows(asked.columns, asked.rows)]


def _shares(route: Route, asked: Asked) -> dict[int, Sequence[int]]:
    """The rows that each version answers."""
    if route.canary is None:
        return {route.production or 0: range(asked.rows)}
    return {number: rows.tolist() for number, rows in split(route, asked.columns, asked.rows).parts.items()}


def _taken(asked: Asked, rows: Sequence[int]) -> Asked:
    if len(rows) == asked.rows:
        return asked
    columns = {name: [values[row] for row in rows] for name, values in asked.columns.items()}
    return Asked(id=asked.id, rows=len(rows), columns=columns)

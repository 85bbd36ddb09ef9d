"""Sending an answer whose predictions are recorded: the record is told whether it was sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import Response
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from transformations.models.serving.answering import Answer, Answering
from transformations.models.serving.following import Followed

_JSON = (b"content-type", b"application/json")


class RecordedResponse(Response):
    """An answer in JSON, as `show` makes it. Where it cannot be made or sent, its records are marked as unanswered."""

    def __init__(
        self,
        answering: Answering,
        model: Followed,
        answer: Answer,
        show: Callable[[], Any],
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._answering, self._model, self._answer = answering, model, answer
        try:
            self.body = to_json(show())
        except BaseException:
            answering.was_sent(model, answer, is_sent=False)
            raise
        self.status_code, self.background = 200, None
        # What the framework makes of texts at each answer, made by hand.
        self.raw_headers = [*headers, (b"content-length", b"%d" % len(self.body)), _JSON]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        is_sent = False
        try:
            await super().__call__(scope, receive, send)
            is_sent = True
        finally:
            self._answering.was_sent(self._model, self._answer, is_sent=is_sent)

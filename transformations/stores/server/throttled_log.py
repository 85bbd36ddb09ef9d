"""Saying in the log once a second what happens a thousand times a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from transformations.engine.base.words import plural

_SECONDS = 1.0
_MOST_TEXTS = 1_000


class ThrottledLog:
    """Logs an error that was logged within the last second not again, and says with the next how many there were."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._said: dict[str, tuple[float, int]] = {}

    def error(self, text: str) -> None:
        """Log it, or count it."""
        moment = self._clock()
        last, unsaid = self._said.get(text, (moment - _SECONDS, 0))
        if moment - last < _SECONDS:
            self._said[text] = last, unsaid + 1
            return
        if len(self._said) >= _MOST_TEXTS:
            self._said.clear()
        self._said[text] = moment, 0
        self._log.error("%s%s", text, f" (and {plural(unsaid, 'time')} before)" if unsaid else "")

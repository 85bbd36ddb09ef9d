"""How fast a load may write beside lookups, which wait for as long as Redis works on a call of the load."""

from __future__ import annotations

import re

from redis import Redis
from redis.exceptions import ResponseError

from transformations.stores.redis.wire import Wire

ROWS_A_CALL = 250
"""A script holds Redis for as long as it runs, and lookups wait for it: some 3 µs a row."""
IN_FLIGHT = 64
"""Calls that wait for their answers, so that Redis has something to do while the next batch is packed."""
SECONDS_A_PROBE = 0.05
_LONG_SECONDS = 0.001
# Beside lookups: no more than one call at a time, of so many rows, for so long after the last lookup was seen.
_FEWEST_ROWS_BESIDE_LOOKUPS, _MOST_ROWS_BESIDE_LOOKUPS = 50, 100
_SECONDS_BESIDE_LOOKUPS = 1.0
_CALLS = re.compile(rb"cmdstat_(mget|evalsha):calls=(\d+)")


class Pace:
    """How many rows a load sends in a call, how many calls are in flight, and whether it rests after each.

                                        rows a call                       in flight   rests
    no lookup for a second              250                               64          no
    beside lookups                      up to 100, a fourth more a probe  1           yes
    beside lookups, and Redis is slow   a third fewer a probe, 50 at least  1         yes
    """

    def __init__(self) -> None:
        self.rows_a_call = ROWS_A_CALL
        self.most_in_flight = IN_FLIGHT
        self.is_beside_lookups = False
        self._until: float | None = None

    def adapt(self, began: float, now: float, *, has_seen_lookups: bool) -> None:
        """Take in what a probe saw that was sent at `began` and answered `now`, in seconds of any clock.

        Lookups are assumed until a second probe can say otherwise, however late the first rows come.
        """
        if self._until is None:
            self._until = began + 2 * SECONDS_A_PROBE
        if has_seen_lookups:
            self._until = began + _SECONDS_BESIDE_LOOKUPS
        self.is_beside_lookups = now < self._until
        self.most_in_flight = 1 if self.is_beside_lookups else IN_FLIGHT
        if not self.is_beside_lookups:
            self.rows_a_call = ROWS_A_CALL
        elif now - began > _LONG_SECONDS:
            fewer = min(self.rows_a_call, _MOST_ROWS_BESIDE_LOOKUPS) * 2 // 3
            self.rows_a_call = max(_FEWEST_ROWS_BESIDE_LOOKUPS, fewer)
        else:
            self.rows_a_call = min(_MOST_ROWS_BESIDE_LOOKUPS, self.rows_a_call * 5 // 4)


class Probe:
    """Asks a node, over a connection of its own, whether it has answered lookups since it was asked last."""

    def __init__(self, client: Redis) -> None:
        self._wire = Wire(client)
        self._last: int | None = None

    def has_seen_lookups(self) -> bool:
        """Whether there were any; assumed where Redis does not say."""
        self._wire.send(b"INFO", b"commandstats")
        try:
            told = self._wire.receive()
        except ResponseError:  # a user that may not ask
            return True
        calls = {name: int(count) for name, count in _CALLS.findall(told)}
        # A lookup is an MGET; so is what each call of the script does first.
        lookups = calls.get(b"mget", 0) - calls.get(b"evalsha", 0)
        last, self._last = self._last, lookups
        return last is not None and lookups > last

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

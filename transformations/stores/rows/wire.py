"""One connection to a single Redis, as bytes go over it: redis-py's own, without its client around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis


class Wire:
    """A connection that is made when it is first needed, as the client would make it (TLS, password, unix socket).

    Errors are redis-py's; after any of them the connection is closed, so that no late answer is taken for another's.
    """

    def __init__(self, client: Redis) -> None:
        self._connection: Any = client.connection_pool.make_connection()

    def connect(self) -> None:
        """Connect now."""
        self._connection.connect()

    def allow(self, seconds: float) -> None:
        """How long answers may take from now on."""
        self._connection._sock.settimeout(seconds)

    def send(self, command: Sequence[bytes | str | int]) -> None:
        """Send a command, and do not wait."""
        self._connection.send_packed_command(self._connection.pack_command(*command))

    def receive(self) -> Any:
        """The next answer."""
        return self._connection.read_response()

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

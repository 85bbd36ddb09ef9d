"""One connection to a single Redis, as bytes go over it: redis-py's own, without its client around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from redis import Redis

_BYTES = pa.large_binary()


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

    def send_packed(self, command: Sequence[bytes | memoryview]) -> None:
        """Send a command whose pieces are packed already, and do not wait."""
        self._connection.send_packed_command([b"".join(command)])

    def receive(self) -> Any:
        """The next answer."""
        return self._connection.read_response()

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()


class BulkStrings:
    """Columns of bytes as Redis' protocol has them, row after row, so that any rows are one piece of a command."""

    def __init__(self, *columns: pa.LargeBinaryArray) -> None:
        parts = []
        for number, column in enumerate(columns):
            sizes = pc.binary_length(column).dictionary_encode()
            before = b"\r\n" if number else b""
            heads = pa.array([b"%s$%d\r\n" % (before, size) for size in sizes.dictionary.to_pylist()], _BYTES)
            parts += [heads.take(sizes.indices), column]
        packed = pc.binary_join_element_wise(*parts, pa.scalar(b"\r\n", _BYTES), pa.scalar(b"", _BYTES))
        _, ends, content = packed.buffers()
        self._ends, self._content = np.frombuffer(ends, np.int64), memoryview(content or b"")

    def part(self, first: int, last: int) -> memoryview:
        """The rows from `first` on, `last` excluded."""
        return self._content[self._ends[first] : self._ends[last]]


def opening(count: int, *words: bytes) -> bytes:
    """What a command of `count` words that begins with these words begins with."""
    return b"*%d\r\n" % count + packed_words(*words)


def packed_words(*words: bytes) -> bytes:
    """Words of a command as Redis' protocol has them."""
    return b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)

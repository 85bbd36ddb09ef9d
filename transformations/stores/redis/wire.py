"""One connection to a single Redis, at the level of bytes: made by redis-py, used without its client.

Two private names of redis-py are used here and nowhere else: a connection's `_sock` and the parser's error table. If a
release of redis-py lacks either, commands go through its own connection, which is slower and counts its timeout anew
for each piece of an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hiredis import PushNotification, Reader, pack_command
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, InvalidResponse, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

try:
    from redis._parsers import BaseParser

    ERROR_OF: Callable[[str], Exception] | None = BaseParser.parse_error
except (ImportError, AttributeError):
    ERROR_OF = None

_BYTES = pa.large_binary()
_BUFFER_BYTES = 1 << 16
_NOT_YET = object()
_SLACK_SECONDS = 0.005


class Wire:
    """A connection made on first use, as the client would make it (TLS, password, unix socket).

    Once connected, commands and answers pass directly between the socket and hiredis: redis-py's own handling takes 40
    microseconds when lookups come once per millisecond; Redis and the network take 110.

    Errors are redis-py's. After any but a refused command the connection is closed, so that no late answer is taken
    for that of another command.

    is_retrying: whether redis-py tries again when connecting fails.
    """

    def __init__(self, client: Redis, *, is_retrying: bool = True) -> None:
        connection: Any = client.connection_pool.make_connection()
        if not is_retrying:
            connection.retry = Retry(NoBackoff(), 0)
        self._connection = connection
        self._is_connected = False
        self._socket: Any = None  # None while connected: through redis-py's own connection
        self._seconds: float | None = None
        self._buffer = bytearray(_BUFFER_BYTES)

    def connect(self) -> None:
        """Connect now."""
        self._connection.connect()
        self._is_connected = True
        socket = socket_of(self._connection)
        if socket is not None and ERROR_OF is not None:
            self._socket, self._seconds = socket, socket.gettimeout()
            self._answers = Reader(protocolError=InvalidResponse, replyError=ERROR_OF, notEnoughData=_NOT_YET)

    def send(self, *words: bytes | str | int) -> None:
        """Send a command, and do not wait."""
        self.send_packed(packed_command(*words))

    def send_packed(self, *parts: bytes | memoryview) -> None:
        """Send commands that are packed already, in any number of parts, and do not wait."""
        commands = b"".join(parts)
        if not self._is_connected:
            self.connect()
        try:
            if self._socket is None:
                self._connection.send_packed_command([commands], check_health=False)
            else:
                self._socket.sendall(commands)
        except BaseException as error:
            self._fail("writing to", error)

    def receive(self, deadline: float | None = None) -> Any:
        """The next answer; an error if it is not whole by the deadline, however many pieces have come.

        deadline: by `time.monotonic()`; by default the client's timeout from now.
        """
        (answer,) = self.receive_all(1, deadline)
        return answer

    def receive_all(self, count: int, deadline: float | None = None) -> list[Any]:
        """The next `count` answers, as `receive`; the first error ends it."""
        if self._socket is None:
            return [self._connection.read_response() for _ in range(count)]
        if deadline is None and self._seconds is not None:
            deadline = monotonic() + self._seconds
        answers: list[Any] = []
        gets = self._answers.gets
        try:
            while len(answers) < count:
                answer = gets()
                if answer is _NOT_YET:
                    self._feed(deadline)
                elif isinstance(answer, RedisError):
                    raise answer
                elif not isinstance(answer, PushNotification):
                    answers.append(answer)
        except ResponseError:
            raise
        except BaseException as error:
            self._fail("reading from", error)
        return answers

    def close(self) -> None:
        """Close the connection."""
        self._is_connected, self._socket = False, None
        self._connection.disconnect()

    def _feed(self, deadline: float | None) -> None:
        """Read what has come, or wait for it until the deadline; for ever without one."""
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        # The socket's timeout counts each piece anew, so it is cut to what is left, unless that is nearly all of it.
        if left is not None and (self._seconds is None or left < self._seconds - _SLACK_SECONDS):
            self._socket.settimeout(left)
            try:
                count = self._socket.recv_into(self._buffer)
            finally:
                self._socket.settimeout(self._seconds)
        else:
            count = self._socket.recv_into(self._buffer)
        if not count:
            raise ConnectionResetError("closed by the server")
        self._answers.feed(self._buffer, 0, count)  # type: ignore[arg-type]  # its stub forgets bytearray

    def _fail(self, doing: str, error: BaseException) -> NoReturn:
        """Close the connection, and raise redis-py's error for this one."""
        self.close()
        if isinstance(error, TimeoutError):
            raise RedisTimeoutError(f"timeout while {doing} the socket") from error
        if isinstance(error, OSError):
            raise RedisConnectionError(f"error while {doing} the socket: {error}") from error
        raise error


def socket_of(connection: Any) -> Any:
    """The socket of redis-py's connection once it is connected; None before, and where a release keeps it elsewhere."""
    return getattr(connection, "_sock", None)


def may_recover(error: RedisConnectionError) -> bool:
    """Whether a retry may succeed: the server is starting, or the connection was cut."""
    if isinstance(error, BusyLoadingError):
        return True
    said = str(error).lower()
    return not isinstance(error, AuthenticationError) and "refused" not in said and "certificate" not in said


def is_wrong_type(error: object) -> bool:
    """Whether Redis refused a command because the key holds another type than the command is for."""
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")


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


def packed_command(*words: bytes | str | int) -> bytes:
    """A command as Redis' protocol has it."""
    packed: bytes = pack_command(words)  # type: ignore[arg-type]  # its stub says one word
    return packed


def opening(count: int, *words: bytes) -> bytes:
    """The beginning of a command of `count` words, up to the end of these."""
    return b"*%d\r\n" % count + packed_words(*words)


def packed_words(*words: bytes) -> bytes:
    """Words as Redis' protocol has them within a command."""
    packed = packed_command(*words)
    return packed[packed.index(b"\n") + 1 :]

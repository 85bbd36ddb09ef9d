"""Commands of this environment as processes: each its own, or several in turn in one.

The latter is for commands that take longer to start than to do their work: five views of a day are built in half the
time if Spark starts once. Each command keeps its own output and its own exit code.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from types import TracebackType

_IN_TURN, _QUICK_FEAST = "transformations.cli.in_turn", "transformations.cli.quick_feast"
_SECONDS_TO_END = 30.0


def executable(program: str) -> Path:
    """The program beside the running interpreter."""
    return Path(sys.executable).with_name(program)


def command_line(program: str) -> list[str]:
    """How a program is started: `feast` by its quick start, which saves three seconds a command."""
    return [sys.executable, "-m", _QUICK_FEAST] if program == "feast" else [str(executable(program))]


class OneProcess:
    """Starts its process with the first command, and a new one after one that died; `close` ends it.

    environment: what is set for it beside this process's own. kept: a descriptor that it inherits, and so holds as long
    as it lives. module: what performs the commands. A process that this one leaves behind finishes its command, then
    ends.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, kept: int | None = None, module: str = _IN_TURN
    ) -> None:
        self._environment, self._kept, self._module = environment or {}, kept, module
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def __enter__(self) -> OneProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process that is there now."""
        return None if self._process is None else self._process.pid

    def start(self, arguments: Sequence[str]) -> Turn:
        """Start the command line `features ARGUMENTS`, once the one before it has ended."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._open()
        process, line = cast("subprocess.Popen[bytes]", self._process), cast("socket.socket", self._line)
        with suppress(OSError):  # it has died since: the turn finds that out
            line.sendall(json.dumps(list(arguments)).encode() + b"\n")
        return Turn(process, line)

    def close(self) -> None:
        """End the process, if there is one, and give its memory back."""
        if self._process is None or self._line is None:
            return
        self._line.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        cast("IO[bytes]", self._process.stdout).close()
        self._process = self._line = None

    def _open(self) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, str(theirs.fileno())],
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno(), *([] if self._kept is None else [self._kept])],
            )


class Turn:
    """A command that was started: what it prints as it comes, then its exit code."""

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self._process, self._line = process, line
        self._output = cast("IO[bytes]", process.stdout)  # by stdout=PIPE
        self._told: bytes | None = None

    def chunks(self) -> Iterator[bytes]:
        """What it prints until it has ended; empty about once a second meanwhile."""
        with selectors.DefaultSelector() as selector:
            for each in (self._output, self._line):
                selector.register(each, selectors.EVENT_READ)
            while self._told is None:
                ready = [key.fileobj for key, _ in selector.select(timeout=1.0)]
                if self._output in ready:  # all of it was written before the exit code is told
                    chunk = os.read(self._output.fileno(), 65_536)
                    if chunk:
                        yield chunk
                    else:
                        selector.unregister(self._output)
                elif ready:
                    self._told = self._receive()
                else:
                    yield b""

    def wait(self) -> int:
        """Its exit code, after all output; that of the process, below 0 for a signal, where it died of the command."""
        for _ in self.chunks():
            pass
        return int(self._told) if self._told else self._process.wait()

    def _receive(self) -> bytes:
        try:
            return self._line.recv(64)
        except OSError:
            return b""

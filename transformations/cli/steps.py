"""Run commands one after the other as a person would type them: print each, show its output, measure its time."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, TypeAlias, cast

from transformations.engine.base.errors import ServiceUnavailableError
from transformations.engine.base.storage import make_folder, try_lock
from transformations.engine.base.words import typed_path
from transformations.orchestration.processes import command_line, executable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

_QUIET_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command: `program` is an executable of this environment, `environment` what is set for it alone.

    intended: exit codes beside 0 that are results, and no failures.
    """

    title: str
    program: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    intended: tuple[int, ...] = ()

    @property
    def typed(self) -> str:
        """The command as one could type it here."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*variables, typed_program(self.program), *map(shlex.quote, self.arguments)])


@dataclass(frozen=True)
class Finished:
    """A step that is done, with its wall-clock seconds and the lines that it printed."""

    step: Step
    seconds: float
    lines: tuple[str, ...]
    is_skipped: bool = False


Perform: TypeAlias = "Callable[[Step], Finished]"


class StepError(Exception):
    """A step ended with an error of its own, which it has explained; the exit code is the step's."""

    def __init__(self, step: Step, code: int) -> None:
        super().__init__(f"`{step.typed}` ended with code {code}; what it said stands above. Repeat it, or the whole.")
        self.exit_code = code if 0 < code <= 4 else 1


class Started(Protocol):
    """A command that was started."""

    def chunks(self) -> Iterator[bytes]:
        """What it prints until it has ended, as it comes; empty about once a second meanwhile."""

    def wait(self) -> int:
        """Its exit code, once it has ended."""


def run(step: Step, console: Console, lock: int | None = None) -> Finished:
    """Print the command, run it, show its output as it comes and its running time; StepError if it fails.

    lock: a descriptor that the command inherits, and so holds as long as it lives.
    """
    started = time.monotonic()
    code, lines = run_to_end(step, console, lock)
    if code != 0 and code not in step.intended:
        raise StepError(step, code)
    return Finished(step, time.monotonic() - started, lines)


def run_to_end(
    step: Step, console: Console, lock: int | None = None, start: Callable[[Step], Started] | None = None
) -> tuple[int, tuple[str, ...]]:
    """As `run`, but an exit code beside 0 is a result like any other: the code, and the lines that were printed.

    start: starts the command, by default as a process of its own.
    """
    console.print(f"\n[bold]{step.title}[/bold]")
    console.print(f"[cyan]$ {step.typed}[/cyan]", highlight=False, soft_wrap=True)
    began = time.monotonic()
    started = start(step) if start else _Process(step, console, lock)
    try:
        with console.status("") as status:
            lines = tuple(_echo_lines(started.chunks(), console, status, began))
    finally:  # an interrupt reaches it, too; what it was writing is finished or left unpublished
        code = started.wait()
    ended = f", code {code}" if code else ""
    console.print(f"[dim]  {time.monotonic() - began:.1f} s{ended}[/dim]", highlight=False)
    return code, lines


def shown_on(console: Console) -> dict[str, str]:
    """What is set for commands whose output this terminal shows."""
    return {"PYTHONUNBUFFERED": "1", "COLUMNS": str(max(console.width - 2, 60))}


class _Process:
    """A step as a process of its own, which has started."""

    def __init__(self, step: Step, console: Console, lock: int | None) -> None:
        self._process = subprocess.Popen(
            [*command_line(step.program), *step.arguments],
            env={**os.environ, **step.environment, **shown_on(console)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=() if lock is None else (lock,),
        )

    def chunks(self) -> Iterator[bytes]:
        yield from _read_chunks(cast("IO[bytes]", self._process.stdout))  # by stdout=PIPE

    def wait(self) -> int:
        with self._process:
            for _ in self.chunks():
                pass
            return self._process.wait()


def skipped(step: Step, reason: str, console: Console) -> Finished:
    """Print the command and why it need not run."""
    console.print(f"\n[bold]{step.title}[/bold]")
    console.print(f"[cyan]$ {step.typed}[/cyan]", highlight=False, soft_wrap=True)
    console.print(f"  nothing to do: {reason}", markup=False, highlight=False)
    return Finished(step, 0.0, (), is_skipped=True)


def typed_program(program: str) -> str:
    """How to call the program from here: by its name where PATH leads to it, else by its path."""
    ours = executable(program)
    if (found := shutil.which(program)) and Path(found).resolve() == ours.resolve():
        return program
    return typed_path(ours)


@contextmanager
def alone(
    lock: Path, console: Console, wait_seconds: float = 600.0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[int]:
    """Hold the lock, after waiting for another run, or for the last command of a killed run, to end."""
    make_folder(lock.parent)
    deadline = time.monotonic() + wait_seconds
    with lock.open("a+") as file:
        with console.status("") as status:
            while not try_lock(file):
                if time.monotonic() > deadline:
                    raise ServiceUnavailableError(f"{lock} is held by another run for {wait_seconds:.0f} s. Try again.")
                status.update("another run, or the last command of one that was killed, is still at work: waiting")
                sleep(0.1)
        yield file.fileno()


def _echo_lines(chunks: Iterator[bytes], console: Console, status: Status, started: float) -> Iterator[str]:
    """Print finished lines; a line that is being redrawn (a progress bar) only shows beside the running time."""
    pending, spoken = b"", time.monotonic()
    for chunk in chunks:
        now = time.monotonic()
        if chunk:
            pending += chunk
            *lines, pending = pending.replace(b"\r\n", b"\n").split(b"\n")
            for line in lines:
                text = _last_drawn(line)
                _print_line(text, console)
                spoken = now
                yield text
        elif not console.is_terminal and now - spoken > _QUIET_SECONDS:
            console.print(f"  … {now - started:.0f} s", markup=False, highlight=False)
            spoken = now
        status.update(f"{now - started:.0f} s  {_last_drawn(pending)}"[: console.width - 6])
    if pending:
        text = _last_drawn(pending)
        _print_line(text, console)
        yield text


def _print_line(text: str, console: Console) -> None:
    """A line of a command's output, set in; its colours only where there is a terminal to show them."""
    from rich.text import Text

    console.print(Text("  ").append_text(Text.from_ansi(text)), highlight=False, soft_wrap=True)


def _read_chunks(output: IO[bytes]) -> Iterator[bytes]:
    """What can be read as it comes; empty about once a second meanwhile."""
    import selectors

    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            if not selector.select(timeout=1.0):
                yield b""
                continue
            chunk = os.read(output.fileno(), 65_536)
            if not chunk:
                return
            yield chunk


def _last_drawn(line: bytes) -> str:
    return line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace").rstrip()

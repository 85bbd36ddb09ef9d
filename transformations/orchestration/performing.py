"""Performing a day's tasks: each once, those that lack a service again, those that depend on what was refused never."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Protocol

from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import ExitCode
from transformations.engine.base.moments import minute_text
from transformations.engine.base.settings import Settings
from transformations.orchestration.day_record import Entry, Outcome, note, read_record
from transformations.orchestration.looking import Look, Words
from transformations.orchestration.processes import OneProcess, command_line
from transformations.orchestration.tasks import Plan, Task

WAITS = (5.0, 30.0)
"""Seconds before a command that ended with code 4 is tried again, and a third time."""
_KEPT_LINES = 12


@dataclass(frozen=True)
class Ran:
    """A command that has ended: its exit code and what it printed."""

    code: int
    lines: tuple[str, ...] = ()


class Run(Protocol):
    """Runs one command to its end."""

    def __call__(self, task: Task, command: Words, /) -> Ran:
        """The command's exit code and output."""


@dataclass(frozen=True, kw_only=True)
class Performed:
    """How a task of a business day ended.

    why: what kept it from being performed, or from having to be. said: the last lines of its commands.
    """

    task: Task
    outcome: Outcome
    day: date
    code: int = 0
    why: str = ""
    seconds: float = 0.0
    commands: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    tries: int = 0


@dataclass(kw_only=True)
class DayRun:
    """The tasks of a business day, performed one by one. waits, sleep, now: what tests replace.

    A task is performed where there is something to do that did not finish before with everything as it is now. It is
    blocked where what it needs has not finished, or what it trusts was refused, in this run or by the day's record.
    """

    plan: Plan
    look: Callable[[Task], Look]
    day: date
    settings: Settings
    run: Run
    waits: Sequence[float] = WAITS
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    done: dict[str, Performed] = field(default_factory=dict)

    def perform_all(self, tasks: Iterable[Task]) -> Iterator[Performed]:
        """Perform tasks in their order, each yielded as it ends; one that ends badly stops only what depends on it."""
        for task in tasks:
            yield self.perform(task)

    def perform(self, task: Task) -> Performed:
        """Perform one task, unless there is nothing to do or it is blocked, and write it into the day's record."""
        performed = self._perform(task)
        self.done[task.name] = performed
        return performed

    def _perform(self, task: Task) -> Performed:
        if blocked := self._blocked_by(task):
            return Performed(task=task, day=self.day, outcome=Outcome.BLOCKED, why=blocked)
        before = read_record(self.day, self.settings).tasks.get(task.name)
        look = self._look(task)
        if isinstance(look, Ran):
            performed = Performed(
                task=task, day=self.day, outcome=Outcome.of_code(look.code), code=look.code, said=look.lines
            )
            self._note(performed, "")
            return performed
        if idle := _idle(look, before):
            performed = Performed(task=task, day=self.day, outcome=Outcome.IDLE, why=idle)
            if before is not None and not before.outcome.is_good:  # somebody has done it by hand meanwhile
                self._note(performed, look.state)
            return performed
        return self._run_all(task, look.commands)

    def foresee(self, task: Task) -> tuple[tuple[str, ...], str]:
        """What there is to do for a task now, as typed; or nothing, and why. Nothing is performed or written."""
        look = self._look(task)
        if isinstance(look, Ran):
            return (), " ".join(look.lines)
        idle = _idle(look, read_record(self.day, self.settings).tasks.get(task.name))
        return ((), idle) if idle else (tuple(map(shlex.join, look.commands)), "")

    def _run_all(self, task: Task, commands: Sequence[Words]) -> Performed:
        started, tries, ran, typed = time.monotonic(), 0, Ran(0), []
        for command in commands:
            typed.append(shlex.join(command))
            ran, tries = self._run_patiently(task, command)
            if ran.code:
                break
        performed = Performed(
            task=task,
            day=self.day,
            outcome=Outcome.of_code(ran.code),
            code=ran.code,
            seconds=time.monotonic() - started,
            commands=tuple(typed),
            said=ran.lines[-_KEPT_LINES:],
            tries=tries,
        )
        after = self._look(task)
        self._note(performed, "" if isinstance(after, Ran) else after.state)
        return performed

    def _run_patiently(self, task: Task, command: Words) -> tuple[Ran, int]:
        """Run a command, again after each wait while a service is in the way (code 4)."""
        for tries, wait in enumerate(self.waits, start=1):
            ran = self.run(task, command)
            if ran.code != ExitCode.ENVIRONMENT:
                return ran, tries
            self.sleep(wait)
        return self.run(task, command), len(self.waits) + 1

    def _look(self, task: Task) -> Look | Ran:
        """What there is to do; or the message and code of what stands in the way."""
        try:
            return self.look(task)
        except Exception as error:
            fault = known_fault(error) or error
            code = getattr(fault, "exit_code", None)
            if not isinstance(code, int):
                raise
            return Ran(code, (str(getattr(fault, "message", fault)),))

    def _blocked_by(self, task: Task) -> str:
        """Why a task cannot be performed; empty where it can."""
        for name in task.needs:
            if why := self._unmet(name):
                return f"{name} {why}"
        return next((f"{name} was refused" for name in task.trusts if self._is_refused(name)), "")

    def _unmet(self, name: str) -> str:
        if name in self.done:
            outcome = self.done[name].outcome
            return "" if outcome.is_good else "is blocked itself" if outcome is Outcome.BLOCKED else f"is {outcome}"
        entry = read_record(self.day, self.settings).tasks.get(name)
        look = self._look(self.plan.task(name))
        if isinstance(look, Ran):
            return f"is {Outcome.of_code(look.code)}"
        if not look.commands or (entry is not None and entry.outcome.is_good and entry.state == look.state):
            return ""
        return "is not done yet" if entry is None or entry.outcome.is_good else f"is {entry.outcome}"

    def _is_refused(self, name: str) -> bool:
        if name in self.done:
            return self.done[name].outcome is Outcome.REFUSED
        entry = read_record(self.day, self.settings).tasks.get(name)
        if entry is None or entry.outcome is not Outcome.REFUSED:
            return False
        look = self._look(self.plan.task(name))
        return isinstance(look, Ran) or look.state == entry.state

    def _note(self, performed: Performed, state: str) -> None:
        entry = Entry(
            outcome=performed.outcome,
            code=performed.code,
            state=state,
            finished_at=self.now(),
            seconds=round(performed.seconds, 3),
            commands=performed.commands,
            said=performed.said,
            tries=performed.tries,
        )
        note(self.day, performed.task.name, entry, self.settings)


def _idle(look: Look, before: Entry | None) -> str:
    """Why there is nothing to do; empty where there is."""
    if not look.commands:
        return look.why
    if not look.is_telling and before is not None and before.outcome.is_good and before.state == look.state:
        return f"finished at {minute_text(before.finished_at)}, and nothing it depends on has changed"
    return ""


def worst_code(performed: Iterable[Performed]) -> int:
    """The exit code of a whole run: 0, or the first of 1, 2, 3 and 4 with which a task ended."""
    codes = {each.code if 0 < each.code <= 4 else 1 for each in performed if each.code}  # below 0: a signal
    return min(codes, default=0)


def run_quietly(_task: Task, command: Words) -> Ran:
    """Run a command of this environment in a process of its own, its output kept."""
    program, *arguments = command
    ended = subprocess.run(
        [*command_line(program), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return Ran(ended.returncode, tuple(ended.stdout.splitlines()))


@dataclass(frozen=True)
class QuietlyInTurn:
    """Run commands with their output kept; those that are slow to start in one process while they follow each other."""

    one: OneProcess = field(default_factory=OneProcess)

    def __call__(self, task: Task, command: Words) -> Ran:
        if not task.sort.is_slow_to_start:
            self.one.close()
            return run_quietly(task, command)
        turn = self.one.start(command[1:])
        output = b"".join(turn.chunks()).decode(errors="replace")
        return Ran(turn.wait(), tuple(output.splitlines()))

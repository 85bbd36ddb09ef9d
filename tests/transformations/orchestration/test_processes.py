"""Commands in turn in one process: each has its own output and exit code, and a process that dies takes one with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from transformations.engine.base.storage import try_lock
from transformations.orchestration.performing import QuietlyInTurn
from transformations.orchestration.planning import Declared, DeclaredSource, DeclaredView, plan_of
from transformations.orchestration.processes import OneProcess

PLAN = plan_of(
    Declared(
        sources=[DeclaredSource(name="clicks", zone="UTC")],
        views=[DeclaredView(name=each, sources=("clicks",), zone="UTC") for each in ("by_page", "by_user")],
    )
)
PLAYED = """
import os, pathlib, signal, socket, sys, time
from transformations.cli import in_turn

def run(arguments):
    name, *given = arguments
    print(*arguments)
    match name:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "speak":
            print("a word " * 100_000)
        case "wait":
            began, go = map(pathlib.Path, given)
            began.touch()
            while not go.exists():
                time.sleep(0.01)
    return 3 if name == "refuse" else 0

in_turn.run = run
in_turn.perform_all(socket.socket(fileno=int(sys.argv[1])))
"""
LEFT = """
import os, sys, time
from pathlib import Path
from transformations.orchestration.processes import OneProcess
lock, *given = sys.argv[1:]
one = OneProcess({}, int(lock), "played")
one.start(["wait", *given])
while not Path(given[0]).exists():
    time.sleep(0.01)
os._exit(0)
"""


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OneProcess]:
    """A process whose commands are played."""
    (tmp_path / "played.py").write_text(PLAYED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with OneProcess(module="played") as found:
        yield found


def ended(one: OneProcess, *arguments: str) -> tuple[int, str]:
    turn = one.start(arguments)
    output = b"".join(turn.chunks()).decode()
    return turn.wait(), output


def test_commands_follow_each_other_in_one_process_each_with_its_output_and_code(one: OneProcess) -> None:
    assert ended(one, "build", "by_page") == (0, "build by_page\n")
    first = one.pid
    assert ended(one, "refuse") == (3, "refuse\n")
    assert ended(one, "speak") == (0, f"speak\n{'a word ' * 100_000}\n")
    assert one.start(["refuse"]).wait() == 3  # its output is nobody's, and not the next one's
    assert ended(one, "build", "by_user") == (0, "build by_user\n")
    assert one.pid == first


def test_a_command_whose_process_dies_has_failed_and_the_next_has_a_new_one(one: OneProcess) -> None:
    assert one.start(["die"]).wait() == -signal.SIGKILL
    assert ended(one, "build") == (0, "build\n")


def test_what_is_slow_to_start_shares_a_process_until_something_else_is_to_be_done(one: OneProcess) -> None:
    run = QuietlyInTurn(one)
    page, user = (run(PLAN.task(f"build:{each}"), ("features", "refuse", each)) for each in ("by_page", "by_user"))
    assert (page.code, page.lines, user.code, user.lines) == (3, ("refuse by_page",), 3, ("refuse by_user",))
    kept = one.pid
    assert kept is not None
    assert run(PLAN.task("parity:by_page"), ("features", "refuse")).code == 3
    assert one.pid == kept
    assert run(PLAN.task("apply"), ("features", "--version")).code == 0
    assert one.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(kept, 0)


@pytest.mark.usefixtures("one")
def test_a_process_that_is_left_behind_ends_its_command_and_holds_its_lock_meanwhile(tmp_path: Path) -> None:
    began, go = tmp_path / "began", tmp_path / "go"
    with (tmp_path / "lock").open("w") as lock:
        assert try_lock(lock)
        command = [sys.executable, "-c", LEFT, str(lock.fileno()), str(began), str(go)]
        subprocess.run(command, check=True, pass_fds=[lock.fileno()])
    with (tmp_path / "lock").open("w") as lock:
        assert not try_lock(lock)
        go.touch()
        until = time.monotonic() + 20
        while not try_lock(lock):
            assert time.monotonic() < until
            time.sleep(0.01)

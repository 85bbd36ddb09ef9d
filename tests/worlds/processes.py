"""Processes of their own for tests: forked from one that has imported everything, which saves each two seconds."""

import multiprocessing
import os
import runpy
import sys
import time
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

_IMPORTED = ["tests.worlds.quickened", "feast", "duckdb", "deltalake", "transformations.stores.loading"]


class Started:
    """A process that runs a program, in this environment and folder; what it prints goes to a file."""

    def __init__(self, process: ForkServerProcess, output: Path) -> None:
        self.process, self.output = process, output

    def wait(self, seconds: float = 120) -> tuple[int | None, str]:
        """Its exit code, None where it still runs, and what it printed."""
        self.process.join(seconds)
        return self.process.exitcode, self.output.read_text()

    def wait_for(self, word: str, seconds: float = 60) -> None:
        """Until it has printed this."""
        deadline = time.monotonic() + seconds
        while word not in self.output.read_text():
            assert time.monotonic() < deadline, self.output.read_text()
            assert self.process.is_alive(), self.output.read_text()
            time.sleep(0.005)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def forking() -> ForkServerContext:
    """Starts processes from the one that has imported everything; they have the environment of the first test."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def start(program: str, *arguments: str, output: Path) -> Started:
    """Run a program's text as `python -c` does."""
    output.touch()
    given = (program, arguments, dict(os.environ), Path.cwd(), output)
    process = forking().Process(target=_run, args=given)
    process.start()
    return Started(process, output)


def run_script(script: str, environment: dict[str, str]) -> None:
    """Run a file in this environment: what a forked process itself has is that of whichever test came first."""
    os.environ.clear()
    os.environ.update(environment)
    runpy.run_path(script)


def _run(program: str, arguments: tuple[str, ...], environment: dict[str, str], folder: Path, output: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    file = os.open(output, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["-c", *arguments]
    exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})

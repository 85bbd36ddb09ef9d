"""What every benchmark shares: sides measured in turn, bars, a table of medians and ratios, and a JSON file of them.

A benchmark measures and reports; it never fails because a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = CHECKOUT / "build" / "bench"
DATA = CHECKOUT / "build" / "bench-data"

Figures = Mapping[str, float]
Side = Callable[[], Figures]


@dataclass(frozen=True)
class Bar:
    """A limit on a finding's value, or on its ratio to the rival's."""

    limit: float
    of: Literal["value", "ratio"] = "value"
    at_least: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value or ratio keeps to it."""
        return value >= self.limit if self.at_least else value <= self.limit

    def text(self, unit: str) -> str:
        """As a person writes it: `≤ 1.2 ×`, `≥ 500,000 rows/s`."""
        return f"{'≥' if self.at_least else '≤'} {_number(self.limit)} {'×' if self.of == 'ratio' else unit}"


@dataclass(frozen=True)
class Finding:
    """One measured quantity: a value a turn, and the rival's beside it. Medians count; ratio: ours over the rival's."""

    case: str
    metric: str
    values: Sequence[float]
    unit: str
    rivals: Sequence[float] = ()
    bar: Bar | None = None

    @property
    def value(self) -> float:
        """Our median."""
        return statistics.median(self.values)

    @property
    def rival(self) -> float | None:
        """The rival's median."""
        return statistics.median(self.rivals) if self.rivals else None

    @property
    def ratio(self) -> float | None:
        """Our median over the rival's."""
        return self.value / self.rival if self.rival else None

    @property
    def holds(self) -> bool | None:
        """Whether the bar is kept; None where there is none."""
        measured = self.value if self.bar and self.bar.of == "value" else self.ratio
        return None if self.bar is None or measured is None else self.bar.holds(measured)

    def as_json(self) -> dict[str, object]:
        """The record of a results file."""
        return {
            "case": self.case,
            "metric": self.metric,
            "value": self.value,
            "unit": self.unit,
            "rival": self.rival,
            "ratio": self.ratio,
            "bar": self.bar.text(self.unit) if self.bar else None,
            "holds": self.holds,
        }


def options(description: str) -> argparse.ArgumentParser:
    """A parser with what every benchmark accepts."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="turns of every side (default 3)")
    return parser


def in_turns(sides: Mapping[str, Side], repeat: int) -> dict[str, dict[str, list[float]]]:
    """Measure each side once, then each again, …: what disturbs the machine for a while disturbs all of them.

    The figures of each side by name, a value a turn.
    """
    measured: dict[str, dict[str, list[float]]] = {name: {} for name in sides}
    for turn in range(1, repeat + 1):
        for name, side in sides.items():
            say(f"turn {turn} of {repeat}, {name} (load average {os.getloadavg()[0]:.1f})")
            figures = side()
            for figure, value in figures.items():
                measured[name].setdefault(figure, []).append(value)
            say("    " + ", ".join(f"{figure} {_number(value)}" for figure, value in figures.items()))
    return measured


def in_fresh_process(function: Callable[..., Any], *arguments: object) -> Any:
    """The function's result, computed in a process of its own that nothing has run in before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def report(name: str, findings: Sequence[Finding], notes: Sequence[str] = ()) -> None:
    """Print the table, and write `build/bench/<name>.json`."""
    print(_table(findings))
    loads = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    for note in (*notes, f"{_machine()}; load average at the end {loads}"):
        print(note)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps([finding.as_json() for finding in findings], indent=2, ensure_ascii=False) + "\n")
    print(f"written to {path.relative_to(CHECKOUT)}")


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


class Stopwatch:
    """Seconds of a block, and the processor seconds that this process and its descendants spent in it."""

    seconds = 0.0
    processor_seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._began, self._spent = time.perf_counter(), _processor_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began
        self.processor_seconds = _processor_seconds() - self._spent


@contextmanager
def peak_memory(every_seconds: float = 0.2) -> Iterator[Callable[[], float]]:
    """GiB that this process and all its descendants held together at the worst moment of a block, pages that they share
    counted once.

    Call what it yields once the block is over.
    """
    peak, over = [_memory()], threading.Event()

    def watch() -> None:
        while not over.wait(every_seconds):
            peak.append(max(peak.pop(), _memory()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: peak[0] / 2**30
    finally:
        over.set()
        watcher.join()


def _memory() -> float:
    return sum(_proportional_set(pid) for pid in _family())


def _proportional_set(pid: int) -> int:
    """Bytes of a process, a page that n processes share counted as an nth; 0 where the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _processor_seconds() -> float:
    """Of this process, its descendants, and those of them that have ended and been waited for."""
    ticks = sum(sum(map(int, fields[11:15])) for fields in (_stat(pid) for pid in _family()) if fields)
    return ticks / os.sysconf("SC_CLK_TCK")


def _family() -> list[int]:
    """This process and its descendants."""
    parents = {int(path.name): _stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
    family = [os.getpid()]
    for member in family:
        family += [pid for pid, fields in parents.items() if fields and int(fields[1]) == member]
    return family


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _table(findings: Sequence[Finding]) -> str:
    headers = ("case", "metric", "ours", "rival", "ratio", "bar", "holds", "ours, lowest – highest")
    rows = [headers, *(_row(finding) for finding in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headers))]
    rows.insert(1, tuple("─" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(finding: Finding) -> tuple[str, ...]:
    return (
        finding.case,
        finding.metric,
        f"{_number(finding.value)} {finding.unit}",
        "" if finding.rival is None else f"{_number(finding.rival)} {finding.unit}",
        "" if finding.ratio is None else f"{finding.ratio:.2f} ×",
        finding.bar.text(finding.unit) if finding.bar else "",
        "" if finding.holds is None else "yes" if finding.holds else "NO",
        f"{_number(min(finding.values))} – {_number(max(finding.values))}" if len(finding.values) > 1 else "",
    )


def _number(value: float) -> str:
    """Three digits that matter: 0.012, 1.2, 35, 1,234."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.2g}"


def _machine() -> str:
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"

"""How commands speak: results on stdout, progress and remarks on stderr, one JSON document where a script wants it."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Where there is no terminal to ask: wide enough that tables in logs and documents do not wrap.
_WIDTH_WITHOUT_TERMINAL = 120


def json_option(command: _Command) -> _Command:
    """Give a command `--json`, passed as `as_json`: it then prints one JSON document and nothing else to stdout."""
    option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for scripts.")
    return option(command)


def print_json(document: object) -> None:
    """One JSON document on stdout; dates, paths and the like become their text."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """A plain table on stdout; numbers stand right, None is an empty cell, long cells fold."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, header in enumerate(headers):
        is_numeric = any(_is_number(row[index]) for row in rows) and all(
            row[index] is None or _is_number(row[index]) for row in rows
        )
        table.add_column(header, justify="right" if is_numeric else "left", header_style="bold", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    terminal = console()
    with terminal.capture() as printed:
        terminal.print(table)
    click.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))


def say(text: str) -> None:
    """A line of the result, on stdout."""
    click.echo(text)


def remark(text: str) -> None:
    """A line beside the result (what is being done, a warning), on stderr."""
    click.echo(text, err=True)


def console(*, stderr: bool = False) -> "Console":
    """A rich console as wide as the terminal; without one, of a fixed width."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_WITHOUT_TERMINAL
    return console


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show on stderr how far a step is; yields a function that takes how many units were done since the last call.

    On a terminal a moving bar (without a total a moving mark), else one line when it ends. Give it to whatever takes
    more than a second.
    """
    started = time.monotonic()
    if not sys.stderr.isatty():
        yield lambda _units: None
        remark(f"{title}: {human_duration(time.monotonic() - started)}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    parts: list[Any] = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
    if total is not None:
        parts[2:2] = [BarColumn(), MofNCompleteColumn()]
    with Progress(*parts, console=console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda units: bar.advance(task, units)


def human_count(number: float) -> str:
    """1234567 as `1,234,567`."""
    return f"{number:,}"


def human_bytes(size: float) -> str:
    """1536 as `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def human_duration(seconds: float) -> str:
    """0.0042 as `4 ms`, 3.21 as `3.2 s`, 125 as `2 min 5 s`, 7380 as `2 h 3 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: object) -> str:
    from rich.markup import escape

    if value is None:
        return ""
    return human_count(value) if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))

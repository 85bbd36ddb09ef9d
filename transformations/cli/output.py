"""How commands print: results on stdout, progress and remarks on stderr, one JSON document for scripts."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from transformations.contracts.texts import visible
from transformations.engine.base.words import human_count, human_duration

if TYPE_CHECKING:
    from rich.console import Console

# Where there is no terminal to ask: wide enough that tables in logs and documents do not wrap.
_WIDTH_WITHOUT_TERMINAL = 120
_GAP = 2  # blanks between two columns of a table
# What click.style writes: a weight or none (22), a colour, the end of both. All else that begins with an escape came
# with a text.
_STYLED = re.compile(r"(\x1b\[(?:0|1|2|22|3[0-7]|9[0-7])(?:;(?:0|1|2|22|3[0-7]|9[0-7]))*m)")


@dataclass
class Printed:
    """What a run of the command line has printed so far, as click's context carries it."""

    document: bool = False


def remark_broken_rules(rules: Sequence[str]) -> None:
    """Name the house rules that are broken; say nothing where there are none."""
    if rules:
        remark(f"house rules broken: {len(rules)}, which `make test` will refuse")
        for rule in rules:
            remark(f"  {rule}")


def print_json(document: object) -> None:
    """One JSON document on stdout; dates, paths and the like become their text."""
    context = click.get_current_context(silent=True)
    if context is not None and (printed := context.find_object(Printed)) is not None:
        printed.document = True
    click.echo(visible(json.dumps(document, indent=2, ensure_ascii=False, default=str)))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """A plain table on stdout; numbers stand right, None is an empty cell, long cells wrap between words.

    Where the terminal is too narrow for that, each row becomes a block: its first cell, and the others line by line.
    """
    from rich import markup, table

    terminal = console()
    texts = [[_cell_text(value) for value in row] for row in rows]
    widths = column_widths([list(headers), *texts], terminal.width)
    if widths is None:
        _print_blocks(headers, texts, title)
        return
    printed = table.Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, _GAP, 0, 0)
    )
    for index, header in enumerate(headers):
        is_numeric = any(_is_number(row[index]) for row in rows) and all(
            row[index] is None or _is_number(row[index]) for row in rows
        )
        justify: Literal["left", "right"] = "right" if is_numeric else "left"
        printed.add_column(header, justify=justify, header_style="bold", overflow="fold", width=widths[index])
    for cells in texts:
        printed.add_row(*map(markup.escape, cells))
    with terminal.capture() as captured:
        terminal.print(printed)
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def column_widths(cells: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The widths of a table's columns so that it fits and no word is broken; None if there are none.

    The widest columns give way first: "a", "bb cc dd", "eee ff" with two blanks between them need 19; in 16 columns the
    second is 5 wide, "bb cc" above "dd".
    """
    from rich.cells import cell_len

    columns = list(zip(*cells, strict=True))
    widths = [max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns]
    least = [max((cell_len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    room = width - _GAP * (len(columns) - 1)
    if sum(least) > room:
        return None
    while sum(widths) > room:
        widest = max(
            (place for place in range(len(widths)) if widths[place] > least[place]), key=lambda place: widths[place]
        )
        widths[widest] -= 1
    return widths


def _print_blocks(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str | None) -> None:
    if title:
        say(click.style(title, bold=True))
    longest = max(map(len, headers))
    for heading, *cells in rows:
        say(click.style(heading, bold=True))
        for header, cell in zip(headers[1:], cells, strict=True):
            if cell:
                say(f"  {header:{longest}}  {cell}")


def say(text: str) -> None:
    """A line of the result, on stdout."""
    click.echo(seen(text))


def remark(text: str) -> None:
    """A line beside the result (what is being done, a warning), on stderr."""
    click.echo(seen(text), err=True)


def seen(text: str) -> str:
    """The text as a terminal may have it: what nobody sees written out, but for the styles that commands give."""
    return "".join(part if place % 2 else visible(part) for place, part in enumerate(_STYLED.split(text)))


def console(*, stderr: bool = False) -> "Console":
    """A rich console as wide as the terminal; without one, of a fixed width."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_WITHOUT_TERMINAL
    return console


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a step's progress on stderr; yields a function to call with the units done since the last call.

    On a terminal a moving bar (without a total a moving mark), else one line when it ends. Give it to whatever takes
    more than a second.
    """
    started, title = time.monotonic(), visible(title)
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


@contextmanager
def watching(title: str) -> Iterator[Callable[[str], None]]:
    """Show a step of which figures come in as it goes on; yields a function to call with what is known by now.

    On a terminal a line that follows, else the last of it, in one line when the step ends.
    """
    started, title = time.monotonic(), visible(title)
    last = ""
    if not sys.stderr.isatty():

        def keep(text: str) -> None:
            nonlocal last
            last = f", {text}"

        yield keep
        remark(f"{title}: {human_duration(time.monotonic() - started)}{last}")
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    parts = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
    with Progress(*parts, console=console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda text: bar.update(task, description=f"{title}: {text}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    return human_count(value) if isinstance(value, int) and not isinstance(value, bool) else visible(str(value))

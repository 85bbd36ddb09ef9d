"""Options and completions that several commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from transformations.engine.base.errors import UsageError
from transformations.insight.values.asked import parse_request

AT_HELP = (
    "As-of which day, or served at which moment; without an offset, of the timestampZone of the source's contract. "
    "[default: now]"
)

_Command = TypeVar("_Command", bound=Callable[..., Any])


class ExistingFile(click.Path):
    """A file that can be read. what: is needed, as in `a Parquet file`.

    UsageError where it cannot, with its path and a remedy, in place of click's usage.
    """

    def __init__(self, what: str) -> None:
        super().__init__(path_type=Path)
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path, once its file was opened."""
        path = Path(value)
        try:
            path.open("rb").close()
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read: {error.strerror}. Name {self._what} that is there and that this user may read."
            ) from None
        return path


def json_option(command: _Command) -> _Command:
    """Give a command `--json`, passed as `as_json`: it then prints one JSON document and nothing else to stdout."""
    option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for scripts.")
    return option(command)


def request_option(command: _Command) -> _Command:
    """Give a command `--request`, passed as a dictionary: the values of request fields, by name."""
    option = click.option(
        "--request",
        "request",
        metavar="JSON",
        default="{}",
        callback=lambda _context, _parameter, text: parse_request(text),
        help="Values of request fields, by name.",
    )
    return option(command)


def view_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shell completion of a view by the definitions in the domain files, which load in no time."""
    from transformations.stores.base.domain_files import definitions

    with contextlib.suppress(Exception):  # a file that cannot be read completes nothing; commands say what is wrong
        return [CompletionItem(name) for name in sorted(definitions()) if name.startswith(incomplete)]
    return []

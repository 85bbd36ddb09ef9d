"""Every error a user can cause or must act on: few classes, one base, each with the exit code its command ends with."""

from typing import Self

import click

from transformations.contracts.nearest import nearest

__all__ = [
    "ConflictError",
    "DataError",
    "DefinitionError",
    "FeaturesError",
    "ServiceUnavailableError",
    "UsageError",
    "nearest",
]


class FeaturesError(click.ClickException):
    """Base of all errors that carry their own remedy.

    The message names the thing, the place, the evidence and what to do. exit_code: 1 our fault, 2 usage, 3 the data or
    the state is wrong, 4 a service is unavailable (retry). It is a click exception so that Feast's own commands, too,
    print the message and end with the code, instead of a stack trace.
    """

    exit_code = 1


class DefinitionError(FeaturesError):
    """A declaration that cannot mean anything: unknown column, wrong dtype, duplicate name, impossible window."""

    exit_code = 2

    def format_message(self) -> str:
        """The message, with the line of the author's file that led to it; Feast's commands print this, too."""
        from transformations.engine.base.authored import place_of

        place = place_of(self)
        return self.message if place is None else f"{self.message}\n  at {place}"


class UsageError(FeaturesError):
    """A command or call was given arguments that do not fit together."""

    exit_code = 2


class DataError(FeaturesError):
    """The data breaks its contract, or a table is not in the state that the request needs."""

    exit_code = 3

    @classmethod
    def not_ingested(cls, source: str, needed_by: str = "") -> Self:
        """The raw table of a source that has no drop yet. needed_by: what asks for it, as in `view user_clicks`."""
        place = f"{needed_by} needs {source}, of which" if needed_by else f"{source}:"
        return cls(f"{place} nothing has been ingested yet. Run `features ingest {source} FILE` first.")


class ConflictError(DataError):
    """Another run of the same table won; this one published nothing and may simply be repeated."""


class ServiceUnavailableError(FeaturesError):
    """Redis, Java or another service cannot be reached; trying again later may help."""

    exit_code = 4

"""Every error a user can cause or must act on: few classes, one base, each with the exit code its command ends with."""

from enum import IntEnum
from typing import Self

import click

from transformations.contracts.texts import fault_of_hidden, nearest

__all__ = [
    "ConflictError",
    "DamagedError",
    "DataError",
    "DefinitionError",
    "DiskError",
    "ExitCode",
    "FeaturesError",
    "LowMemoryError",
    "ServiceUnavailableError",
    "UsageError",
    "nearest",
    "refuse_hidden",
]


class ExitCode(IntEnum):
    """How a command ends: what `features --help` and docs/operations.md list."""

    meaning: str

    DONE = 0, "done"
    FAULT = 1, "a fault of the platform (FEATURES_DEBUG=1 shows the trace)"
    USAGE = 2, "wrong usage, a wrong setting or a mistake in an author's file"
    DATA = 3, "the data or the stored state is wrong: mend it first"
    ENVIRONMENT = 4, "a service, the disk or memory is in the way: repeat the command once it is back"

    def __new__(cls, code: int, meaning: str) -> Self:
        """A number with its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


class FeaturesError(click.ClickException):
    """Base of all errors that carry their own remedy: the message names the thing, the place, the evidence, what to do.

    It is a click exception so that Feast's own commands, too, print the message and end with the code, instead of a
    stack trace.
    """

    exit_code = int(ExitCode.FAULT)


class DefinitionError(FeaturesError):
    """A declaration that cannot mean anything: unknown column, wrong dtype, duplicate name, impossible window."""

    exit_code = int(ExitCode.USAGE)

    def format_message(self) -> str:
        """The message, with the line of the author's file that led to it; Feast's commands print this, too."""
        from transformations.engine.base.authored import place_of

        place = place_of(self)
        return self.message if place is None else f"{self.message}\n  at {place}"


def refuse_hidden(place: str, **texts: str) -> None:
    """DefinitionError where one of the texts that people read holds a character that they cannot see."""
    for fact, text in texts.items():
        if (fault := fault_of_hidden(text)) is not None:
            raise DefinitionError(f"{place}: {fact} {fault}. Leave it out.")


class UsageError(FeaturesError):
    """A command or call was given arguments that do not fit together."""

    exit_code = int(ExitCode.USAGE)


class DataError(FeaturesError):
    """The data breaks its contract, or a table is not in the state that the request needs."""

    exit_code = int(ExitCode.DATA)

    @classmethod
    def not_ingested(cls, source: str, needed_by: str = "") -> Self:
        """The raw table of a source that has no drop yet. needed_by: what asks for it, as in `view user_clicks`."""
        place = f"{needed_by} needs {source}, of which" if needed_by else f"{source}:"
        return cls(f"{place} nothing has been ingested yet. Run `features ingest {source} FILE` first.")


class DamagedError(DataError):
    """A stored file is missing, cut short, or does not hold the bytes that were written."""


class ConflictError(DataError):
    """Another run of the same table won; this one published nothing and may simply be repeated."""


class DiskError(FeaturesError):
    """The disk is full, read-only, failing, or not this user's to write; nothing of the data is known to be wrong."""

    exit_code = int(ExitCode.ENVIRONMENT)

    @classmethod
    def not_a_folder(cls, file: object) -> Self:
        """A file stands where a folder is needed."""
        return cls(f"{file} is a file where a folder is needed. Move it away, or set FEATURES_DATA to a folder.")

    @classmethod
    def not_a_file(cls, folder: object) -> Self:
        """A folder stands where a file is needed."""
        return cls(f"{folder} is a folder where a file is needed. Move it away and repeat the command.")


class LowMemoryError(FeaturesError):
    """What was asked for needs more memory than this process may have."""

    exit_code = int(ExitCode.ENVIRONMENT)


class ServiceUnavailableError(FeaturesError):
    """Redis, Java or another service cannot be reached; trying again later may help."""

    exit_code = int(ExitCode.ENVIRONMENT)

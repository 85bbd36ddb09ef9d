"""DuckDB sessions that read histories: within the limits of the settings, in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from feast import RepoConfig

from transformations.engine.base import duck
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.engine.base.storage import make_folder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# DuckDB counts a query's progress for our bar, from its first row, and draws none of its own.
_COUNT_PROGRESS = (
    "SET enable_progress_bar = true",
    "SET enable_progress_bar_print = false",
    "SET progress_bar_time = 0",
)


@dataclass(frozen=True)
class Resources:
    """The limits of a retrieval. None leaves one to DuckDB; without `spill`, a temporary folder is used."""

    threads: int | None = None
    memory_limit: str | None = None
    spill: Path | None = None


def resources_of(config: RepoConfig) -> Resources:
    """The limits from the settings, else from the yaml's `offline_store`."""
    settings, ours = get_settings(), config.offline_store
    return Resources(
        threads=settings.offline_threads or getattr(ours, "threads", None),
        memory_limit=settings.offline_memory_limit or getattr(ours, "memory_limit", None),
        spill=settings.offline_spill or getattr(ours, "spill", None),
    )


@contextmanager
def session(
    resources: Resources, *, is_private: bool = False, keeps_order: bool = True
) -> Iterator[DuckDBPyConnection]:
    """A DuckDB of our own, in UTC, within the given resources; Feast's global one has neither bounds nor that zone.

    is_private: for one that is locked; keeps_order: whether rows come in the order of their files, which takes memory.
    UsageError if a query needs more memory than the limit, in spite of spilling.
    """
    import duckdb

    settings: dict[str, str | int] = {} if keeps_order else {"preserve_insertion_order": False}
    if resources.threads is not None:
        settings["threads"] = resources.threads
    if resources.memory_limit is not None:
        settings["memory_limit"] = resources.memory_limit
    if resources.spill is not None:
        make_folder(resources.spill)
    opened = duck.private_session if is_private else duck.session
    with _explain_memory(resources, duckdb.OutOfMemoryException), opened(resources.spill, **settings) as connection:
        with suppress(duckdb.InvalidInputException):  # in a notebook without ipywidgets, which then shows no progress
            for statement in _COUNT_PROGRESS:
                connection.execute(statement)
        yield connection


def threads_of(connection: DuckDBPyConnection) -> int:
    """The threads that a session has."""
    return int(connection.execute("SELECT current_setting('threads')").fetchall()[0][0])


def spill_settings(connection: DuckDBPyConnection) -> tuple[str, str]:
    """A session's spill folder, and its memory limit as DuckDB says it, such as `1.8 GiB`."""
    query = "SELECT current_setting('temp_directory'), current_setting('memory_limit')"
    ((folder, limit),) = connection.execute(query).fetchall()
    return folder, limit


@contextmanager
def _explain_memory(resources: Resources, out_of_memory: type[Exception]) -> Iterator[None]:
    try:
        yield
    except out_of_memory as error:
        limit = resources.memory_limit or "DuckDB's own limit, most of this machine's memory"
        spill = resources.spill or "a temporary folder"
        raise UsageError(
            f"a retrieval needs more memory than it may have ({limit}; spilling to {spill}): "
            f"{str(error).splitlines()[0]}\nRaise FEATURES_OFFLINE_MEMORY_LIMIT, name a folder with more room in "
            f"FEATURES_OFFLINE_SPILL, lower FEATURES_OFFLINE_THREADS, or ask for fewer rows at a time."
        ) from error

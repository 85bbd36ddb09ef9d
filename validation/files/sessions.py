"""DuckDB as ingestion uses it: within the memory that the settings allow the process, spilling where they say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transformations.engine.base import duck
from transformations.engine.base.errors import LowMemoryError
from transformations.engine.base.machine import held_bytes, memory_bytes, processors
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import human_bytes
from validation.files.files_sql import LIMITS_QUERY

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MB = 1_000_000
_UNITS = {"": 1, "bytes": 1, "b": 1}
_UNITS |= {f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)}

# What an ingestion takes beside DuckDB's own memory. Measured with 14.7 million rows of 11 columns: 515 MB with two
# threads, 650 MB with eight; some 220 of it is Great Expectations, the rest Arrow batches and the Parquet writer.
_BESIDE_DUCKDB = 550 * _MB
_A_THREAD = 32 * _MB
_FOR_ONE_THREAD, _FOR_EACH_THREAD = 160 * _MB, 300 * _MB  # of DuckDB's memory; with less, it spills too late


@contextmanager
def ingestion_session(settings: Settings, *, is_private: bool = False) -> Iterator[DuckDBPyConnection]:
    """A session for what is delivered. is_private: for one that is locked, or attaches what is elsewhere.

    FEATURES_INGEST_MEMORY_LIMIT is the process's: DuckDB gets what is left of it beside what the process holds already
    and what an ingestion takes besides. LowMemoryError where that does not suffice, in spite of spilling.
    """
    limits = _limits(settings)
    opened = duck.private_session if is_private or limits else duck.session  # what is left differs from time to time
    with _named(settings), opened(settings.ingest_spill, **limits) as connection:
        yield connection


@contextmanager
def session_beside(connection: DuckDBPyConnection, settings: Settings) -> Iterator[DuckDBPyConnection]:
    """A private session for rows that `connection` streams: while it is open, each of the two has half of the memory.

    LowMemoryError where that does not suffice.
    """
    if settings.ingest_memory_limit is None:
        with duck.private_session(settings.ingest_spill) as private:
            yield private
        return
    ((whole, threads),) = connection.execute(LIMITS_QUERY).fetchall()
    half = _bytes_of(whole) // 2
    limits = {"memory_limit": f"{half}B", "threads": threads}
    with _named(settings), duck.private_session(settings.ingest_spill, **limits) as private:
        duck.limit_memory(connection, f"{half}B")
        try:
            yield private
        finally:
            duck.limit_memory(connection, whole)


def least_limit() -> int:
    """The least FEATURES_INGEST_MEMORY_LIMIT, in bytes, with which this process, as it is, can ingest anything."""
    return held_bytes() + _BESIDE_DUCKDB + _A_THREAD + _FOR_ONE_THREAD


@contextmanager
def _named(settings: Settings) -> Iterator[None]:
    """Name the setting where DuckDB's memory does not suffice."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        if settings.ingest_memory_limit is None:
            raise
        raise LowMemoryError(
            f"this ingestion needs more memory than FEATURES_INGEST_MEMORY_LIMIT={settings.ingest_memory_limit} allows "
            f"({str(error).splitlines()[0]}). Raise it, or deliver in smaller parts. Nothing was written."
        ) from error


def _limits(settings: Settings) -> dict[str, str | int]:
    """DuckDB's limits so that the process keeps within its own; none where it has none."""
    limit = settings.ingest_memory_limit
    if limit is None:
        return {}
    held = held_bytes()
    free = _bytes_of(limit) - held - _BESIDE_DUCKDB
    threads = max(1, min(processors(), free // (_A_THREAD + _FOR_EACH_THREAD)))
    if free >= _A_THREAD + _FOR_ONE_THREAD:
        return {"memory_limit": f"{free - threads * _A_THREAD}B", "threads": threads}
    least = least_limit()
    raise LowMemoryError(
        f"FEATURES_INGEST_MEMORY_LIMIT={limit} is too little: this process holds {human_bytes(held)} already, and an "
        f"ingestion takes {human_bytes(least - held)} more at least. Allow {human_bytes(least)} or more. Nothing was "
        f"written."
    )


def _bytes_of(text: str) -> int:
    """A number of bytes as settings and DuckDB write it, such as 2GB, 1.5 GiB, or 50% of the machine's memory."""
    number, unit = text[: -len(text.lstrip("0123456789.")) or None], text.lstrip("0123456789. ").lower()
    return int(float(number) * (memory_bytes() / 100 if unit == "%" else _UNITS[unit]))

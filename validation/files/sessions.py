"""DuckDB as ingestion uses it: within the memory that the settings allow, spilling where they say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transformations.engine.base import duck
from transformations.engine.base.errors import LowMemoryError
from transformations.engine.base.settings import Settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@contextmanager
def ingestion_session(settings: Settings, *, is_private: bool = False) -> Iterator[DuckDBPyConnection]:
    """A session for what is delivered. is_private: for one that is locked, or attaches what is elsewhere.

    LowMemoryError where the limit of the settings does not suffice, in spite of spilling.
    """
    import duckdb

    limits = {"memory_limit": settings.ingest_memory_limit} if settings.ingest_memory_limit else {}
    opened = duck.private_session if is_private else duck.session
    try:
        with opened(settings.ingest_spill, **limits) as connection:
            yield connection
    except duckdb.OutOfMemoryException as error:
        if not limits:
            raise
        raise LowMemoryError(
            f"this ingestion needs more memory than FEATURES_INGEST_MEMORY_LIMIT={settings.ingest_memory_limit} allows "
            f"({str(error).splitlines()[0]}). Raise it, or deliver in smaller parts. Nothing was written."
        ) from error

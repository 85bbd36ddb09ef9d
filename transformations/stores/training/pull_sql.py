"""The SQL of reading one source as it is: what Feast's monitoring measures, and the newest moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from transformations.engine.base.duck import identifier
from transformations.engine.base.file_rows_sql import quoted
from transformations.stores.history.point_in_time_sql import between, instant

MONITORED = "monitored"


def monitored_rows(
    relation: str, columns: Mapping[str, str], timestamp: str, start: datetime | None, end: datetime | None
) -> str:
    """Creates a table of the rows of a time range, both ends included. columns: the files' names by their new names."""
    selected = ", ".join(f"{quoted(stored)} AS {identifier(name)}" for name, stored in columns.items())
    return f"""
CREATE TEMP TABLE {MONITORED} AS
SELECT {selected}
FROM {relation}
WHERE {between(timestamp, start, end)}"""


def count_of_monitored() -> str:
    """How many rows the table has."""
    return f"SELECT count(*) FROM {MONITORED}"


def last_moment(relation: str, timestamp: str) -> str:
    """The newest event timestamp."""
    return f"SELECT max({instant(timestamp)}) FROM {relation}"

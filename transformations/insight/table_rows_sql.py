"""Questions about the rows of a view's offline table."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from transformations.engine.base.duck import literal, parquet
from transformations.engine.base.file_rows_sql import FILE, quoted
from transformations.engine.base.moments import EVENT_TIMESTAMP


def rows_of_entity(relation: str, feature: str, stamps: Sequence[str], entity: Mapping[str, object]) -> str:
    """A feature's value in every row of an entity, with the row's timestamps and the number of its file; the row that
    retrieval prefers comes last.
    """
    where = " AND ".join(f"{quoted(name)} = {literal(value)}" for name, value in entity.items())
    columns = ", ".join(map(quoted, stamps))
    return f"""
        SELECT {quoted(feature)}, {columns}, {FILE}
        FROM {relation}
        WHERE {where}
        ORDER BY {columns}
    """


def newest_event_timestamp(files: Sequence[str], now: datetime) -> str:
    """The newest event timestamp in these files that is not later than now."""
    return f"SELECT max({EVENT_TIMESTAMP}) FROM {parquet(files)} WHERE {EVENT_TIMESTAMP} <= {literal(now)}"

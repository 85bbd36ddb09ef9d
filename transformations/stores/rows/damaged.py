"""The error for a stored value that is no intact row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transformations.stores.base.errors import DamagedRowError
from transformations.stores.rows.packed_rows import Schema, fault_of


def refuse_damaged(
    view: str, rows: Iterable[tuple[bytes, bytes | None]], schemas: Sequence[Schema], table: bytes
) -> None:
    """DamagedRowError for the first row of a view that is damaged. rows: hash tags and stored values."""
    for tag, row in rows:
        fault = None if row is None else fault_of(row, schemas)
        if fault is not None:
            key = (tag + table).decode(errors="replace")
            raise DamagedRowError(
                f"{view}: what Redis holds under the key {key} is no intact row of this view: {fault}. Load the view "
                f"from the beginning, which replaces it: `feast materialize 1970-01-01T00:00:00 END --views {view}`. "
                f"If the row was pushed, push it again."
            )

"""Counting what drops delivered."""

from __future__ import annotations

from collections.abc import Sequence

from transformations.engine.base.duck import identifier, literal, parquet
from transformations.engine.raw.files import DROP, RETRACTED


def nulls_of(files: Sequence[str], drops: Sequence[int], columns: Sequence[str]) -> str:
    """By drop how many rows it has in these files, and how many nulls in each column; without rows that take others
    back, which hold nothing.
    """
    nulls = ", ".join(f"count(*) - count({identifier(name)})" for name in columns)
    listed = ", ".join(literal(each) for each in drops)
    return (
        f"SELECT {DROP}, count(*), {nulls}\nFROM {parquet(files)}\nWHERE NOT {RETRACTED} AND {DROP} IN ({listed})\n"
        f"GROUP BY {DROP}\nORDER BY {DROP}"
    )

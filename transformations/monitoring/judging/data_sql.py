"""Counting what a drop delivered."""

from __future__ import annotations

from collections.abc import Sequence

from transformations.engine.base.duck import identifier, parquet
from transformations.engine.raw.files import RETRACTED


def nulls_of(files: Sequence[str], columns: Sequence[str]) -> str:
    """How many rows a drop's files hold, and how many nulls each column has; rows that take others back hold none."""
    nulls = ", ".join(f"count(*) - count({identifier(name)})" for name in columns)
    return f"SELECT count(*), {nulls}\nFROM {parquet(files)}\nWHERE NOT {RETRACTED}"

"""The entities that histories know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from transformations.engine.base.duck import identifier, identifiers
from transformations.stores.history.point_in_time_sql import Join, between, key_of


def keys_until(joins: Sequence[Join], names: Sequence[str], moment: datetime) -> str:
    """Each key, whole, of which one of the histories has a row up to and including a moment, in order."""
    parts = []
    for join in joins:
        by_spine = {key.spine: key for key in join.keys}
        keys = ", ".join(f"{key_of(by_spine[name], 'history.')} AS {identifier(name)}" for name in names)
        rows = f"{join.relation} AS history WHERE {between(join.timestamp, None, moment)}"
        parts.append(f"SELECT DISTINCT {keys} FROM {rows}")
    whole = " AND ".join(f"{identifier(name)} IS NOT NULL" for name in names)
    union = "\nUNION\n".join(parts)
    return f"SELECT * FROM (\n{union}\n) AS known WHERE {whole} ORDER BY {identifiers(names)}"

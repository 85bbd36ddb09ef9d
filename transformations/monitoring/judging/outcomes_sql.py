"""Predictions joined with what became of them, on entity and moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformations.engine.base.duck import file_literal, identifier

PREDICTED, LABELLED = "predicted", "labelled"
SAID = ("predicted_at", "predicted_by", "role", "predicted_event", "holdout", "score", "decision")
"""What is added to the query's columns: the prediction."""


def read_predictions(files: Sequence[Path], keys: Sequence[str], values: Sequence[str], held_out: bool) -> str:
    """The predictions of files that are alike: keys, moment, version, role, event, score, decision, inputs' values."""
    columns = [f"keys.{identifier(key)} AS {identifier(key)}" for key in keys]
    columns += ["request_timestamp AS predicted_at", "version AS predicted_by", "role", "event AS predicted_event"]
    columns += ["score", "decision"]
    columns.append("holdout" if held_out else "FALSE AS holdout")
    columns += values
    listed = ", ".join(file_literal(file) for file in files)
    return f"SELECT {', '.join(columns)}\nFROM read_parquet([{listed}], hive_partitioning = false)\nWHERE answered"


def joined(keys: Sequence[str], timestamp: str, columns: Sequence[str], inputs: Sequence[str]) -> str:
    """Every prediction with its row of the dataset's query: the query's columns, inputs that it lacks, the score."""
    on = " AND ".join(f"{PREDICTED}.{identifier(key)} = {LABELLED}.{identifier(key)}" for key in keys)
    taken = [f"{LABELLED}.{identifier(name)}" for name in columns]
    taken += [f"{PREDICTED}.{identifier(name)}" for name in inputs]
    taken += [f"{PREDICTED}.{name}" for name in SAID]
    return (
        f"SELECT {', '.join(taken)}\nFROM {PREDICTED}\nJOIN {LABELLED}\n"
        f"    ON {on} AND {PREDICTED}.predicted_at = {LABELLED}.{identifier(timestamp)}\n"
        f"ORDER BY predicted_at, {', '.join(f'{PREDICTED}.{identifier(key)}' for key in keys)}, predicted_by, role"
    )

"""Counting a file of records on a baseline's bins, as the reference was counted and by the same code.

A column is read and counted at a time, row group by row group, so that neither memory nor time depends on what else a
record holds. Columns are shared out among threads: reading, searching and counting let each other run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformations.engine.vocabulary.columns import one_array
from transformations.models.records.prediction_table import TIMESTAMP
from transformations.models.records.reference import Categories
from transformations.monitoring.reading.baseline import as_compared
from transformations.monitoring.reading.records import SCORE, Baseline
from transformations.monitoring.statistics.draws import Integers
from transformations.monitoring.statistics.layout import size, tally

_MOMENT, _ROLE, _VALUE = "request_timestamp", "role", "value"


@dataclass(frozen=True, kw_only=True)
class _Group:
    """What of a row group holds for all columns. taken: its rows in the roles asked for; None for all."""

    number: int
    taken: pa.Array | None
    moments: Integers


def count_values(
    file: Path, baseline: Baseline, places: Mapping[str, str], roles: Collection[str], threads: int
) -> dict[str, Sequence[int]]:
    """By input, and of the scores, the counts of its bins, nulls last, over a file's rows in these roles.

    places: by input in which struct of a record it stands. What is in none, or is no number any more, is left out.
    """
    opened = pq.ParquetFile(file)
    schema, metadata = opened.schema_arrow, opened.metadata
    paths = {name: _path(name, places) for name in baseline.layout.names if name == SCORE or name in places}
    paths = {
        name: path
        for name, path in paths.items()
        if isinstance(baseline.layout.features[name], Categories) or _is_number(schema, path)
    }
    groups = [_group(opened, number, roles) for number in range(metadata.num_row_groups)]

    def count(name: str) -> Sequence[int]:
        bins = baseline.layout.features[name]
        found = np.zeros(size(bins), dtype=np.int64)
        with pq.ParquetFile(file, metadata=metadata) as mine:  # readers are not shared between threads
            for group in groups:
                values = _read(mine, group, paths[name])
                if name != SCORE:
                    values = as_compared(values, baseline.inputs[name], group.moments)
                found += tally(bins, values)
        return [int(each) for each in found]

    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(paths, pool.map(count, paths), strict=True))


def _group(opened: pq.ParquetFile, number: int, roles: Collection[str]) -> _Group:
    rows = opened.read_row_group(number, columns=[_ROLE, _MOMENT])
    taken = one_array(pc.is_in(rows[_ROLE], pa.array(list(roles))))
    moments = one_array(rows[_MOMENT]).cast(TIMESTAMP).cast(pa.int64())
    if taken.true_count == len(taken):
        return _Group(number=number, taken=None, moments=np.asarray(moments.to_numpy()))
    return _Group(number=number, taken=taken, moments=np.asarray(moments.filter(taken).to_numpy()))


def _read(opened: pq.ParquetFile, group: _Group, path: Sequence[str]) -> pa.Array:
    """A column of a row group, in the roles asked for; null where the record lacks the whole struct."""
    rows = opened.read_row_group(group.number, columns=[".".join(path)], use_threads=False)
    column = one_array(rows[path[0]])
    values = pc.struct_field(column, list(path[1:])) if len(path) > 1 else column
    return values if group.taken is None else values.filter(group.taken)


def _path(name: str, places: Mapping[str, str]) -> tuple[str, ...]:
    if name == SCORE:
        return (SCORE,)
    return (places[name], name, _VALUE) if places[name] == "features" else (places[name], name)


def _is_number(schema: pa.Schema, path: Sequence[str]) -> bool:
    """Whether a record holds a value as it was: a personal one may have been hashed, and is then no number."""
    kind = schema.field(path[0]).type
    for name in path[1:]:
        kind = kind.field(name).type
    return not (pa.types.is_string(kind) or pa.types.is_large_string(kind))

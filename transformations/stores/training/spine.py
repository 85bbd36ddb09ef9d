"""A retrieval's spine: the caller's rows, kept unchanged, and the keys and moments that are matched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast.types import FeastType

from transformations.engine.base.errors import DataError, UsageError, nearest
from transformations.engine.base.moments import EVENT_TIMESTAMP
from transformations.stores.base.errors import NoTimestampError
from transformations.stores.base.join_keys import as_key, key_values
from transformations.stores.base.values import TIMESTAMP, column_of, frame_column, moments_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rows: TypeAlias = pd.DataFrame | pa.Table

_INTEGERS_A_ROW = 4


@dataclass(frozen=True)
class Spine:
    """Entity rows with their moments. rows: as the caller gave them, never changed.

    moments: UTC, microseconds. timestamp: the column they come from.
    """

    rows: Rows
    timestamp: str
    moments: pa.Array

    def __len__(self) -> int:
        return len(self.moments)

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.rows.column_names if isinstance(self.rows, pa.Table) else self.rows.columns)

    def column(self, name: str) -> pa.Array | pa.ChunkedArray:
        """One column as Arrow. UsageError, naming the nearest one, if there is none."""
        if name not in self.columns:
            raise UsageError(f"the spine has no column {name!r}: {nearest(name, map(str, self.columns))}")
        if isinstance(self.rows, pa.Table):
            return self.rows[name]
        return frame_column(self.rows[name], f"spine column {name!r}")

    def key(self, name: str, dtype: FeastType) -> pa.Array:
        """A join key as it is matched: integers as int64, text as string; each value as a request's is read."""
        place = f"spine column {name!r}"
        try:
            column = self.column(name)
        except DataError:
            if isinstance(self.rows, pa.Table):
                raise
            column = column_of(key_values(self.rows[name].tolist(), dtype), place)
        return as_key(column, dtype, place)

    def to_arrow(self) -> pa.Table:
        """All its columns as an Arrow table."""
        if isinstance(self.rows, pa.Table):
            return self.rows
        return pa.table({str(name): self.column(name) for name in self.columns})

    def to_df(self) -> pd.DataFrame:
        """All columns as a frame; a given frame comes back unchanged, dtypes and index included."""
        if isinstance(self.rows, pa.Table):
            frame: pd.DataFrame = self.rows.to_pandas()
            return frame
        return self.rows


def spine_of(rows: Rows) -> Spine:
    """The spine of entity rows: a moment a row is `event_timestamp`, else the only column of timestamps; naive is UTC.

    UsageError where there is no such column or two are called alike, DataError where a row's moment is null, no
    timestamp, or beyond the years 1 to 9999.
    """
    _refuse_duplicates(rows)
    types = _timestamp_flags(rows)
    timestamp = timestamp_column(types)
    spine = Spine(rows, timestamp, pa.nulls(0, TIMESTAMP))
    moments = moments_of(spine.column(timestamp), f"spine column {timestamp!r}")
    if moments.null_count:
        row = pc.index(pc.is_null(moments), True).as_py()
        raise DataError(
            f"spine column {timestamp!r} is null at row {row}. Every row needs its moment; drop the others."
        )
    return Spine(rows, timestamp, moments)


def encode_keys(keys: Sequence[pa.Array], rows: int) -> tuple[NDArray[np.int32], list[pa.Array], int]:
    """Number the keys. Returns each row's number (-1 if part of its key is null), the distinct keys as columns, and
    their count. Without columns, all rows have the same key.
    """
    if not keys:
        return np.zeros(rows, np.int32), [], 1
    if len(keys) == 1 and pa.types.is_int64(keys[0].type) and not keys[0].null_count and rows:
        found = _encode_integers(keys[0].to_numpy())
        if found is not None:
            return found
    encoded = keys[0].dictionary_encode()
    codes, distinct = encoded.indices, [encoded.dictionary]
    for key in keys[1:]:
        encoded = key.dictionary_encode()
        base = max(len(encoded.dictionary), 1)
        pairs = pc.add(pc.multiply(codes.cast(pa.int64()), base), encoded.indices).dictionary_encode()
        before, here = (pa.array(part) for part in np.divmod(pairs.dictionary.to_numpy(), base))
        codes, distinct = pairs.indices, [*(each.take(before) for each in distinct), encoded.dictionary.take(here)]
    return codes.fill_null(-1).to_numpy(), distinct, len(distinct[0])


def _encode_integers(keys: NDArray[np.int64]) -> tuple[NDArray[np.int32], list[pa.Array], int] | None:
    """`encode_keys` through a lookup table of all integers from the smallest key to the greatest, three times as fast.

    None if they are too far apart.
    """
    lowest, greatest = int(keys.min()), int(keys.max())
    if greatest - lowest > _INTEGERS_A_ROW * len(keys):
        return None
    offsets = keys - lowest
    is_there = np.zeros(greatest - lowest + 1, bool)
    is_there[offsets] = True
    distinct = np.flatnonzero(is_there)
    code_of = np.empty(len(is_there), np.int32)
    code_of[distinct] = np.arange(len(distinct), dtype=np.int32)
    return code_of[offsets], [pa.array(distinct + lowest)], len(distinct)


def _refuse_duplicates(rows: Rows) -> None:
    """UsageError for two columns of one name (`1` and `"1"` count as one), and for multi-level names."""
    names = list(rows.column_names if isinstance(rows, pa.Table) else rows.columns)
    if levels := [name for name in names if isinstance(name, tuple)]:
        raise UsageError(f"the spine's columns have names in levels, such as {levels[0]!r}. Give each one name.")
    times = Counter(map(str, names))
    if alike := [name for name, count in times.items() if count > 1]:
        raise UsageError(
            f"the spine has {times[alike[0]]} columns called {alike[0]!r}. Rename or drop all but one of them."
        )


def _timestamp_flags(rows: Rows) -> dict[str, bool]:
    """Per column, whether it holds timestamps."""
    if isinstance(rows, pa.Table):
        return {field.name: pa.types.is_timestamp(field.type) for field in rows.schema}
    return {str(name): pd.api.types.is_datetime64_any_dtype(dtype) for name, dtype in rows.dtypes.items()}


def timestamp_column(types: Mapping[str, bool]) -> str:
    """The column of a spine's moments. types: by column, whether it holds timestamps. NoTimestampError without one."""
    if EVENT_TIMESTAMP in types:
        return EVENT_TIMESTAMP
    found: Sequence[str] = [name for name, is_timestamp in types.items() if is_timestamp]
    if len(found) == 1:
        return found[0]
    listed = f"several columns of timestamps ({', '.join(found)})" if found else "no column of timestamps"
    raise NoTimestampError(f"the spine has {listed} and none called {EVENT_TIMESTAMP}. Name the moment of each row so.")

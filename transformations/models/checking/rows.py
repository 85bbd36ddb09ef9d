"""A dataset's rows as the checks see them, and how often a row occurs twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.datasets.content.content_hash import row_hashes
from transformations.models.evaluation.metrics import Bools, Floats, Integers


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Rows with a label. keys: the columns that say whose row it is. horizon: how far ahead a label looks. beside: the
    columns of the spine that are none of these, and which a model may take as request fields.
    """

    table: pa.Table
    keys: tuple[str, ...]
    timestamp: str
    label: str
    features: tuple[str, ...]
    horizon: timedelta
    beside: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def is_classification(self) -> bool:
        """Whether the label is true or false, or 1 and 0."""
        values = pc.unique(self.table[self.label]).to_pylist()
        return {*values} <= {0, 1, None}

    @property
    def labels(self) -> Bools:
        """The labels of a classification."""
        return np.asarray(self.table[self.label].cast(pa.float64()).to_numpy() == 1, dtype=np.bool_)

    @property
    def entities(self) -> Integers:
        """The entity of each row, as a number. Without keys each row is an entity of its own."""
        if not self.keys:
            return np.arange(len(self), dtype=np.int64)
        hashes = row_hashes(self.table.select(self.keys), 0)
        return np.asarray(np.unique(hashes, return_inverse=True)[1], dtype=np.int64)

    @property
    def moments(self) -> Integers:
        """Microseconds since 1970."""
        moments = self.table[self.timestamp].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        return np.asarray(moments.to_numpy(), dtype=np.int64)

    def head(self, most: int) -> Labelled:
        """The first rows. Within a split rows stand in the order of a hash, so they are a sample."""
        return Labelled(**{**vars(self), "table": self.table.slice(0, most)})


@dataclass(frozen=True)
class Repeated:
    """The shares of rows that equal another row in every column, and in every column but the label."""

    duplicates: float
    contradictions: float


def repeated(rows: Labelled) -> Repeated:
    """How many rows stand there again: with the same label (all but one of them count), or with another (all count)."""
    place = row_hashes(rows.table.select([*rows.keys, rows.timestamp]), 0)
    _, group, size = np.unique(place, return_inverse=True, return_counts=True)
    shared = size[group] > 1  # only such rows can be another one's equal, and mostly there are none
    if not shared.any():
        return Repeated(0.0, 0.0)
    table = rows.table.filter(pa.array(shared))
    apart_from_label = row_hashes(table.drop_columns(rows.label), 0)
    whole = row_hashes(table, 0)
    duplicates = len(whole) - len(np.unique(whole))
    _, group, size = np.unique(apart_from_label, return_inverse=True, return_counts=True)
    labels_of_group = np.bincount(group[np.unique(whole, return_index=True)[1]], minlength=len(size))
    contradicting = int(size[labels_of_group > 1].sum())
    return Repeated(duplicates / len(rows), contradicting / len(rows))


def matrix_of(table: pa.Table, features: tuple[str, ...]) -> Floats:
    """Numbers and booleans as they are, texts as their rank by frequency; nulls are NaN. Other types are left out."""
    columns = [column for name in features if (column := _numbers(table[name])) is not None]
    return np.column_stack(columns) if columns else np.zeros((table.num_rows, 0))


def _numbers(column: pa.ChunkedArray) -> Floats | None:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
        codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
        rank = np.argsort(np.argsort(-np.bincount(codes[codes >= 0], minlength=len(encoded.dictionary)), kind="stable"))
        return np.where(codes < 0, np.nan, rank[codes] if len(rank) else np.nan).astype(np.float64)
    return None


def folds_of(entities: Integers, count: int, seed: int) -> npt.NDArray[np.int64]:
    """A fold for each row, all rows of an entity in one."""
    drawn = np.random.Philox(key=np.array([seed, count], dtype=np.uint64)).random_raw(int(entities.max()) + 1)
    return np.asarray((np.argsort(np.argsort(drawn)) % count)[entities], dtype=np.int64)

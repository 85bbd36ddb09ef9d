"""Packs Arrow batches into rows, column by column where possible, otherwise row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView

from transformations.stores.base.join_keys import key_fields, key_names
from transformations.stores.base.values import TIMESTAMP, as_feature
from transformations.stores.history.history import History
from transformations.stores.redis.writes import Rows
from transformations.stores.rows.codecs import Codec, Stored, codec_of
from transformations.stores.rows.keys import NO_ENTITY, column_keys, column_parts, key_column
from transformations.stores.rows.packed_rows import NEVER_CREATED, Form, mark, pack_small_integers, schema_of


@dataclass(frozen=True)
class Packer:
    """Packs rows of a view's history. table, schema: the numbers of its online table and of its schema there."""

    view: FeatureView
    history: History
    table: bytes
    schema: int

    @property
    def columns(self) -> list[str]:
        """The columns of the history that packing needs, each once: keys and moments may be features, too."""
        history = self.history
        stamps = [history.timestamp, *([history.created] if history.created else [])]
        names = (*self.join_keys, *stamps, *(each.name for each in self.view.features))
        return list(dict.fromkeys(map(history.column, names)))

    @cached_property
    def join_keys(self) -> list[str]:
        """The view's join keys, sorted by name; empty for a view without an entity."""
        return sorted(key_names(self.view))

    def pack(self, batch: pa.RecordBatch) -> Rows:
        """Keys and rows of a batch without null join keys. DataError for a value that its dtype cannot hold."""
        count, history = batch.num_rows, self.history
        event = _to_micros(batch[history.column(history.timestamp)])
        created = (
            _to_micros(batch[history.column(history.created)]) if history.created else np.full(count, NEVER_CREATED)
        )
        heads = np.empty(count, self._form.heads)
        heads["event"], heads["created"], heads["mark"] = event, created, mark(self.schema, 0)
        for column, place in enumerate(self._form.floats):
            heads["floats"][:, column] = pc.fill_null(self._feature_column(batch, place).cast(pa.float64()), np.nan)
        rows = self._form.pack_columns(heads, [self._other_column(batch, place) for place in self._form.others])
        return Rows(self._pack_keys(batch), rows)

    def count_before(self, batch: pa.RecordBatch, moment: int) -> int:
        """How many rows of a batch have an event timestamp before a moment, in microseconds."""
        return int(np.count_nonzero(_to_micros(batch[self.history.column(self.history.timestamp)]) < moment))

    @cached_property
    def _form(self) -> Form:
        return schema_of(self.view.features).form

    @cached_property
    def _codecs(self) -> list[tuple[str, Codec, str]]:
        place = self.view.name
        return [
            (self.history.column(each.name), codec_of(each.dtype), f"{place}: feature {each.name!r}")
            for each in self.view.features
        ]

    def _feature_column(self, batch: pa.RecordBatch, number: int) -> pa.Array:
        column, codec, place = self._codecs[number]
        return as_feature(batch[column], codec.dtype, place)

    def _other_column(self, batch: pa.RecordBatch, number: int) -> Sequence[Stored] | pa.LargeBinaryArray:
        """A column of another dtype than a float: packed already, or stored values."""
        column = self._feature_column(batch, number)
        packed = pack_small_integers(column) if pa.types.is_integer(column.type) else None
        return self._codecs[number][1].from_arrow(column) if packed is None else packed

    def _pack_keys(self, batch: pa.RecordBatch) -> pa.LargeBinaryArray:
        if not self.join_keys:
            return pa.repeat(pa.scalar(NO_ENTITY + self.table, pa.large_binary()), batch.num_rows)
        dtypes = {field.name: field.dtype for field in key_fields(self.view)}
        parts = []
        for name in self.join_keys:
            place = f"{self.view.name}: join key {name!r}"
            parts.append(column_parts(key_column(batch[self.history.column(name)], dtypes[name], place)))
        return column_keys(parts, self.table)


def _to_micros(column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    moments = column.cast(TIMESTAMP, safe=False).cast(pa.int64())
    return np.asarray(pc.fill_null(moments, NEVER_CREATED))

"""Arrow batches as packed rows: column by column as far as it goes, and then one tuple a row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID

from transformations.stores.history import History
from transformations.stores.rows.online_keys import canonical_key, column_parts, tags_of
from transformations.stores.rows.packed_rows import NEVER_CREATED, Codec, Form, codec_of, mark, schema_of
from transformations.stores.values import TIMESTAMP, as_declared, as_feature


@dataclass(frozen=True)
class Packer:
    """Packs rows of one view's history into its online table of this number, under its schema of this number."""

    view: FeatureView
    history: History
    table: bytes
    schema: int

    @property
    def columns(self) -> list[str]:
        """The columns of the history that it needs."""
        history = self.history
        stamps = [history.timestamp, *([history.created] if history.created else [])]
        return [
            history.column(name) for name in (*self.join_keys, *stamps, *(each.name for each in self.view.features))
        ]

    @cached_property
    def join_keys(self) -> list[str]:
        """The view's join keys in the order of their names; none where it is about no entity."""
        return sorted(column.name for column in self.view.entity_columns if column.name != DUMMY_ENTITY_ID)

    def pack(self, batch: pa.RecordBatch) -> tuple[list[bytes], list[bytes]]:
        """Keys and rows. DataError where a value does not fit its declared dtype. No join key is null."""
        count, history = batch.num_rows, self.history
        event = _micros(batch[history.column(history.timestamp)])
        created = _micros(batch[history.column(history.created)]) if history.created else np.full(count, NEVER_CREATED)
        heads = np.empty(count, self._form.heads)
        heads["event"], heads["created"], heads["mark"] = event, created, mark(self.schema, 0)
        for column, place in enumerate(self._form.floats):
            heads["floats"][:, column] = pc.fill_null(self._column(batch, place).cast(pa.float64()), np.nan)
        others = [self._codecs[place][1].from_arrow(self._column(batch, place)) for place in self._form.others]
        # Void bytes keep their zeros.
        rows = self._form.pack_columns(heads.view(f"V{heads.dtype.itemsize}").tolist(), others)
        return self._keys(batch), rows

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

    def _column(self, batch: pa.RecordBatch, number: int) -> pa.Array:
        column, codec, place = self._codecs[number]
        return as_feature(batch[column], codec.dtype, place)

    def _keys(self, batch: pa.RecordBatch) -> list[bytes]:
        dtypes = {column.name: column.dtype for column in self.view.entity_columns}
        if not self.join_keys:
            return [b"{'}" + self.table] * batch.num_rows
        parts = []
        for name in self.join_keys:
            column = as_declared(
                batch[self.history.column(name)], canonical_key(dtypes[name]), f"{self.view.name}: join key {name!r}"
            )
            if pa.types.is_integer(column.type) and len(self.join_keys) == 1:
                form = b"{%d}" + self.table
                return [form % key for key in column.to_pylist()]
            parts.append(column_parts(column))
        number = self.table
        return [tag + number for tag in tags_of(parts) if tag is not None]


def _micros(column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    moments = column.cast(TIMESTAMP, safe=False).cast(pa.int64())
    return np.asarray(pc.fill_null(moments, NEVER_CREATED))

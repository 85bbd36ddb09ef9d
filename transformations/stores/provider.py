"""Feast's provider, with pushed rows converted as on all other paths, or refused by column and row.

Feast's own conversion (type_map.py) makes 1 of the key 1.5 and of True, infinity of 1e300 in a Float32, nanoseconds of
a number where a moment is meant, and fails with whatever Python raises. By then no store can see what was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from feast import FeatureView
from feast.infra.passthrough_provider import PassthroughProvider
from feast.types import Int64

from transformations.engine.base.errors import DataError, FeaturesError
from transformations.stores.base.errors import Answering
from transformations.stores.base.source_paths import event_source, stored_names
from transformations.stores.base.values import as_declared, frame_column
from transformations.stores.redis.feast_rows import rows_of, typed_columns

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore


class CheckedProvider(PassthroughProvider):
    """Converts and checks what `push`, `write_to_online_store` and `write_to_offline_store` write.

    Errors: DataError for a value that its declared dtype cannot hold, a row without its event timestamp, and a column
    that is missing or there twice.
    """

    def ingest_df(self, feature_view: Any, df: pd.DataFrame, field_mapping: dict[str, str] | None = None) -> None:
        """Write the rows to the online store."""
        if not isinstance(feature_view, FeatureView):  # an on-demand one, which the online store refuses
            super().ingest_df(feature_view, df, field_mapping)
            return
        with Answering():
            self.online_write_batch(self.repo_config, feature_view, rows_of(feature_view, df), progress=None)

    async def ingest_df_async(
        self, feature_view: Any, df: pd.DataFrame, field_mapping: dict[str, str] | None = None
    ) -> None:
        """As `ingest_df`."""
        if not isinstance(feature_view, FeatureView):
            await super().ingest_df_async(feature_view, df, field_mapping)
            return
        with Answering():
            rows = rows_of(feature_view, df)
            await self.online_write_batch_async(self.repo_config, feature_view, rows, progress=None)

    def ingest_df_to_offline_store(self, feature_view: FeatureView, table: pa.Table) -> None:
        """Append the rows to the view's source. A naive moment is UTC, as in a spine and online."""
        with Answering():
            stored = stored_names(event_source(feature_view))
            for name, column in typed_columns(feature_view, table).items():
                there = name if name in table.column_names else stored.get(name, name)
                table = table.set_column(table.column_names.index(there), there, column)
            super().ingest_df_to_offline_store(feature_view, table)


def explain_unwritten(store: FeatureStore, name: str, frame: pd.DataFrame, error: Exception) -> None:
    """DataError for a frame that could not be appended to a view: its column and row at fault, as an online push names
    them. Does nothing for an error that is ours already, or a store of another provider.
    """
    view: Any = store.registry.get_any_feature_view(name, store.project)
    is_ours = isinstance(store.provider, CheckedProvider) and isinstance(view, FeatureView)
    if isinstance(error, FeaturesError) or not is_ours or view.batch_source is None:
        return
    with Answering():
        typed = typed_columns(view, frame)
        for name in (name for name in frame.columns if name not in typed):
            place = f"{view.name}: column {name!r}"
            column = frame_column(frame[name], place)
            if pa.types.is_decimal(column.type) and all(isinstance(value, int) for value in frame[name].dropna()):
                as_declared(column, Int64, place)
        raise DataError(f"{view.name}: the rows cannot be appended: {error}") from error

"""The materialization engine: each key's newest row from the offline table into the online store, without pandas
between.

Feast imports this module to read the yaml's keys, in a serving image too: what only a materialization needs is
imported in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel

from transformations.engine.errors import FeaturesError
from transformations.engine.settings import get_settings
from transformations.stores.loaded import Loaded, record
from transformations.stores.values import TIMESTAMP, as_declared, as_feature, to_protos

if TYPE_CHECKING:
    from transformations.stores.history import History
    from transformations.stores.retrieval import Resources

Row: TypeAlias = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

_ROWS_A_WRITE = 10_000


class BulkMaterializationEngineConfig(FeastConfigBaseModel):
    """The yaml keys under `batch_engine`."""

    type: str = "transformations.stores.materialization.BulkMaterializationEngine"


class BulkMaterializationEngine(LocalComputeEngine):
    """Writes each key's newest row not later than END, and not later than now, whatever START says.

    So a run needs no memory of earlier ones: late rows and corrections arrive with the next run, a repeated run changes
    nothing, and a flushed online store is full again after one. A table that was built from another definition than the
    applied one is refused.
    """

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        job_id = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"
        try:
            self._load(task)
        except KeyboardInterrupt:
            # Feast puts the view back into its former state after an Exception, and only then (feature_store.py:2960).
            interrupted = FeaturesError(
                f"{task.feature_view.name}: interrupted. What was written is right; repeat the command for the rest."
            )
            return LocalMaterializationJob(job_id, MaterializationJobStatus.ERROR, interrupted)
        except Exception as error:
            return LocalMaterializationJob(job_id, MaterializationJobStatus.ERROR, error)
        return LocalMaterializationJob(job_id, MaterializationJobStatus.SUCCEEDED)

    def _load(self, task: MaterializationTask) -> None:
        from transformations.stores.history import history_of
        from transformations.stores.retrieval import resources_of

        view = task.feature_view
        history = history_of(view, self.repo_config.repo_path)
        end = task.end_time if task.end_time.tzinfo else task.end_time.replace(tzinfo=UTC)
        end = min(end, get_settings().now())
        rows = _newest_rows(view, history, end, resources_of(self.repo_config))
        size = self.repo_config.materialization_config.online_write_batch_size or _ROWS_A_WRITE
        progress = task.tqdm_builder(rows.num_rows) if task.tqdm_builder else None
        for first in range(0, rows.num_rows, size):
            data = list(_rows(view, history, rows.slice(first, size)))
            self.online_store.online_write_batch(self.repo_config, view, data, progress and progress.update)
        if progress is not None:
            progress.close()
        if isinstance(self.online_store, RedisOnlineStore):
            client = self.online_store._get_client(self.repo_config.online_store)
            record(client, self.repo_config.project, view.name, Loaded(history.version, end, rows.num_rows))


def _newest_rows(view: FeatureView, history: History, end: datetime, resources: Resources) -> pa.Table:
    from transformations.stores.point_in_time_sql import newest_rows
    from transformations.stores.retrieval import Stored, session

    stored = Stored(view, history, tuple(feature.name for feature in view.features))
    stamps = [history.timestamp, *([history.created] if history.created else [])]
    columns = [history.column(name) for name in (*stored.keys, *stamps, *stored.features)]
    if not history.files:
        return pa.table({name: pa.nulls(0) for name in columns})
    with session(resources) as connection:
        join = stored.join({key: key for key in stored.keys})
        return connection.sql(newest_rows(join, columns, None, end)).to_arrow_table()


def _rows(view: FeatureView, history: History, table: pa.Table) -> Iterator[Row]:
    """Feast's form of the rows: protobuf straight from Arrow, so that nulls stay nulls and integers exact."""
    names = [column.name for column in view.entity_columns]
    keys = [
        to_protos(
            pa.array([DUMMY_ENTITY_VAL] * table.num_rows)
            if column.name == DUMMY_ENTITY_ID
            else as_declared(
                table[history.column(column.name)], column.dtype, f"{view.name}: join key {column.name!r}"
            ),
            column.dtype,
        )
        for column in view.entity_columns
    ]
    features = {
        feature.name: to_protos(
            as_feature(table[history.column(feature.name)], feature.dtype, f"{view.name}: feature {feature.name!r}"),
            feature.dtype,
        )
        for feature in view.features
    }
    happened = _moments(table[history.column(history.timestamp)])
    created = _moments(table[history.column(history.created)]) if history.created else [None] * table.num_rows
    for row in range(table.num_rows):
        key = EntityKey(join_keys=names, entity_values=[values[row] for values in keys])
        moment = happened[row]
        assert moment is not None
        yield key, {name: values[row] for name, values in features.items()}, moment, created[row]


def _moments(column: pa.ChunkedArray) -> list[datetime | None]:
    moments: list[datetime | None] = column.cast(TIMESTAMP, safe=False).to_pylist()
    return moments

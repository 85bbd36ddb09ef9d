"""Reads one source as it is: rows of a time range, a saved dataset, and the metrics of Feast's monitoring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import RepoConfig
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL

from transformations.engine.base import checksums
from transformations.engine.base.disk_faults import damaged, missing, note_reads, paths_in
from transformations.engine.base.file_rows_sql import Scan
from transformations.engine.base.moments import as_utc
from transformations.engine.base.settings import get_settings
from transformations.stores.base.feast_seams import categorical_metric, numeric_metrics
from transformations.stores.history import point_in_time_sql as sql
from transformations.stores.history.history import History, source_history
from transformations.stores.history.session_sql import resources_of, session
from transformations.stores.training import pull_sql
from transformations.stores.training.jobs import SAVED, TableJob


def newest_rows(
    config: RepoConfig,
    source: DataSource,
    keys: Sequence[str],
    *,
    features: Sequence[str],
    timestamp: str,
    created: str | None,
    start: datetime,
    end: datetime,
) -> TableJob:
    """Each key's newest row with an event timestamp from start to end, both included. Without keys, the newest row."""
    history = _history(config, source, timestamp)
    stamps = [timestamp, *([created] if created else [])]
    join_keys = tuple(sql.Key(key, key, None) for key in keys if key != DUMMY_ENTITY_ID)
    columns = list(dict.fromkeys([*(key.history for key in join_keys), *features, *stamps]))

    def query(scan: Scan) -> str:
        join = sql.Join(relation=scan.relation, keys=join_keys, timestamp=timestamp, created=created or None)
        return sql.newest_rows(join, columns, as_utc(start), as_utc(end))

    def read() -> pa.Table:
        return _read_rows(config, history, columns, query)

    return TableJob(lambda: _add_dummy_key(read()) if DUMMY_ENTITY_ID in keys else read(), _is_nullable(config))


def all_rows(
    config: RepoConfig,
    source: DataSource,
    columns: Sequence[str],
    timestamp: str,
    start: datetime | None,
    end: datetime | None,
) -> TableJob:
    """These columns of every row with an event timestamp from start to end, both included; a saved dataset is whole."""
    history = _history(config, source, timestamp)
    wanted = list(dict.fromkeys(name for name in columns if name != DUMMY_ENTITY_ID))

    def read() -> pa.Table:
        if not source.timestamp_field and (saved := saved_dataset(history.files)) is not None:
            return saved
        window = (as_utc(moment) if moment else None for moment in (start, end))
        return _read_rows(config, history, wanted, lambda scan: sql.all_rows(scan.relation, timestamp, wanted, *window))

    return TableJob(lambda: _add_dummy_key(read()) if DUMMY_ENTITY_ID in columns else read(), _is_nullable(config))


def saved_dataset(files: Sequence[str]) -> pa.Table | None:
    """The whole training frame that `persist` or a pinned dataset wrote into these files; None for other files.

    Feast asks for join keys, features and `event_timestamp` only (passthrough_provider.py:499): the label and other
    columns of the spine would be lost, and every row if the spine's timestamp has another name. DamagedError where a
    split is gone, or does not hold the bytes that were written.
    """
    note_reads(files)
    if not files or SAVED not in (pq.read_schema(files[0]).metadata or {}):
        return None
    _refuse_damaged(Path(files[0]).parent)
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])


def monitoring_metrics(
    config: RepoConfig,
    source: DataSource,
    features: Sequence[tuple[str, str]],
    *,
    timestamp: str,
    start: datetime | None,
    end: datetime | None,
    bins: int,
    top: int,
) -> list[dict[str, Any]]:
    """The metrics that Feast's monitoring stores per feature, over a time range, by Feast's own formulas.

    features: their names, each with `numeric` or `categorical`.
    """
    from feast.monitoring.monitoring_utils import empty_categorical_metric, empty_numeric_metric

    history = _history(config, source, timestamp)
    if not history.files:
        empty = {"numeric": empty_numeric_metric, "categorical": empty_categorical_metric}
        return [empty[kind](name) for name, kind in features]
    columns = {name: history.column(name) for name, _ in features}
    window = [as_utc(moment) if moment else None for moment in (start, end)]
    with session(resources_of(config)) as connection:
        scan = history.scan(connection, list(columns.values()))
        connection.execute(pull_sql.monitored_rows(scan.relation, columns, history.column(timestamp), *window))
        ((rows,),) = connection.execute(pull_sql.count_of_monitored()).fetchall()
        numeric = [name for name, kind in features if kind == "numeric"]
        metrics = numeric_metrics(connection, pull_sql.MONITORED, numeric, bins)
        for name in (name for name, kind in features if kind == "categorical"):
            metric = categorical_metric(connection, pull_sql.MONITORED, name, top)
            # For a column of nulls Feast's SQL counts no rows; its Python calculation counts them all.
            nulls = {"row_count": rows, "null_count": rows, "null_rate": 1.0 if rows else 0.0}
            metrics.append(metric if metric["row_count"] else {**metric, **nulls})
    return metrics


def last_event(config: RepoConfig, source: DataSource, timestamp: str) -> datetime | None:
    """A source's newest event timestamp, in UTC; None if it has no rows."""
    history = _history(config, source, timestamp)
    column = history.column(timestamp)
    if not history.files:
        return None
    with session(resources_of(config)) as connection:
        scan = history.scan(connection, [column])
        (last,) = connection.sql(pull_sql.last_moment(scan.relation, column)).to_arrow_table().column(0).to_pylist()
    return as_utc(last) if last else None


def _history(config: RepoConfig, source: DataSource, timestamp: str) -> History:
    """A source's history, by the moment that Feast asks for: the destination of a service's logs names none."""
    history = source_history(source.name or "source", source, config.repo_path)
    return history if history.timestamp else replace(history, timestamp=timestamp)


def _read_rows(config: RepoConfig, history: History, columns: Sequence[str], query: Callable[[Scan], str]) -> pa.Table:
    if not history.files:
        return pa.table({name: pa.nulls(0) for name in columns})
    with session(resources_of(config)) as connection:
        return connection.sql(query(history.scan(connection, columns))).to_arrow_table()


def _refuse_damaged(folder: Path) -> None:
    """A pinned dataset's files are read whole, so that their checksums cost little; a saved frame has none."""
    recorded = checksums.recorded(folder)
    unknown = [file.name for file in paths_in(folder, "*.parquet") if recorded and file.name not in recorded]
    for name, checksum in recorded.items():
        file = folder / name
        if not file.is_file() and unknown:
            raise damaged(folder / checksums.FILE, f"it names {name}, which is not there, and not {unknown[0]}")
        if not file.is_file():
            raise missing(file)
        if file.suffix == ".parquet" and checksums.content_hash(file) != checksum:
            raise damaged(file, "it does not hold the bytes that were written")


def _add_dummy_key(rows: pa.Table) -> pa.Table:
    """Add Feast's placeholder key for a view without entities, as its other stores do (dask.py:523)."""
    return rows.append_column(DUMMY_ENTITY_ID, pa.array([DUMMY_ENTITY_VAL] * rows.num_rows, pa.string()))


def _is_nullable(config: RepoConfig) -> bool:
    return get_settings().nullable_dtypes or bool(config.offline_store.nullable_dtypes)

"""The offline store: a point-in-time join of our own by DuckDB, over files or Delta tables.

Feast imports this module to read the yaml's keys for every command, in a serving image too, which has no DuckDB.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from feast import FeatureStore, FeatureView, FileSource, RepoConfig
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field

from transformations.engine.base.authored import is_feast_command, tell_authors_in_feast
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import get_settings
from transformations.stores.base.borrowed_methods import BorrowedMethod
from transformations.stores.base.collisions import foretold_collisions, refuse_collisions
from transformations.stores.base.feast_seams import (
    explain_failing_functions,
    explain_offline_writes,
    hide_experimental_warning,
    infer_renamed_keys,
    keep_udf_bodies,
    refuse_empty_loads,
)
from transformations.stores.base.source_paths import placed_source
from transformations.stores.base.transformed import refuse_transformed
from transformations.stores.base.views import contents
from transformations.stores.computed.foretelling import explain_failed_function, later_refusals

if TYPE_CHECKING:
    from transformations.stores.training.historical import HistoricalRequest
    from transformations.stores.training.spine import Rows

_LOG = logging.getLogger(__name__)
_OUR_REGISTRY = "plugin=features"
"""What the yaml's address of a registry of ours holds (registry.py)."""


class PointInTimeOfflineStoreConfig(FeastConfigBaseModel):
    """The yaml keys under `offline_store`; a FEATURES_OFFLINE_… variable that is set wins over its key here.

    threads, memory_limit (such as "8GB"), spill (a folder): bounds of one retrieval; by default DuckDB's own.
    nullable_dtypes: frames with pandas' nullable dtypes, so that integers with nulls stay integers.
    table_versions: views whose table is read at an older version, with its number; others at the newest. In a notebook:
    `store.config.offline_store.table_versions = {"user_visits": 3}`.
    on_demand: `strict` refuses, in training and online, Feast's own on-demand views that its stores would compute
    differently on the two (mode pandas, singletons, views computed when written); by default they are evaluated alike.
    engine: `spark` performs retrievals on Spark (FEATURES_SPARK_MASTER), with the same result.
    """

    type: str = "transformations.stores.offline.PointInTimeOfflineStore"
    threads: int | None = None
    memory_limit: str | None = None
    spill: Path | None = None
    nullable_dtypes: bool = False
    table_versions: dict[str, int] = Field(default_factory=dict)
    on_demand: Literal["alike", "strict"] = "alike"
    engine: Literal["local", "spark"] = "local"

    def model_post_init(self, _context: Any, /) -> None:
        """Prepare a `feast` command: it has read a feature_store.yaml of ours, and runs its author's files next."""
        tell_authors_in_feast()
        explain_offline_writes(_explain_offline_write)
        explain_failing_functions(explain_failed_function)
        refuse_empty_loads(_refuse_empty_load)
        keep_udf_bodies()
        infer_renamed_keys()
        if is_feast_command():
            hide_experimental_warning()


class PointInTimeOfflineStore(OfflineStore):
    """Joins features to a spine for training: each feature's value as of each spine row's moment.

    A view's row counts from its event timestamp (inclusive) until its ttl has passed (inclusive); among rows with equal
    key and event timestamp, the one created last counts. Spine rows keep their order and columns; features have their
    declared dtypes, in the forms that Feast's protobuf can carry. On-demand features are computed by the functions that
    serve online.
    """

    supports_filter_by_created_timestamp = True
    _examined: RepoConfig | None = None

    write_logged_features = BorrowedMethod("dask", "DaskOfflineStore")
    ensure_monitoring_tables = BorrowedMethod("duckdb", "DuckDBOfflineStore")
    save_monitoring_metrics = BorrowedMethod("duckdb", "DuckDBOfflineStore")
    query_monitoring_metrics = BorrowedMethod("duckdb", "DuckDBOfflineStore")
    clear_monitoring_baseline = BorrowedMethod("duckdb", "DuckDBOfflineStore")

    @staticmethod
    @faults_in_words()
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Rows | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """A job that joins features to the spine: a pandas frame, an Arrow table, or SQL over `raw.…` and `offline.…`.

        Without a spine, every key at every event timestamp between the two dates. filter_by_created_timestamp: values
        as they were known at each moment, instead of as corrected since.
        """
        _require_duckdb()
        from transformations.stores.training.historical import HistoricalRequest

        request = HistoricalRequest(
            config=config,
            feature_views=feature_views,
            feature_refs=feature_refs,
            entities=entity_df,
            registry=registry,
            project=project,
            full_feature_names=full_feature_names,
            as_served=filter_by_created_timestamp,
            start=start_date,
            end=end_date,
        )
        return request.job() if config.offline_store.engine == "local" else _job_on_spark(request)

    @staticmethod
    @faults_in_words()
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The newest row of each key with an event timestamp between the two dates, both included."""
        _require_duckdb()
        from transformations.stores.training.pull import newest_rows

        return newest_rows(
            config,
            data_source,
            join_key_columns,
            features=feature_name_columns,
            timestamp=timestamp_field,
            created=created_timestamp_column,
            start=start_date,
            end=end_date,
        )

    @staticmethod
    @faults_in_words()
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Every row with an event timestamp between the two dates, both included; a saved dataset whole, with all that
        was saved.
        """
        _require_duckdb()
        from transformations.stores.training.pull import all_rows

        stamps = [timestamp_field, *([created_timestamp_column] if created_timestamp_column else [])]
        columns = [*join_key_columns, *feature_name_columns, *stamps]
        return all_rows(config, data_source, columns, timestamp_field, start_date, end_date)

    @staticmethod
    @faults_in_words()
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Append rows to the view's source: a commit to a Delta table, a further file beside others.

        UsageError for a view that is computed from its definition: only a build writes its table.
        """
        _require_duckdb()
        from transformations.stores.training.append import append

        append(feature_view, table, config.repo_path, get_settings())
        if progress is not None:
            progress(table.num_rows)

    @faults_in_words()
    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Feast's check, which warns of a missing file; a table that has not been built yet needs no warning, and the
        sources of other stores ask for those stores' settings.

        `feast plan` and `feast apply` call this before they do anything: the place to refuse services that could not be
        read, and to tell of views that could not.
        """
        if self._examined is not config:
            self._examined = config
            _examine_repository(config)
        placed = placed_source(data_source, get_settings())
        if isinstance(placed, FileSource):
            super().validate_data_source(config, placed)

    @faults_in_words()
    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """A source's columns with the names of their Arrow types. DataError if it has no files yet."""
        from transformations.stores.history.history import source_schema

        schema = source_schema(data_source.name, data_source, config.repo_path)
        return [(field.name, str(field.type)) for field in schema]

    @staticmethod
    @faults_in_words()
    def compute_monitoring_metrics(
        config: RepoConfig,
        data_source: DataSource,
        feature_columns: list[tuple[str, str]],
        timestamp_field: str,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        histogram_bins: int = 20,
        top_n: int = 10,
    ) -> list[dict[str, Any]]:
        """The metrics that `feast monitor` stores per feature, over a time range with both ends included."""
        from transformations.stores.training.pull import monitoring_metrics

        return monitoring_metrics(
            config,
            data_source,
            feature_columns,
            timestamp=timestamp_field,
            start=start_date,
            end=end_date,
            bins=histogram_bins,
            top=top_n,
        )

    @staticmethod
    @faults_in_words()
    def get_monitoring_max_timestamp(
        config: RepoConfig, data_source: DataSource, timestamp_field: str
    ) -> datetime | None:
        """A source's newest event timestamp; None if it has no rows."""
        from transformations.stores.training.pull import last_event

        return last_event(config, data_source, timestamp_field)


def tell_of_unfit(views: Sequence[Any], config: RepoConfig) -> None:
    """Warn of applied views that their source's files do not fit; without DuckDB, as in a serving image, of none."""
    if find_spec("duckdb") is None:
        return
    from transformations.stores.history.unfit import unfit_views

    for refusal in unfit_views(views, config):
        _LOG.warning(refusal)


def _explain_offline_write(*failed: Any) -> None:
    from transformations.stores.provider import explain_unwritten

    explain_unwritten(*failed)


def _refuse_empty_load(store: FeatureStore) -> None:
    repository = store.config.repo_path
    raise DataError(
        f"there is nothing to load: the registry knows no view that is offered online. Apply what is declared "
        f"(`feast apply`{f' in {repository}' if repository else ''}), then repeat the command."
    )


def _examine_repository(config: RepoConfig) -> None:
    if config.repo_path is None:
        return
    declared = contents(Path(config.repo_path))
    if _OUR_REGISTRY in str(config.registry.path):  # which takes no such service, whatever writes to it
        refuse_collisions(declared)
    for collision in foretold_collisions(declared):
        _LOG.warning(collision)
    for view in declared.feature_views:
        refuse_transformed(view)
    is_strict = config.offline_store.on_demand == "strict"
    for refusal in later_refusals(declared, Path(config.repo_path), is_strict=is_strict):
        _LOG.warning(refusal)


def _job_on_spark(request: HistoricalRequest) -> RetrievalJob:
    _require_spark()
    from transformations.stores.spark.jobs import spark_job

    return spark_job(request)


def _require_spark() -> None:
    try:
        import pyspark  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(
            "`offline_store: {engine: spark}` needs Spark, which is not installed here. "
            "Install it: pip install 'feature-platform[batch,train]'."
        ) from None


def _require_duckdb() -> None:
    try:
        import duckdb  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(
            "the offline store needs DuckDB, which is not installed here (a serving image needs none). "
            "Install it: pip install 'feature-platform[train]'."
        ) from None

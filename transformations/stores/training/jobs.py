"""Feast's retrieval jobs, computed by our own code: a point-in-time retrieval, and the rows of one source."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.engine.base.storage import make_file, make_folder
from transformations.engine.lineage.events import Dataset, report_run
from transformations.engine.lineage.names import Project
from transformations.engine.vocabulary.dtypes import STORED
from transformations.stores.base.source_paths import path_of
from transformations.stores.training.retrieval import Plan, features_of
from transformations.stores.training.spine import Spine

SAVED_FRAME = "data.parquet"
"""The file of a training frame that is saved into a folder."""
SAVED = b"features.saved_dataset"
"""The metadata key of a Parquet file that holds a whole training frame; its value names the timestamp column."""


class TableJob(RetrievalJob):
    """The rows of one source, read on request; Arrow keeps every integer exact."""

    def __init__(self, read: Callable[[], pa.Table], nullable_dtypes: bool = False) -> None:
        self._read = read
        self._nullable_dtypes = nullable_dtypes

    @faults_in_words()
    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._read()

    @faults_in_words()
    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return _frame_of(self._read(), self._nullable_dtypes)

    def to_df(self, validation_reference: Any = None, timeout: int | None = None) -> pd.DataFrame:
        """The rows as a frame, with pandas' nullable dtypes if the configuration says so."""
        return _frame_of(self.to_arrow(validation_reference, timeout), self._nullable_dtypes)

    @property
    def full_feature_names(self) -> bool:
        return False

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return []

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return None


class PointInTimeJob(RetrievalJob):
    """A retrieval over pinned table versions; it runs when its result is requested."""

    def __init__(
        self,
        spine: Spine,
        plan: Plan,
        metadata: RetrievalMetadata,
        *,
        full_feature_names: bool,
        repo_path: Path | None,
        nullable_dtypes: bool,
        project: Project,
    ) -> None:
        self.spine = spine
        self._plan = plan
        self._metadata = metadata
        self._full_feature_names = full_feature_names
        self.repo_path = repo_path
        self.nullable_dtypes = nullable_dtypes
        self.project = project

    @faults_in_words()
    def to_df(self, validation_reference: Any = None, timeout: int | None = None) -> pd.DataFrame:
        """The given spine frame, index included, with the features as further columns."""
        if validation_reference is not None:
            self.to_arrow(validation_reference, timeout)  # raises where the reference is not met
        features = pa.table(self._features())
        given, frame = self.spine.to_df(), _frame_of(features, self.nullable_dtypes)
        frame.index = given.index
        if replaced := self._replaced():
            given = given.drop(columns=replaced)
        both: pd.DataFrame = pd.concat([given, frame], axis=1, copy=False)  # type: ignore[call-overload]
        both.columns.name = given.columns.name
        return both

    @faults_in_words()
    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the whole result, on-demand features included, as Parquet, atomically.

        The storage's path is a file `….parquet`, or a folder that holds nothing but the file of an earlier call.
        """
        target = storage.to_data_source()
        if not isinstance(target, FileSource):
            raise UsageError(f"a retrieval is saved as Parquet, and {type(storage).__name__} is no storage of files.")
        path = path_of("the saved dataset", target, self.repo_path)
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        file = path if path.suffix == ".parquet" else path / SAVED_FRAME
        if others := sorted(each.name for each in path.glob("*") if each != file):
            raise UsageError(f"{path} holds other files ({', '.join(others)}), which would seem to be of the dataset.")
        table = self.to_arrow()
        metadata = {**(table.schema.metadata or {}), SAVED: self.spine.timestamp.encode()}
        make_folder(file.parent)
        unfinished = file.with_name(f".{file.name}-{uuid.uuid4().hex}")
        try:
            pq.write_table(table.replace_schema_metadata(metadata), make_file(unfinished))
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)

    def _replaced(self) -> list[str]:
        """The spine's columns, request fields all, of which on-demand features take the name and the place."""
        return [name for name in self.spine.columns if name in self._plan.columns]

    def _features(self) -> dict[str, pa.Array]:
        """The feature columns; the lineage of what was read is told."""
        found = self.computed()
        settings = get_settings()
        if settings.lineage != "off":
            read = {each.view.name: each.history.version for each in self._plan.stored}
            report_run(
                settings,
                f"retrieve_{self.project.name}",
                inputs=[Dataset(name=name, version=version) for name, version in read.items()],
                at=settings.now(),
                project=self.project,
            )
        return found

    def computed(self) -> dict[str, pa.Array]:
        """Compute the feature columns, in the spine's order."""
        return features_of(self.spine, self.plan)

    @property
    def plan(self) -> Plan:
        """The pinned histories that are read, and the columns of the result."""
        return self._plan

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Empty: the result already holds the on-demand features."""
        return []

    @property
    def metadata(self) -> RetrievalMetadata:
        return self._metadata

    @faults_in_words()
    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        table = self.spine.to_arrow().drop_columns(self._replaced())
        for name, column in self._features().items():
            table = table.append_column(name, column)
        return table

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame


def _frame_of(table: pa.Table, nullable_dtypes: bool) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper=_nullable_dtypes().get if nullable_dtypes else None)
    return frame


def _nullable_dtypes() -> dict[pa.DataType, Any]:
    return {dtype.arrow: pd.api.types.pandas_dtype(dtype.pandas) for dtype in STORED if dtype.pandas}

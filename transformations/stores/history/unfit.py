"""Tells at an apply of views that their source's files do not fit, by the checks of loads and training."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView, RepoConfig
from feast.types import Array, FeastType, PrimitiveFeastType

from transformations.engine.base.errors import FeaturesError
from transformations.engine.base.settings import get_settings
from transformations.stores.base.casting import ARROW, fits
from transformations.stores.base.errors import UnreadFilesError
from transformations.stores.base.source_paths import event_source, path_of
from transformations.stores.base.values import as_feature
from transformations.stores.base.views import DEFINITION_HASH
from transformations.stores.history.history import History, history_of
from transformations.stores.history.session_sql import resources_of, session
from transformations.stores.history.stored import Stored

_LOG = logging.getLogger(__name__)

MOST_FILES = 200
"""An apply reads the footers of so many files of a source, in half a second; of one with more it tells nothing."""


def unfit_views(views: Sequence[Any], config: RepoConfig) -> Iterator[str]:
    """Why loads and training of applied views would be refused for what their files hold, a sentence each.

    Only footers are read. Files that are not there, or cannot be read, tell nothing, and nothing here fails.
    """
    for view in views:
        if not isinstance(view, FeatureView) or view.batch_source is None or DEFINITION_HASH in view.tags:
            continue  # built tables have the columns and types of the definition
        try:
            _check(view, config)
        except UnreadFilesError:
            continue
        except FeaturesError as error:
            yield (
                f"{error} Until then, loads of view {view.name} are refused, and so is training with what does not fit."
            )
        except Exception:  # of the disk, or of a reader: whoever needs the rows tells of it
            _LOG.debug("%s: its files could not be looked at", view.name, exc_info=True)


def _check(view: FeatureView, config: RepoConfig) -> None:
    try:
        path = path_of(view.name, event_source(view), config.repo_path)
    except FeaturesError:  # which `feast apply` told of before
        return
    settings = get_settings()
    if any(map(path.is_relative_to, (settings.datasets_dir, settings.predictions_dir))):  # which may be fetched first
        return
    history = history_of(view, config.repo_path)
    if len(history.files) > MOST_FILES:
        return
    stored = Stored(view, history, tuple(feature.name for feature in view.features))
    with session(resources_of(config)) as connection:
        schema = stored.scan(connection, is_verified=True).schema(connection)  # no rows are read
    for name, declared in stored.fields.items():
        column = history.column(name)
        kind = schema.field(column).type
        if not _fits(kind, declared.dtype):
            # Nulls alone fit any dtype, so the check needs a value: the footers have one.
            as_feature(_a_value(history, column, kind), declared.dtype, f"{view.name}: feature {name!r}")


def _fits(given: pa.DataType, dtype: FeastType) -> bool:
    """Whether some values of this type can become the dtype; True where only values tell."""
    if isinstance(dtype, PrimitiveFeastType) and dtype in ARROW:
        return fits(given, dtype)
    return not isinstance(dtype, Array) or pa.types.is_nested(given)


def _a_value(history: History, column: str, kind: pa.DataType) -> pa.Array:
    """One value of a column, from the files' statistics; none where these do not tell of any."""
    for file in history.files:
        footer = pq.read_metadata(file)
        for place in (each for each in range(footer.num_columns) if footer.schema.column(each).path == column):
            for group in range(footer.num_row_groups):
                facts = footer.row_group(group).column(place).statistics
                if facts is not None and facts.has_min_max:
                    return pa.array([facts.min]).cast(kind)
    return pa.nulls(0, kind)

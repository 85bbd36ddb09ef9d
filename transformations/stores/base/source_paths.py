"""Resolves the paths of sources in Feast's registry: the only place that reads them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

from feast import FeatureView, FileSource
from feast.data_source import DataSource

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings, get_settings
from transformations.stores.base.places import portable_path, resolve_path
from transformations.stores.base.views import DEFINITION_HASH

SPLIT_FILES = "*.parquet"
"""The files of a pinned dataset's folder that are its splits."""


def path_of(name: str, source: DataSource, repo_path: Path | str | None) -> Path:
    """A file, a folder or a pattern: in the data folder, relative to the repository, or absolute.

    UsageError where the source is no place of local files. DataError where an older registry names another data folder.
    """
    if not isinstance(source, FileSource):
        raise UsageError(
            f"{name}: its source is a {type(source).__name__}; this offline store reads files. Use a FileSource."
        )
    settings = get_settings()
    uri = FileSource.get_uri_for_file_path(repo_path, resolve_path(source.path, settings))
    parsed = urlparse(uri)
    if parsed.scheme and parsed.netloc:
        raise UsageError(
            f"{name}: {uri} is remote; this offline store reads local files. Copy them, or mount the place."
        )
    if remedy := _remedy_elsewhere(source, Path(uri), settings):
        raise DataError(
            f"{name}: the registry has its files at {uri}, outside the data folder {settings.data}, which was moved or "
            f"copied since. {remedy}"
        )
    return Path(uri)


def event_source(view: FeatureView) -> DataSource:
    """A view's source. UsageError for a view without one, or one that names no column of event time."""
    source = view.batch_source
    if source is None:
        raise UsageError(f"feature view {view.name} has no source to load or train with. Declare source=FileSource(…).")
    if not source.timestamp_field:
        raise UsageError(
            f"feature view {view.name}: its source names no timestamp_field. Name the column of the event time."
        )
    return source


def stored_names(source: DataSource) -> dict[str, str]:
    """A source's own column names by the view's names, where they differ."""
    return {name: stored for stored, name in (source.field_mapping or {}).items()}


def is_elsewhere(source: DataSource | None, settings: Settings) -> bool:
    """Whether an older registry names another data folder than this one for a source of ours."""
    return isinstance(source, FileSource) and _remedy_elsewhere(source, Path(source.path), settings) is not None


def placed_source(source: DataSource, settings: Settings) -> DataSource | None:
    """The source as Feast can look for its files; None for a table of ours, which need not have been built yet.

    UsageError for an absolute path into the data folder: a copy of the folder would go on reading the original.
    """
    if not isinstance(source, FileSource):
        return source
    path = Path(resolve_path(source.path, settings))
    if path.is_relative_to(settings.offline_dir):
        return None
    if Path(source.path).is_relative_to(settings.data):
        raise UsageError(
            f"source {source.name}: {source.path} is an absolute path into the data folder, so a copy of that folder "
            f"would go on reading the original. Write it as {portable_path(path, settings)}."
        )
    if str(path) == source.path:
        return source
    placed: FileSource = FileSource.from_proto(source.to_proto())
    placed.file_options.uri = str(path)
    return placed


def _remedy_elsewhere(source: FileSource, path: Path, settings: Settings) -> str | None:
    """How to bring a path up to date that an older registry holds: absolute, and of another data folder."""
    if not Path(source.path).is_absolute():
        return None
    if DEFINITION_HASH in source.tags and path.resolve() != (settings.offline_dir / path.name).resolve():
        return "Run `feast apply`, which makes its path relative to the data folder."
    is_dataset = not source.timestamp_field and path.name == SPLIT_FILES and path.parent.parent.name == "datasets"
    if is_dataset and path.parent.resolve() != (settings.datasets_dir / path.parent.name).resolve():
        return f"Run `features dataset rebuild {path.parent.name}`, which registers the dataset anew."
    return None

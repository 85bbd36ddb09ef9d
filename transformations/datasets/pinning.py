"""Pinning: the version and the files of every table that a dataset reads, and the promise that they stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

from feast import FeatureStore, FeatureView

from transformations.datasets.manifest import PinnedFile, PinnedTable
from transformations.engine.base.disk_faults import folders_in, note_reads
from transformations.engine.base.errors import DataError, FeaturesError
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import content_hash
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.tables.pins import pin, pinned, unpin
from transformations.stores.base.places import portable_path
from transformations.stores.base.views import DEFINITION_HASH
from transformations.stores.history.history import history_of
from transformations.stores.training.spine_sql import OFFLINE, Query


def pin_views(store: FeatureStore, settings: Settings) -> tuple[PinnedTable, ...]:
    """The tables of the store's views as they are now, or at the versions that its configuration names."""
    versions: Mapping[str, int] = store.config.offline_store.table_versions
    views = sorted(store.list_feature_views(), key=lambda view: view.name)
    return tuple(_pin_view(view, store.config.repo_path, versions.get(view.name), settings) for view in views)


def pin_query(query: Query, settings: Settings) -> tuple[PinnedTable, ...]:
    """The tables that a spine's query reads; one that it reads at several versions stands once for each."""
    return tuple(
        PinnedTable(
            zone="raw" if table.zone != OFFLINE else "offline",
            name=table.name,
            version=table.version,
            files=_pin_files(table.files, settings, None, hashed=False),
            columns=table.columns,
        )
        for table in query.tables
    )


def versions_of(tables: Sequence[PinnedTable]) -> dict[str, int]:
    """The version of each table that has one."""
    return {table.name: table.version for table in tables if table.version is not None}


def reason_of(name: str) -> str:
    """Why versions are pinned for a dataset of this name."""
    return f"dataset {name}"


@contextmanager
def holding(tables: Sequence[PinnedTable], reason: str, settings: Settings) -> Iterator[None]:
    """Keep these versions of offline tables against vacuum for this reason; given back where what follows fails.

    The raw zone keeps every version anyway.
    """
    wanted = {(table.name, table.version) for table in tables if table.zone == "offline" and table.version is not None}
    added: list[tuple[OfflineTable, int]] = []
    try:
        for name, version in sorted(wanted):
            table = OfflineTable(settings.offline_dir / name)
            if reason not in pinned(table).get(version, ()):
                pin(table, version, reason)
                added.append((table, version))
        yield
    except BaseException:
        for table, version in added:
            unpin(table, version, reason)
        raise


def release(reason: str, settings: Settings, but: Set[tuple[str, int | None]] = frozenset()) -> int:
    """Unpin all versions of tables that are kept for this reason, `but` these; how many there were."""
    found = sorted(versions_pinned(reason, settings) - but)
    return sum(unpin(OfflineTable(settings.offline_dir / name), version, reason) for name, version in found)


def versions_pinned(reason: str, settings: Settings) -> set[tuple[str, int]]:
    """The tables and versions that are kept for this reason."""
    return {
        (table.name, version)
        for table in _tables_with_pins(settings)
        for version, reasons in pinned(table).items()
        if reason in reasons
    }


def names_pinned_for(settings: Settings) -> set[str]:
    """The datasets that versions are pinned for."""
    prefix = reason_of("")
    pins = (reasons for table in _tables_with_pins(settings) for reasons in pinned(table).values())
    return {reason.removeprefix(prefix) for reasons in pins for reason in reasons if reason.startswith(prefix)}


def _tables_with_pins(settings: Settings) -> list[OfflineTable]:
    return [table for path in folders_in(settings.offline_dir) if pinned(table := OfflineTable(path))]


def lost_versions(tables: Sequence[PinnedTable], settings: Settings) -> list[str]:
    """What keeps a dataset from being made again: each version of an offline table that cannot be read any more."""
    faults = []
    for table in tables:
        if table.zone == "offline" and table.version is not None:
            try:
                OfflineTable(settings.offline_dir / table.name).at(table.version)
            except FeaturesError as error:
                faults.append(f"it pins version {table.version} of {table.name}: {error.message}")
    return faults


def refuse_changed(tables: Sequence[PinnedTable], now: Sequence[PinnedTable]) -> None:
    """DataError where the files of a pinned table are not what they were."""
    found = {(table.zone, table.name, table.version): table for table in now}
    for table in tables:
        other = found.get((table.zone, table.name, table.version))
        if other is None or other.files == table.files:
            continue
        before, after = ({file.path: file for file in each.files} for each in (table, other))
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        raise DataError(
            f"{table.name}: {len(changed)} of its files are not those of the dataset, such as {changed[0]}. They have "
            f"no versions; bring the old files back, or keep such data in a Delta table."
        )


def _pin_view(view: FeatureView, repo_path: Path | None, version: int | None, settings: Settings) -> PinnedTable:
    history = history_of(view, repo_path, version, features=())  # which features are read, the retrieval decides
    files = _pin_files(history.files, settings, repo_path, hashed=history.version is None)
    if DEFINITION_HASH not in view.tags or history.version is None:  # a built table has one
        return PinnedTable(zone="file", name=view.name, version=history.version, files=files)
    run = OfflineTable(settings.offline_dir / view.name).at(history.version).run
    return PinnedTable(
        zone="offline",
        name=view.name,
        version=history.version,
        files=files,
        definition_hash=run.definition_hash,
        complete_through=run.complete_through,
    )


def _pin_files(
    files: Sequence[str], settings: Settings, repo_path: Path | None, *, hashed: bool
) -> tuple[PinnedFile, ...]:
    found = []
    note_reads(files)
    for name in sorted(files):
        path = Path(name)
        digest = content_hash(path) if hashed else None
        found.append(
            PinnedFile(path=_portable_place(path, settings, repo_path), size=path.stat().st_size, sha256=digest)
        )
    return tuple(found)


def _portable_place(path: Path, settings: Settings, repo_path: Path | None) -> str:
    """A path that holds on another machine, where there is one: relative to the data folder or to the repository."""
    root = None if repo_path is None else Path(repo_path).absolute()
    if root is not None and path.is_relative_to(root) and not path.is_relative_to(settings.data):
        return path.relative_to(root).as_posix()
    return portable_path(path, settings)

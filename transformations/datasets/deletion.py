"""Removing datasets, and what killed processes left of them: unfinished folders, and pins that no dataset needs.

A deletion goes through folder, registry and pins in an order in which a rerun completes the work.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from feast import FeatureStore
from feast.errors import SavedDatasetNotFound

from transformations.datasets.config import NAME
from transformations.datasets.folders import (
    dataset_folders,
    hide,
    hold_name,
    leftovers,
    names_with_leftovers,
    remove_leftovers,
)
from transformations.datasets.manifest import FILE, Manifest, read_manifest
from transformations.datasets.pinning import names_pinned_for, reason_of, release, versions_pinned
from transformations.datasets.registration import REFERRERS, Referrer, is_registered, refuse_referred
from transformations.engine.base import storage
from transformations.engine.base.disk_faults import faults_in_words, paths_in
from transformations.engine.base.errors import ConflictError, DataError, UsageError, nearest
from transformations.engine.base.files.published import pull_all
from transformations.engine.base.settings import Settings


@faults_in_words()
def delete(name: str, store: FeatureStore, settings: Settings, *, referrers: Sequence[Referrer] = REFERRERS) -> int:
    """Take a dataset away, whatever of it there is; how many table versions are no longer pinned for it.

    Its folder is hidden first and removed last. So a process killed anywhere leaves something by whose name a rerun
    completes the work, and never an unregistered dataset in its place, which `create` and `rebuild` would complete.
    UsageError where nothing of that name is left, or where one of `referrers` tells of something that refers to it.
    """
    if not re.fullmatch(NAME, name):
        raise UsageError(f"{name!r} is no dataset's name but a path, say. Give the name alone.")
    target = settings.datasets_dir / name
    storage.make_folder(settings.datasets_dir)
    with hold_name(target):
        refuse_referred(name, store, referrers)
        was_there = target.exists() or bool(leftovers(target))
        if target.exists():
            hide(target)
        was_registered = _unregister(name, store)
        released = release(reason_of(name), settings)
        remove_leftovers(target)
    if not (was_there or was_registered or released):
        known = [folder.name for folder in dataset_folders(settings.datasets_dir)]
        raise UsageError(f"there is no dataset {name!r}: {nearest(name, known)}.")
    return released


def _unregister(name: str, store: FeatureStore) -> bool:
    try:
        store.registry.delete_saved_dataset(name, store.project, commit=True)
    except SavedDatasetNotFound:
        return False
    return True


@dataclass(frozen=True)
class Tidied:
    """What was left of a dataset. pins: versions that nothing needed pinned for it. is_registered: False where the
    dataset is whole, but Feast does not know it; `features dataset rebuild` completes it.
    """

    name: str
    folders: int
    pins: int
    is_registered: bool


@faults_in_words()
def tidy(store: FeatureStore, settings: Settings, *, dry_run: bool = False) -> list[Tidied]:
    """Remove what killed processes left, dataset by dataset; those that a process works on are passed over.

    Pins stay while the registry knows a dataset whose folder is missing, or the manifest in it is missing or damaged:
    the dataset can be rebuilt from a copy of that.
    """
    found = []
    for name in sorted(names_begun(settings)):
        target = settings.datasets_dir / name
        try:
            with hold_name(target):
                found.append(_tidy_one(target, store, settings, dry_run))
        except ConflictError:
            continue
    return [each for each in found if each.folders or each.pins or not each.is_registered]


def names_begun(settings: Settings) -> set[str]:
    """The datasets of which there is anything: a folder, finished or not, or a pin."""
    pull_all(settings.datasets_dir)
    names = {path.name for path in paths_in(settings.datasets_dir, "[!.]*") if (path / FILE).exists()}
    return names | names_with_leftovers(settings.datasets_dir) | names_pinned_for(settings)


def versions_needed(settings: Settings) -> dict[str, dict[int, tuple[str, ...]]]:
    """By table and version the reasons for which datasets need it, as their manifests tell, whatever is pinned."""
    found: dict[str, dict[int, tuple[str, ...]]] = {}
    for folder in dataset_folders(settings.datasets_dir):
        manifest = _manifest_of(folder)
        for table in (*manifest.views, *manifest.spine_tables) if manifest else ():
            if table.zone == "offline" and table.version is not None:
                reasons = found.setdefault(table.name, {})
                reasons[table.version] = (*reasons.get(table.version, ()), reason_of(folder.name))
    return found


def sources_pinned(settings: Settings, source: str) -> set[int]:
    """The versions of a source that datasets' queries are made of, as their manifests tell."""
    manifests = map(_manifest_of, dataset_folders(settings.datasets_dir))
    tables = [table for each in manifests if each for table in each.spine_tables]
    return {
        table.version for table in tables if (table.zone, table.name) == ("raw", source) and table.version is not None
    }


def _tidy_one(target: Path, store: FeatureStore, settings: Settings, dry_run: bool) -> Tidied:
    name = target.name
    manifest = _manifest_of(target)
    needed = None if manifest is None and target.exists() else _needed_versions(name, manifest, store)
    pins = 0
    if needed is not None:
        pins = len(versions_pinned(reason_of(name), settings) - needed)
    folders = leftovers(target)
    if not dry_run:
        if needed is not None:
            release(reason_of(name), settings, but=needed)
        remove_leftovers(target)
    return Tidied(name, len(folders), pins, manifest is None or is_registered(store, manifest))


def _manifest_of(target: Path) -> Manifest | None:
    """The manifest of a dataset; None where it is missing or damaged, which `features dataset list` tells."""
    try:
        return read_manifest(target)[0] if target.exists() else None
    except DataError:
        return None


def _needed_versions(name: str, manifest: Manifest | None, store: FeatureStore) -> set[tuple[str, int | None]] | None:
    """The versions that a dataset must keep; None where it must keep all that are pinned for it."""
    if manifest is not None:
        return {(table.name, table.version) for table in (*manifest.views, *manifest.spine_tables)}
    try:
        store.registry.get_saved_dataset(name, store.project)
    except SavedDatasetNotFound:
        return set()
    return None

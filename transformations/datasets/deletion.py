"""Taking a dataset away from the registry, the pins and the disk, in an order in which a rerun completes the work."""

from __future__ import annotations

import re

from feast import FeatureStore
from feast.errors import SavedDatasetNotFound

from transformations.datasets.config import NAME
from transformations.datasets.folders import hide, leftovers, remove_leftovers
from transformations.datasets.pinning import release
from transformations.datasets.registration import refuse_referred
from transformations.engine.base import storage
from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.settings import Settings


def delete(name: str, store: FeatureStore, settings: Settings) -> int:
    """Take a dataset away, whatever of it there is; how many table versions are no longer pinned for it.

    The registry forgets it first, so that nobody finds what is half gone; its folder goes last, so that a process
    killed anywhere leaves something by whose name a rerun completes. UsageError where nothing of that name is left, or
    where something refers to it.
    """
    if not re.fullmatch(NAME, name):
        raise UsageError(f"{name!r} is no dataset's name but a path, say. Give the name alone.")
    target = settings.datasets_dir / name
    settings.datasets_dir.mkdir(parents=True, exist_ok=True)
    with storage.exclusive(target.with_name(f".{name}.lock"), f"dataset {name}", wait_seconds=0.0):
        refuse_referred(name, store)
        was_there = target.exists() or bool(leftovers(target))
        was_registered = _unregister(name, store)
        released = release(f"dataset {name}", settings)
        if target.exists():
            hide(target)
        remove_leftovers(target)
    if not (was_there or was_registered or released):
        known = [folder.name for folder in settings.datasets_dir.glob("[!.]*")]
        raise UsageError(f"there is no dataset {name!r}: {nearest(name, known)}.")
    return released


def _unregister(name: str, store: FeatureStore) -> bool:
    try:
        store.registry.delete_saved_dataset(name, store.project, commit=True)
    except SavedDatasetNotFound:
        return False
    return True

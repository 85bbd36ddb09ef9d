"""The folders of datasets: built beside their place, put there at once, taken away at once. One process at a time."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from transformations.engine.base import checksums, storage
from transformations.engine.base.disk_faults import folders_in, paths_in
from transformations.engine.base.errors import UsageError
from transformations.engine.base.files.published import pull, pull_all, put_folder, withdraw
from transformations.stores.training.jobs import SAVED_FRAME


def refuse_existing(target: Path) -> None:
    """UsageError where there is a dataset that nobody said to replace."""
    if target.exists():
        raise UsageError(
            f"{target} exists, and a dataset is never overwritten. Choose another name than {target.name!r}, prove the "
            f"old one (`features dataset rebuild {target.name}`), or say --replace while nothing refers to it."
        )


def dataset_folders(datasets: Path) -> list[Path]:
    """The folders of datasets, whole or damaged, by name. A training frame that Feast saved there is none."""
    pull_all(datasets)
    return [each for each in folders_in(datasets) if not _is_saved_frame(each)]


def _is_saved_frame(folder: Path) -> bool:
    return [file.name for file in folder.iterdir()] == [SAVED_FRAME]


@contextmanager
def hold_name(target: Path) -> Iterator[None]:
    """Hold a dataset's name against other processes; ConflictError at once where one works on it."""
    with storage.exclusive(target.with_name(f".{target.name}.lock"), f"dataset {target.name}", wait_seconds=0.0):
        pull(target)
        yield


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """A folder beside the target, gone afterwards; what a killed process left there is removed first."""
    with hold_name(target):
        remove_leftovers(target)
        unfinished = _new_folder_beside(target)
        unfinished.mkdir(mode=storage.FOLDER_MODE)
        try:
            yield unfinished
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def publish(unfinished: Path, target: Path) -> None:
    """Put a finished dataset into its place at once. What is there, and is to be replaced, becomes a leftover first: a
    process killed between the two leaves no dataset of that name, and making it again completes the work.
    """
    files = [file for file in sorted(unfinished.rglob("*")) if file.is_file()]
    checksums.record(unfinished, [file.relative_to(unfinished).as_posix() for file in files])
    for file in [*files, unfinished / checksums.FILE]:
        file.chmod(0o440)
    put_folder(unfinished, target)


def hide(target: Path) -> None:
    """Take a dataset away at once; its folder is a leftover then."""
    withdraw(target)


def leftovers(target: Path) -> list[Path]:
    """Folders of this dataset that are unfinished, replaced or deleted, and were not removed yet."""
    return [folder for folder in paths_in(target.parent, ".*") if _owner_of_leftover(folder) == target.name]


def names_with_leftovers(datasets: Path) -> set[str]:
    """The datasets that have such folders."""
    return {name for folder in paths_in(datasets, ".*") if (name := _owner_of_leftover(folder))}


def _owner_of_leftover(folder: Path) -> str | None:
    """The dataset that a leftover folder belongs to, and not one whose name begins alike; None for any other folder."""
    found = re.fullmatch(r"\.(.+)-[0-9a-f]+" + re.escape(storage.UNFINISHED), folder.name)
    return found[1] if found else None


def remove_leftovers(target: Path) -> None:
    """Remove what is left of this dataset beside its place; only while nobody else works on it."""
    for leftover in leftovers(target):
        shutil.rmtree(leftover, onerror=_raise_with_path)


def _raise_with_path(_function: object, path: str, caught: tuple[object, BaseException, object]) -> None:
    """`shutil.rmtree` names files by their names alone."""
    error = caught[1]
    if isinstance(error, OSError):
        raise OSError(error.errno, error.strerror, path) from error
    raise error


def _new_folder_beside(target: Path) -> Path:
    return target.with_name(f".{target.name}-{uuid4().hex}{storage.UNFINISHED}")

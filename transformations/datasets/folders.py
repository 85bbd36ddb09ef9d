"""The folders of datasets: built beside their place, put there at once, taken away at once. One process at a time."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from transformations.engine.base import checksums, storage
from transformations.engine.base.errors import UsageError


@contextmanager
def making(target: Path, name: str, *, replace: bool) -> Iterator[Path]:
    """The folder to build a new dataset in; UsageError where there is one of that name that is not to be replaced."""
    with building(target) as unfinished:
        if target.exists() and not replace:
            raise UsageError(
                f"{target} exists, and a dataset is never overwritten. Choose another name than {name!r}, prove the "
                f"old one (`features dataset rebuild {name}`), or say --replace while nothing refers to it."
            )
        yield unfinished


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """A folder beside the target, gone afterwards; what a killed process left there is removed first."""
    with storage.exclusive(target.with_name(f".{target.name}.lock"), f"dataset {target.name}", wait_seconds=0.0):
        remove_leftovers(target)
        unfinished = _beside(target)
        unfinished.mkdir()
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
        file.chmod(0o444)
    if target.exists():
        hide(target)
    unfinished.rename(target)


def hide(target: Path) -> None:
    """Take a dataset away at once; its folder is a leftover then."""
    target.rename(_beside(target))


def leftovers(target: Path) -> list[Path]:
    """Folders of this dataset that are unfinished, replaced or deleted, and were not removed yet."""
    ours = re.compile(re.escape(f".{target.name}-") + "[0-9a-f]+" + re.escape(storage.UNFINISHED))
    # Not of a dataset whose name begins alike, which another process may be making.
    return [folder for folder in target.parent.glob(".*") if ours.fullmatch(folder.name)]


def remove_leftovers(target: Path) -> None:
    """Remove what is left of this dataset beside its place; only while nobody else works on it."""
    for leftover in leftovers(target):
        shutil.rmtree(leftover)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}-{uuid4().hex}{storage.UNFINISHED}")

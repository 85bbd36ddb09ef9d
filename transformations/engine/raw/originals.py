"""The files of drops that were merged into others: kept for ever, or for so many days, after which vacuum removes them.

A drop's rows stay in the merged files, each with its drop's number, and the log keeps the drop's name and content hash.
What goes is a second copy of the rows, and with it the raw table as of versions in the midst of a merge:

    version 0 to 31   a drop each
    version 32        their files merged         without the originals versions 0 to 30 can no longer be read
    version 33        a drop
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from transformations.engine.base import storage
from transformations.engine.base.errors import DataError
from transformations.engine.base.files.published import pull, replacing
from transformations.engine.base.storage import StoredFile
from transformations.engine.raw.drops import RawSnapshot

GIVEN_UP = "originals-given-up"
"""The file beside a raw table that names the originals which are no longer kept, a line each."""


@dataclass(frozen=True, kw_only=True)
class Readers:
    """Which versions of a source are read. built: the version that each table was computed from; pinned: those that
    datasets' queries are made of, which read drops as they came.
    """

    built: Collection[int] = ()
    pinned: Collection[int] = ()

    def have_read(self, version: int) -> bool:
        """Whether nobody reads the source as of an earlier version, or drops up to that version as new ones."""
        return all(each >= version for each in (*self.built, *self.pinned))


def removable(snapshot: RawSnapshot, folder: Path, readers: Readers, kept_for: timedelta) -> list[StoredFile]:
    """The originals that were written so long ago and that nobody needs any more. folder: the raw table's."""
    written = {file.path: file for file in storage.files_below(folder)}
    version_of = {drop.number: drop.version for drop in snapshot.drops}
    drop_of = {part.path: part.drop for part in snapshot.parts}
    pinned = max(readers.pinned, default=-1)
    oldest = time.time() - kept_for.total_seconds()
    parts = (
        Path(part)
        for merged in snapshot.merged
        if readers.have_read(version_of[merged.last_drop])
        for part in sorted(merged.parts)
        if version_of[drop_of[part]] > pinned
    )
    return [written[part] for part in parts if part in written and written[part].modified <= oldest]


def given_up(raw: Path) -> frozenset[str]:
    """The originals of a raw table that are no longer kept, relative to its folder."""
    file = raw / GIVEN_UP
    pull(file)
    return frozenset(file.read_text(encoding="utf-8").splitlines()) if file.is_file() else frozenset()


def note_given_up(raw: Path, files: Iterable[Path]) -> None:
    """Record that these originals go, before they do: nobody need miss them."""
    if names := {file.relative_to(raw).as_posix() for file in files}:
        number = pull(raw / GIVEN_UP)
        text = "".join(f"{name}\n" for name in sorted(names | given_up(raw)))
        with replacing(raw / GIVEN_UP, number) as draft:
            draft.write_text(text, encoding="utf-8")


def refuse_given_up(source: str, files: Iterable[str], what: str) -> None:
    """DataError where one of these files is gone. what: what they are needed for, as in `version 3`."""
    away = [Path(file) for file in files if not Path(file).exists()]
    if away and (gone := storage.lacking_files(away[0].parents[1], away)):
        raise DataError(
            f"{source}: {what} needs {len(gone)} files of drops that were merged and then given up "
            f"(FEATURES_RAW_KEEP_ORIGINALS_DAYS), or lost; the first is {gone[0]}. Bring them back from a copy. The "
            f"rows themselves are in the newest version: a table that has not read them yet is computed anew once its "
            f"folder is moved away."
        )

"""Drops, and what a source's raw table holds after one, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from itertools import takewhile
from operator import attrgetter
from pathlib import Path

from transformations.engine.base.business_days import day_number
from transformations.engine.base.errors import DataError
from transformations.engine.raw.deferred import joined
from transformations.engine.raw.files import MERGED_FOLDER


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What delivered rows came in, and when it was ingested (UTC).

    files: of several files, by name their hashes. watermark: how far a table elsewhere was read.
    """

    file_name: str
    content_hash: str
    ingested_at: datetime
    files: Mapping[str, str] = field(default_factory=dict)
    watermark: str | None = None


@dataclass(frozen=True, kw_only=True)
class Drop:
    """One accepted delivery: `rows` were written, `unchanged` more were current already.

    retracted: how many of the written rows take back a row that the drop, of whole business days, lacks. quarantined:
    how many delivered rows were set aside. So rows - retracted + unchanged + quarantined were delivered.

    supersedes: the number of earlier rows that it replaces or retracts. valid_from: only in sources without event time.
    complete_through: the source's, from this drop on; is_declared: a command declared it, the rows did not imply it.
    quality: the folder, relative to the table, with what the contract's quality rules found; None without such rules.
    files: by name the hashes of the files, where it came in several. watermark: how far the table was read that it was
    pulled from.
    """

    number: int
    version: int
    file_name: str
    content_hash: str
    rows: int
    ingested_at: datetime
    complete_through: date | None
    supersedes: int
    retracted: int = 0
    quarantined: int = 0
    unchanged: int = 0
    retracts: bool = False
    valid_from: datetime | None = None
    is_declared: bool = True  # in old records, which do not say
    quality: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    watermark: str | None = None

    def follows(self, through: date | None, first_day: int | None) -> bool:
        """Whether it brings new rows alone, of days that were not complete before it, and takes no completeness back.

        through: the day through which the source was complete; first_day: the first business day of its rows, if any.
        """
        if self.supersedes or self.retracts or self.valid_from is not None:
            return False
        if through is None:
            return True
        is_later = first_day is None or first_day > day_number(through)
        return is_later and self.complete_through is not None and self.complete_through >= through

    @property
    def content_hashes(self) -> set[str]:
        """The hashes of the delivery as a whole and of each of its files."""
        return {self.content_hash, *self.files.values()}


@dataclass(frozen=True, kw_only=True)
class RawFile:
    """A Parquet file of the table: absolute path, the drop it came with, rows, business days (numbers, inclusive)."""

    path: str
    drop: int
    rows: int
    first_day: int
    last_day: int

    def share(self, days: Sequence[range]) -> float:
        """The share of the file's business days that lie in these ascending stretches."""
        own = range(self.first_day, self.last_day + 1)
        held = sum(len(range(max(own.start, each.start), min(own.stop, each.stop))) for each in days)
        return held / len(own)

    @property
    def is_merged(self) -> bool:
        """Whether it holds the rows of files that came with drops, and came with none itself."""
        return Path(self.path).parent.name.startswith(MERGED_FOLDER)


@dataclass(frozen=True, kw_only=True)
class MergedParts:
    """Files that hold the rows of other files, which came with drops. parts: the latter's paths; last_drop: the newest
    of these drops, whose number is `drop` of the files, too: each row says itself with which one it came.
    """

    files: tuple[RawFile, ...]
    parts: frozenset[str]
    last_drop: int


@dataclass(frozen=True, kw_only=True)
class RawSnapshot:
    """The raw table of a source after one of its drops, whose version it has.

    parts: the files of all drops, as they were written; merged: files that are read in place of some of these. Of a
    table that was opened, older drops, parts and merges are read from its log when somebody goes through them.
    """

    source: str
    version: int
    parts: Sequence[RawFile]
    drops: Sequence[Drop]
    complete_through: date | None
    merged: Sequence[MergedParts] = ()

    @cached_property
    def stored(self) -> tuple[RawFile, ...]:
        """The files to read: merged ones, and those of drops that were not merged."""
        covered = frozenset().union(*(each.parts for each in self.merged))
        others = (part for part in self.parts if part.path not in covered)
        return _by_path((*others, *(file for each in self.merged for file in each.files)))

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The absolute paths of the files to read."""
        return tuple(file.path for file in self.stored)

    def as_delivered(self) -> RawSnapshot:
        """The same rows in the files of their drops, which never change."""
        return replace(self, merged=())

    @cached_property
    def supersedes(self) -> bool:
        """Whether any drop repeats an identity, so that readers must look for the newest row of each."""
        return any(drop.supersedes for drop in self.drops)

    @cached_property
    def comes_in_order(self) -> bool:
        """Whether each drop brought new rows alone, of days that were not complete before it, and took none back."""
        first_days: dict[int, int] = {}
        for part in self.parts:
            first_days[part.drop] = min(part.first_day, first_days.get(part.drop, part.first_day))
        through = [None, *(drop.complete_through for drop in self.drops)]
        return all(
            drop.follows(before, first_days.get(drop.number)) for before, drop in zip(through, self.drops, strict=False)
        )

    @cached_property
    def declared_through(self) -> date | None:
        """The day through which a command last declared the source complete."""
        return next((drop.complete_through for drop in reversed(self.drops) if drop.is_declared), None)

    @property
    def rows(self) -> int:
        """The rows in all files, superseded ones included."""
        return sum(file.rows for file in self.stored)

    def at(self, version: int) -> RawSnapshot:
        """The table as an earlier version had it; DataError for a later one."""
        drops = tuple(drop for drop in self.drops if drop.version <= version)
        if version > self.version or not drops:
            raise DataError(
                f"{self.source}: the raw table has no version {version}; it has versions 0 to {self.version}."
            )
        known = {drop.number for drop in drops}
        parts = tuple(part for part in self.parts if part.drop in known)
        return RawSnapshot(
            source=self.source,
            version=version,
            parts=parts,
            drops=drops,
            complete_through=drops[-1].complete_through,
            merged=tuple(each for each in self.merged if each.last_drop in known),
        )

    def with_drop(self, drop: Drop, parts: Sequence[RawFile]) -> RawSnapshot:
        """The snapshot after this drop is published with these files."""
        after = RawSnapshot(
            source=self.source,
            version=drop.version,
            parts=joined(self.parts, _by_path(parts)),
            drops=joined(self.drops, [drop]),
            complete_through=drop.complete_through,
            merged=self.merged,
        )
        # What follows from all drops follows from those before and this one: years of them are not gone through again.
        return after.knowing(
            stored=_by_path((*self.stored, *parts)),
            supersedes=self.supersedes or bool(drop.supersedes),
            comes_in_order=self.comes_in_order and drop.follows(self.complete_through, first_day_of(parts)),
            declared_through=drop.complete_through if drop.is_declared else self.declared_through,
        )

    def knowing(self, **facts: object) -> RawSnapshot:
        """The same, with what would have to be found by going through all drops and files, by its name."""
        vars(self).update(facts)
        return self

    def parts_of(self, days: Sequence[range]) -> tuple[RawFile, ...]:
        """The files to read for rows of these business days."""
        return tuple(file for file in self.stored if file.share(days))

    def parts_since(self, version: int) -> tuple[RawFile, ...]:
        """The files that came with drops after that version, as they came."""
        newer = {drop.number: drop.rows for drop in self.drops_since(version)}
        found = tuple(file for file in self.stored if file.drop in newer and not file.is_merged)
        if sum(file.rows for file in found) == sum(newer.values()):  # else some were merged already
            return found
        return tuple(part for part in self.parts if part.drop in newer)

    def drops_since(self, version: int) -> tuple[Drop, ...]:
        """The drops after that version, oldest first."""
        newer: list[Drop] = []
        for drop in takewhile(lambda drop: drop.version > version, reversed(self.drops)):
            newer.append(drop)
            if drop.version == version + 1:  # no other one is in between, so nobody reads an older one to see that
                break
        return tuple(reversed(newer))

    def there_of(self, paths: Sequence[str]) -> tuple[str, ...]:
        """These files of drops, or the files to read in their place where originals were given up."""
        if all(Path(path).exists() for path in paths):
            return tuple(paths)
        wanted = frozenset(paths)
        merged = [each for each in self.merged if each.parts & wanted]
        others = wanted.difference(*(each.parts for each in merged))
        return tuple(sorted((*others, *(file.path for each in merged for file in each.files))))

    def files_since(self, version: int) -> tuple[str, ...]:
        """The absolute paths of the files that came with drops after that version."""
        return tuple(part.path for part in self.parts_since(version))


def first_day_of(files: Iterable[RawFile]) -> int | None:
    """The first business day of these files' rows; None without any."""
    return min((file.first_day for file in files), default=None)


def _by_path(files: Iterable[RawFile]) -> tuple[RawFile, ...]:
    return tuple(sorted(files, key=attrgetter("path")))

"""What a command says about a delivery, and which words do not fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import KW_ONLY, dataclass
from datetime import date, datetime
from pathlib import Path

from transformations.contracts import Contract
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.raw.drops import Origin
from transformations.engine.raw.zone import DropTerms, RawSnapshot
from validation.files.drop_files import DropFile


@dataclass(frozen=True)
class Delivery:
    """What to ingest: rows of a source, or keys to retract, as one drop; no path: a word on completeness alone.

    path: a file, a folder whose files are one drop, or several files that are one.

    complete_through: the last business day, inclusive, of which all events are there. valid_from: from when rows
    without an event time hold; naive is UTC. correction: it may replace stored rows, bring replaced ones back, and take
    completeness back. quarantine: rows that break a rule are set aside, up to what the contract allows. is_found:
    nobody named the files, they were new where the contract says; another process may find and take them as well.
    """

    source: str
    path: Path | tuple[Path, ...] | None
    _: KW_ONLY
    complete_through: date | None = None
    valid_from: datetime | None = None
    retract: bool = False
    correction: bool = False
    quarantine: bool = False
    is_found: bool = False

    @property
    def terms(self) -> DropTerms:
        """The terms of the drop: what the command says beside its rows."""
        return DropTerms(self.complete_through, self.valid_from, self.correction)


def origin_of(file: DropFile, now: datetime) -> Origin:
    """The rows' origin as the raw zone records it."""
    hashes = file.parcel.file_hashes()
    return Origin(
        file_name=file.name,
        content_hash=file.parcel.content_hash(hashes),
        ingested_at=now,
        files=hashes if len(hashes) > 1 else {},
    )


def refuse_retraction(contract: Contract, delivery: Delivery, before: RawSnapshot | None) -> None:
    """UsageError for options that a retraction cannot have, DataError where nothing is stored to take back."""
    if not contract.key:
        raise UsageError(f"{contract.file_name}: no column is part of the key, so no row can be named to retract.")
    if delivery.quarantine:
        raise UsageError("--quarantine sets rows aside, and a retraction's keys are none: leave one of the two out.")
    if delivery.complete_through is not None or delivery.valid_from is not None:
        raise UsageError(
            "A retraction takes rows back and says nothing of time: leave --complete-through and --valid-from out. "
            "Completeness that these rows alone brought about goes with them."
        )
    if before is None:
        raise DataError.not_ingested(contract.name)


def refuse_empty(contract: Contract, delivery: Delivery, file: DropFile) -> None:
    """DataError for a file without rows, unless the command says that its day is complete."""
    if delivery.retract or contract.delivery == "snapshot":
        raise DataError(f"{file.name} has no rows, so nothing of it was taken. Deliver the file again.")
    if delivery.complete_through is None:
        raise DataError(
            f"{file.name} has no rows. Deliver the file again; or, if there was no event, say --complete-through."
        )


def refuse_known_files(contract: Contract, origin: Origin, before: RawSnapshot | None) -> None:
    """DataError for a file of several that is stored already, where no key would tell that its rows are."""
    if contract.key or not origin.files:
        return
    counts = Counter(origin.files.values())
    for name, content in origin.files.items():
        drops = before.drops if before else ()
        known = next((drop for drop in drops if content in drop.content_hashes), None)
        if known is not None and known.content_hash != origin.content_hash:
            raise DataError(
                f"{contract.file_name}: {name} of {origin.file_name} is stored already, with drop {known.number} "
                f"({known.file_name}), and its rows have no key to tell. Deliver the new files alone."
            )
        if counts[content] > 1:
            twin = next(other for other, same in origin.files.items() if same == content and other != name)
            raise DataError(
                f"{contract.file_name}: {name} and {twin} of {origin.file_name} are byte for byte one file, and its "
                f"rows have no key to tell. Deliver it once."
            )

"""The deliveries that a command means: those it names, or what is new where a contract says that files come in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from transformations.contracts import Contract, read_contract
from transformations.contracts.servers import delivered_files
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable
from validation.delivery.deliveries import Delivery
from validation.files.parcels import open_parcel

_WITHOUT_NEWS = ".delivered_without_news"


def deliveries_of(asked: Delivery, settings: Settings) -> list[Delivery]:
    """What a command asks for, a drop each: itself, or what is new where the contract says that files come in.

    asked without files: of such a source, all that is new there, unless it is a word on completeness alone. DataError
    where nothing was ever delivered, UsageError for options that say what a given file holds.
    """
    contract = read_contract(asked.source, settings.contracts)
    if asked.path is not None or asked.complete_through or contract.delivered is None or contract.pulled is not None:
        return [asked]
    if asked.retract or asked.valid_from is not None:
        raise UsageError("--retract and --valid-from say what FILE holds. Give the file, or leave them out.")
    if not delivered_files(contract.delivered, settings.project_root):
        raise DataError(
            f"{contract.file_name}: no file is at {contract.delivered} yet. Deliver one, or correct the path under "
            f"servers."
        )
    return [replace(asked, path=files, is_found=True) for files in new_deliveries(contract, settings)]


def new_deliveries(contract: Contract, settings: Settings) -> Iterator[tuple[Path, ...]]:
    """The files, a drop each, that have come in where the contract says, and that no drop has yet; by name."""
    if contract.delivered is None:
        return
    known = _ingested_contents(contract, settings) | _contents_without_news(contract, settings)
    files = delivered_files(contract.delivered, settings.project_root)
    drops = [files] if contract.delivered_as_one and files else [(file,) for file in files]
    for drop in drops:
        if open_parcel(drop, contract.form).content_hash() not in known:
            yield drop


def note_without_news(source: str, files: Path | tuple[Path, ...], settings: Settings) -> None:
    """Note files that were ingested and changed nothing, so became no drop: the next look leaves them alone.

    A lost note costs one more look at the files.
    """
    contract = read_contract(source, settings.contracts)
    content = open_parcel(files, contract.form).content_hash()
    if content not in _ingested_contents(contract, settings) | _contents_without_news(contract, settings):
        with (settings.data / _WITHOUT_NEWS).open("a", encoding="ascii") as noted:
            noted.write(f"{source} {content}\n")


def _ingested_contents(contract: Contract, settings: Settings) -> set[str]:
    """The content hashes of the files that the drops of a source came in."""
    table = RawTable(contract, settings.raw_dir)
    return {drop.content_hash for drop in table.snapshot().drops} if table.exists() else set()


def _contents_without_news(contract: Contract, settings: Settings) -> set[str]:
    """The content hashes of files that were ingested and changed nothing."""
    noted = settings.data / _WITHOUT_NEWS
    lines = noted.read_text(encoding="ascii").splitlines() if noted.is_file() else []
    return {content for source, _, content in (line.partition(" ") for line in lines) if source == contract.name}

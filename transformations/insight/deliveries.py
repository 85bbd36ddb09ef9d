"""Deliveries as commands take them: which there are, what becomes of each, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from transformations.contracts import Contract, read_contract
from transformations.contracts.servers import delivered_files
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import plural
from transformations.engine.raw.zone import RawTable
from transformations.insight.site.delivery_report import delivery_page
from validation.delivery.checks import Report
from validation.delivery.ingest import (
    ContractViolationError,
    Delivery,
    Ingestion,
    RefusedDropError,
    check_drop,
    ingest_drop,
)
from validation.delivery.report_document import document_of_report
from validation.files.parcels import open_parcel

__all__ = [
    "ContractViolationError",
    "Delivery",
    "deliveries_of",
    "delivery_in_words",
    "document_of_outcome",
    "document_of_report",
    "new_deliveries",
    "report_of",
    "take_delivery",
    "try_delivery",
]

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
    return [replace(asked, path=files) for files in new_deliveries(contract, settings)]


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


def take_delivery(delivery: Delivery, settings: Settings, page: Path | None = None) -> Ingestion:
    """Ingest, and write a page about it where one is asked for, of a refused delivery, too. Errors of `ingest_drop`."""
    try:
        done = ingest_drop(delivery, settings)
    except DataError as error:
        if page is not None:
            _write_page(delivery, report_of(error), "Refused: nothing was written", page, settings)
        raise
    if done.drop is None and delivery.path is not None and not delivery.retract:
        _note_without_news(delivery.source, delivery.path, settings)
    if page is not None:
        verdict = "Nothing to do: it is there already" if done.drop is None else f"Taken as drop {done.drop.number}"
        _write_page(delivery, done.report, verdict, page, settings)
    return done


def try_delivery(delivery: Delivery, settings: Settings, page: Path | None = None) -> Report:
    """Check without ingesting, and write a page about it where one is asked for. Errors of `check_drop`."""
    try:
        report = check_drop(delivery, settings)
    except DataError as error:
        if page is not None:
            _write_page(delivery, report_of(error), "It would be refused", page, settings)
        raise
    if page is not None:
        verdict = "It would be refused" if report.violations or report.refusal else "It would be taken"
        _write_page(delivery, report, verdict, page, settings)
    return report


def report_of(error: DataError) -> Report:
    """What was found of a delivery before this error refused it; the error alone, where it could not be read."""
    return error.report if isinstance(error, RefusedDropError) else Report(0, (), refusal=error.message)


def document_of_outcome(delivery: Delivery, outcome: Ingestion | DataError) -> dict[str, object]:
    """What became of a delivery, for JSON; of a refused one, rows_delivered is None where it could not be read."""
    return _document_of_refusal(delivery, outcome) if isinstance(outcome, DataError) else _document_of(outcome)


def delivery_in_words(delivery: Delivery) -> str:
    """A file by its name, several by their number."""
    paths = delivery.path if isinstance(delivery.path, tuple) else [path for path in (delivery.path,) if path]
    if not paths:
        return "what is new"
    return paths[0].name if len(paths) == 1 else plural(len(paths), "file")


def _document_of(done: Ingestion) -> dict[str, object]:
    drop = done.drop
    return {
        "source": done.source,
        "file": done.file_name,
        "verdict": "unchanged" if drop is None else "taken",
        "changed": drop is not None,
        "version": done.version,
        "rows_delivered": done.delivered,
        "rows_written": drop.rows if drop else 0,
        "rows_unchanged": drop.unchanged if drop else 0,
        "rows_retracted": drop.rows if drop and drop.retracts else drop.retracted if drop else 0,
        "rows_quarantined": drop.quarantined if drop else 0,
        "rows_superseded": drop.supersedes if drop else 0,
        "first_day": done.first_day,
        "last_day": done.last_day,
        "complete_through": done.complete_through,
        "seconds": round(done.seconds, 3),
    } | _findings_of(done.report, done.notes)


def _document_of_refusal(delivery: Delivery, error: DataError) -> dict[str, object]:
    report = report_of(error)
    aside = report.aside.count if report.aside else 0
    return {
        "source": delivery.source,
        "file": delivery_in_words(delivery),
        "verdict": "refused",
        "changed": False,
        "rows_delivered": report.rows + aside or None,
        "rows_written": 0,
    } | _findings_of(report, report.notes)


def _findings_of(report: Report, notes: tuple[str, ...]) -> dict[str, object]:
    found = document_of_report(report)
    return {name: found[name] for name in ("violations", "refusal", "rules", "set_aside")} | {"notes": list(notes)}


def _write_page(delivery: Delivery, report: Report, verdict: str, page: Path, settings: Settings) -> None:
    contract = read_contract(delivery.source, settings.contracts)
    table = RawTable(contract, settings.raw_dir)
    drops = table.snapshot().drops if table.exists() else ()
    text = delivery_page(contract, delivery_in_words(delivery), report, verdict, table.folder, drops)
    page.write_text(text, encoding="utf-8")


def _ingested_contents(contract: Contract, settings: Settings) -> set[str]:
    """The content hashes of the files that the drops of a source came in."""
    table = RawTable(contract, settings.raw_dir)
    return {drop.content_hash for drop in table.snapshot().drops} if table.exists() else set()


def _contents_without_news(contract: Contract, settings: Settings) -> set[str]:
    """The content hashes of files that were ingested and changed nothing."""
    noted = settings.data / _WITHOUT_NEWS
    lines = noted.read_text(encoding="ascii").splitlines() if noted.is_file() else []
    return {content for source, _, content in (line.partition(" ") for line in lines) if source == contract.name}


def _note_without_news(source: str, files: Path | tuple[Path, ...], settings: Settings) -> None:
    """Note files that were ingested and changed nothing, so became no drop: the next look leaves them alone.

    A lost note costs one more look at the files.
    """
    contract = read_contract(source, settings.contracts)
    content = open_parcel(files, contract.form).content_hash()
    if content not in _ingested_contents(contract, settings) | _contents_without_news(contract, settings):
        with (settings.data / _WITHOUT_NEWS).open("a", encoding="ascii") as noted:
            noted.write(f"{source} {content}\n")

"""What becomes of a delivery, and how commands tell it: as a page, and as JSON."""

from __future__ import annotations

from pathlib import Path

from transformations.contracts import read_contract
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import plural
from transformations.engine.raw.drops import Drop
from transformations.engine.raw.zone import RawTable
from transformations.insight.deliveries import deliveries_of, note_without_news
from transformations.insight.site.delivery_report import PAGE_BEGINS, delivery_page
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

__all__ = [
    "ContractViolationError",
    "Delivery",
    "deliveries_of",
    "delivery_in_words",
    "document_of_outcome",
    "document_of_report",
    "report_of",
    "take_delivery",
    "try_delivery",
]


def take_delivery(delivery: Delivery, settings: Settings, page: Path | None = None) -> Ingestion:
    """Ingest, and write a page about it where one is asked for, of a refused delivery, too. Errors of `ingest_drop`;
    UsageError, before anything is read, for a page that cannot be written or would overwrite something else.
    """
    _require_place(page)
    try:
        done = ingest_drop(delivery, settings)
    except DataError as error:
        if page is not None:
            _write_page(delivery, report_of(error), "Refused: nothing was written", page, settings)
        raise
    if done.drop is None and delivery.path is not None and not delivery.retract:
        note_without_news(delivery.source, delivery.path, settings)
    if page is not None:
        verdict = "Nothing to do: it is there already" if done.drop is None else f"Taken as drop {done.drop.number}"
        _write_page(delivery, done.report, verdict, page, settings, done.drop)
    return done


def try_delivery(delivery: Delivery, settings: Settings, page: Path | None = None) -> Report:
    """Check without ingesting, and write a page about it where one is asked for. Errors of `check_drop`, and those
    about the page of `take_delivery`.
    """
    _require_place(page)
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


def _require_place(page: Path | None) -> None:
    """UsageError unless a page may be written there: into a folder that exists, over nothing but such a page."""
    if page is None:
        return
    if not page.absolute().parent.is_dir():
        raise UsageError(f"{page}: there is no folder {page.absolute().parent}. Make it, or name another file.")
    if page.exists() and not page.read_bytes()[: len(PAGE_BEGINS)].startswith(PAGE_BEGINS):
        raise UsageError(f"{page} exists and is no page of ours, so it is left as it is. Name another file.")


def _write_page(
    delivery: Delivery, report: Report, verdict: str, page: Path, settings: Settings, taken: Drop | None = None
) -> None:
    contract = read_contract(delivery.source, settings.contracts)
    table = RawTable(contract, settings.raw_dir)
    drops = [drop for drop in table.snapshot().drops if drop != taken] if table.exists() else []
    text = delivery_page(
        contract, delivery_in_words(delivery), report, verdict=verdict, table=table.folder, accepted=drops, taken=taken
    )
    page.write_text(text, encoding="utf-8")

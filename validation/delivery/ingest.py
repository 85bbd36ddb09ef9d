"""From a delivery to the raw zone: checked against its contract, converted, published as one drop or not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from transformations.contracts import Contract, read_contract
from transformations.engine.base.business_days import day_of_number
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import ConflictError, DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.lineage.events import Dataset, report_run
from transformations.engine.lineage.names import FILES, raw_dataset
from transformations.engine.raw.files import Findings, source_schema
from transformations.engine.raw.zone import Drop, Origin, RawSnapshot, RawTable
from validation.delivery.checks import Report
from validation.delivery.conforming import (
    CheckedFile,
    ContractViolationError,
    RefusedDropError,
    check_file,
    judge_completeness,
)
from validation.delivery.deliveries import Delivery, origin_of, refuse_empty, refuse_known_files, refuse_retraction
from validation.delivery.refusals import Refusal, note_refusal
from validation.files.drop_files import open_drop, readable
from validation.files.sessions import ingestion_session
from validation.pulls.pulled import Pulled, pulled
from validation.quality.stored import QUARANTINE, files_of, parquet_bytes

__all__ = ["ContractViolationError", "Delivery", "Ingestion", "RefusedDropError", "check_drop", "ingest_drop"]


@dataclass(frozen=True, kw_only=True)
class Ingestion:
    """What became of a delivery; `drop` is None where it changed nothing, and then nothing was published.

    first_day, last_day: the business days of the rows written (None where none was). version: the raw table's, now.
    before: through which day the source was complete until now. zone: the contract's, of its business days. report:
    what the checks found.
    """

    source: str
    file_name: str
    delivered: int
    before: date | None
    drop: Drop | None
    first_day: date | None
    last_day: date | None
    complete_through: date | None
    version: int
    zone: str
    notes: tuple[str, ...]
    seconds: float
    report: Report


@faults_in_words()
def check_drop(delivery: Delivery, settings: Settings) -> Report:
    """What ingesting a file would find, without ingesting it: broken checks, or else what the raw table refuses.

    Raises UsageError for options that do not fit the source, DataError for a file without rows.
    """
    contract = read_contract(delivery.source, settings.contracts)
    table = RawTable(contract, settings.raw_dir)
    before = table.snapshot() if table.exists() else None
    if delivery.path is None:
        raise UsageError(f"{contract.name}: no file is given to check.")
    with ingestion_session(settings) as connection:
        file = open_drop(connection, delivery.path, contract, delivery.retract)
        if delivery.retract:
            refuse_retraction(contract, delivery, before)
        origin = origin_of(file, settings.now())
        refuse_known_files(contract, origin, before)
        checked = check_file(connection, contract, file, settings, delivery, before)
        if not checked.report.rows:
            raise DataError(f"{file.name} has no rows, so it shows nothing of whether the contract holds. Give some.")
        if checked.report.violations or delivery.retract or (before and _is_newest(before, delivery, origin)):
            return checked.report
        try:
            with readable(file.name):
                table.rehearse(checked.rows(), origin, delivery.terms, connection)
        except DataError as refusal:
            return replace(checked.report, refusal=refusal.message)
    return checked.report


@faults_in_words()
def ingest_drop(delivery: Delivery, settings: Settings) -> Ingestion:
    """Publish a delivery as one drop, or raise and publish nothing; a refusal is noted (see `refusals`).

    A file that is the newest drop already has nothing to do; another `complete_through` alone is still recorded.
    Raises ContractViolationError with every violation, RefusedDropError for what the raw table refuses, UsageError for
    options that do not fit the source.
    """
    contract = read_contract(delivery.source, settings.contracts)
    try:
        done = _ingest(contract, delivery, settings)
    except ConflictError:
        raise
    except DataError as error:
        if delivery.path is not None:
            note_refusal(contract.name, _refusal(delivery, error, settings), settings)
        raise
    if done.drop is not None:
        _report_lineage(contract, delivery, done, settings)
    return done


def _refusal(delivery: Delivery, error: DataError, settings: Settings) -> Refusal:
    paths = delivery.path if isinstance(delivery.path, tuple) else [path for path in (delivery.path,) if path]
    report = error.report if isinstance(error, RefusedDropError) else Report(0, ())
    return Refusal(
        at=settings.now(),
        file=", ".join(path.name for path in paths),
        rows=report.rows,
        rules=tuple(dict.fromkeys(each.spec.name or each.spec.rule for each in report.violations)),
        message=error.message,
    )


def _report_lineage(contract: Contract, delivery: Delivery, done: Ingestion, settings: Settings) -> None:
    """Send a drop's lineage: the file or folder that it came in, and the raw table's new version."""
    paths = delivery.path if isinstance(delivery.path, tuple) else [path for path in (delivery.path,) if path]
    report_run(
        settings,
        f"ingest_{contract.name}",
        inputs=[Dataset(name=str(path.absolute()), namespace=FILES) for path in paths],
        outputs=[
            Dataset(
                name=raw_dataset(contract.name),
                columns={column.name: column.dtype for column in contract.columns},
                version=done.version,
                rows=done.drop.rows if done.drop else None,
            )
        ],
        at=settings.now(),
    )


def _ingest(contract: Contract, delivery: Delivery, settings: Settings) -> Ingestion:
    started = time.monotonic()
    table = RawTable(contract, settings.raw_dir)
    before = table.snapshot() if table.exists() else None
    taking = _Taking(started=started, contract=contract, table=table, before=before, settings=settings)
    if delivery.path is not None:
        return taking.files(delivery.path, delivery)
    if contract.pulled is None or delivery.retract:
        return taking.completeness(delivery)
    with pulled(contract, contract.pulled, before, settings) as found:
        if found.rows:
            return taking.files(found.path, delivery, found)
        if before is None or contract.pulled.watermark is None:
            raise DataError(
                f"{contract.file_name}: table {contract.pulled.table} has no row, so nothing of it was taken. Fill it "
                f"first."
            )
        return taking.completeness(delivery) if delivery.complete_through else taking.nothing(found)


@dataclass(frozen=True, kw_only=True)
class _Taking:
    """Takes one delivery: what is known of its source before it comes."""

    started: float
    contract: Contract
    table: RawTable
    before: RawSnapshot | None
    settings: Settings

    def completeness(self, delivery: Delivery) -> Ingestion:
        """Record a word on completeness alone."""
        report = judge_completeness(self.contract, delivery, self.settings, self.before)
        drop = _declare(self.table, self.contract, delivery, self.settings.now(), report, self.before)
        return self._ingestion("", drop, report)

    def nothing(self, found: Pulled) -> Ingestion:
        """Say that a table has nothing new."""
        return self._ingestion(found.name, None, Report(0, (), notes=found.notes))

    def files(self, path: Path | tuple[Path, ...], delivery: Delivery, found: Pulled | None = None) -> Ingestion:
        """Check the files at `path` and publish their rows; found: they are what was pulled from a table."""
        contract, before, settings = self.contract, self.before, self.settings
        with ingestion_session(settings) as connection:
            file = open_drop(connection, path, contract, delivery.retract)
            if found is not None:
                file = replace(file, parcel=replace(file.parcel, name=found.name), notes=found.notes)
            origin = origin_of(file, settings.now())
            origin = origin if found is None else found.origin(origin)
            if delivery.retract:
                refuse_retraction(contract, delivery, before)
            if before is not None and _is_taken(before, delivery, origin):
                report = judge_completeness(contract, delivery, settings, before)
                drop = _advance(self.table, contract, origin, delivery, before, report)
            else:
                refuse_known_files(contract, origin, before)
                checked = check_file(connection, contract, file, settings, delivery, before)
                report = checked.report
                if report.violations:
                    raise ContractViolationError(report, f"Nothing of {file.name} was written.")
                if not report.rows:
                    refuse_empty(contract, delivery, file)
                    report = judge_completeness(contract, delivery, settings, before)
                    checked = replace(checked, report=replace(report, notes=(*checked.report.notes, *report.notes)))
                try:
                    with readable(file.name), _reporting(checked):
                        drop = _publish(self.table, checked, origin, delivery, before)
                except DataError:
                    if delivery.complete_through is not None or not self.table.exists():
                        raise
                    if not _is_taken(self.table.snapshot(), delivery, origin):
                        raise
                    drop = None  # by another process, while this one checked the same files
        return self._ingestion(file.name, drop, report)

    def _ingestion(self, name: str, drop: Drop | None, report: Report) -> Ingestion:
        return _ingestion(self.table, self.before, name, drop, report, time.monotonic() - self.started)


@contextmanager
def _reporting(checked: CheckedFile) -> Iterator[None]:
    """Add what the checks found to the error by which the raw table refuses a delivery."""
    try:
        yield
    except ConflictError:
        raise
    except DataError as refusal:
        report = replace(checked.report, refusal=refusal.message)
        raise RefusedDropError(report, refusal.message) from None


def _publish(
    table: RawTable, checked: CheckedFile, origin: Origin, delivery: Delivery, before: RawSnapshot | None
) -> Drop | None:
    if delivery.retract:
        return table.retract(checked.rows(), origin, checked.connection, checked.file.parcel.refuse_changed)
    return table.append(
        checked.rows(),
        origin,
        delivery.complete_through,
        valid_from=delivery.valid_from,
        correction=delivery.correction,
        connection=checked.connection,
        findings=_findings(checked.report, before),
        confirm=checked.file.parcel.refuse_changed,
    )


def _is_taken(before: RawSnapshot, delivery: Delivery, origin: Origin) -> bool:
    """Whether a drop is these very files already, so that delivering them says nothing new.

    Files that somebody names are compared with the newest drop alone: an older one's are given again on purpose.
    """
    if not delivery.is_found:
        return _is_newest(before, delivery, origin)
    return any(drop.content_hash == origin.content_hash and not drop.retracts for drop in before.drops)


def _is_newest(before: RawSnapshot, delivery: Delivery, origin: Origin) -> bool:
    """Whether the newest drop is this very file, delivered in the same way."""
    newest = before.drops[-1]
    return (
        newest.content_hash == origin.content_hash
        and newest.retracts == delivery.retract
        and delivery.valid_from is None
    )


def _advance(
    table: RawTable, contract: Contract, origin: Origin, delivery: Delivery, before: RawSnapshot, report: Report
) -> Drop | None:
    """The file is there already; only another complete-through, if any, is new."""
    through = delivery.complete_through
    if through is None or through == before.complete_through:
        return None
    rows = source_schema(contract).empty_table()
    findings = _findings(report, before)
    return table.append(rows, origin, complete_through=through, correction=delivery.correction, findings=findings)


def _declare(
    table: RawTable, contract: Contract, delivery: Delivery, now: datetime, report: Report, before: RawSnapshot | None
) -> Drop | None:
    """A word on completeness, without a file."""
    if delivery.complete_through is None:
        raise UsageError(f"{contract.name}: neither a file nor --complete-through is given. Give one of them.")
    if delivery.retract or delivery.valid_from is not None:
        raise UsageError("--retract and --valid-from say what FILE holds. Give the file, or leave them out.")
    origin = Origin(file_name="", content_hash=f"complete through {delivery.complete_through}", ingested_at=now)
    rows = source_schema(contract).empty_table()
    through, findings = delivery.complete_through, _findings(report, before)
    return table.append(rows, origin, through, correction=delivery.correction, findings=findings)


def _findings(report: Report, before: RawSnapshot | None) -> Findings:
    """The quality rules' verdict as it is stored with the drop."""
    files = {} if report.quality is None else files_of(report.quality)
    aside = report.aside
    if aside is not None:
        files[QUARANTINE] = parquet_bytes(aside.rows)
    return Findings(files, before.version if before else None, aside.count if aside else 0)


def _ingestion(
    table: RawTable, before: RawSnapshot | None, file_name: str, drop: Drop | None, report: Report, seconds: float
) -> Ingestion:
    after = table.snapshot()
    parts = after.parts_since(drop.version - 1) if drop else ()
    return Ingestion(
        source=after.source,
        file_name=file_name,
        delivered=report.rows + (report.aside.count if report.aside else 0),
        before=before.complete_through if before else None,
        drop=drop,
        first_day=day_of_number(min(part.first_day for part in parts)) if parts else None,
        last_day=day_of_number(max(part.last_day for part in parts)) if parts else None,
        complete_through=after.complete_through,
        version=after.version,
        zone=table.contract.business_day_zone,
        notes=report.notes,
        seconds=seconds,
        report=report,
    )

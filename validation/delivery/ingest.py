"""From a delivered file to the raw zone: checked against its contract, converted, published as one drop or not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from transformations.contracts import Contract, read_contract
from transformations.engine.base import duck
from transformations.engine.base.business_days import day_of_number, starts_of_days
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import content_hash
from transformations.engine.raw.files import Findings, source_schema
from transformations.engine.raw.zone import Drop, DropTerms, Origin, RawSnapshot, RawTable
from validation.delivery.check_specs import CheckSpec, compile_checks
from validation.delivery.checks import Report, Sources, Violation, conversions_of, run_checks
from validation.delivery.checks_sql import converted_rows
from validation.files.drop_files import DropFile, open_drop, readable
from validation.quality.drop_rows import DropRows
from validation.quality.judge import QualityReport, judge
from validation.quality.profile import profile_plan
from validation.quality.stored import files_of
from validation.readings.conversions import Conversion

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BATCH_ROWS = 131_072


class ContractViolationError(DataError):
    """A drop that breaks its contract; nothing of it was written. `report` holds every violation."""

    def __init__(self, report: Report, outcome: str = "") -> None:
        self.report = report
        messages = [violation.message for violation in report.violations]
        super().__init__("\n".join([*messages, outcome] if outcome else messages))


@dataclass(frozen=True)
class Delivery:
    """What to ingest: a file of rows of a source, or of keys to retract; no file: a word on completeness alone.

    complete_through: the last business day, inclusive, of which all events are there. valid_from: from when rows
    without an event time hold; naive is UTC. correction: it may replace stored rows, bring replaced ones back, and take
    completeness back.
    """

    source: str
    path: Path | None
    _: KW_ONLY
    complete_through: date | None = None
    valid_from: datetime | None = None
    retract: bool = False
    correction: bool = False

    @property
    def terms(self) -> DropTerms:
        """What is said of the drop beside its rows."""
        return DropTerms(self.complete_through, self.valid_from, self.correction)


@dataclass(frozen=True, kw_only=True)
class _CheckedFile:
    """A delivered file, how its columns are converted, and what the checks found in it."""

    connection: DuckDBPyConnection
    contract: Contract
    file: DropFile
    conversions: Mapping[str, Conversion]
    report: Report

    def rows(self) -> pa.RecordBatchReader:
        """The rows (or keys) in the raw zone's types, as a stream."""
        return canonical_rows(self.connection, self.contract, self.file, self.conversions)


@dataclass(frozen=True, kw_only=True)
class Ingestion:
    """What became of a delivery; `drop` is None where it changed nothing, and then nothing was published.

    first_day, last_day: the business days of the rows written (None where none was). version: the raw table's, now.
    before: through which day the source was complete until now. zone: the contract's, of its business days.
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
    with duck.session() as connection:
        file = open_drop(connection, delivery.path, contract, delivery.retract)
        if delivery.retract:
            _refuse_retraction(contract, delivery, before)
        checked = _check(connection, contract, file, settings, delivery, before)
        if not checked.report.rows:
            raise DataError(f"{file.name} has no rows, so it shows nothing of whether the contract holds. Give some.")
        origin = Origin(file.name, content_hash(file.path), settings.now())
        if checked.report.violations or delivery.retract or (before and _is_newest(before, delivery, origin)):
            return checked.report
        try:
            with readable(file.path):
                table.rehearse(checked.rows(), origin, delivery.terms, connection)
        except DataError as refusal:
            return replace(checked.report, refusal=refusal.message)
    return checked.report


@faults_in_words()
def ingest_drop(delivery: Delivery, settings: Settings) -> Ingestion:
    """Publish a delivery as one drop, or raise and publish nothing.

    A file that is the newest drop already has nothing to do; another `complete_through` alone is still recorded.
    Raises ContractViolationError with every violation, UsageError for options that do not fit the source.
    """
    started = time.monotonic()
    contract = read_contract(delivery.source, settings.contracts)
    table = RawTable(contract, settings.raw_dir)
    before = table.snapshot() if table.exists() else None
    if delivery.path is None:
        report = _judge_completeness(contract, delivery, settings, before)
        drop = _declare(table, contract, delivery, settings.now(), report, before)
        return _ingestion(table, before, "", drop, report, time.monotonic() - started)
    with duck.session() as connection:
        file = open_drop(connection, delivery.path, contract, delivery.retract)
        origin = Origin(file.name, content_hash(file.path), settings.now())
        if delivery.retract:
            _refuse_retraction(contract, delivery, before)
        if before is not None and _is_newest(before, delivery, origin):
            report = _judge_completeness(contract, delivery, settings, before)
            drop = _advance(table, contract, origin, delivery, before, report)
        else:
            checked = _check(connection, contract, file, settings, delivery, before)
            report = checked.report
            if report.violations:
                raise ContractViolationError(report, f"Nothing of {file.name} was written.")
            if not report.rows:
                _refuse_empty(contract, delivery, file)
                report = _judge_completeness(contract, delivery, settings, before)
                checked = replace(checked, report=replace(report, notes=(*checked.report.notes, *report.notes)))
            with readable(file.path):
                drop = _publish(table, checked, origin, delivery, before)
    return _ingestion(table, before, file.name, drop, report, time.monotonic() - started)


def canonical_rows(
    connection: DuckDBPyConnection, contract: Contract, file: DropFile, conversions: Mapping[str, Conversion]
) -> pa.RecordBatchReader:
    """The converted columns of a checked file in the raw zone's types, as a stream."""
    batches = connection.sql(converted_rows(file, conversions)).to_arrow_reader(_BATCH_ROWS)
    schema = pa.schema([source_schema(contract).field(name) for name in conversions])
    return pa.RecordBatchReader.from_batches(schema, _typed(batches, schema, contract))


def _typed(batches: pa.RecordBatchReader, schema: pa.Schema, contract: Contract) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        columns = [
            _ends_of_days(batch.column(field.name), contract.business_day_zone)
            if field.name == contract.event_time and contract.has_date_only_event_time
            else batch.column(field.name).cast(field.type)
            for field in schema
        ]
        yield pa.record_batch(columns, schema=schema)


def _ends_of_days(days: pa.Array, zone: str) -> pa.Array:
    """A date-only event happens at the last microsecond of its business day."""
    numbers = days.cast(pa.int32()).to_numpy(zero_copy_only=False).astype(np.int64)
    if numbers.size == 0:
        return pa.array([], pa.timestamp("us", tz="UTC"))
    first = int(numbers.min())
    starts = starts_of_days(first, int(numbers.max()) + 1, zone)
    return pa.array(starts[numbers - first + 1] - 1).cast(pa.timestamp("us", tz="UTC"))


def _check(
    connection: DuckDBPyConnection,
    contract: Contract,
    file: DropFile,
    settings: Settings,
    delivery: Delivery,
    before: RawSnapshot | None,
) -> _CheckedFile:
    keys_only, now = delivery.retract, settings.now()
    sources: Sources = {reference.source: _source(reference.source, settings) for reference in contract.references}
    with readable(file.path):
        conversions = conversions_of(connection, contract, file, contract.key if keys_only else contract.column_names)
        specs = compile_checks(contract, keys_only, now)
        plan = None if keys_only else profile_plan(connection, contract, file, conversions)
        report = run_checks(connection, contract, file, specs, sources, conversions, plan)
        if plan is not None and not report.violations:
            rows = DropRows(
                connection=connection,
                contract=contract,
                file=file,
                conversions=conversions,
                stored=before,
                declared=delivery.complete_through,
                now=now,
            )
            report = _with_quality(report, judge(rows, report.profile, settings))
    return _CheckedFile(connection=connection, contract=contract, file=file, conversions=conversions, report=report)


def _with_quality(report: Report, found: QualityReport | None) -> Report:
    """The report with the verdict of the quality rules: broken errors are violations, warnings are notes."""
    if found is None:
        return report
    violations = tuple(
        Violation(CheckSpec("quality", each.rule.columns, name=each.rule.name), each.text) for each in found.errors
    )
    notes = (*report.notes, *(f"warning: {each.text}" for each in found.warnings), *found.notes)
    return replace(report, violations=(*report.violations, *violations), notes=notes, quality=found)


def _judge_completeness(
    contract: Contract, delivery: Delivery, settings: Settings, before: RawSnapshot | None
) -> Report:
    """The verdict of the rules about whole days on a word on completeness, which may close days without enough rows."""
    if delivery.complete_through is None or not any(rule.is_daily for rule in contract.quality):
        return Report(0, ())
    with duck.session() as connection:
        rows = DropRows(
            connection=connection,
            contract=contract,
            file=None,
            conversions={},
            stored=before,
            declared=delivery.complete_through,
            now=settings.now(),
        )
        report = _with_quality(Report(0, ()), judge(rows, None, settings))
    if report.violations:
        raise ContractViolationError(report, "Nothing was written.")
    return report


def _source(name: str, settings: Settings) -> tuple[Contract, RawSnapshot | None]:
    contract = read_contract(name, settings.contracts)
    table = RawTable(contract, settings.raw_dir)
    return contract, table.snapshot() if table.exists() else None


def _publish(
    table: RawTable, checked: _CheckedFile, origin: Origin, delivery: Delivery, before: RawSnapshot | None
) -> Drop | None:
    if delivery.retract:
        return table.retract(checked.rows(), origin, checked.connection)
    return table.append(
        checked.rows(),
        origin,
        delivery.complete_through,
        delivery.valid_from,
        delivery.correction,
        checked.connection,
        _findings(checked.report, before),
    )


def _refuse_retraction(contract: Contract, delivery: Delivery, before: RawSnapshot | None) -> None:
    if not contract.key:
        raise UsageError(f"{contract.file_name}: no column is part of the key, so no row can be named to retract.")
    if delivery.complete_through is not None or delivery.valid_from is not None:
        raise UsageError(
            "A retraction takes rows back and says nothing of time: leave --complete-through and --valid-from out. "
            "Completeness that these rows alone brought about goes with them."
        )
    if before is None:
        raise DataError.not_ingested(contract.name)


def _refuse_empty(contract: Contract, delivery: Delivery, file: DropFile) -> None:
    """A day may be without events, where that is said; else a file without rows is one that went wrong."""
    if delivery.retract or contract.delivery == "snapshot":
        raise DataError(f"{file.name} has no rows, so nothing of it was taken. Deliver the file again.")
    if delivery.complete_through is None:
        raise DataError(
            f"{file.name} has no rows. Deliver the file again; or, if there was no event, say --complete-through."
        )


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
    origin = Origin("", f"complete through {delivery.complete_through}", now)
    rows = source_schema(contract).empty_table()
    through, findings = delivery.complete_through, _findings(report, before)
    return table.append(rows, origin, through, correction=delivery.correction, findings=findings)


def _findings(report: Report, before: RawSnapshot | None) -> Findings:
    """What is stored with the drop of its quality rules' verdict."""
    return Findings({} if report.quality is None else files_of(report.quality), before.version if before else None)


def _ingestion(
    table: RawTable, before: RawSnapshot | None, file_name: str, drop: Drop | None, report: Report, seconds: float
) -> Ingestion:
    after = table.snapshot()
    parts = after.parts_since(drop.version - 1) if drop else ()
    return Ingestion(
        source=after.source,
        file_name=file_name,
        delivered=report.rows,
        before=before.complete_through if before else None,
        drop=drop,
        first_day=day_of_number(min(part.first_day for part in parts)) if parts else None,
        last_day=day_of_number(max(part.last_day for part in parts)) if parts else None,
        complete_through=after.complete_through,
        version=after.version,
        zone=table.contract.business_day_zone,
        notes=report.notes,
        seconds=seconds,
    )

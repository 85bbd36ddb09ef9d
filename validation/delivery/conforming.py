"""A delivery against its contract: opened, converted, checked, and judged by the quality rules; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from transformations.contracts import Contract, read_contract
from transformations.engine.base.business_days import starts_of_days
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import RawSnapshot, RawTable
from validation.delivery.check_specs import CheckSpec, compile_checks
from validation.delivery.checks import Report, Sources, Violation, conversions_of, run_checks
from validation.delivery.checks_sql import converted_rows
from validation.delivery.deliveries import Delivery
from validation.delivery.quarantine import MOST_ROUNDS, Quarantine
from validation.files.drop_files import DropFile, readable
from validation.files.sessions import ingestion_session
from validation.quality.drop_rows import DropRows
from validation.quality.judge import QualityReport, judge
from validation.quality.profile import profile_plan
from validation.readings.conversions import Conversion

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BATCH_ROWS = 131_072


class RefusedDropError(DataError):
    """A drop that was not taken; nothing of it was written. report: what was found in it."""

    def __init__(self, report: Report, message: str) -> None:
        self.report = report
        super().__init__(message)


class ContractViolationError(RefusedDropError):
    """A drop that breaks its contract. `report` holds every violation."""

    def __init__(self, report: Report, outcome: str = "") -> None:
        messages = [violation.message for violation in report.violations]
        super().__init__(report, "\n".join([*messages, outcome] if outcome else messages))


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """A delivered file, how its columns are converted, and what the checks found in it."""

    connection: DuckDBPyConnection
    contract: Contract
    file: DropFile
    conversions: Mapping[str, Conversion]
    report: Report

    def rows(self) -> pa.RecordBatchReader:
        """The rows (or keys) in the raw zone's types, as a stream."""
        return canonical_rows(self.connection, self.contract, self.file, self.conversions)


def check_file(
    connection: DuckDBPyConnection,
    contract: Contract,
    file: DropFile,
    settings: Settings,
    delivery: Delivery,
    before: RawSnapshot | None,
) -> CheckedFile:
    """Check an opened delivery, and judge its quality where every row conforms. before: the raw table so far.

    Where the delivery asks for it, rows that break a rule are set aside, and the others are checked and judged alone.
    """
    sources: Sources = {reference.source: _source(reference.source, settings) for reference in contract.references}
    check = _Check(
        connection=connection, contract=contract, settings=settings, delivery=delivery, before=before, sources=sources
    )
    with readable(file.name):
        checked = check.of(file)
        return check.without_broken_rows(checked) if delivery.quarantine and checked.report.violations else checked


@dataclass(frozen=True, kw_only=True)
class _Check:
    """The check of one delivery, whole or without the rows that are set aside."""

    connection: DuckDBPyConnection
    contract: Contract
    settings: Settings
    delivery: Delivery
    before: RawSnapshot | None
    sources: Sources

    def of(self, file: DropFile) -> CheckedFile:
        """Check these rows, and judge their quality where they conform."""
        contract, keys_only, now = self.contract, self.delivery.retract, self.settings.now()
        columns = contract.key if keys_only else contract.column_names
        conversions = conversions_of(self.connection, contract, file, columns)
        specs = compile_checks(contract, keys_only, now)
        plan = None if keys_only else profile_plan(self.connection, contract, file, conversions)
        report = run_checks(
            self.connection, contract, file, specs=specs, sources=self.sources, columns=conversions, plan=plan
        )
        if plan is not None and not report.violations:
            rows = DropRows(
                connection=self.connection,
                contract=contract,
                file=file,
                conversions=conversions,
                stored=self.before,
                declared=self.delivery.complete_through,
                now=now,
            )
            report = _with_quality(report, judge(rows, report.profile, self.settings))
        return CheckedFile(
            connection=self.connection, contract=contract, file=file, conversions=conversions, report=report
        )

    def without_broken_rows(self, checked: CheckedFile) -> CheckedFile:
        """The check of the rows that are left when broken ones are set aside; unchanged where that is not possible."""
        quarantine = Quarantine(self.connection, self.contract, checked.file, checked.conversions)
        found = checked
        for _ in range(MOST_ROUNDS):
            if not quarantine.add(found.report, self.sources):
                return checked
            if (too_many := quarantine.too_many(checked.report.rows)) is not None:
                violations = (*checked.report.violations, too_many)
                return replace(checked, report=replace(checked.report, violations=violations))
            found = self.of(quarantine.rest())
            if not found.report.violations:
                aside = quarantine.taken()
                notes = (*found.report.notes, aside.note())
                return replace(found, report=replace(found.report, notes=notes, aside=aside))
        return checked


def _with_quality(report: Report, found: QualityReport | None) -> Report:
    """The report with the verdict of the quality rules: broken errors are violations, warnings are notes."""
    if found is None:
        return report
    violations = tuple(
        Violation(
            CheckSpec("quality", each.rule.columns, name=each.rule.name),
            each.text,
            None if found.profile is None else found.profile.count_broken(each.rule),
            each.examples,
        )
        for each in found.errors
    )
    notes = (*report.notes, *(f"warning: {each.text}" for each in found.warnings), *found.notes)
    return replace(report, violations=(*report.violations, *violations), notes=notes, quality=found)


def judge_completeness(
    contract: Contract, delivery: Delivery, settings: Settings, before: RawSnapshot | None
) -> Report:
    """What the rules about whole days say of a declared completeness, which may close days without enough rows."""
    if delivery.complete_through is None or not any(rule.is_daily for rule in contract.quality):
        return Report(0, ())
    with ingestion_session(settings) as connection:
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

"""Run the checks that a contract compiles to over a drop, in a few DuckDB scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from transformations.contracts import Contract, Reference
from transformations.engine.base.duck import identifier
from transformations.engine.base.moments import value_text
from transformations.engine.base.words import plural
from transformations.engine.raw import raw_sql
from transformations.engine.raw.zone import RawSnapshot
from validation.delivery.check_messages import Finding, columns_phrase, message
from validation.delivery.check_specs import CheckSpec
from validation.delivery.checks_sql import (
    broken_condition,
    canonical_values,
    count_query,
    example_query,
    is_numbered_in,
    missing_count_query,
    missing_query,
    missing_references,
    numbered_rows_table,
    repetition_count_query,
    repetition_query,
)
from validation.files.drop_files import DropFile
from validation.files.parquet_files import LEGACY_INSTANT, LEGACY_TIMESTAMP, rows_finer_than_microseconds
from validation.quality.judge import QualityReport
from validation.quality.outcomes import Example
from validation.quality.profile import Profile, ProfilePlan
from validation.readings.conversions import Conversion, conversion
from validation.readings.local_columns import periods_of, repeated_hours

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EXAMPLES = 3


@dataclass(frozen=True)
class Violation:
    """A broken check and the whole message about it: contract, rule, column, count, examples, remedy.

    count: how many rows (of a reference: distinct values) break it; None where it is not about rows. examples: the
    first of them.
    """

    spec: CheckSpec
    message: str
    count: int | None = None
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Aside:
    """The rows of a drop that were set aside. by_rule: how many break each rule; a row may break several."""

    rows: pa.Table
    by_rule: Mapping[str, int]

    @property
    def count(self) -> int:
        """How many rows."""
        return int(self.rows.num_rows)

    def note(self) -> str:
        """The sentence about them in a report."""
        rules = ", ".join(f"{count:,} by {rule}" for rule, count in self.by_rule.items())
        return f"{plural(self.count, 'row is', 'rows are')} set aside: {rules}"


@dataclass(frozen=True)
class Report:
    """What the checks of one drop found; it may be ingested when there is no violation and no refusal.

    refusal: why the raw table as it is would not take these rows, though they keep the contract. profile: what the same
    scan counted for the contract's quality rules. quality: their verdict. aside: the rows set
    aside, which `rows` does not count.
    """

    rows: int
    violations: tuple[Violation, ...]
    _: KW_ONLY
    notes: tuple[str, ...] = ()
    refusal: str = ""
    profile: Profile | None = None
    quality: QualityReport | None = None
    aside: Aside | None = None


Sources: TypeAlias = Mapping[str, tuple[Contract, RawSnapshot | None]]
"""The contracts of referenced sources, with their raw tables; None where nothing has been ingested yet."""


def conversions_of(
    connection: DuckDBPyConnection, contract: Contract, drop: DropFile, columns: Sequence[str]
) -> dict[str, Conversion]:
    """How each of these columns becomes its dtype; a column that is missing or of a refused type is left out."""
    found: dict[str, Conversion] = {}
    for name in columns:
        if (delivered := drop.types.get(name)) is None:
            continue
        column = contract.column(name)
        periods = periods_of(connection, contract, drop, name)
        if (how := conversion(identifier(name), delivered, column.dtype, periods, column.format)) is not None:
            is_legacy = delivered in (LEGACY_TIMESTAMP, LEGACY_INSTANT)
            found[name] = _minding_nanoseconds(connection, drop, name, how) if is_legacy else how
    return found


def _minding_nanoseconds(connection: DuckDBPyConnection, drop: DropFile, name: str, how: Conversion) -> Conversion:
    """DuckDB drops the nanoseconds of a legacy timestamp, so rows that have some are looked up in the file first."""
    rows = [
        drop.row_of(file, row)
        for file, path in enumerate(drop.paths)
        for row in rows_finer_than_microseconds(path, drop.names[name])
    ]
    if not rows:
        return how
    table = f"finer_{name}"
    connection.execute(numbered_rows_table(table), [rows])
    return replace(how, lossy=is_numbered_in(table), loss="with a part below one microsecond")


def run_checks(
    connection: DuckDBPyConnection,
    contract: Contract,
    drop: DropFile,
    *,
    specs: Sequence[CheckSpec],
    sources: Sources,
    columns: Mapping[str, Conversion] | None = None,
    plan: ProfilePlan | None = None,
) -> Report:
    """Run every check that the drop's columns permit, and report all violations together.

    columns: how the drop's columns are converted, where the caller knows from `conversions_of` already. plan: what the
    scan has to count besides, for the report's profile.
    """
    if columns is None:
        asked = {name for spec in specs for name in spec.columns}
        columns = conversions_of(connection, contract, drop, [name for name in contract.column_names if name in asked])
    rows, counts, profile = _count_values(connection, drop, columns, specs, plan)
    findings = [_schema_finding(contract, drop, columns, spec) for spec in specs]
    findings += _value_findings(connection, contract, drop, columns, counts)
    notes = [*drop.notes] + [
        note for name, how in columns.items() for note in repeated_hours(connection, contract, drop, name, how.periods)
    ]
    for spec in specs:
        if not set(spec.columns) <= columns.keys():
            continue
        if spec.rule == "unique key":
            findings.append(_key_finding(connection, contract, drop, columns, spec))
        elif spec.reference is not None:
            finding = _reference_finding(
                connection, contract, drop, columns=columns, spec=spec, reference=spec.reference, sources=sources
            )
            findings.append(finding if finding and finding.breaks else None)
            if finding and not finding.breaks:
                notes.append(_reference_note(spec.reference, finding))
    order = {spec: position for position, spec in enumerate(specs)}
    broken = sorted((finding for finding in findings if finding), key=lambda finding: order[finding.spec])
    violations = tuple(_violation(contract, drop, rows, each) for each in broken)
    return Report(rows, violations, notes=tuple(notes), profile=profile)


def _violation(contract: Contract, drop: DropFile, rows: int, finding: Finding) -> Violation:
    examples = tuple(Example(row, value) for row, value in zip(finding.rows, finding.values, strict=False))
    count = finding.count if finding.count > 0 else None
    return Violation(finding.spec, message(contract, drop.name, rows, finding), count, examples)


def _schema_finding(
    contract: Contract, drop: DropFile, columns: Mapping[str, Conversion], spec: CheckSpec
) -> Finding | None:
    (name, *_) = spec.columns
    if spec.rule == "missing column" and (missing := tuple(each for each in spec.columns if each not in drop.types)):
        absent = tuple(contract.column(each).in_file for each in missing)
        return Finding(spec=spec, values=absent, delivered=tuple(drop.names.values()))
    if spec.rule == "unknown column" and (unknown := tuple(each for each in drop.types if each not in spec.columns)):
        return Finding(spec=spec, delivered=unknown)
    if spec.rule == "dtype" and name in drop.types and name not in columns:
        return Finding(spec=spec, delivered=(drop.types[name],))
    return None


_Counts: TypeAlias = Mapping[CheckSpec, tuple[str, int]]


def _count_values(
    connection: DuckDBPyConnection,
    drop: DropFile,
    columns: Mapping[str, Conversion],
    specs: Sequence[CheckSpec],
    plan: ProfilePlan | None,
) -> tuple[int, _Counts, Profile | None]:
    """One scan: the number of rows, how many break each check of single values (with its condition), the profile."""
    conditions: dict[CheckSpec, str] = {}
    for spec in specs:
        if spec.columns and (how := columns.get(spec.columns[0])) and (condition := broken_condition(spec, how)):
            conditions[spec] = condition
    query = count_query(
        drop.rows(columns),
        columns.values(),
        conditions.values(),
        day=plan.day if plan else None,
        aggregates=plan.aggregates if plan else (),
    )
    lines = connection.execute(query).fetchall()
    width = 2 + len(conditions)
    counts = [sum(line[place] for line in lines) for place in range(2, width)]
    profile = plan.read([(*line[:2], *line[width:]) for line in lines]) if plan else None
    found = {spec: (condition, n) for (spec, condition), n in zip(conditions.items(), counts, strict=True)}
    return sum(line[1] for line in lines), found, profile


def _value_findings(
    connection: DuckDBPyConnection,
    contract: Contract,
    drop: DropFile,
    columns: Mapping[str, Conversion],
    counts: _Counts,
) -> list[Finding | None]:
    """One more scan, only where something is wrong: the first rows and values that break each check."""
    broken = {spec: condition for spec, (condition, count) in counts.items() if count}
    if not broken:
        return []
    examples = connection.execute(example_query(drop.rows(columns), broken, EXAMPLES)).fetchall()[0]
    return [
        Finding(
            spec=spec,
            count=counts[spec][1],
            rows=tuple(drop.place(each["row"]) for each in first),
            values=tuple(contract.column(spec.columns[0]).shown(each["value"]) for each in first),
            loss=columns[spec.columns[0]].loss,
            remedy=columns[spec.columns[0]].remedy,
        )
        for spec, first in zip(broken, examples, strict=True)
    ]


def _key_finding(
    connection: DuckDBPyConnection,
    contract: Contract,
    drop: DropFile,
    columns: Mapping[str, Conversion],
    spec: CheckSpec,
) -> Finding | None:
    """Keys that rows of the drop repeat; None where each is there once."""
    rows = canonical_values(drop, columns, spec.columns)
    (count,) = connection.execute(repetition_count_query(rows, spec.columns)).fetchall()[0]
    if not count:
        return None
    first = connection.execute(repetition_query(rows, spec.columns, EXAMPLES)).fetchall()
    return Finding(
        spec=spec,
        count=int(count),
        rows=tuple(drop.place(row[0]) for row in first),
        values=tuple(_text_of(row[1:], spec.columns, contract) for row in first),
    )


def _reference_finding(
    connection: DuckDBPyConnection,
    contract: Contract,
    drop: DropFile,
    *,
    columns: Mapping[str, Conversion],
    spec: CheckSpec,
    reference: Reference,
    sources: Sources,
) -> Finding | None:
    """Values that the other source lacks, however few; None where there are none."""
    other, snapshot = sources[reference.source]
    for here, there in zip(reference.columns, reference.source_columns, strict=True):
        if contract.column(here).dtype != other.column(there).dtype:
            return Finding(
                spec=spec, delivered=(contract.column(here).dtype, there, other.column(there).dtype), count=-1
            )
    if snapshot is None:
        return Finding(spec=spec, count=-1)
    known = raw_sql.current_rows(connection, other, snapshot.files, snapshot.supersedes)
    missing = missing_references(canonical_values(drop, columns, reference.columns), reference, known)
    values, affected = connection.execute(missing_count_query(missing)).fetchall()[0]
    if not values:
        return None
    first = connection.execute(missing_query(missing, reference, EXAMPLES)).fetchall()
    return Finding(
        spec=spec,
        count=int(values),
        affected=int(affected),
        rows=tuple(drop.place(row[0]) for row in first),
        values=tuple(_text_of(row[1:], reference.columns, contract) for row in first),
        breaks=values > spec.allowed,
    )


def _reference_note(reference: Reference, finding: Finding) -> str:
    values = plural(finding.count, f"{columns_phrase(reference.columns)} value")
    return (
        f"{plural(finding.affected, 'row carries', 'rows carry')} {values} that {reference.source} lacks "
        f"(allowed {reference.missing_allowed:,})"
    )


def _text_of(values: Sequence[object], columns: Sequence[str], contract: Contract) -> str:
    """Values of these columns, their times in the contract's zone."""
    texts = [
        contract.column(name).shown(value_text(value, contract.timestamp_zone))
        for name, value in zip(columns, values, strict=True)
    ]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"

"""The message of a broken check: contract, column, count, share, what is allowed, the first rows, the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from transformations.contracts import Contract, Reference
from transformations.contracts.texts import nearest
from transformations.engine.base.moments import moment_text
from transformations.engine.base.words import plural
from validation.readings.conversions import FIX, accepted_types

if TYPE_CHECKING:
    from validation.delivery.check_specs import CheckSpec


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found: how often, at which rows (from 1; of several files with the name), with which values.

    affected: how many rows carry missing values of a reference. delivered: the file's names or types.
    """

    spec: CheckSpec
    count: int = 0
    rows: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    affected: int = 0
    delivered: tuple[str, ...] = ()
    loss: str = ""
    remedy: str = FIX
    breaks: bool = True


def message(contract: Contract, drop: str, rows: int, finding: Finding) -> str:
    """The message about a violation in a drop of this many rows."""
    name = finding.spec.columns[0]
    match finding.spec.rule:
        case "missing column":
            absent, them = finding.values[0], "them" if len(finding.values) > 1 else "it"
            text = (
                f"drop {drop} lacks {plural(len(finding.values), 'column')}: {', '.join(finding.values)}. "
                f"For {absent!r}: {_nearest_column(absent, finding.delivered)}. "
                f"Deliver {them}, say physicalName where the file has another name, or remove {them} in a new contract "
                f"version."
            )
        case "unknown column":
            text = (
                f"drop {drop} has {plural(len(finding.delivered), 'column')} that the contract does not name: "
                f"{', '.join(finding.delivered)}. Leave them out at the source, name them in ignoredColumns, or add "
                f"them in a new contract version."
            )
        case "dtype":
            text = _dtype_fault(contract, drop, finding)
        case "unique key":
            text = (
                f"key {columns_phrase(finding.spec.columns)} is repeated by {plural(finding.count, 'row')} "
                f"{_share(finding.count, rows)}, allowed 0 %; {_first_rows(drop, finding)}. "
                f"Fix the source: a key occurs once in a drop, and a correction comes as a later drop."
            )
        case "reference" if (reference := finding.spec.reference) is not None:
            text = _reference_fault(reference, drop, rows, finding)
        case _:
            text = (
                f"column {name!r} has {_value_fault(contract, finding)} {_share(finding.count, rows)}, allowed 0 %; "
                f"{_first_rows(drop, finding)}. {_value_remedy(contract, finding)}"
            )
    return f"{contract.file_name}: {text}"


def columns_phrase(columns: Sequence[str]) -> str:
    """`a`, or `(a, b)`."""
    return columns[0] if len(columns) == 1 else f"({', '.join(columns)})"


def _nearest_column(absent: str, delivered: Sequence[str]) -> str:
    if other := next((name for name in delivered if name.lower() == absent.lower()), None):
        return f"the file has {other!r}; `headerCase: ignore` in the contract's customProperties makes case not count"
    if len(delivered) == 1 and any(mark in delivered[0] for mark in ",;|\t"):
        return (
            f"the first line was read as one cell, {delivered[0]!r}; declare the delimiter in the contract's "
            "customProperties, csv, as `features contract draft` finds it"
        )
    return nearest(absent, delivered)


def _dtype_fault(contract: Contract, drop: str, finding: Finding) -> str:
    (name,), (delivered,) = finding.spec.columns, finding.delivered
    dtype = contract.column(name).dtype
    return (
        f"column {name!r} is {delivered} in drop {drop}, the contract says {dtype}. "
        f"Deliver {accepted_types(dtype, delivered)}, or give the column a new name and type in a new contract version."
    )


def _value_fault(contract: Contract, finding: Finding) -> str:
    spec, count = finding.spec, finding.count
    match spec.rule:
        case "nulls":
            return plural(count, "null")
        case "exact":
            return f"{plural(count, 'value')} {finding.loss}"
        case "timestamp zone":
            return f"{plural(count, 'time')} without an offset, and the contract does not say of which zone,"
        case "existing local time":
            return f"{plural(count, 'local time')} that {contract.timestamp_zone} skipped when clocks were set forward"
        case "finite":
            kind = "infinite" if contract.column(spec.columns[0]).dtype == "Float64" else "outside the years 1 to 9999"
            return f"{plural(count, 'value')} that {'are' if count != 1 else 'is'} {kind}"
        case "event time":
            return f"{plural(count, 'value')} outside the years {spec.minimum:.0f} to {spec.maximum:.0f}"
        case "future":
            return f"{plural(count, 'value')} after {_latest(contract, spec.values[0])}"
        case "range":
            return f"{plural(count, 'value')} {_outside(spec.minimum, spec.maximum)}"
    return f"{plural(count, 'value')} outside the {len(spec.values)} allowed"


def _latest(contract: Contract, latest: object) -> str:
    """The last moment, or day, that a row may have."""
    lead = contract.future_allowed
    ahead = f" and {plural(lead.days, 'day') if lead == timedelta(days=lead.days) else lead}" if lead else ""
    text = moment_text(latest, contract.timestamp_zone) if isinstance(latest, datetime) else str(latest)
    return f"now{ahead} ({text})"


def _value_remedy(contract: Contract, finding: Finding) -> str:
    match finding.spec.rule:
        case "exact":
            return finding.remedy
        case "timestamp zone":
            return (
                "Write timestampZone into the source's customProperties: the zone that its clock shows, such as "
                "Europe/Berlin, or UTC; or deliver times with an offset."
            )
        case "nulls" if finding.spec.columns[0] in contract.key:
            return "Fix the source: a key is never null."
        case "nulls":
            return "Fix the source, or write required: false in a new contract version."
        case "future":
            return "Fix the source or this machine's clock, or state in the contract by how much: futureAllowed."
        case "range":
            return "Fix the source, or widen minimum and maximum in a new contract version."
        case "allowed values":
            return "Fix the source, or add to validValues in a new contract version."
        case "existing local time":
            return "Fix the source, or deliver the timestamps in UTC and say so in a new contract version."
        case "finite":
            return "Fix the source: deliver a null for what is unknown."
    return "Fix the source."


def _reference_fault(reference: Reference, drop: str, rows: int, finding: Finding) -> str:
    here = f"column {reference.columns[0]!r}" if len(reference.columns) == 1 else columns_phrase(reference.columns)
    if finding.delivered:
        ours, there, theirs = finding.delivered
        return (
            f"{here} is {ours}, yet refers to {reference.source}.{there}, which is {theirs}. Make both contracts agree."
        )
    if finding.count < 0:
        return (
            f"{here} refers to {reference.source}, of which nothing has been ingested yet. Ingest it first: "
            f"`features ingest {reference.source} FILE`."
        )
    return (
        f"{here} has {plural(finding.count, 'distinct value')} that {reference.source} lacks, allowed "
        f"{reference.missing_allowed:,}; they stand in {finding.affected:,} of {plural(rows, 'row')} "
        f"({_percent(finding.affected, rows)}), {_first_rows(drop, finding)}. "
        f"Ingest a newer {reference.source} first, or raise missingAllowed in a new contract version."
    )


def _first_rows(drop: str, finding: Finding) -> str:
    rows = ", ".join(finding.rows)
    shown = "" if finding.spec.rule == "nulls" else f" ({', '.join(finding.values)})"
    return f"first at {'row' if len(finding.rows) == 1 else 'rows'} {rows} of drop {drop}{shown}"


def _share(count: int, rows: int) -> str:
    return f"in {plural(rows, 'row')} ({_percent(count, rows)})"


def _percent(count: int, rows: int) -> str:
    percent = 100 * count / rows if rows else 0.0
    return "under 0.01 %" if 0 < percent < 0.005 else f"{percent:.2f} %"


def _outside(minimum: float | None, maximum: float | None) -> str:
    if maximum is None:
        return f"below {minimum:,}"
    if minimum is None:
        return f"above {maximum:,}"
    return f"outside {minimum:,} to {maximum:,}"

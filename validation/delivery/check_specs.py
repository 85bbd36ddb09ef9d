"""A contract as a list of checks: plain data that says what is asserted, and runs nothing."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import date, datetime
from typing import Literal, TypeAlias

from transformations.contracts import EVENT_YEARS, Column, Contract, Reference
from transformations.engine.base.business_days import day_of_instant

Rule: TypeAlias = Literal[
    "missing column",
    "unknown column",
    "dtype",
    "exact",
    "timestamp zone",
    "existing local time",
    "nulls",
    "finite",
    "event time",
    "future",
    "range",
    "allowed values",
    "unique key",
    "reference",
    "quality",
    "quarantine",
]


@dataclass(frozen=True)
class CheckSpec:
    """One thing a contract asserts of every drop: the rule, the columns it is about, and its parameters.

    allowed: how many violations are tolerated; only a reference tolerates any (distinct values missing there). name:
    what the contract calls a quality rule.
    """

    rule: Rule
    columns: tuple[str, ...]
    _: KW_ONLY
    dtype: str = ""
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[object, ...] = ()
    reference: Reference | None = None
    allowed: int = 0
    name: str = ""


def compile_checks(contract: Contract, keys_only: bool = False, now: datetime | None = None) -> tuple[CheckSpec, ...]:
    """All that a contract asserts of a drop, or of a file of keys to retract; `now`: rows may not lie after it."""
    names = contract.key if keys_only else contract.column_names
    specs = [CheckSpec("missing column", names), CheckSpec("unknown column", names)]
    for name in names:
        specs += _column_checks(contract, contract.column(name))
    if contract.event_time in names and now is not None:
        specs.append(CheckSpec("future", (contract.event_time,), values=(_latest(contract, now),)))
    if contract.key:
        specs.append(CheckSpec("unique key", contract.key))
    if not keys_only:
        specs += (
            CheckSpec("reference", reference.columns, reference=reference, allowed=reference.missing_allowed)
            for reference in contract.references
        )
    return tuple(specs)


def _latest(contract: Contract, now: datetime) -> datetime | date:
    """The last moment of an event, or its last day where events are known by the day alone."""
    latest = now + contract.future_allowed
    return day_of_instant(latest, contract.business_day_zone) if contract.has_date_only_event_time else latest


def _column_checks(contract: Contract, column: Column) -> list[CheckSpec]:
    on = (column.name,)
    specs = [CheckSpec("dtype", on, dtype=column.dtype), CheckSpec("exact", on, dtype=column.dtype)]
    if column.dtype == "UnixTimestamp" and not contract.declares_zone:
        specs.append(CheckSpec("timestamp zone", on))
    elif column.dtype == "UnixTimestamp" and contract.timestamp_zone != "UTC":
        specs.append(CheckSpec("existing local time", on))
    if not column.nullable:
        specs.append(CheckSpec("nulls", on))
    if column.dtype in ("Float64", "UnixTimestamp", "Date"):
        specs.append(CheckSpec("finite", on))
    if column.name == contract.event_time:
        specs.append(CheckSpec("event time", on, dtype=column.dtype, minimum=EVENT_YEARS[0], maximum=EVENT_YEARS[1]))
    if column.minimum is not None or column.maximum is not None:
        specs.append(CheckSpec("range", on, minimum=column.minimum, maximum=column.maximum))
    if column.allowed:
        specs.append(CheckSpec("allowed values", on, values=column.allowed))
    return specs

"""Contracts of a column or two, their rows, and which rules a report says are broken."""

from datetime import datetime

import pyarrow as pa

from transformations.contracts import Column, Contract
from validation.delivery.checks import Report

NAIVE_NS, NAIVE_US = pa.timestamp("ns"), pa.timestamp("us")
BERLIN = "Europe/Berlin"


def contract(*columns: Column, **changes) -> Contract:
    facts = {
        "name": "events",
        "version": "1.0.0",
        "description": "One event",
        "owner": "tests",
        "columns": columns,
        "key": (),
        "event_time": None,
        "timestamp_zone": "UTC",
        "business_day_zone": "UTC",
        "valid_from": datetime(2020, 1, 1),
        "delivery": "append",
    }
    return Contract(**facts | changes)


def column(dtype: str = "Int64", name: str = "x", nullable: bool = True, **facts) -> Column:
    return Column(name, dtype, nullable, "A column", **facts)


def broken(report: Report) -> list[str]:
    return [violation.spec.rule for violation in report.violations]


def values(dtype: pa.DataType, *entries: object, name: str = "x") -> pa.Table:
    return pa.table({name: pa.array(entries, dtype)})

"""How a delivered value becomes the contract's dtype: only without loss, and which values would lose something."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from validation.drop_files import LEGACY_TIMESTAMP, TEXT_CELL
from validation.local_times import OffsetPeriod, nonexistent_sql, utc_sql

EXACT_INTEGERS = 2**53  # beyond it a Float64 skips integers

_SMALL_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER")
NAIVE_TIMESTAMPS = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", LEGACY_TIMESTAMP)
_AWARE = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ", "TIMESTAMPTZ_NS")
_NANOSECONDS = ("TIMESTAMP_NS", "TIMESTAMPTZ_NS")
_OFFSET = r"\d{2}:\d{2}.*(Z|z|[+-]\d{2}(:?\d{2})?)$"
_DATE = r"^\d{4}-\d{2}-\d{2}([ T]00:00(:00(\.0+)?)?)?$"
EMPTY_TYPE = '"NULL"'  # a column of nulls, written without a type


@dataclass(frozen=True)
class Conversion:
    """SQL over a delivered column: its canonical `value`, and the conditions under which there is none.

    lossy: the value would lose something, as `loss` says in words. nonexistent: a local time that never happened.
    infinite: outside what a calendar or a finite number is.
    """

    value: str
    is_null: str
    lossy: str = "FALSE"
    loss: str = ""
    nonexistent: str = "FALSE"
    infinite: str = "FALSE"


def conversion(column: str, delivered: str, dtype: str, periods: tuple[OffsetPeriod, ...] = ()) -> Conversion | None:
    """How a column (quoted SQL) of a delivered type becomes the dtype; None where the type itself is refused.

    `periods` are the offsets of the zone whose local times naive timestamps are; empty for UTC.
    """
    null = f"{column} IS NULL"
    if delivered == EMPTY_TYPE:
        return Conversion(f"CAST(NULL AS {_SQL[dtype]})", null)
    if delivered == TEXT_CELL:
        return _from_text(column, dtype, periods)
    match dtype:
        case "Int64" if delivered in (*_SMALL_INTEGERS, "BIGINT"):
            return Conversion(f"CAST({column} AS BIGINT)", null)
        case "Int64" if delivered == "UBIGINT":
            return Conversion(
                f"TRY_CAST({column} AS BIGINT)", null, f"{column} > {2**63 - 1}", "beyond 64 bits, signed"
            )
        case "Float64" if delivered in (*_SMALL_INTEGERS, "FLOAT", "DOUBLE") or _is_exact_decimal(delivered):
            return _floating(f"CAST({column} AS DOUBLE)", null)
        case "Float64" if delivered == "BIGINT":
            inexact = f"({column} > {EXACT_INTEGERS} OR {column} < -{EXACT_INTEGERS})"
            return Conversion(f"CAST({column} AS DOUBLE)", null, inexact, "beyond the integers a Float64 holds, ±2^53")
        case "String" if delivered == "VARCHAR" or delivered.startswith("ENUM"):
            return Conversion(f"CAST({column} AS VARCHAR)", null)
        case "Bool" if delivered == "BOOLEAN":
            return Conversion(column, null)
        case "UnixTimestamp" | "Date":
            return _time(column, delivered, dtype, periods)
    return None


def accepted_types(dtype: str) -> str:
    """What a column may be delivered as, for messages."""
    return _ACCEPTED[dtype]


_SQL: Mapping[str, str] = {
    "Int64": "BIGINT",
    "Float64": "DOUBLE",
    "String": "VARCHAR",
    "Bool": "BOOLEAN",
    "UnixTimestamp": "TIMESTAMPTZ",
    "Date": "DATE",
}
_ACCEPTED: Mapping[str, str] = {
    "Int64": "any integer type (pandas: astype('Int64'), which keeps nulls)",
    "Float64": "a floating-point or integer type, or a decimal of at most 15 digits",
    "String": "text",
    "Bool": "a boolean type",
    "UnixTimestamp": "a timestamp of microseconds, with or without a zone",
    "Date": "a date, or a timestamp at midnight without a zone",
}


def _from_text(column: str, dtype: str, periods: tuple[OffsetPeriod, ...]) -> Conversion:
    null, trimmed = f"{column} IS NULL", f"trim({column})"
    if dtype == "String":
        return Conversion(column, null)
    if dtype == "Float64":
        value = f"TRY_CAST({trimmed} AS DOUBLE)"
        return _floating(value, null, lossy=f"{column} IS NOT NULL AND {value} IS NULL", loss="that cannot be a number")
    if dtype == "UnixTimestamp":
        return _timestamp_text(column, trimmed, periods)
    pattern, loss = {
        "Int64": (r"^[+-]?\d+$", "that cannot be an integer of 64 bits"),
        "Bool": (r"^(?i:true|false)$", "that cannot be true or false"),
        "Date": (_DATE, "that cannot be a date as in 2020-01-31"),
    }[dtype]
    cast = f"TRY_CAST({trimmed} AS {_SQL[dtype]})"
    value = f"CASE WHEN regexp_full_match({trimmed}, '{pattern}') THEN {cast} END"
    return Conversion(value, null, f"{column} IS NOT NULL AND {value} IS NULL", loss)


def _timestamp_text(column: str, trimmed: str, periods: tuple[OffsetPeriod, ...]) -> Conversion:
    local = f"TRY_CAST({trimmed} AS TIMESTAMP)"
    has_offset = f"regexp_matches({trimmed}, '{_OFFSET}')"
    naive = _naive(column, local, False, periods)
    value = f"CASE WHEN {has_offset} THEN TRY_CAST({trimmed} AS TIMESTAMPTZ) ELSE {naive.value} END"
    too_fine = f"regexp_matches({trimmed}, '\\.\\d{{6}}\\d*[1-9]')"
    return Conversion(
        value,
        naive.is_null,
        f"{column} IS NOT NULL AND ({value} IS NULL OR {too_fine})",
        "that cannot be a time of whole microseconds as in 2020-01-31 12:00:00",
        nonexistent=f"NOT {has_offset} AND ({naive.nonexistent})",
        infinite=_no_moment(value),
    )


def _time(column: str, delivered: str, dtype: str, periods: tuple[OffsetPeriod, ...]) -> Conversion | None:
    null = f"{column} IS NULL"
    match dtype:
        case "UnixTimestamp" if delivered in NAIVE_TIMESTAMPS:
            return _naive(column, f"CAST({column} AS TIMESTAMP)", delivered in _NANOSECONDS, periods)
        case "UnixTimestamp" if delivered in _AWARE:
            return _instant(column, f"CAST({column} AS TIMESTAMPTZ)", delivered in _NANOSECONDS)
        case "Date" if delivered == "DATE":
            return Conversion(column, null, infinite=_no_moment(column))
        case "Date" if delivered in NAIVE_TIMESTAMPS:
            midnight = f"CAST({column} AS DATE)"
            timed = f"isfinite({column}) AND CAST({midnight} AS TIMESTAMP) <> {column}"
            return Conversion(midnight, null, timed, "with a time of day", infinite=_no_moment(midnight))
    return None


def _floating(value: str, null: str, lossy: str = "FALSE", loss: str = "") -> Conversion:
    """NaN is null, as everywhere in the platform."""
    return Conversion(
        f"CASE WHEN NOT isnan({value}) THEN {value} END",
        f"({null} OR isnan({value}))",
        lossy,
        loss,
        infinite=f"isinf({value})",
    )


def _naive(column: str, local: str, nanoseconds: bool, periods: tuple[OffsetPeriod, ...]) -> Conversion:
    plain = _instant(column, utc_sql(local, periods) if periods else f"timezone('UTC', {local})", nanoseconds)
    skipped = nonexistent_sql(local, periods) if periods else "FALSE"
    return Conversion(plain.value, plain.is_null, plain.lossy, plain.loss, skipped, _no_moment(local))


def _instant(column: str, value: str, nanoseconds: bool) -> Conversion:
    lossy = f"isfinite({value}) AND epoch_ns({column}) % 1000 <> 0" if nanoseconds else "FALSE"
    return Conversion(
        value, f"{column} IS NULL", lossy, "with a part below one microsecond", infinite=_no_moment(value)
    )


def _no_moment(value: str) -> str:
    return f"NOT isfinite({value}) OR year({value}) NOT BETWEEN 1 AND 9999"


def _is_exact_decimal(delivered: str) -> bool:
    """Every decimal of at most 15 digits has a Float64 of its own, from which it can be read back."""
    match = re.fullmatch(r"DECIMAL\((\d+),\s*\d+\)", delivered)
    return match is not None and int(match[1]) <= 15

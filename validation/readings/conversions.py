"""How a delivered value becomes the contract's dtype: only without loss, and which values would lose something."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from transformations.contracts.model import ColumnFormat
from transformations.engine.base.duck import literal
from transformations.engine.vocabulary.dtypes import dtype_named
from validation.files.drop_files import JSON_CELL, TEXT_CELL
from validation.files.parquet_files import HALF_FLOAT, LEGACY_INSTANT, LEGACY_TIMESTAMP
from validation.readings.local_times import OffsetPeriod, instant_sql, nonexistent_sql, utc_sql
from validation.readings.number_texts import floating_text, integer_text
from validation.readings.time_texts import date_text, time_text

# From here on a floating type skips integers.
EXACT_INTEGERS = {HALF_FLOAT: 2**11, "FLOAT": 2**24, "DOUBLE": 2**53}

_STORED_BITS: Mapping[str, Literal[16, 32]] = {HALF_FLOAT: 16, "FLOAT": 32}
_SMALL_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER")
NAIVE_TIMESTAMPS = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", LEGACY_TIMESTAMP)
_AWARE = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ", "TIMESTAMPTZ_NS")
_NANOSECONDS = ("TIMESTAMP_NS", "TIMESTAMPTZ_NS")
EMPTY_TYPE = '"NULL"'  # a column of nulls, written without a type
FIX = "Fix the source."
_DECLARE_FORM = "Fix the source, or declare the form of its times with strptime in a new contract version."
_LAST_TIME = " 23:59:59.999999"
_PLAIN = ColumnFormat()


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """SQL over a delivered column: its canonical `value`, and the conditions under which there is none.

    lossy: the value would lose something, as `loss` says in words, and `remedy` what to do. local: a time without an
    offset. nonexistent: a local time that never happened. infinite: outside what a calendar or a finite number is.
    stored_bits: of a floating type narrower than a double, in which the numbers are, too, that the values are compared
    with. periods: under which local times are
    read. readings: SQL that parses a text and occurs in the others many times; a query over several of them should
    evaluate it once.
    """

    value: str
    is_null: str
    lossy: str = "FALSE"
    loss: str = ""
    local: str = "FALSE"
    nonexistent: str = "FALSE"
    infinite: str = "FALSE"
    stored_bits: Literal[16, 32, 64] = 64
    remedy: str = FIX
    periods: tuple[OffsetPeriod, ...] = ()
    readings: tuple[str, ...] = ()


def conversion(
    column: str,
    delivered: str,
    dtype: str,
    periods: tuple[OffsetPeriod, ...] = (),
    written: ColumnFormat = _PLAIN,
) -> Conversion | None:
    """How a column (quoted SQL) of a delivered type becomes the dtype; None where the type itself is refused.

    `periods` are the offsets of the zone whose local times naive timestamps are; empty for UTC. `written` is what the
    contract says of the column's form.
    """
    null = f"{column} IS NULL"
    if delivered == EMPTY_TYPE:
        return Conversion(value=f"CAST(NULL AS {dtype_named(dtype).duckdb})", is_null=null)
    if delivered == JSON_CELL:
        return _from_json(column, dtype, periods, written)
    if _is_text(delivered, written):
        return _from_text(column, dtype, periods, written)
    match dtype:
        case "Int64" if delivered in (*_SMALL_INTEGERS, "BIGINT"):
            return Conversion(value=f"CAST({column} AS BIGINT)", is_null=null)
        case "Int64" if delivered == "UBIGINT":
            return Conversion(
                value=f"TRY_CAST({column} AS BIGINT)",
                is_null=null,
                lossy=f"{column} > {2**63 - 1}",
                loss="beyond 64 bits, signed",
            )
        case "Int64" if written.stored_as == "number":
            return _convert_integral(column, delivered)
        case "Float64" if delivered in (*_SMALL_INTEGERS, *EXACT_INTEGERS) or _is_exact_decimal(delivered):
            return _convert_floating(f"CAST({column} AS DOUBLE)", null, stored_bits=_STORED_BITS.get(delivered, 64))
        case "Float64" if delivered == "BIGINT":
            inexact = f"CAST(CAST({column} AS DOUBLE) AS HUGEINT) <> {column}"
            return Conversion(
                value=f"CAST({column} AS DOUBLE)",
                is_null=null,
                lossy=inexact,
                loss="beyond the integers a Float64 holds, ±2^53",
            )
        case "String" if delivered == "VARCHAR" or delivered.startswith("ENUM"):
            return Conversion(value=f"CAST({column} AS VARCHAR)", is_null=null)
        case "Bool" if delivered == "BOOLEAN":
            return Conversion(value=column, is_null=null)
        case "UnixTimestamp" | "Date":
            return _convert_time(column, delivered, dtype, periods)
    return None


def local_time(column: str, delivered: str, written: ColumnFormat = _PLAIN) -> str | None:
    """The SQL of the times without an offset in a column of timestamps; None where its type admits none."""
    if delivered == JSON_CELL:
        return time_text(f"trim({_json_text(column)})", written.strptime).local
    if _is_text(delivered, written):
        return time_text(f"trim({column})", written.strptime).local
    return f"CAST({column} AS TIMESTAMP)" if delivered in NAIVE_TIMESTAMPS else None


def comparable(value: object, how: Conversion) -> object:
    """A contract's value as the column holds it: where the column is float32, the nearest float32 (of 0.1, say)."""
    if how.stored_bits == 64 or not isinstance(value, int | float):
        return value
    with np.errstate(over="ignore"):
        return float(np.dtype(f"float{how.stored_bits}").type(value))


def accepted_types(dtype: str, delivered: str) -> str:
    """What a column may be delivered as, for messages."""
    accepted = _ACCEPTED[dtype]
    if dtype != "String" and _holds_text(delivered):
        return f"{accepted}; or write physicalType: VARCHAR at the column to have each text read as {dtype}"
    if dtype in ("Int64", "Float64") and delivered.startswith(("DURATION", "INTERVAL")):
        return f"{accepted}: of a duration, its number of the unit that the contract names (pandas: dt.total_seconds())"
    if dtype == "Int64" and _is_number(delivered):
        return f"{accepted}; or write physicalType: {delivered} at the column, and whole numbers are taken"
    return accepted


_ACCEPTED: Mapping[str, str] = {
    "Int64": "any integer type (pandas: astype('Int64'), which keeps nulls)",
    "Float64": "a floating-point or integer type, or a decimal of at most 15 digits",
    "String": "text",
    "Bool": "a boolean type",
    "UnixTimestamp": "a timestamp of microseconds, with or without a zone",
    "Date": "a date, or a timestamp at midnight without a zone",
}


def _is_text(delivered: str, written: ColumnFormat) -> bool:
    """Whether the values are texts to be read: in a CSV file, or where the contract says that the file stores text."""
    return delivered == TEXT_CELL or (written.stored_as == "text" and _holds_text(delivered))


def _holds_text(delivered: str) -> bool:
    return delivered == "VARCHAR" or delivered.startswith("ENUM")


def _is_number(delivered: str) -> bool:
    return delivered in EXACT_INTEGERS or delivered.startswith("DECIMAL")


def _from_text(column: str, dtype: str, periods: tuple[OffsetPeriod, ...], written: ColumnFormat) -> Conversion:
    null, present = f"{column} IS NULL", f"{column} IS NOT NULL"
    text = f"trim(CAST({column} AS VARCHAR))"
    match dtype:
        case "String":
            return Conversion(value=f"CAST({column} AS VARCHAR)", is_null=null)
        case "Float64":
            number = floating_text(text, written)
            lossy = f"{present} AND ({number.is_no_number} OR {number.is_inexact})"
            how = _convert_floating(number.value, null, lossy, "that cannot be a number that a Float64 holds")
            return replace(how, readings=(number.value,))
        case "Int64":
            number = integer_text(text, written)
            lossy = f"{present} AND ({number.is_no_number} OR {number.is_inexact})"
            rounded = ", or that was rounded (from 2^53 on)" if written.stored_as == "number" else ""
            loss = f"that cannot be an integer of 64 bits{rounded}"
            return Conversion(value=number.value, is_null=null, lossy=lossy, loss=loss, readings=(number.value,))
        case "Bool":
            value = f"CASE lower({text}) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
            return Conversion(
                value=value, is_null=null, lossy=f"{present} AND {value} IS NULL", loss="that cannot be true or false"
            )
    return _timestamp_text(column, text, periods, written) if dtype == "UnixTimestamp" else _date_text(text, written)


def _from_json(column: str, dtype: str, periods: tuple[OffsetPeriod, ...], written: ColumnFormat) -> Conversion:
    """A value of JSON lines: its text is read as a CSV cell is, once it is of the JSON type that the dtype takes.

    Many writers of JSON know doubles alone, so a number from 2^53 on may be another than was meant.
    """
    is_number = dtype in ("Int64", "Float64") and written.stored_as != "text"
    kind, mark = ("boolean", "^[tf]") if dtype == "Bool" else ("number", "^[-0-9N]") if is_number else ("text", '^"')
    source = _json_text(column) if kind == "text" else column
    how = _from_text(source, dtype, periods, replace(written, decimal=".", thousands="") if is_number else written)
    is_other = f"NOT regexp_matches({column}, {literal(mark)})"
    lossy, loss = f"({is_other}) OR ({how.lossy})", how.loss or "that cannot be text"
    if dtype == "Int64" and is_number:
        lossy += f" OR {how.value} NOT BETWEEN {1 - 2**53} AND {2**53 - 1}"
        loss = "that cannot be an integer, or that JSON's writer may have rounded (from 2^53 on)"
    if is_number or dtype == "Bool":
        advice = "; a number in quotes is read where the contract says physicalType: VARCHAR" if is_number else ""
        remedy = f"Deliver JSON {'numbers' if is_number else 'true or false'}, without quotes{advice}."
    else:
        remedy = how.remedy if dtype != "String" else "Deliver JSON texts, in quotes."
    null = f"{column} IS NULL"
    return replace(
        how,
        is_null=how.is_null if dtype == "Float64" else null,
        lossy=f"{column} IS NOT NULL AND ({lossy})",
        loss=loss,
        remedy=remedy,
    )


def _json_text(column: str) -> str:
    """The SQL of the text that a JSON value is; null for another value than a text."""
    return f"CASE WHEN starts_with({column}, '\"') THEN json_extract_string({column}, '$') END"


def _timestamp_text(column: str, text: str, periods: tuple[OffsetPeriod, ...], written: ColumnFormat) -> Conversion:
    found = time_text(text, written.strptime)
    naive = _convert_naive(column, found.local, False, periods)
    value = f"coalesce({found.instant}, {naive.value})"
    return Conversion(
        value=value,
        is_null=naive.is_null,
        lossy=f"{column} IS NOT NULL AND ({value} IS NULL OR {found.is_ambiguous})",
        loss=_no_form("time", written, "of whole microseconds as in 2020-01-31 12:00:00, with or without an offset"),
        local=f"{found.local} IS NOT NULL",
        nonexistent=naive.nonexistent,
        infinite=f"{_no_moment(value)} OR {_no_moment(found.local, 'TIMESTAMP')}",
        remedy=_DECLARE_FORM,
        periods=periods,
        readings=(found.instant, found.local),
    )


def _date_text(text: str, written: ColumnFormat) -> Conversion:
    found = date_text(text, written.strptime)
    lossy = f"{text} IS NOT NULL AND ({found.local} IS NULL OR {found.is_ambiguous})"
    loss = _no_form("date", written, "as in 2020-01-31")
    return Conversion(
        value=found.local,
        is_null=f"{text} IS NULL",
        lossy=lossy,
        loss=loss,
        infinite=_no_moment(found.local, "DATE"),
        remedy=_DECLARE_FORM,
        readings=(found.local,),
    )


def _no_form(what: str, written: ColumnFormat, default: str) -> str:
    if not written.strptime:
        return f"that cannot be a {what} {default}"
    several = ", or that these forms read differently," if len(written.strptime) > 1 else ""
    return f"that cannot be a {what} of the form {' or '.join(repr(form) for form in written.strptime)}{several}"


def _convert_integral(column: str, delivered: str) -> Conversion | None:
    """Whole numbers of a floating or decimal type, as pandas makes them of integers with nulls; NaN is null."""
    if not _is_number(delivered):
        return None
    value, null = f"TRY_CAST({column} AS BIGINT)", f"{column} IS NULL"
    lossy = f"{value} IS NULL OR {value} <> {column}"
    if (limit := EXACT_INTEGERS.get(delivered)) is None:
        return Conversion(
            value=value,
            is_null=null,
            lossy=f"{column} IS NOT NULL AND ({lossy})",
            loss="that cannot be an integer of 64 bits",
        )
    value = f"CASE WHEN NOT isnan({column}) THEN {value} END"
    lossy = f"NOT isnan({column}) AND ({lossy} OR abs({column}) >= {limit})"
    loss = f"that cannot be an integer, or that {delivered} may have rounded (from 2^{limit.bit_length() - 1} on)"
    return Conversion(value=value, is_null=f"({null} OR isnan({column}))", lossy=lossy, loss=loss)


def _convert_time(column: str, delivered: str, dtype: str, periods: tuple[OffsetPeriod, ...]) -> Conversion | None:
    null = f"{column} IS NULL"
    match dtype:
        case "UnixTimestamp" if delivered in NAIVE_TIMESTAMPS:
            return _convert_naive(column, f"CAST({column} AS TIMESTAMP)", delivered in _NANOSECONDS, periods)
        case "UnixTimestamp" if delivered in _AWARE:
            return _convert_instant(column, f"CAST({column} AS TIMESTAMPTZ)", delivered in _NANOSECONDS)
        case "UnixTimestamp" if delivered == LEGACY_INSTANT:
            return _convert_instant(column, instant_sql(column), False)
        case "Date" if delivered == "DATE":
            return Conversion(value=column, is_null=null, infinite=_no_moment(column, "DATE"))
        case "Date" if delivered in NAIVE_TIMESTAMPS:
            midnight = f"CAST({column} AS DATE)"
            timed = f"isfinite({column}) AND CAST({midnight} AS TIMESTAMP) <> {column}"
            return Conversion(
                value=midnight,
                is_null=null,
                lossy=timed,
                loss="with a time of day",
                infinite=_no_moment(midnight, "DATE"),
            )
    return None


def _convert_floating(
    value: str, null: str, lossy: str = "FALSE", loss: str = "", stored_bits: Literal[16, 32, 64] = 64
) -> Conversion:
    """NaN is null, as everywhere in the platform."""
    return Conversion(
        value=f"CASE WHEN NOT isnan({value}) THEN {value} END",
        is_null=f"({null} OR isnan({value}))",
        lossy=lossy,
        loss=loss,
        infinite=f"isinf({value})",
        stored_bits=stored_bits,
    )


def _convert_naive(column: str, local: str, nanoseconds: bool, periods: tuple[OffsetPeriod, ...]) -> Conversion:
    plain = _convert_instant(column, utc_sql(local, periods) if periods else instant_sql(local), nanoseconds)
    return Conversion(
        value=plain.value,
        is_null=plain.is_null,
        lossy=plain.lossy,
        loss=plain.loss,
        local=f"{local} IS NOT NULL",
        nonexistent=nonexistent_sql(local, periods) if periods else "FALSE",
        infinite=f"{_no_moment(local, 'TIMESTAMP')} OR {plain.infinite}",
        periods=periods,
    )


def _convert_instant(column: str, value: str, nanoseconds: bool) -> Conversion:
    lossy = f"isfinite({value}) AND epoch_ns({column}) % 1000 <> 0" if nanoseconds else "FALSE"
    return Conversion(
        value=value,
        is_null=f"{column} IS NULL",
        lossy=lossy,
        loss="with a part below one microsecond",
        infinite=_no_moment(value),
    )


def _no_moment(value: str, kind: str = "TIMESTAMPTZ") -> str:
    """Outside the years 1 to 9999; `year()` cannot tell: for an instant in 44 BC it gives 44."""
    return f"({value} NOT BETWEEN {kind} '0001-01-01' AND {kind} '9999-12-31{'' if kind == 'DATE' else _LAST_TIME}')"


def _is_exact_decimal(delivered: str) -> bool:
    """Every decimal of at most 15 digits has a Float64 of its own, from which it can be read back."""
    match = re.fullmatch(r"DECIMAL\((\d+),\s*\d+\)", delivered)
    return match is not None and int(match[1]) <= 15

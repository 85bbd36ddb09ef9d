"""The ways in which a delivered column might be read, from the narrowest type to text; a draft takes the first to fit.

A text is a number only where every value would come back letter for letter: 01234, +4917012345, 1.10 and an id of 20
digits are names made of digits, and a number would forget what tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from transformations.contracts.model import ColumnFormat
from transformations.engine.base.duck import identifier, literal
from validation.files.drop_files import TEXT_CELL
from validation.readings.conversions import EMPTY_TYPE, Conversion, conversion

BACKSLASH_NULL = r"\N"  # Hive, MySQL and Postgres write it for null; nobody means it as text
NULL_TOKENS = (
    *("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "Null", "null", "NIL", "nil", "None", "none"),
    *(BACKSLASH_NULL, "-", "--", "?", "."),
)
_DTYPES = ("Date", "UnixTimestamp", "Bool", "Int64", "Float64", "String")
_DECIMAL = r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?"
_DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%f", " %H:%M:%S %z")
FORMS = tuple(f"{date}{clock}" for date, clock in product(_DATES, _CLOCKS))
LOOKS_LIKE_TIME = r"^(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{4}|[A-Za-z]{3,9} \d{1,2}, \d{4})"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to read a column, as SQL over its quoted name: the canonical value, and which values it does not fit.

    form: the strptime form that it takes. cast: the physicalType that a contract has to declare for it. local: which
    values are times without an offset. note: what an author should know of it.
    """

    dtype: str
    value: str
    unfit: str
    is_null: str
    local: str = "FALSE"
    form: str | None = None
    cast: str | None = None
    note: str | None = None
    needs: Literal["nothing", "values", "nulls"] = "nothing"

    def is_shown_by(self, rows: int, nulls: int) -> bool:
        """Whether enough rows have a value to justify this reading: a column of nulls alone shows no type."""
        return self.needs == "nothing" or (nulls < rows and (self.needs == "values" or nulls > 0))


def readings(name: str, delivered: str) -> list[Reading]:
    """All that a column of a delivered type could be, but for texts as times; the narrowest first, text last."""
    quoted = identifier(name)
    return list(_of_cells(quoted) if delivered == TEXT_CELL else _of_type(quoted, delivered))


def iso_times(name: str, delivered: str) -> list[Reading]:
    """The readings of a text as a date or time by ISO 8601; midnight written out is a time."""
    quoted, written = identifier(name), ColumnFormat(stored_as="text")
    found = []
    for dtype in ("Date", "UnixTimestamp"):
        if (how := conversion(quoted, delivered, dtype, (), written)) is not None:
            each = replace(_reading(dtype, how), cast=_cast(delivered), needs="values")
            has_clock = f"length(trim(CAST({quoted} AS VARCHAR))) > {len('2020-01-31')}"
            found.append(replace(each, unfit=f"{has_clock} OR {each.unfit}") if dtype == "Date" else each)
    return found


def declared_times(name: str, delivered: str) -> list[Reading]:
    """The readings of a text by a declared form of times, the usual forms first."""
    found = []
    for form in FORMS:
        dtype = "UnixTimestamp" if "%H" in form or "%I" in form else "Date"
        written = ColumnFormat(strptime=(form,), stored_as="text")
        if (how := conversion(identifier(name), delivered, dtype, (), written)) is not None:
            found.append(replace(_reading(dtype, how), form=form, cast=_cast(delivered), needs="values"))
    return found


def same_form(one: str, other: str) -> bool:
    """Whether two forms differ only in the length of the month's name, which May leaves open."""
    return one.replace("%B", "%b") == other.replace("%B", "%b")


def is_text(delivered: str) -> bool:
    """Whether the values are texts, as cells of a CSV file or as stored in Parquet."""
    return delivered in (TEXT_CELL, "VARCHAR") or delivered.startswith("ENUM")


def _cast(delivered: str) -> str | None:
    """The physicalType to declare for a text that is something else; cells of a CSV file are always texts."""
    return None if delivered == TEXT_CELL else "VARCHAR"


def _reading(dtype: str, how: Conversion) -> Reading:
    return Reading(
        dtype=dtype, value=how.value, unfit=f"({how.lossy}) OR ({how.infinite})", is_null=how.is_null, local=how.local
    )


def _of_type(quoted: str, delivered: str) -> Iterator[Reading]:
    whole = conversion(quoted, delivered, "Int64", (), ColumnFormat(stored_as="number"))
    if whole is not None and re.match(r"FLOAT|DOUBLE|DECIMAL", delivered):
        note, cast = f"whole numbers with nulls, stored as {delivered}", re.sub(r"\(.*", "", delivered)
        yield replace(_reading("Int64", whole), cast=cast, note=note, needs="nulls")
    for dtype in _DTYPES if delivered != EMPTY_TYPE else ("String",):
        if (how := conversion(quoted, delivered, dtype)) is not None:
            yield _reading(dtype, how)


def _of_cells(quoted: str) -> Iterator[Reading]:
    null = f"{quoted} IS NULL"
    for yes, no in (("true", "false"), ("True", "False"), ("TRUE", "FALSE")):
        yield Reading(
            dtype="Bool",
            value=f"TRY_CAST({quoted} AS BOOLEAN)",
            unfit=f"{quoted} NOT IN ('{yes}', '{no}')",
            is_null=null,
            needs="values",
        )
    integer, number = f"TRY_CAST({quoted} AS BIGINT)", f"TRY_CAST({quoted} AS DOUBLE)"
    yield Reading(
        dtype="Int64",
        value=integer,
        unfit=f"CAST({integer} AS VARCHAR) IS DISTINCT FROM {quoted}",
        is_null=null,
        needs="values",
    )
    said = f"CAST({number} AS VARCHAR)"
    no_number = f"{quoted} = '-0' OR isfinite({number}) IS NOT TRUE"
    for as_written in (said, f"regexp_replace({said}, '\\.0$', '')"):
        yield Reading(
            dtype="Float64",
            value=number,
            unfit=f"{no_number} OR {as_written} <> {quoted}",
            is_null=null,
            needs="values",
        )
    yield from _almost_numbers(quoted, null)
    yield Reading(dtype="String", value=quoted, unfit="FALSE", is_null=null)


def _almost_numbers(quoted: str, null: str) -> Iterator[Reading]:
    """Texts that look like numbers: they stay text, with a word on what else they may be."""
    number = f"TRY_CAST({quoted} AS DOUBLE)"
    yield Reading(
        dtype="String",
        value=quoted,
        unfit=f"NOT regexp_full_match({quoted}, {literal(_DECIMAL)}) OR isfinite({number}) IS NOT TRUE",
        is_null=null,
        note="numbers that would not come back letter for letter; for amounts and measures, write logicalType: number",
        needs="values",
    )
    for decimal, thousands in ((",", "."), (",", None), (".", ",")):
        group = rf"(\{thousands}\d{{3}})*" if thousands else ""
        extra = f" and thousandsSeparator '{thousands}'" if thousands else ""
        yield Reading(
            dtype="String",
            value=quoted,
            unfit=f"NOT regexp_full_match({quoted}, '[+-]?\\d{{1,{3 if thousands else 18}}}{group}(\\{decimal}\\d+)?')",
            is_null=null,
            note=f"perhaps numbers: then write logicalType: number with decimalSeparator '{decimal}'{extra}",
            needs="values",
        )

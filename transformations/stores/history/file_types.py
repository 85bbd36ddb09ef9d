"""Checks that files of one source can be read together: one spelling per column, and an exact common type.

DuckDB would read `Price` beside `price` as `price_1`, and an integer beside floats as a float: 2^53 + 1 loses its 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from transformations.engine.base.errors import DataError
from transformations.stores.base.casting import FIRST_SECOND, LAST_SECOND, OUTSIDE_CALENDAR
from transformations.stores.base.errors import UnreadFilesError

Schemas = Mapping[str, pa.Schema]
"""The columns of each file."""

_DOUBLE_DIGITS = 15  # of a decimal: up to here every conversion to a double is exact
_MOST_DIGITS = 38
_EXTENSIONS_READ = ("arrow.uuid", "arrow.json", "arrow.bool8")
_WHOLE_NUMBERS = {16: 2**11, 32: 2**24, 64: 2**53}
"""By a float's bits, the number up to which it holds every whole number."""

_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MOST_SECONDS_IN_NANOSECONDS = (1 << 63) // 1_000_000_000 - 1


def schemas_of(name: str, files: Sequence[str]) -> dict[str, pa.Schema]:
    """Read the columns of each file. DataError for a file that is not Parquet, or has two columns of one name."""
    schemas: dict[str, pa.Schema] = {}
    for file in files:
        try:
            schemas[file] = pq.read_schema(file)
        except (pa.ArrowException, OSError) as error:
            raise UnreadFilesError(
                f"{name}: {file} is no readable Parquet file: {error}. Write it anew, or remove it."
            ) from None
        _check_names(name, file, schemas[file].names)
    return schemas


def check_together(name: str, schemas: Schemas, columns: Sequence[str]) -> None:
    """DataError if files spell one of these columns differently, or hold it in types without an exact common type.

    Whole numbers beside floats are exact if the files' statistics show that a float holds them.
    """
    for column in columns:
        stored: dict[pa.DataType, str] = {}
        for file, schema in schemas.items():
            _check_spelling(name, file, schema, column)
            if column in schema.names:
                stored.setdefault(_logical_type(schema.field(column).type), file)
        for (left, file), (right, other) in combinations(stored.items(), 2):
            if not _is_exact(left, right) and not _holds_small_numbers(schemas, column, left, right):
                raise DataError(
                    f"{name}: column {column!r} is {left} in {file} and {right} in {other}; no one type holds all "
                    f"values of both exactly. Write the files with one type."
                )


def check_read_as_meant(name: str, schemas: Schemas, columns: Sequence[str]) -> None:
    """DataError for a column that DuckDB reads as something else than the file means.

    It reads durations and extension types as bare numbers, and rounds decimals of too many digits.
    """
    for file, schema in schemas.items():
        for column in columns:
            if column in schema.names and (kind := _misread_type(schema.field(column))) is not None:
                raise DataError(
                    f"{name}: {file} holds {kind} in {column!r}, which would be read as something else. Write that "
                    f"column as a number of the unit meant, a decimal of at most {_MOST_DIGITS} digits, or a text."
                )


def check_has_column(name: str, schemas: Schemas, column: str) -> None:
    """DataError where a file lacks the column of its rows' moments: no query would ever find them."""
    if lacking := [file for file, schema in schemas.items() if column not in schema.names]:
        raise DataError(
            f"{name}: {lacking[0]} has no column {column!r}, the moment of each row, which other files have. Write it "
            f"anew, or remove it."
        )


def check_moments(name: str, schemas: Schemas, column: str) -> None:
    """DataError if a file's statistics show moments outside the years 1 to 9999, which no query would ever find.

    Also if they are out of range for nanoseconds and another file has nanoseconds: DuckDB then reads all files so.
    """
    stamps = {file: schema.field(column).type for file, schema in schemas.items() if column in schema.names}
    units = {file: kind.unit for file, kind in stamps.items() if types.is_timestamp(kind)}
    fine = next((file for file, unit in units.items() if unit == "ns"), None)
    for file, unit in units.items():
        for moment in _extremes_in_statistics(file, column):
            seconds = moment // _A_SECOND[unit]
            if not FIRST_SECOND <= seconds <= LAST_SECOND:
                raise DataError(
                    f"{name}: {file} holds {moment:,} {unit} since 1970 in {column!r}, the moment of a row, which is "
                    f"{OUTSIDE_CALENDAR}. Write that column anew."
                )
            if fine is not None and unit != "ns" and abs(seconds) > _MOST_SECONDS_IN_NANOSECONDS:
                raise DataError(
                    f"{name}: {file} holds {moment:,} {unit} since 1970 in {column!r}, and {fine} beside it holds "
                    f"nanoseconds, which end in the year 2262. Write that column in microseconds."
                )


def _extremes_in_statistics(file: str, column: str) -> list[int]:
    """The minimum and maximum of each row group, where statistics are available."""
    footer = pq.read_metadata(file)
    places = [place for place in range(footer.num_columns) if footer.schema.column(place).path == column]
    chunks = [footer.row_group(group).column(place) for group in range(footer.num_row_groups) for place in places]
    known = [chunk.statistics for chunk in chunks if chunk.is_stats_set and chunk.physical_type == "INT64"]
    return [moment for facts in known if facts.has_min_max for moment in (facts.min_raw, facts.max_raw)]


def _check_names(name: str, file: str, columns: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for column in columns:
        if (other := seen.get(column.lower())) is not None:
            which = f"two columns {column!r}" if other == column else f"columns {other!r} and {column!r}"
            raise DataError(
                f"{name}: {file} has {which}, which cannot be told apart (upper and lower case do not count). "
                f"Write it with different names."
            )
        seen[column.lower()] = column


def _check_spelling(name: str, file: str, schema: pa.Schema, column: str) -> None:
    for other in schema.names:
        if other != column and other.lower() == column.lower():
            raise DataError(
                f"{name}: its files have no column {column!r} everywhere: {file} calls it {other!r}. "
                f"Correct the view, or write the files with one spelling."
            )


def _misread_type(field: pa.Field) -> str | None:
    """The type of a column that DuckDB reads as another one; None where it reads what was meant."""
    kind = field.type
    extension = getattr(kind, "extension_name", "") or (field.metadata or {}).get(b"ARROW:extension:name", b"").decode()
    if extension:
        return None if extension in _EXTENSIONS_READ else extension
    if types.is_duration(kind) or (types.is_decimal(kind) and kind.precision > _MOST_DIGITS):
        return str(kind)
    if types.is_dictionary(kind):
        return _misread_type(pa.field("", kind.value_type))
    inner = [kind.field(number) for number in range(kind.num_fields)] if types.is_nested(kind) else []
    return next((found for each in inner if (found := _misread_type(each)) is not None), None)


def _logical_type(kind: pa.DataType) -> pa.DataType:
    """The type without its storage details, such as dictionaries and 64-bit offsets."""
    if types.is_dictionary(kind):
        return _logical_type(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_logical_type(kind.value_type))
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_large_binary(kind) or types.is_fixed_size_binary(kind) or types.is_binary_view(kind):
        return pa.binary()
    return kind


def _is_exact(left: pa.DataType, right: pa.DataType) -> bool:
    """Whether DuckDB's common type of the two represents every value of both exactly."""
    if left == right or types.is_null(left) or types.is_null(right):
        return True
    if types.is_list(left) and types.is_list(right):
        return _is_exact(left.value_type, right.value_type)
    if types.is_temporal(left) and types.is_temporal(right):
        return not any(
            types.is_time(kind) or types.is_duration(kind) or types.is_interval(kind) for kind in (left, right)
        )
    if types.is_floating(left) and types.is_floating(right):
        return True
    if types.is_integer(left) and types.is_integer(right):
        return not any(kind == pa.uint64() for kind in (left, right))
    if types.is_decimal(left) and types.is_decimal(right):
        before = max(left.precision - left.scale, right.precision - right.scale)
        return bool(before + max(left.scale, right.scale) <= _MOST_DIGITS)
    for one, other in ((left, right), (right, left)):
        if types.is_integer(one) and types.is_floating(other):
            return bool(one.bit_width <= other.bit_width // 2)
        if types.is_decimal(one) and types.is_floating(other):
            return bool(one.precision <= _DOUBLE_DIGITS and other.bit_width == 64)
    return False


def _holds_small_numbers(schemas: Schemas, column: str, left: pa.DataType, right: pa.DataType) -> bool:
    """Whether all whole numbers of a column are small enough for the floats or decimals beside them."""
    whole, other = (left, right) if types.is_integer(left) else (right, left)
    if not types.is_integer(whole) or not (types.is_floating(other) or types.is_decimal(other)):
        return False
    most = _WHOLE_NUMBERS[other.bit_width if types.is_floating(other) else 64]
    files = [file for file, schema in schemas.items() if column in schema.names and schema.field(column).type == whole]
    return all(_is_within_statistics(file, column, most) for file in files)


def _is_within_statistics(file: str, column: str, most: int) -> bool:
    """Whether a file's statistics show that no number of a column exceeds this in absolute value."""
    footer = pq.read_metadata(file)
    places = [place for place in range(footer.num_columns) if footer.schema.column(place).path == column]
    for group in range(footer.num_row_groups):
        for place in places:
            facts = footer.row_group(group).column(place)
            known = facts.statistics if facts.is_stats_set else None
            if known is None or (known.null_count != facts.num_values and not known.has_min_max):
                return False
            if known.has_min_max and not -most <= known.min <= known.max <= most:
                return False
    return bool(places)

"""The keys of packed rows: `{<join key values>}<table>`, such as `{1234}aB3x9` or `{'north,17}aB3x9`.

The part in braces is Redis Cluster's hash tag, so all rows of an entity lie on one node. It is readable; characters
that would end or split it are percent-encoded. The table's number stands for project, view and generation
(`redis/catalogue.py`), so that no key needs to repeat them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type
from feast.types import FeastType, PrimitiveFeastType

from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import as_utc
from transformations.stores.base.join_keys import as_key, key_values
from transformations.stores.base.values import Column, canonical_key, column_of, is_integer

NO_ENTITY = b"{'}"
"""The tag of the only row of a view without an entity."""

NOBODY = b"{}"
"""The tag to look up for an entity with a null join key: no row is written under it."""

_INT64_BITS = 63  # beside the sign
_SPECIAL = re.compile(r"[{},%\x00-\x1f]")
_STRING, _FLOAT32 = PrimitiveFeastType.STRING, PrimitiveFeastType.FLOAT32
_UNIX_TIMESTAMP = PrimitiveFeastType.UNIX_TIMESTAMP


def parts_of(values: Sequence[Any], dtype: FeastType, place: str) -> list[str | None]:
    """A join key's values as parts of Redis keys; None for a null, which names no entity.

    Integers of all widths are alike, so that views that declare the same join key differently mean the same entity.
    DataError, naming `place`, for a value that the declared dtype cannot hold.
    """
    kinds = set(map(type, values))
    if kinds == {int} and is_integer(dtype):
        for value in values:
            if value.bit_length() > _INT64_BITS:  # the smallest int64 goes the slower way, too
                break
        else:
            return [str(value) for value in values]
    if kinds == {str} and dtype is _STRING:
        return [_text_part(value) for value in values]
    read = column_of(key_values(values, dtype), place)
    parts: list[str | None] = column_parts(key_column(read, dtype, place)).to_pylist()
    return parts


def key_column(column: Column, dtype: FeastType, place: str) -> Column:
    """A join key's column in the dtype that it is compared in. Errors: as `exact_key`."""
    return exact_key(column, canonical_key(dtype), place)


def exact_key(column: Column, dtype: FeastType, place: str) -> Column:
    """A join key's column in its declared dtype.

    DataError, naming `place`, for a value that the dtype cannot hold exactly: training compares keys exactly, so a key
    rounded to a Float32 or to whole seconds would find another entity's row online.
    """
    typed = as_key(column, dtype, place)
    if dtype is _FLOAT32 and pa.types.is_float64(column.type):
        _refuse_rounded(column, typed.cast(pa.float64()), dtype, place)
    if dtype is _UNIX_TIMESTAMP:
        _refuse_rounded(typed, pc.floor_temporal(typed, unit="second"), dtype, place)
    return typed


def _refuse_rounded(given: Column, kept: Column, dtype: FeastType, place: str) -> None:
    row = pc.index(pc.and_kleene(pc.not_equal(given, kept), pc.equal(given, given)), True).as_py()
    if row >= 0:
        unit = "whole seconds" if dtype is _UNIX_TIMESTAMP else "single precision"
        raise DataError(
            f"{place}: row {row} holds {given[row].as_py()}, and a join key of {dtype} has {unit}: it would be taken "
            f"for {kept[row].as_py()}. Round it where it comes from, or declare another dtype."
        )


def column_parts(column: Column) -> Column:
    """A join key's column, in its canonical dtype, as parts of Redis keys, which are texts."""
    kind = column.type
    if pa.types.is_integer(kind):
        return column.cast(pa.string())
    if pa.types.is_string(kind) and not pc.any(pc.match_substring_regex(column, _SPECIAL.pattern)).as_py():
        return pc.binary_join_element_wise("'", column, "")
    return pa.array([None if value is None else _part_of(value) for value in column.to_pylist()], pa.string())


def tags_of(parts: Sequence[Sequence[str | None]]) -> list[bytes | None]:
    """The hash tags of entities. parts: for each join key, in the order of their names, its part for each entity.

    None for an entity with a null part.
    """
    if len(parts) == 1:
        return [None if part is None else f"{{{part}}}".encode() for part in parts[0]]
    return [None if None in row else f"{{{','.join(row)}}}".encode() for row in zip(*parts, strict=True)]


def column_keys(parts: Sequence[Column], table: bytes) -> pa.LargeBinaryArray:
    """The Redis keys of a table's rows; parts as in `tags_of`, a column per join key."""
    entities = pc.binary_join_element_wise(*parts, ",")
    return pc.binary_join_element_wise("{", entities, "}" + table.decode(), "").cast(pa.large_binary())


def tag_of(key: EntityKey) -> bytes | None:
    """The hash tag of an entity that Feast names by protobuf values."""
    pairs = sorted(zip(key.join_keys, key.entity_values, strict=True), key=lambda pair: pair[0])
    parts = [_proto_part(value) for _, value in pairs]
    return None if None in parts else f"{{{','.join(parts)}}}".encode()  # type: ignore[arg-type]


def tag_or_nobody(key: EntityKey) -> bytes:
    """As `tag_of`; a tag that no row is written under for an entity with a null join key."""
    return tag_of(key) or NOBODY


def _proto_part(value: Value) -> str | None:
    plain = feast_value_type_to_python_type(value)
    return None if plain is None else _part_of(plain)


def _part_of(value: object) -> str:
    return next(shown(value) for kind, shown in _SHOWN if isinstance(value, kind))


def _text_part(value: str) -> str:
    if _SPECIAL.search(value):
        value = _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", value)
    return f"'{value}"


def _moment_part(value: Any) -> str:
    return f"@{math.floor(as_utc(value).timestamp())}"


# A mark tells texts from numbers; bool comes before int, which it is too.
_SHOWN: Sequence[tuple[type, Callable[[Any], str]]] = (
    (bool, lambda value: "+" if value else "-"),
    (int, str),
    (str, _text_part),
    (bytes, lambda value: f"b{value.hex()}"),
    (float, lambda value: f"~{value + 0.0!r}"),  # -0.0 equals 0.0, in a join of tables too
    (datetime, _moment_part),
    (object, lambda value: _text_part(str(value))),
)

"""The packed row: what goes in comes out, bit for bit and null for null, for every type that Feast has."""

import json
import re
import struct
import uuid
from datetime import UTC, datetime
from decimal import Decimal as Number
from typing import Any

import numpy as np
import ormsgpack
import pyarrow as pa
import pytest
from feast import Field
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    FeastType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    Set,
    String,
    TimeUuid,
    UnixTimestamp,
    Uuid,
)
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import instant_to_micros
from transformations.stores.base.values import arrow_type, as_feature
from transformations.stores.rows import packed_rows
from transformations.stores.rows.codecs import codec_of
from transformations.stores.rows.packed_rows import (
    HEADER,
    NEVER_CREATED,
    PUSHED,
    ChecksumError,
    event_micros,
    fault_of,
    header,
    mark,
    schema_from,
    schema_number,
    schema_numbers,
    schema_of,
    unpack_header,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT32 = st.floats(width=32, allow_nan=False)
MOMENT = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)

PLAIN: dict[FeastType, st.SearchStrategy[Any]] = {
    Int64: INT64,
    Int32: st.integers(-(2**31), 2**31 - 1),
    Float64: st.floats(allow_nan=False),
    Float32: FLOAT32,
    String: TEXT,
    Bool: st.booleans(),
    Bytes: st.binary(max_size=8),
    UnixTimestamp: MOMENT,
}
VALUES: dict[FeastType, st.SearchStrategy[Any]] = {
    **PLAIN,
    **{Array(dtype): st.lists(values, max_size=3) for dtype, values in PLAIN.items()},
    Set(Int64): st.sets(INT64, min_size=1, max_size=3),
    Map: st.dictionaries(TEXT, INT64, max_size=3),
    Json: st.dictionaries(TEXT, st.booleans(), max_size=3),
    Uuid: st.uuids(),
    TimeUuid: st.just(uuid.UUID("c232ab00-9414-11ec-b3c8-9f68deced846")),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False, places=3),
}


def through_feast(values: list[Any], dtype: FeastType) -> list[Value]:
    """Values as Feast's own write path has them."""
    return list(python_values_to_proto_values(values, dtype.to_value_type()))


def packed(stored: list[Any], dtype: FeastType) -> list[Any]:
    """What a row gives back of features that were put into it, all of one dtype."""
    form = schema_of([Field(name=f"feature_{number}", dtype=dtype) for number in range(len(stored))]).form
    return [value for (value,) in form.columns([form.pack(header(0, 0, 1, 0), stored)])]


@pytest.mark.parametrize("dtype", list(VALUES), ids=str)
@given(data=st.data())
def test_feast_s_values_come_back_as_feast_shows_them(dtype: FeastType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | VALUES[dtype], min_size=1, max_size=4))
    protos = through_feast(values, dtype)
    codec = codec_of(dtype)
    stored = packed([codec.from_proto(proto) for proto in protos], dtype)
    assert codec.to_protos(stored) == protos
    assert codec.show(stored) == [feast_value_type_to_python_type(proto) for proto in protos]


@pytest.mark.parametrize("dtype", [each for each in VALUES if each in PLAIN or isinstance(each, Array)], ids=str)
@given(data=st.data())
def test_columns_come_back_as_columns(dtype: FeastType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | VALUES[dtype], min_size=1, max_size=4))
    codec = codec_of(dtype)
    column = as_feature(pa.array(values, arrow_type(dtype)), dtype, "x")
    stored = packed(codec.from_arrow(column), dtype)
    assert codec.to_arrow(stored).equals(column)
    assert codec.show(stored) == values


@given(INT64, INT64, st.integers(0, 2**15 - 1), st.sampled_from([0, PUSHED]))
def test_headers_come_back_and_sort_as_their_numbers_do(event: int, created: int, schema: int, flags: int) -> None:
    row = header(event, created, schema, flags)
    assert len(row) == HEADER.size
    assert (schema_number(row), schema_numbers([row, row])) == (schema, {schema})
    assert unpack_header(row) == (event, created, schema, flags)
    assert event_micros(row) == event
    high, low = struct.unpack(">iI", row[:8])
    assert high * 2**32 + low == event


def test_nan_is_null_alone_and_itself_in_a_list() -> None:
    nan = float("nan")
    assert codec_of(Float64).from_proto(Value(double_val=nan)) is None
    dtype = Array(Float64)
    (found,) = packed([codec_of(dtype).from_proto(through_feast([[nan, 1.0]], dtype)[0])], dtype)
    assert str(found) == "[nan, 1.0]"


def test_float32_is_the_double_of_its_rounding() -> None:
    stored = codec_of(Float32).from_arrow(as_feature(pa.array([0.1]), Float32, "x"))
    assert packed(stored, Float32) == [0.10000000149011612]


def test_a_map_from_arrow_is_a_dictionary() -> None:
    column = pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64()))
    assert codec_of(Map).show(codec_of(Map).from_arrow(column)) == [{"a": 1}, None]


def test_decimals_keep_their_digits() -> None:
    assert codec_of(Decimal).show([codec_of(Decimal).from_proto(Value(decimal_val="1.10"))]) == [Number("1.10")]


def test_a_value_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match="a feature declared Int64 was given string 'x'"):
        codec_of(Int64).from_proto(Value(string_val="x"))


def test_a_schema_says_where_features_are_and_which_are_missing() -> None:
    old = schema_of([Field(name="spent", dtype=Float64), Field(name="visits", dtype=Int64)])
    assert schema_from(old.text()) == old
    assert old.positions([("visits", "Int64"), ("spent", "Int64"), ("page", "String")]) == (1, None, None)


PICTURE = [Field(name="spent", dtype=Float64), Field(name="page", dtype=String), Field(name="visits", dtype=Int64)]


def test_a_row_is_the_one_in_the_module_s_picture() -> None:
    moment = instant_to_micros(datetime(2024, 5, 1, tzinfo=UTC))
    row = schema_of(PICTURE).form.pack(header(moment, moment, 1, 0), [0.5, "home", 7])
    pieces = (line[4:28].strip() for line in (packed_rows.__doc__ or "").splitlines() if line[4:28].strip())
    drawn = [bytes.fromhex(each) for each in pieces if re.fullmatch(r"([0-9a-f]{2} ?)+", each)]
    assert b"".join(drawn) == row


@given(spent=st.none() | st.floats(allow_nan=False), page=TEXT, visits=st.none() | INT64, data=st.data())
def test_a_row_with_any_bit_flipped_or_its_end_cut_off_is_found(
    spent: float | None, page: str, visits: int | None, data: st.DataObject
) -> None:
    schema = schema_of(PICTURE)
    row = schema.form.pack(header(1, 1, 1, 0), [spent, page, visits])
    assert fault_of(row, [schema]) is None
    bit = data.draw(st.integers(0, len(row) * 8 - 1))
    flipped = bytes(byte ^ (1 << bit % 8 if place == bit // 8 else 0) for place, byte in enumerate(row))
    assert fault_of(flipped, [schema]) is not None
    assert fault_of(row[: data.draw(st.integers(0, len(row) - 1))], [schema]) is not None
    assert fault_of(row + b"\x00", [schema]) is not None


PICTURED = st.tuples(st.none() | st.floats(allow_nan=False), TEXT, st.none() | INT64)


@given(few=st.lists(PICTURED, min_size=3, max_size=3), data=st.data())
def test_among_many_rows_any_flipped_bit_or_lost_byte_is_found(
    few: list[tuple[float | None, str, int | None]], data: st.DataObject
) -> None:
    form, rows = schema_of(PICTURE).form, few * 10
    packed = [form.pack(header(1, 1, 1, 0), row) for row in rows]
    assert form.columns(packed) == [*map(list, zip(*rows, strict=True))]
    for _ in range(data.draw(st.integers(1, 2))):
        damaged = data.draw(st.integers(0, len(rows) - 1))
        row = packed[damaged]
        bit = data.draw(st.integers(0, len(row) * 8 - 1))
        flipped = bytes(byte ^ (1 << bit % 8 if place == bit // 8 else 0) for place, byte in enumerate(row))
        packed[damaged] = data.draw(st.sampled_from([flipped, row[:-1], row[1:], row + b"\x00"]))
    if any(fault_of(row, [schema_of(PICTURE)]) for row in packed):  # two flips may undo one another
        with pytest.raises(ChecksumError):
            form.columns(packed)


def test_columns_and_single_rows_are_packed_alike() -> None:
    form = schema_of(PICTURE).form
    heads = np.zeros(2, form.heads)
    heads["mark"], heads["floats"][:, 0] = mark(1, 0), [0.5, np.nan]
    rows = form.pack_columns(heads, [["home", None], [7, 8]]).to_pylist()
    assert rows == [form.pack(header(0, 0, 1, 0), values) for values in ([0.5, "home", 7], [None, None, 8])]


def test_rows_of_before_there_were_checksums_are_read_and_their_wrong_lengths_found() -> None:
    old = schema_from('[["spent","Float64"],["page","String"]]')
    row = header(1, 1, 1, 0) + struct.pack("<d", 0.5) + b"\xa4home"
    assert old.form.pack(header(1, 1, 1, 0), [0.5, "home"]) == row
    assert old.form.columns([row, row]) == [(0.5, 0.5), ("home", "home")]
    assert fault_of(row, [old]) is None
    assert fault_of(row[:-1], [old]) == "its values cannot be read"
    assert fault_of(row[:20], [old]) == "its values cannot be read"
    assert fault_of(row, []) == "it names schema 1, and the view has schemas 1 to 0"


def test_a_reader_that_knows_no_checksum_takes_it_for_one_more_feature() -> None:
    schema = schema_of(PICTURE)
    row = schema.form.pack(header(1, 1, 1, 0), [0.5, "home", 7])
    assert ormsgpack.unpackb(b"\x93" + row[HEADER.size + 8 :])[:2] == ["home", 7]
    assert json.loads(schema.text())[:3] == [["spent", "Float64"], ["page", "String"], ["visits", "Int64"]]
    assert all(len(field) == 2 for field in json.loads(schema.text()))


FEATURES = st.lists(st.sampled_from([Float64, Float32, Int64, String]), max_size=40)


@given(dtypes=FEATURES, times=st.sampled_from([1, 30]), data=st.data())
def test_rows_of_any_mix_of_features_come_back_as_columns(
    dtypes: list[FeastType], times: int, data: st.DataObject
) -> None:
    schema = schema_of([Field(name=f"feature_{number}", dtype=dtype) for number, dtype in enumerate(dtypes)])
    values = st.tuples(*(st.none() | PLAIN[dtype] for dtype in dtypes))
    rows = data.draw(st.lists(values, min_size=1, max_size=3)) * times
    columns = schema.form.columns([schema.form.pack(header(0, 0, 1, 0), row) for row in rows])
    places = schema.positions(schema.fields)
    assert [tuple(columns[place][row] for place in places if place is not None) for row in range(len(rows))] == rows
    blank = schema.form.columns([schema.form.blank])
    assert [value for (value,) in blank] == [None] * len(dtypes)

    assert unpack_header(header(0, NEVER_CREATED, 1, PUSHED)) == (0, NEVER_CREATED, 1, PUSHED)


def test_a_schema_number_beyond_what_a_row_holds_is_refused() -> None:
    with pytest.raises(DataError, match="the view's features were changed 32,768 times"):
        header(0, 0, 2**15, 0)

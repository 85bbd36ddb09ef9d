"""Keys: one entity, one hash slot; two entities, two keys; whatever their join keys hold."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Bool, FeastType, Float32, Int32, Int64, String, UnixTimestamp
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from transformations.engine.base.errors import DataError
from transformations.stores.base.values import column_of
from transformations.stores.rows.keys import column_parts, exact_key, parts_of, tag_of, tags_of

TEXTS = st.text(st.sampled_from("{}%,'a1é\x00"), max_size=4)


def keys_of(*columns: list[Any]) -> list[bytes | None]:
    return tags_of([parts_of(column, String, "key") for column in columns])


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=6, unique=True))
def test_different_entities_have_different_keys(rows: list[tuple[str, str]]) -> None:
    found = keys_of([first for first, _ in rows], [second for _, second in rows])
    assert len(set(found)) == len(rows)


@given(TEXTS, st.sampled_from([b"aB3x9", b"00001"]))
def test_a_key_lies_in_the_slot_that_redis_gives_its_entity(text: str, table: bytes) -> None:
    (tag,) = keys_of([text])
    assert tag is not None
    assert key_slot(tag + table) == key_slot(tag)


@given(st.lists(st.none() | TEXTS, min_size=1), st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_requests_columns_and_feast_s_entity_keys_agree(texts: list[str | None], numbers: list[int | None]) -> None:
    assert column_parts(pa.array(texts, pa.string())).to_pylist() == parts_of(texts, String, "key")
    assert column_parts(pa.array(numbers, pa.int64())).to_pylist() == parts_of(numbers, Int64, "key")
    for text, number in zip(texts, numbers, strict=False):
        if text is not None and number is not None:
            values = [Value(string_val=text), Value(int64_val=number)]
            asked = tags_of([parts_of([number], Int64, "a"), parts_of([text], String, "b")])
            assert [tag_of(EntityKey(join_keys=["b", "a"], entity_values=values))] == asked


def test_integers_of_all_widths_are_one_entity() -> None:
    import numpy as np

    for given_key in ([7], np.array([7], np.int32), [np.int64(7)], [7.0], [Value(int32_val=7)], [Value(int64_val=7)]):
        assert parts_of(given_key, Int32, "key") == parts_of(given_key, Int64, "key") == ["7"]


def test_a_text_is_no_number_and_a_null_is_nobody() -> None:
    assert keys_of(["7", None, ""]) == [b"{'7}", None, b"{'}"]
    assert tags_of([["1", None], ["2", "3"]]) == [b"{1,2}", None]
    assert tag_of(EntityKey(join_keys=["a"], entity_values=[Value()])) is None


def test_other_types_have_a_form_too() -> None:
    assert parts_of([True, False], Bool, "key") == ["+", "-"]
    assert parts_of([datetime(2024, 5, 1, tzinfo=UTC)], UnixTimestamp, "key") == ["@1714521600"]


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match="join key 'user_id' is declared Int64, but holds string such as 'x'"):
        parts_of(["x"], Int64, "join key 'user_id'")


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([1.5, 0.1], Float32, "key: row 1 holds 0.1, and a join key of Float32 has single precision"),
        ([datetime(2024, 5, 1, 12, 0, 0, 250_000)], UnixTimestamp, "key: row 0 holds 2024-05-01 12:00:00.25.*seconds"),
        (["2024-05-01T12:00:00Z", "1969-12-31T23:59:59.5Z"], UnixTimestamp, "row 1 holds 1969-12-31 23:59:59.5"),
    ],
)
def test_a_key_that_would_be_rounded_is_refused_as_training_would_not_find_it(
    values: list[Any], dtype: FeastType, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        parts_of(values, dtype, "key")
    with pytest.raises(DataError, match=message):
        exact_key(column_of(values, "key"), dtype, "key")


def test_a_key_that_its_dtype_holds_exactly_is_taken() -> None:
    assert parts_of([0.5, None, float(np.float32(0.1))], Float32, "key") == ["~0.5", None, "~0.10000000149011612"]
    assert parts_of([datetime(2024, 5, 1, tzinfo=UTC), None], UnixTimestamp, "key") == ["@1714521600", None]
    assert parts_of([-(2**63), 2**63 - 1, 0], Int64, "key") == ["-9223372036854775808", "9223372036854775807", "0"]

"""Keys of a spine as numbers: the same key the same number, a missing one none."""

import pyarrow as pa
import pytest

from transformations.stores.training.spine import encode_keys

SMALLEST, GREATEST = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    "keys",
    [
        [7, 3, 7, 5],
        [GREATEST, GREATEST - 2, GREATEST],
        [SMALLEST, SMALLEST + 2, SMALLEST],
        [SMALLEST, GREATEST, 0, GREATEST],
        [7, None, 3, 7],
        [None, None],
    ],
)
def test_a_number_names_its_key(keys: list[int | None]) -> None:
    codes, (distinct,), count = encode_keys([pa.array(keys, pa.int64())], len(keys))
    assert [None if code < 0 else distinct[code].as_py() for code in codes.tolist()] == keys
    assert count == len(distinct) == len(set(keys) - {None})
    assert distinct.type == pa.int64()


def test_several_keys_are_one_number() -> None:
    codes, distinct, count = encode_keys([pa.array([1, 1, 2, None]), pa.array(["a", "b", "a", "a"])], 4)
    pairs = list(zip(*(each.to_pylist() for each in distinct), strict=True))
    assert [pairs[code] if code >= 0 else None for code in codes.tolist()] == [(1, "a"), (1, "b"), (2, "a"), None]
    assert count == 3

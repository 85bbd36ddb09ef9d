"""When two values are the same, on literal values."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from validation.parity.values import same_value, values_agree

MOMENT = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("online", "training", "agree"),
    [
        ([1.5, None, 0.0], pa.array([1.5, None, 0.0]), [True, True, True]),
        ([4, None, 6], pa.array([4, 0, 6]), [True, False, True]),  # a null is no 0
        ([0.3, 0.0, 1.0], pa.array([0.1 + 0.2, -0.0, 1.0]), [False, False, True]),  # by their bits
        ([MOMENT], pa.array([MOMENT], pa.timestamp("ns", tz="UTC")), [True]),  # whatever the unit
        ([["b", "a"], None, []], pa.array([["a", "b"], None, []]), [False, True, True]),  # in order
        ([1.0, 2.0, None], pa.array([1, 2, None]), [False, False, True]),  # another dtype than in training
        ([1, "a"], pa.array([1, 2]), [False, False]),  # no dtype at all
        ([None, None], pa.nulls(2, pa.float64()), [True, True]),  # null everywhere, of any dtype
        ([None, None], pa.array([None, 0.0]), [True, False]),
    ],
)
def test_values_agree_in_dtype_bits_and_nulls(online: list[object], training: pa.Array, agree: list[bool]) -> None:
    assert values_agree(online, pa.chunked_array([training])).tolist() == agree


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (0.1 + 0.2, 0.3, False),
        (-0.0, 0.0, False),
        (1, 1.0, False),
        (True, 1, False),
        (float("nan"), float("nan"), True),
        ([1.0, None], [1.0, None], True),
        ([1.0], [1.0, 2.0], False),
        (MOMENT, datetime.fromisoformat("2024-05-01T14:00:00+02:00"), True),
    ],
)
def test_one_value_is_the_same_in_type_bits_and_instant(left: object, right: object, same: bool) -> None:
    assert same_value(left, right) is same

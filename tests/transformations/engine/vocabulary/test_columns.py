"""Sorting by several keys, as `sorted` does it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.vocabulary.columns import order_by

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 5)), max_size=30)


@given(rows=ROWS, scale=st.sampled_from([1, 2**40]))
def test_rows_are_ordered_by_the_first_key_then_the_next_and_equal_ones_keep_their_order(
    rows: list[tuple[int, int, int]], scale: int
) -> None:
    keys = [np.array([row[place] * scale for row in rows], dtype=np.int64) for place in range(3)]
    assert order_by(keys).tolist() == sorted(range(len(rows)), key=lambda position: rows[position])


@pytest.mark.parametrize("largest", [2**61, 2**62, 2**63 - 1])
def test_keys_that_do_not_fit_into_one_integer_with_the_position_are_ordered_too(largest: int) -> None:
    assert order_by([np.array([largest, 0, largest, 1])]).tolist() == [1, 3, 0, 2]

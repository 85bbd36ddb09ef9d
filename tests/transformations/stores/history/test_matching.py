"""The match of a spine with a history, against a search of all pairs, in whatever order the history comes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.stores.history import matching
from transformations.stores.history.matching import NEVER, LastRows, sort_by_code


class Row(NamedTuple):
    """A history row; in the order of these fields the last one counts."""

    key: int
    happened: int
    created: int | None
    place: int


keys = st.integers(0, 3)
moments = st.integers(0, 6)
spines = st.lists(st.tuples(st.integers(-1, 3), moments), max_size=8)
histories = st.lists(st.tuples(keys, st.integers(-2, 8), st.none() | st.integers(-2, 9)), max_size=20).map(
    lambda rows: [Row(*row, place) for place, row in enumerate(rows)]
)


def last_row(history: Sequence[Row], key: int, moment: int, as_served: bool) -> Row | None:
    """The definition: of the rows of the key that count at the moment the last."""
    counting = [row for row in history if row.key == key and row.happened <= moment]
    if as_served:
        counting = [row for row in counting if row.created is not None and row.created <= moment]
    return max(
        counting, key=lambda row: (row.happened, NEVER if row.created is None else row.created, row.place), default=None
    )


def found(
    spine: Sequence[tuple[int, int]], portions: Sequence[Sequence[Row]], **options: bool
) -> list[tuple[int, int] | None]:
    """Place and age of each spine row's history row."""
    codes, moments = (np.array([row[part] for row in spine], kind) for part, kind in ((0, np.int32), (1, np.int64)))
    last_rows = LastRows(codes, moments, 4, threads=2, **options)
    for portion in portions:
        columns = [
            [row.happened for row in portion],
            [NEVER if row.created is None else row.created for row in portion],
        ]
        columns = [*columns[: 1 + options["has_created"]], [row.place for row in portion]]
        last_rows.add(np.array([row.key for row in portion], np.int32), *(np.array(each, np.int64) for each in columns))
    matches = last_rows.matches()
    assert len(set(matches.places.tolist())) == len(matches.places)
    assert set(matches.of_spine[matches.of_spine >= 0].tolist()) == set(range(len(matches.places)))
    return [
        None if index < 0 else (int(matches.places[index]), int(age))
        for index, age in zip(matches.of_spine, matches.ages, strict=True)
    ]


@given(
    spine=spines,
    history=histories,
    order=st.randoms(use_true_random=False),
    cut=st.integers(0, 20),
    as_served=st.booleans(),
)
def test_every_moment_gets_the_last_row_that_counts(spine, history, order, cut, as_served) -> None:
    expected = [last_row(history, key, moment, as_served) for key, moment in spine]
    rows = list(history)
    order.shuffle(rows)
    places = found(spine, [rows[:cut], rows[cut:]], has_created=True, as_served=as_served)
    assert places == [
        None if row is None else (row.place, moment - row.happened)
        for row, (_, moment) in zip(expected, spine, strict=True)
    ]


@given(spine=spines, history=histories)
def test_without_created_timestamps_the_last_place_counts_and_nothing_was_known_later(spine, history) -> None:
    nameless = [row._replace(created=None) for row in history]
    expected = [last_row(nameless, key, moment, False) for key, moment in spine]
    places = found(spine, [nameless], has_created=False, as_served=True)
    assert [place and place[0] for place in places] == [row and row.place for row in expected]


@pytest.mark.parametrize("portion", [1, 7, 32_768])
def test_many_rows_are_matched_in_portions(portion: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "PORTION", portion)
    chance = np.random.default_rng(7)
    spine = list(zip(chance.integers(-1, 4, 300).tolist(), chance.integers(0, 50, 300).tolist(), strict=True))
    history = [
        Row(int(key), int(happened), int(created), place)
        for place, (key, happened, created) in enumerate(chance.integers(0, (4, 60, 5), (400, 3)))
    ]
    expected = [last_row(history, key, moment, False) for key, moment in spine]
    places = found(spine, [history[:150], history[150:]], has_created=True)
    assert [place and place[0] for place in places] == [row and row.place for row in expected]


@pytest.mark.parametrize("span", [3, 2**40, 2**62])
def test_rows_with_a_code_are_sorted_by_code_and_moment(span: int) -> None:
    chance = np.random.default_rng(7)
    codes = chance.integers(-1, 100_000, 200_000).astype(np.int32)
    moments = chance.integers(-span, span, 200_000)
    order, own_codes, own_moments = sort_by_code(codes, moments, threads=2)
    assert sorted(order.tolist()) == np.flatnonzero(codes >= 0).tolist()
    assert (own_codes == codes[order]).all()
    assert (own_moments == moments[order]).all()
    by_code = np.diff(own_codes)
    assert ((by_code > 0) | ((by_code == 0) & (own_moments[1:] >= own_moments[:-1]))).all()


def test_a_spine_without_a_missing_key_is_sorted_all_the_same() -> None:
    order, codes, moments = sort_by_code(np.array([1, 0, 1], np.int32), np.array([5, 9, 3]))
    assert (order.tolist(), codes.tolist(), moments.tolist()) == ([1, 2, 0], [0, 1, 1], [9, 3, 5])

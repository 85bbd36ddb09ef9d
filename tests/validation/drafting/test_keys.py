"""The guess at a key: exact over the whole table, the event time first, the narrowest, and in few queries."""

from itertools import combinations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.base.duck import session
from validation.drafting import keys as draft_keys
from validation.drafting.keys import KeyColumn, KeyGuess, guess_keys
from validation.files.column_names import ROW

DTYPES = {"at": "UnixTimestamp"}


def guess(columns: dict[str, list[object]], event_time: str | None = None) -> KeyGuess:
    with session() as connection:
        size = len(next(iter(columns.values())))
        connection.register("given", pa.table({ROW: list(range(1, size + 1)), **columns}))
        known = [KeyColumn(name, DTYPES.get(name, _dtype(values[0]))) for name, values in columns.items()]
        return guess_keys(connection, "given", known, event_time)


def _dtype(value: object) -> str:
    return {int: "Int64", str: "String", float: "Float64", bool: "Bool"}[type(value)]


def test_the_narrowest_sets_are_found_and_those_that_name_identities_come_first():
    columns = {"n": [1, 1, 2, 2], "user_id": [1, 2, 1, 2], "page": ["a", "a", "b", "b"]}
    assert guess(columns).keys == (("user_id", "page"), ("user_id", "n"))


def test_with_an_event_time_every_set_holds_it():
    columns = {"at": [1, 1, 1, 2], "carrier": ["A", "A", "B", "A"], "flight": [7, 8, 7, 9]}
    assert guess(columns, "at").keys == (("at", "carrier", "flight"),)


def test_a_single_column_that_identifies_comes_before_the_event_time_and_a_measure_after_it():
    columns = {"at": [1, 2, 3], "ride_id": ["a", "b", "c"], "metres": [5, 6, 7]}
    assert guess(columns, "at").keys == (("ride_id",), ("at",), ("metres",))


def test_rows_that_are_equal_in_all_columns_are_counted():
    assert guess({"a": [1, 1, 1, 2], "b": ["x", "x", "x", "y"]}) == KeyGuess(repeated=2)


def test_one_row_shows_nothing():
    assert guess({"a": [1]}) == KeyGuess()


def test_a_key_that_holds_in_the_sample_alone_is_no_key(monkeypatch):
    monkeypatch.setattr(draft_keys, "SAMPLE_ROWS", 2)
    assert guess({"a": [1, 2, 1], "b": ["x", "x", "y"]}).keys == (("b", "a"),)


def test_a_year_of_flights_has_the_key_that_a_month_of_them_hides():
    """Fourteen hours a day, four carriers of five flights each: only hour, carrier and flight together are unique."""
    flights = [(day, hour, c, f) for day in range(365) for hour in range(14) for c in "ABCD" for f in range(5)]
    columns = {
        "year": [2013] * len(flights),
        "day": [day % 28 for day, *_ in flights],
        "hour": [hour for _, hour, *_ in flights],
        "carrier": [carrier for *_, carrier, _ in flights],
        "flight": [flight for *_, flight in flights],
        "at": [day * 24 + hour for day, hour, *_ in flights],
        "origin": ["EWR" if flight % 2 else "JFK" for *_, flight in flights],
        "distance": [100 * flight for *_, flight in flights],
    }
    found = guess(columns, "at")
    assert [set(key) for key in found.keys] == [{"at", "carrier", "flight"}, {"at", "carrier", "distance"}]
    assert found.is_complete


def test_a_search_that_is_cut_short_still_finds_a_key_and_says_so(monkeypatch):
    monkeypatch.setattr(draft_keys, "QUERIES", 0)
    found = guess({"a": [1, 1, 2, 2], "b": [1, 2, 1, 2], "c": [0, 0, 0, 0]})
    assert (set(found.keys[0]), found.is_complete) == ({"a", "b"}, False)


def test_twenty_columns_take_dozens_of_queries_not_thousands(monkeypatch):
    """The only key is the last three of twenty columns; there are 1,140 sets of three."""
    size = 512
    columns = {f"c{number:02}": [row % (number + 2) % 2 for row in range(size)] for number in range(17)}
    columns |= {f"k{digit}": [row // 8**digit % 8 for row in range(size)] for digit in range(3)}
    asked: list[str] = []
    ask = draft_keys.differing_columns
    monkeypatch.setattr(draft_keys, "differing_columns", lambda *about: asked.append("") or ask(*about))
    assert set(guess(columns).keys[0]) == {"k0", "k1", "k2"}
    assert len(asked) < 60


@given(
    st.integers(2, 5).flatmap(
        lambda width: st.lists(st.tuples(*[st.integers(0, 2)] * width), min_size=2, max_size=12, unique=True)
    )
)
def test_the_guess_is_what_trying_every_set_would_find(rows):
    columns = {f"c{place}": [row[place] for row in rows] for place in range(len(rows[0]))}
    unique = [
        set(key)
        for width in range(1, len(columns) + 1)
        for key in combinations(columns, width)
        if len(set(zip(*(columns[name] for name in key), strict=True))) == len(rows)
    ]
    narrowest = [key for key in unique if len(key) == len(unique[0])]
    found = [set(key) for key in guess(columns).keys]
    assert found[0] in narrowest
    assert all(key in narrowest for key in found)
    assert len(found) == min(len(narrowest), draft_keys.KEYS_SHOWN)


@pytest.mark.parametrize("name", ["ride_id", "rideId", "id", "uuid", "order_number", "customerID", "iso_code"])
def test_names_that_identify(name):
    assert KeyColumn(name, "String").is_identity_by_name


@pytest.mark.parametrize("name", ["humid", "paid", "monkey", "node", "is_valid", "minute"])
def test_names_that_do_not(name):
    assert not KeyColumn(name, "String").is_identity_by_name

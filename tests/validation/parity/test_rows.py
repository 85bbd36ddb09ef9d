"""How entities of several views are put together for a comparison."""

import pyarrow as pa

from validation.parity.rows import combine_entities


def test_entities_of_several_views_are_put_together_by_the_keys_that_they_share() -> None:
    carts = pa.table({"user": [1, 1, 2], "shop": ["a", "b", "c"]})
    tastes = pa.table({"user": [1, 3], "topic": ["cats", "dogs"]})

    found = combine_entities([tastes, carts]).to_pylist()
    assert {"user": 1, "shop": "a", "topic": "cats"} in found
    assert {"user": 1, "shop": "b", "topic": "cats"} in found
    users = [row["user"] for row in found]
    assert (users.count(1), users.count(2), users.count(3)) == (2, 1, 1)
    assert all(row.keys() == {"user", "shop", "topic"} and None not in row.values() for row in found)


def test_entities_without_a_shared_key_are_pairs_and_no_cross_product() -> None:
    users, pages = pa.table({"user": [1, 2]}), pa.table({"page": ["a", "b", "c"]})

    found = combine_entities([users, pages]).to_pylist()
    assert ({row["user"] for row in found}, sorted(row["page"] for row in found)) == ({1, 2}, ["a", "b", "c"])
    assert combine_entities([users, pages.slice(0, 0)]).num_rows == 0
    assert combine_entities([users]) is users

"""The comparison itself, on literal values; the feature service's own parity is tested where a store is."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from transformations.engine.base.errors import DataError, UsageError
from validation.parity.comparison import Difference, check_parity, compare
from validation.parity.rows import combined

SPINE = pa.table({"user_id": [1, 2, 3]})


def test_equal_values_and_common_nulls_agree() -> None:
    training = pa.table({"user_id": [1, 2, 3], "spend": pa.array([1.5, None, 0.0])})

    (spend,) = compare(SPINE, {"spend": [1.5, None, 0.0]}, training, ["spend"])

    assert (spend.compared, spend.equal, spend.differing, spend.nulls) == (3, 3, 0, 1)


def test_a_null_against_zero_is_a_difference_and_names_its_row() -> None:
    training = pa.table({"user_id": [1, 2, 3], "visits": pa.array([4, 0, 6])})

    (visits,) = compare(SPINE, {"visits": [4, None, 6]}, training, ["visits"])

    assert visits.differing == 1
    assert visits.examples == (Difference({"user_id": 2}, online=None, training=0),)


def test_floats_are_compared_by_their_bits() -> None:
    training = pa.table({"user_id": [1, 2, 3], "share": pa.array([0.1 + 0.2, -0.0, 1.0])})

    (share,) = compare(SPINE, {"share": [0.3, 0.0, 1.0]}, training, ["share"])

    assert [example.keys["user_id"] for example in share.examples] == [1, 2]


def test_timestamps_agree_whatever_unit_training_uses() -> None:
    moment = datetime(2024, 5, 1, 12, tzinfo=UTC)
    training = pa.table({"user_id": [1, 2, 3], "seen_at": pa.array([moment] * 3, pa.timestamp("ns", tz="UTC"))})

    (seen,) = compare(SPINE, {"seen_at": [moment] * 3}, training, ["seen_at"])

    assert seen.differing == 0


def test_lists_are_compared_in_order() -> None:
    training = pa.table({"user_id": [1, 2, 3], "recent": pa.array([["a", "b"], None, []])})

    (recent,) = compare(SPINE, {"recent": [["b", "a"], None, []]}, training, ["recent"])

    assert recent.differing == 1


def test_only_the_first_examples_are_kept() -> None:
    spine = pa.table({"user_id": list(range(10))})
    training = pa.table({"user_id": list(range(10)), "visits": [0] * 10})

    (visits,) = compare(spine, {"visits": [1] * 10}, training, ["visits"])

    assert (visits.differing, len(visits.examples)) == (10, 3)


def test_a_feature_that_one_path_lacks_is_an_error() -> None:
    training = pa.table({"user_id": [1, 2, 3], "visits": [1, 2, 3]})

    with pytest.raises(DataError, match="only online spend; only in training visits"):
        compare(SPINE, {"spend": [1.0, 2.0, 3.0]}, training, ["spend"])


def test_other_rows_than_asked_for_are_an_error() -> None:
    training = pa.table({"user_id": [1, 3, 2], "visits": [1, 2, 3]})

    with pytest.raises(DataError, match="column 'user_id' differs"):
        compare(SPINE, {"visits": [1, 2, 3]}, training, ["visits"])


def test_values_of_another_dtype_than_in_training_are_an_error() -> None:
    training = pa.table({"user_id": [1, 2, 3], "visits": [1, 2, 3]})

    with pytest.raises(DataError, match="feature visits is double online and int64 in training"):
        compare(SPINE, {"visits": [1.0, 2.0, 3.0]}, training, ["visits"])


def test_a_feature_that_is_null_everywhere_agrees_with_any_dtype() -> None:
    training = pa.table({"user_id": [1, 2, 3], "spend": pa.nulls(3, pa.float64())})

    (spend,) = compare(SPINE, {"spend": [None, None, None]}, training, ["spend"])

    assert (spend.nulls, spend.differing) == (3, 0)


def test_the_present_must_stand_still_while_two_paths_are_asked() -> None:
    with pytest.raises(UsageError, match="Set it, such as FEATURES_CLOCK="):
        check_parity(None, "churn_v1", SPINE)  # type: ignore[arg-type]


def test_nothing_compared_is_no_parity() -> None:
    with pytest.raises(UsageError, match="no row is asked for, and nothing compared is no parity"):
        check_parity(None, "churn_v1", SPINE.slice(0, 0))  # type: ignore[arg-type]


def test_entities_of_several_views_are_put_together_by_the_keys_that_they_share() -> None:
    carts = pa.table({"user": [1, 1, 2], "shop": ["a", "b", "c"]})
    tastes = pa.table({"user": [1, 3], "topic": ["cats", "dogs"]})

    found = combined([tastes, carts]).to_pylist()
    assert {"user": 1, "shop": "a", "topic": "cats"} in found
    assert {"user": 1, "shop": "b", "topic": "cats"} in found
    users = [row["user"] for row in found]
    assert (users.count(1), users.count(2), users.count(3)) == (2, 1, 1)
    assert all(row.keys() == {"user", "shop", "topic"} and None not in row.values() for row in found)


def test_entities_without_a_shared_key_are_pairs_and_no_cross_product() -> None:
    users, pages = pa.table({"user": [1, 2]}), pa.table({"page": ["a", "b", "c"]})

    found = combined([users, pages]).to_pylist()
    assert ({row["user"] for row in found}, sorted(row["page"] for row in found)) == ({1, 2}, ["a", "b", "c"])
    assert combined([users, pages.slice(0, 0)]).num_rows == 0
    assert combined([users]) is users

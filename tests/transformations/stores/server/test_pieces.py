"""Large lookups: the answer of one piece, and room for others between them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from feast import FeatureStore
from feast.feature_server_utils import convert_response_to_dict
from redis import Redis

from transformations.engine.base.errors import DataError
from transformations.stores.base.errors import DamagedRowError
from transformations.stores.server import pieces
from transformations.stores.server.pieces import answer_in_pieces

FEATURES = ["visits:visits", "visits:page"]


def answered(store: FeatureStore, **columns: list[Any]) -> bytes:
    answer = answer_in_pieces(store, FEATURES, columns, full_feature_names=True, with_versions=True)
    return b"".join(asyncio.run(answer))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows a piece."""
    monkeypatch.setattr(pieces, "VALUES_OF_A_PIECE", 4)
    monkeypatch.setattr(pieces, "LEAST_ROWS", 1)


@pytest.mark.parametrize("users", [[3], [3, 4], [3, 4, 404], [1, 2, 3, 4, 5], [5, None, 1, 404]])
def test_pieces_make_the_answer_of_one(loaded: FeatureStore, small_pieces: None, users: list[Any]) -> None:
    whole = loaded.get_online_features(
        FEATURES, {"user_id": users}, full_feature_names=True, include_feature_view_version_metadata=True
    )
    feast = json.dumps(convert_response_to_dict(whole.proto), ensure_ascii=False, separators=(",", ":"))
    assert answered(loaded, user_id=users) == feast.encode()


def test_an_error_names_the_row_of_the_request(loaded: FeatureStore, small_pieces: None) -> None:
    with pytest.raises(DataError, match=r"row 1 holds 2.5, .* Rows are counted from row 2 of the request on."):
        answered(loaded, user_id=[1.0, 2.0, 3.0, 2.5, 5.0])


def test_a_damaged_row_is_no_mistake_of_the_request_in_a_later_piece_either(
    loaded: FeatureStore, small_pieces: None, redis: Redis
) -> None:
    (key,) = redis.scan_iter("{3}*")
    redis.set(key, b"x")
    with pytest.raises(DamagedRowError, match="is no intact row of this view"):
        answered(loaded, user_id=[1, 2, 3])


def test_small_lookups_are_answered_between_the_pieces_of_a_large_one(loaded: FeatureStore, small_pieces: None) -> None:
    async def both() -> list[str]:
        finished: list[str] = []

        async def look_up(name: str, rows: int) -> None:
            columns = {"user_id": [1, 2] * (rows // 2)}
            await answer_in_pieces(loaded, FEATURES, columns, full_feature_names=False, with_versions=False)
            finished.append(name)

        await asyncio.gather(look_up("large", 200), *(look_up(f"small {number}", 2) for number in range(5)))
        return finished

    assert asyncio.run(both())[-1] == "large"

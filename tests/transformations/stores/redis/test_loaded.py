"""What was loaded last is noted in Redis itself: it goes where the rows go."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from feast import FeatureStore
from redis import Redis

from transformations.engine.base.errors import ServiceUnavailableError
from transformations.engine.base.settings import get_settings
from transformations.local import redis as embedded
from transformations.stores.redis.loaded import Loaded, forget, loaded_views, record

LOADED = Loaded(version=3, end=datetime(2024, 5, 11, 6, tzinfo=UTC), rows=2)


def test_what_is_noted_is_found_and_what_is_forgotten_is_gone(
    store_of: Callable[..., FeatureStore], redis: Redis
) -> None:
    record(redis, "test", "user_clicks", LOADED)
    record(redis, "test", "user_topics", LOADED)
    record(redis, "another", "user_clicks", LOADED)
    forget(redis, "test", "user_topics")

    assert loaded_views(store_of(), get_settings()) == {"user_clicks": LOADED}


def test_a_flushed_store_has_loaded_nothing(store_of: Callable[..., FeatureStore], redis: Redis) -> None:
    record(redis, "test", "user_clicks", LOADED)
    redis.flushall()

    assert loaded_views(store_of(), get_settings()) == {}


def test_a_table_that_ends_before_the_materialization_s_end_is_complete_up_to_there(
    store_of: Callable[..., FeatureStore], redis: Redis
) -> None:
    behind = replace(LOADED, complete_until=LOADED.end - timedelta(hours=6))
    ahead = replace(LOADED, complete_until=LOADED.end + timedelta(hours=6))
    record(redis, "test", "behind", behind)
    record(redis, "test", "ahead", ahead)

    found = loaded_views(store_of(), get_settings())
    assert found == {"behind": behind, "ahead": ahead}
    assert found["behind"].complete_through == behind.complete_until
    assert found["ahead"].complete_through == LOADED.end


def test_asking_starts_no_server_where_nothing_was_ever_loaded(store_of: Callable[..., FeatureStore]) -> None:
    assert loaded_views(store_of(), get_settings()) == {}
    assert embedded.status() is None


def test_a_redis_that_does_not_answer_is_a_clear_error(
    store_of: Callable[..., FeatureStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_REDIS_URL", "redis://127.0.0.1:1")

    with pytest.raises(ServiceUnavailableError, match="cannot be reached"):
        loaded_views(store_of(), get_settings())

"""Questions that are asked now and then, of health and of loads: one deadline each, however an answer comes."""

from __future__ import annotations

from collections.abc import Callable
from threading import enumerate as enumerate_threads
from time import monotonic, sleep

import pytest
from feast import FeatureStore
from redis.exceptions import TimeoutError as RedisTimeoutError

from transformations.engine.base.errors import ServiceUnavailableError
from transformations.engine.base.settings import get_settings
from transformations.insight.checkup import run_checks
from transformations.stores.redis.idle import within
from transformations.stores.redis.loaded import loaded_views
from transformations.stores.server.watch import Watch

ENDLESS = b"+" + b"x" * 200 + b"\r\n"
FIELDS = b"*2\r\n$200\r\n" + b"x" * 200 + b"\r\n$1\r\n1\r\n"


def test_what_an_action_gives_or_raises_comes_back() -> None:
    assert within(1_000, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(1_000, lambda: 1 // 0)


@pytest.mark.parametrize("word", [b"PING", b"AUTH"])
def test_health_and_doctor_give_a_redis_that_drips_no_more_time_than_a_lookup(
    word: bytes,
    dripping: Callable[..., str],
    store_of: Callable[..., FeatureStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FEATURES_REDIS_URL", dripping(word, ENDLESS))
    watch = Watch(store_of())
    for _ in range(4):
        began = monotonic()
        health = watch.health()
        assert monotonic() - began < 2  # the whole answer takes 20 s
        assert [("is too slow" in reason) for reason in health.reasons] == [True]
    began = monotonic()
    (found,) = [check for check in run_checks() if check.name == "redis"]
    assert (found.status, "does not answer: TimeoutError" in found.detail) == ("fail", True)
    assert monotonic() - began < 2
    for thread in enumerate_threads():
        if thread.name == "connecting":
            thread.join(1)
            assert not thread.is_alive()


def test_what_was_loaded_is_not_waited_for_any_longer_than_a_write_may_take(
    dripping: Callable[..., str], store_of: Callable[..., FeatureStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_REDIS_URL", dripping(b"HGETALL", FIELDS))
    monkeypatch.setenv("FEATURES_REDIS_WRITE_TIMEOUT_MS", "300")
    began = monotonic()
    with pytest.raises(ServiceUnavailableError, match="is too slow"):
        loaded_views(store_of(), get_settings())
    assert monotonic() - began < 1


def test_an_answer_that_is_none_of_redis_is_no_redis_to_doctor(
    dripping: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_REDIS_URL", dripping(b"nothing", b""))
    (found,) = [check for check in run_checks() if check.name == "redis"]
    assert (found.status, "answers, but not as Redis does" in found.detail) == ("fail", True)


def test_an_action_that_takes_too_long_is_abandoned() -> None:
    abandoned: list[bool] = []
    with pytest.raises(RedisTimeoutError):
        within(50, lambda: sleep(0.3), abandon=lambda: abandoned.append(True))
    assert abandoned == [True]

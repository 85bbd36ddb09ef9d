"""What happens all the time is logged once a second, with how often."""

import logging

import pytest

from transformations.stores.server.throttled_log import ThrottledLog


def test_the_same_words_are_logged_once_a_second_and_others_at_once(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    throttled = ThrottledLog(logging.getLogger("test"), clock=lambda: now)
    for words in ("busy", "busy", "slow", "busy"):
        throttled.error(words)
    now += 0.99
    throttled.error("busy")
    now += 0.02
    for words in ("busy", "busy", "slow"):
        throttled.error(words)
    now += 5
    throttled.error("busy")
    assert caplog.messages == ["busy", "slow", "busy (and 3 times before)", "slow", "busy (and 1 time before)"]


def test_it_forgets_words_of_which_there_are_too_many(caplog: pytest.LogCaptureFixture) -> None:
    throttled = ThrottledLog(logging.getLogger("test"), clock=lambda: 0.0)
    for number in range(1_001):
        throttled.error(f"{number}")
    throttled.error("0")
    assert len(caplog.messages) == 1_002

"""Counts in messages: one thing is singular, none and several are plural."""

import pytest

from transformations.engine.base.words import plural


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (plural(0, "row"), "0 rows"),
        (plural(1, "stored row"), "1 stored row"),
        (plural(1204, "row"), "1,204 rows"),
        (plural(1, "entity", "entities"), "1 entity"),
        (plural(2, "entity", "entities"), "2 entities"),
    ],
)
def test_a_count_has_its_noun_in_the_right_number(said: str, words: str) -> None:
    assert said == words

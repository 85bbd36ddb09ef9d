"""What is deferred reads as a tuple would, and is read when somebody goes past its known end."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.raw.deferred import Deferred, joined

NUMBERS = st.lists(st.integers(-9, 9), max_size=4)


class Reading:
    """Numbers that are read, and how often."""

    def __init__(self, *numbers: int) -> None:
        self.numbers, self.times = numbers, 0

    def __call__(self) -> Sequence[int]:
        self.times += 1
        return self.numbers


@given(NUMBERS, NUMBERS, NUMBERS, st.booleans())
def test_it_is_the_sequence_of_what_is_read_and_its_end(
    old: list[int], end: list[int], more: list[int], by: bool
) -> None:
    found = joined(Deferred(lambda: old, end, (lambda each: each) if by else None), more)
    plain = tuple(sorted([*old, *end, *more])) if by else (*old, *end, *more)
    assert found == plain
    assert plain == found
    assert (len(found), bool(found), hash(found)) == (len(plain), bool(plain), hash(plain))
    assert tuple(reversed(found)) == plain[::-1]
    assert [found[place] for place in range(-len(plain), len(plain))] == [*plain, *plain]
    assert (found[1:], found[:-1]) == (plain[1:], plain[:-1])


def test_nothing_is_read_for_its_end() -> None:
    read = Reading(1, 2)
    found = joined(Deferred(read, [3]), [4])
    assert (found[-1], found[-2], next(reversed(found)), bool(found)) == (4, 3, 4, True)
    assert read.times == 0
    assert (found[0], len(found), list(found)) == (1, 4, [1, 2, 3, 4])
    assert read.times == 1

"""What a loop may spend on work that nobody waits for, by how busy its requests keep it."""

import asyncio
from dataclasses import dataclass

import pytest

from transformations.models.rollout.spare import Spare, busy_seconds


@dataclass
class Loop:
    """A loop by hand: its clock, for how long it was busy, and for how long it has run."""

    now: float = 100.0
    busy: float = 7.0
    ran: float = 3.0

    def spare(self) -> Spare:
        spare = Spare(busy=lambda: self.busy, ran=lambda: self.ran, clock=lambda: self.now)
        assert spare.is_there()  # it has looked for the first time
        return spare

    def answer(self, seconds: float, *, share: float) -> None:
        """Time goes by, and requests take this share of it."""
        self.now += seconds
        self.busy += share * seconds

    def work(self, spare: Spare, seconds: float) -> None:
        """Work of so many seconds that nobody waits for."""

        async def score() -> str:
            self.answer(seconds, share=1.0)
            self.ran += seconds
            return "done"

        assert asyncio.run(spare.spend(score())) == "done"


@pytest.mark.parametrize(("share", "left"), [(0.0, 0.07), (0.45, 0.025), (0.65, 0.005)])
def test_what_requests_leave_can_be_spent_and_no_more(share: float, left: float) -> None:
    loop = Loop()
    spare = loop.spare()
    loop.answer(0.11, share=share)
    assert spare.is_there()
    loop.work(spare, 0.9 * left)
    assert spare.is_there()
    loop.work(spare, 0.3 * left)
    assert not spare.is_there()


@pytest.mark.parametrize("share", [0.8, 0.95])
def test_a_loop_that_requests_keep_busy_has_next_to_none_until_they_do_so_no_more(share: float) -> None:
    loop = Loop()
    spare = loop.spare()
    loop.answer(0.11, share=share)
    assert spare.is_there()
    loop.work(spare, 0.003)  # 0.0011 were there
    looks = 0
    while not spare.is_there():
        loop.answer(0.11, share=share)
        looks += 1
    assert looks == 2
    loop.work(spare, 0.003)
    loop.answer(0.11, share=0.0)
    assert spare.is_there()


def test_what_was_spent_is_not_taken_for_requests() -> None:
    loop = Loop()
    spare = loop.spare()
    for _ in range(50):
        loop.work(spare, 0.02)
        loop.answer(0.09, share=0.4)
        assert spare.is_there()


def test_over_time_requests_and_other_work_take_no_more_than_the_limit_however_long_a_piece_of_work_takes() -> None:
    loop = Loop()
    spare = loop.spare()
    spent, pieces = 0.0, [0.001, 0.3, 0.04]
    for turn in range(3_000):
        loop.answer(0.02, share=0.5)
        if spare.is_there():
            loop.work(spare, pieces[turn % 3])
            spent += pieces[turn % 3]
    assert 0.6 < (loop.busy - 7.0) / (loop.now - 100.0) < 0.71
    assert spent > 10.0


async def test_waiting_counts_for_nothing_and_errors_are_the_works_own() -> None:
    spare = Spare(busy=lambda: 0.0)

    async def wait() -> None:
        await asyncio.sleep(0.2)
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        await spare.spend(wait())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await spare.spend(asyncio.sleep(5))
    assert spare.is_there()


def test_a_thread_that_computes_is_busy() -> None:
    before = busy_seconds()
    sum(range(2_000_000))
    assert busy_seconds() - before > 0.005

"""A request that is sent again is answered once, also while the first one is still being answered."""

import asyncio

import pytest

from transformations.models.serving.refusals import ReusedIdError
from transformations.models.serving.remembering import Memory

A = ("user_return", "a")


class Work:
    """Gives 1, 2, 3 …, one number a call; or fails."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.calls += 1
        await asyncio.sleep(0.01)
        if self.error is not None:
            raise self.error
        return self.calls


async def test_the_same_id_gives_the_same_answer_whether_it_is_there_yet_or_not() -> None:
    memory, work = Memory[int](), Work()
    together = await asyncio.gather(*(memory.answer(A, {"user_id": [7]}, work) for _ in range(3)))
    assert [*together, await memory.answer(A, {"user_id": [7]}, work)] == [1, 1, 1, 1]
    assert await memory.answer(("user_return", "b"), {"user_id": [7]}, work) == 2


async def test_other_rows_under_the_same_id_are_refused() -> None:
    memory = Memory[int]()
    await memory.answer(A, {"user_id": [7]}, Work())
    with pytest.raises(ReusedIdError, match="'a' came with other rows"):
        await memory.answer(A, {"user_id": [8]}, Work())


async def test_an_error_is_not_remembered_and_neither_is_what_was_forgotten() -> None:
    memory, work = Memory[int](), Work()
    work.error = ValueError("broken")
    with pytest.raises(ValueError, match="broken"):
        await memory.answer(A, {}, work)
    work.error = None
    assert await memory.answer(A, {}, work) == 2
    memory.forget(A)
    assert await memory.answer(A, {}, work) == 3


async def test_one_who_gives_up_waiting_does_not_end_it_for_the_others() -> None:
    memory, work = Memory[int](), Work()
    first = asyncio.create_task(memory.answer(A, {}, work))
    await asyncio.sleep(0)
    first.cancel()
    assert await memory.answer(A, {}, work) == 1


async def test_many_rows_push_out_the_oldest_answers_as_many_answers_do() -> None:
    memory, work = Memory[int](), Work()
    for number in range(60):
        await memory.answer(("user_return", f"{number}"), {"user_id": [7] * 1_000}, work)
    assert await memory.answer(("user_return", "59"), {"user_id": [7] * 1_000}, work) == 60
    assert await memory.answer(("user_return", "0"), {"user_id": [8]}, work) == 61
    for number in range(60):
        memory.forget(("user_return", f"{number}"))
    for number in range(60):  # what was forgotten takes no room
        await memory.answer(("user_return", f"small {number}"), {"user_id": [7]}, work)
    assert await memory.answer(("user_return", "small 0"), {"user_id": [7]}, work) == 62

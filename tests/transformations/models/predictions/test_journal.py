"""What is recorded in one turn of the loop takes one write, and nobody goes on before it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.transformations.models.predictions.conftest import lines, options
from transformations.models.predictions.journal import Journal
from transformations.models.predictions.recorder import Receipt, Recorder, UnrecordedError
from transformations.models.predictions.segment_reading import read_segment, segments_in
from transformations.models.predictions.segments import Segment


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each write to a segment has taken."""
    sizes: list[int] = []
    append = Segment.append

    def counted(segment: Segment, text: bytes, force: Callable[[int], None] | None) -> None:
        sizes.append(len(text))
        append(segment, text, force)

    monkeypatch.setattr(Segment, "append", counted)
    return sizes


def answered_in(folder: Path) -> dict[str, bool]:
    """By id whether a record counts as answered."""
    return {each.id: each.answered for path in segments_in(folder) for each in read_segment(path).records}


async def test_requests_of_one_turn_share_a_write_and_none_goes_on_before_it(folder: Path, writes: list[int]) -> None:
    with Recorder(folder, options()) as recorder:
        journal = Journal(recorder, is_alone=lambda: False)

        async def work(name: str) -> tuple[str, bool, Receipt | None]:
            receipt = await journal.record(lines(name, f"{name}2"))
            return name, name in answered_in(folder), receipt

        found = await asyncio.gather(*map(work, "abc"))
        assert len(writes) == 1
        assert [(name, is_there) for name, is_there, _ in found] == [("a", True), ("b", True), ("c", True)]
        recorder.unanswered(found[1][2])
        await work("d")
        assert len(writes) == 3
    assert [name for name, is_answered in answered_in(folder).items() if not is_answered] == ["b", "b2"]


async def test_a_request_that_is_alone_waits_for_no_turn(folder: Path, writes: list[int]) -> None:
    with Recorder(folder, options()) as recorder:
        work = Journal(recorder, is_alone=lambda: True).record(lines("a"))
        with pytest.raises(StopIteration):
            work.send(None)
    assert len(writes) == 1


async def test_where_the_backlog_is_full_each_request_is_told(folder: Path) -> None:
    line = len(lines("a")[0])
    with Recorder(folder, options(backlog_bytes=int(1.5 * line))) as recorder:
        journal = Journal(recorder, is_alone=lambda: False)
        work = (journal.record(lines(*names)) for names in ("ab", "c", "d"))
        found = await asyncio.gather(*work, return_exceptions=True)
    assert [type(each) for each in found] == [UnrecordedError, Receipt, UnrecordedError]
    assert answered_in(folder) == {"c": True}


async def test_a_request_that_is_given_up_while_it_waits_is_not_recorded(folder: Path) -> None:
    with Recorder(folder, options()) as recorder:
        journal = Journal(recorder, is_alone=lambda: False)
        given_up, other = (asyncio.create_task(journal.record(lines(name))) for name in "ab")
        asyncio.get_running_loop().call_soon(given_up.cancel)  # after both have asked, before the write
        await asyncio.wait([given_up, other])
    assert answered_in(folder) == {"b": True}


async def test_a_request_that_is_given_up_when_it_is_written_is_marked(folder: Path) -> None:
    with Recorder(folder, options()) as recorder:
        journal = Journal(recorder, is_alone=lambda: False)
        given_up, other = (asyncio.create_task(journal.record(lines(name))) for name in "ab")
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(given_up.cancel)  # behind the write, before the request goes on
        await asyncio.wait([given_up, other])
        assert recorder.counts.unanswered == 1
    assert answered_in(folder) == {"a": False, "b": True}

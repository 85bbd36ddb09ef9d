"""Segments: what was recorded is there whatever happens to the worker, and no torn line is taken for a whole one."""

import errno
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.transformations.models.predictions.conftest import lines, options
from transformations.engine.base.errors import DiskError
from transformations.engine.base.settings import Settings
from transformations.models.predictions.recorder import Options, Receipt, Recorder, UnrecordedError
from transformations.models.predictions.segment_reading import closed_segment, read_segment, segments_in


def ids_in(folder: Path) -> list[str]:
    """The ids of all records that a reader finds, in the order of segments and lines."""
    return [each.id for path in segments_in(folder) for each in read_segment(path).records]


def is_closed(segment: Path) -> bool:
    with closed_segment(segment) as found:
        return found


def eventually(is_so: Callable[[], bool]) -> bool:
    """Whether something becomes so within ten seconds."""
    deadline = time.monotonic() + 10
    while not (found := is_so()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def test_a_record_can_be_read_as_soon_as_it_is_written(folder: Path) -> None:
    with Recorder(folder, options()) as recorder:
        recorder.record(lines("a", "b"))
        assert ids_in(folder) == ["a", "b"]
        recorder.record(lines("c"))
        assert ids_in(folder) == ["a", "b", "c"]
    assert recorder.counts.recorded == 3


def test_a_segment_is_there_before_anything_is_answered_and_open_until_its_worker_ends(folder: Path) -> None:
    recorder = Recorder(folder, options())
    (segment,) = segments_in(folder)
    assert not is_closed(segment)
    recorder.close()
    with closed_segment(segment) as found:
        assert found
        with closed_segment(segment) as is_closed_for_another:
            assert not is_closed_for_another


def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="file"):
        Recorder(tmp_path / "file" / "_segments", options())


def test_cut_at_any_byte_a_segment_gives_the_whole_lines_before_the_cut(folder: Path, tmp_path: Path) -> None:
    with Recorder(folder, options()) as recorder:
        ends = [receipt.end for each in "abc" if (receipt := recorder.record(lines(each)))]
    (segment,) = segments_in(folder)
    whole = segment.read_bytes()
    cut = tmp_path / "cut.segment"
    for size in sorted({*range(0, len(whole), 17), *(end + near for end in ends for near in (-2, -1, 0, 1))}):
        cut.write_bytes(whole[:size])
        content = read_segment(cut)
        expected = [each for each, end in zip("abc", ends, strict=True) if end <= size]
        assert [each.id for each in content.records] == expected
        assert content.torn == (len(whole[:size]) not in (0, *ends))


def test_a_changed_byte_and_a_hole_of_zeros_cost_the_lines_they_are_in_and_no_other(folder: Path) -> None:
    with Recorder(folder, options()) as recorder:
        first = recorder.record(lines("a"))
        recorder.record(lines("b"))
        recorder.record(lines("c"))
    assert first is not None
    (segment,) = segments_in(folder)
    whole = segment.read_bytes()
    segment.write_bytes(whole.replace(b'"b"', b'"x"'))
    assert (ids_in(folder), read_segment(segment).torn) == (["a", "c"], 1)
    segment.write_bytes(b"\0" * first.end + whole[first.end :])
    assert (ids_in(folder), read_segment(segment).torn) == (["b", "c"], 1)


def test_a_whole_line_that_is_no_record_is_told_and_not_counted_as_torn(folder: Path) -> None:
    with Recorder(folder, options()) as recorder:
        recorder.record([b'{"format":2}\n', *lines("a")])
    content = read_segment(segments_in(folder)[0])
    assert ([each.id for each in content.records], content.torn) == (["a"], 0)
    assert content.unreadable[0].startswith("byte 0: ")


def test_a_segment_is_followed_by_the_next_at_its_size_and_at_its_age(folder: Path) -> None:
    with Recorder(folder, options(segment_bytes=1_000, segment_seconds=0.01)) as recorder:
        recorder.answered(recorder.record(lines("a", "b")))
        assert len(segments_in(folder)) == 2
        recorder.answered(recorder.record(lines("c")))
        assert eventually(lambda: len(segments_in(folder)) == 3)
        assert [len(read_segment(path).records) for path in segments_in(folder)] == [2, 1, 0]
        assert eventually(lambda: [is_closed(path) for path in segments_in(folder)] == [True, True, False])
        recorder.keep()
        assert len(segments_in(folder)) == 3  # an empty one is not followed


def test_a_segment_is_open_until_it_is_known_which_of_its_requests_were_answered(folder: Path) -> None:
    with Recorder(folder, options(segment_bytes=1)) as recorder:
        receipts = [recorder.record(lines(each, f"{each}2")) for each in "ab"]
        recorder.keep()
        first, second, _ = segments_in(folder)
        assert [is_closed(path) for path in (first, second)] == [False, False]
        recorder.answered(receipts[1])
        recorder.keep()
        assert [is_closed(path) for path in (first, second)] == [False, True]
        recorder.unanswered(receipts[0])
        recorder.keep()
        assert is_closed(first)
        assert recorder.counts.unanswered == 2
    found = [(each.id, each.answered) for path in segments_in(folder) for each in read_segment(path).records]
    assert found == [("a", False), ("a2", False), ("b", True), ("b2", True)]


def test_an_attempt_that_was_given_up_is_marked_and_a_later_one_of_the_same_id_is_not(folder: Path) -> None:
    with Recorder(folder, options()) as recorder:
        recorder.answered(recorder.record(lines("other")))
        given_up = recorder.record(lines("a"))
        recorder.answered(recorder.record(lines("a")))
        recorder.unanswered(given_up)
    (segment,) = segments_in(folder)
    assert [(each.id, each.answered) for each in read_segment(segment).records] == [
        ("other", True), ("a", False), ("a", True)
    ]  # fmt: skip


@pytest.mark.parametrize("is_refused", [True, False])
def test_a_full_backlog_is_refused_or_answered_unrecorded_and_ends_with_collection(
    folder: Path, is_refused: bool
) -> None:
    with Recorder(folder, options(backlog_bytes=1_200, is_refused_when_full=is_refused)) as recorder:
        recorder.record(lines("a"))
        if is_refused:
            with pytest.raises(UnrecordedError, match=r"wait to be collected.*features predictions collect"):
                recorder.record(lines("b", "c"))
        else:
            assert recorder.record(lines("b", "c")) is None
        assert (recorder.counts.refused, recorder.counts.unrecorded) == ((2, 0) if is_refused else (0, 2))
        assert recorder.fault
        os.truncate(segments_in(folder)[0], 0)  # what a collector's removal of closed segments comes to
        recorder.keep()
        assert recorder.record(lines("d")) is not None
        assert recorder.fault == ""


def test_requests_recorded_together_are_forced_to_disk_once_before_any_of_them_is_told(folder: Path) -> None:
    forced: list[int] = []
    with Recorder(folder, options(sync_seconds=0), lambda file: forced.append(os.fstat(file).st_size)) as recorder:
        before = len(forced)
        receipts = recorder.record_all([lines("a", "b"), lines("c")])
        assert forced[before:] == [max(each.end for each in receipts if isinstance(each, Receipt))]
        recorder.unanswered(receipts[0] if isinstance(receipts[0], Receipt) else None)
    found = [(each.id, each.answered) for path in segments_in(folder) for each in read_segment(path).records]
    assert found == [("a", False), ("b", False), ("c", True)]


def test_of_requests_that_cannot_be_recorded_together_each_is_by_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with Recorder(folder, options()) as recorder:
        recorder.record(lines("a"))
        monkeypatch.setattr(os, "write", lambda descriptor, text: write(descriptor, text[:700]))
        found = recorder.record_all([lines("b"), lines("c", "d"), lines("e")])
        assert [type(each) for each in found] == [Receipt, UnrecordedError, Receipt]
        assert "the disk took 700 of" in str(found[1])
        assert (recorder.counts.recorded, recorder.counts.refused) == (3, 2)
    assert (ids_in(folder), read_segment(segments_in(folder)[0]).torn) == (["a", "b", "e"], 0)


def test_of_a_write_that_the_disk_takes_in_part_nothing_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with Recorder(folder, options()) as recorder:
        recorder.record(lines("a"))
        monkeypatch.setattr(os, "write", lambda descriptor, text: write(descriptor, text[:100]))
        with pytest.raises(UnrecordedError, match="the disk took 100 of"):
            recorder.record(lines("b"))
        monkeypatch.undo()
        recorder.record(lines("c"))
    content = read_segment(segments_in(folder)[0])
    assert ([each.id for each in content.records], content.torn) == (["a", "c"], 0)
    assert recorder.counts.failures == 1


def test_a_disk_that_fails_even_to_cut_off_a_part_leaves_a_torn_segment_and_the_next_begins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    write = os.write
    with Recorder(folder, options()) as recorder:
        recorder.record(lines("a"))
        monkeypatch.setattr(os, "write", lambda descriptor, text: write(descriptor, text[:100]))
        monkeypatch.setattr(os, "ftruncate", fail)
        with pytest.raises(UnrecordedError):
            recorder.record(lines("b"))
        monkeypatch.undo()
        recorder.record(lines("c"))
    assert [(len(each.records), each.torn) for each in map(read_segment, segments_in(folder))] == [(1, 1), (1, 0)]


def test_a_power_cut_costs_nothing_that_was_forced_to_disk(folder: Path) -> None:
    on_disk: dict[int, int] = {}

    def force(descriptor: int) -> None:
        on_disk[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_size

    with Recorder(folder, options(sync_seconds=0), force) as each:
        each.record(lines("a"))
        each.record(lines("b"))
        cut(folder, on_disk)
        assert ids_in(folder) == ["a", "b"]
    with Recorder(folder, options(sync_seconds=0.05), force) as later:
        later.record(lines("c"))
        time.sleep(0.5)
        later.record(lines("d"))
        cut(folder, on_disk)
        assert ids_in(folder)[:3] == ["a", "b", "c"]


def cut(folder: Path, on_disk: dict[int, int]) -> None:
    """What a power cut leaves: of every file what was last forced to disk."""
    for path in segments_in(folder):
        os.truncate(path, on_disk.get(path.stat().st_ino, 0))


def test_a_request_whose_force_fails_is_not_recorded(folder: Path) -> None:
    fails = threading.Event()

    def force(_: int) -> None:
        if fails.is_set():
            raise OSError(errno.EIO, "Input/output error")

    with Recorder(folder, options(sync_seconds=0), force) as recorder:
        recorder.record(lines("a"))
        fails.set()
        with pytest.raises(UnrecordedError, match="Input/output error"):
            recorder.record(lines("b"))
        fails.clear()
        recorder.record(lines("c"))
    assert ids_in(folder) == ["a", "c"]


def test_after_a_fork_parent_and_child_write_to_segments_of_their_own(folder: Path) -> None:
    with Recorder(folder, options()) as recorder:
        recorder.record(lines("parent"))
        child = os.fork()
        if child == 0:
            recorder.record(lines("child"))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        parents, childs = segments_in(folder)
        assert [each.id for each in read_segment(childs).records] == ["child"]
        assert [is_closed(path) for path in (parents, childs)] == [False, True]
        recorder.record(lines("again"))
        assert [each.id for each in read_segment(parents).records] == ["parent", "again"]


def test_of_a_killed_worker_everything_is_there_whose_record_call_had_returned(folder: Path) -> None:
    answers, answer = os.pipe()
    child = os.fork()
    if child == 0:
        recorder = Recorder(folder, options(segment_bytes=50_000))
        for number in itertools.count():
            recorder.record(lines(f"{number}", f"{number}b"))
            os.write(answer, b"%d\n" % number)
    os.close(answer)
    with os.fdopen(answers) as said:
        answered = [said.readline().strip() for _ in range(200)]
        os.kill(child, signal.SIGKILL)
        answered += said.read().split("\n")[:-1]
    os.waitpid(child, 0)
    assert set(answered) | {f"{each}b" for each in answered} <= set(ids_in(folder))
    assert all(map(is_closed, segments_in(folder)))


def test_threads_of_one_worker_record_side_by_side(folder: Path) -> None:
    with Recorder(folder, options(sync_seconds=0.001, segment_bytes=20_000)) as recorder:

        def work(name: str) -> None:
            for number in range(50):
                recorder.record(lines(f"{name}{number}", f"{name}{number}b"))

        threads = [threading.Thread(target=work, args=(name,)) for name in "wxyz"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(ids_in(folder))) == len(ids_in(folder)) == 400
    assert all(read_segment(path).torn == 0 for path in segments_in(folder))


@pytest.mark.parametrize(("said", "seconds"), [("never", None), ("each", 0.0), ("250", 0.25)])
def test_options_are_those_of_the_settings(said: str, seconds: float | None, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, record_sync=said, record_when_full="answer", record_segment_mb=2)
    found = Options.of(settings)
    assert (found.sync_seconds, found.is_refused_when_full, found.segment_bytes) == (seconds, False, 2 * 2**20)

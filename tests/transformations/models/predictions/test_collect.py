"""Collecting: every prediction once in Parquet by day, whatever is collected when, by whom, and killed where."""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.transformations.models.predictions.conftest import NOON, give_artifact, lines, options, scored
from transformations.engine.base.errors import DamagedError, DiskError
from transformations.engine.base.settings import Settings
from transformations.models.predictions.collect import Collected, collect
from transformations.models.predictions.lines import Scored, record_lines
from transformations.models.predictions.published import places_of, read_place, served_folder
from transformations.models.predictions.recorder import Recorder
from transformations.models.predictions.segment_reading import read_segment, segments_in
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.prediction_table import records_of
from transformations.models.records.predictions import PredictionRecord

MIDNIGHT = datetime(2024, 5, 21, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(data=tmp_path)
    give_artifact(found, "returns", "churn")
    return found


@pytest.fixture
def record(settings: Settings) -> Callable[..., None]:
    """Records rows as a worker of their own does that then ends."""

    def write(*rows: Scored, answered: bool = True) -> None:
        with Recorder(segments_folder(settings), options()) as recorder:
            for each in rows:
                receipt = recorder.record(record_lines(each))
                (recorder.answered if answered else recorder.unanswered)(receipt)

    return write


def filed(settings: Settings, model: str = "returns") -> list[PredictionRecord]:
    """All collected records of a model, by day, version and moment."""
    return [each for place in places_of(model, settings) for each in records_of(read_place(place, settings))]


def test_what_is_collected_is_what_was_recorded(settings: Settings, record: Callable[..., None]) -> None:
    record(scored("a", "b"), scored("c", at=NOON + SECOND))
    written = [each for path in segments_in(segments_folder(settings)) for each in read_segment(path).records]

    found = collect(settings)

    assert filed(settings) == written
    assert (found.records, found.segments, found.torn) == (3, 1, 0)
    assert segments_in(segments_folder(settings)) == []


def test_collecting_again_changes_nothing(settings: Settings, record: Callable[..., None]) -> None:
    record(scored("a"))
    collect(settings)
    (file,) = served_folder("returns", settings).glob("*/*.parquet")
    stamp = file.stat().st_mtime_ns
    assert collect(settings) == Collected()
    assert file.stat().st_mtime_ns == stamp


def test_records_go_to_the_utc_day_of_their_request_however_late_they_come(
    settings: Settings, record: Callable[..., None]
) -> None:
    record(scored("new", at=MIDNIGHT))
    collect(settings)
    record(scored("late", at=MIDNIGHT - timedelta(microseconds=1)))
    collect(settings)
    names = {
        path.parent.name: pq.read_table(path, partitioning=None)["id"].to_pylist()
        for path in served_folder("returns", settings).glob("*/v1.parquet")
    }
    assert names == {"day=2024-05-20": ["late"], "day=2024-05-21": ["new"]}


def test_a_segment_that_is_written_to_stays_and_is_collected_once_it_is_closed(settings: Settings) -> None:
    with Recorder(segments_folder(settings), options()) as recorder:
        recorder.record(lines("a"))
        assert (collect(settings).waiting, filed(settings)) == (1, [])
    assert collect(settings).records == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("later", [NOON + SECOND, MIDNIGHT + SECOND])
def test_of_a_retried_id_the_first_answered_attempt_stays(
    settings: Settings, record: Callable[..., None], order: tuple[int, int], together: bool, later: datetime
) -> None:
    attempts = [scored("a", at=NOON, scores=[0.1]), scored("a", at=later, scores=[0.2])]
    for each in order:
        record(attempts[each])
        if not together:
            collect(settings)
    collect(settings)
    assert [(each.id, each.score) for each in filed(settings)] == [("a", 0.1)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_attempt_that_was_given_up_gives_way_to_the_answered_one(
    settings: Settings, record: Callable[..., None], order: tuple[int, int]
) -> None:
    attempts = [(scored("a", scores=[0.1]), False), (scored("a", at=NOON + SECOND, scores=[0.2], version=2), True)]
    for each in order:
        rows, answered = attempts[each]
        record(rows, answered=answered)
        collect(settings)
    assert [(each.version, each.score, each.answered) for each in filed(settings)] == [(2, 0.2, True)]


@pytest.mark.parametrize("together", [True, False])
def test_an_id_that_comes_again_with_other_rows_is_another_prediction_and_is_told(
    settings: Settings, record: Callable[..., None], together: bool
) -> None:
    """As careless clients send them: to another worker, or after the five minutes in which a server refuses that."""
    attempts = [scored("a", request={"price": [price]}, at=NOON + price * SECOND) for price in (1, 2, 1)]
    told: set[str] = set()
    for each in attempts:
        record(each)
        if not together:
            told |= collect(settings).reused
    found = collect(settings)
    assert told | found.reused == {"a"}
    assert [(each.id, each.request["price"]) for each in filed(settings)] == [("a", 1), ("a", 2)]
    assert collect(settings).reused == set()


def test_an_id_is_the_same_prediction_whatever_types_its_rows_have_in_the_files(
    settings: Settings, record: Callable[..., None]
) -> None:
    for name, value in (("a", 7), ("b", "de"), ("a", 7), ("c", 2.5), ("a", 7.0)):
        record(scored(name, request={"asked": [value]}))
        found = collect(settings)
        assert found.reused == set()
    assert [(each.id, each.request["asked"]) for each in filed(settings)] == [("a", "7"), ("b", "de"), ("c", "2.5")]


def test_a_version_that_was_asked_for_by_its_number_stands_beside_the_answer(
    settings: Settings, record: Callable[..., None]
) -> None:
    record(scored("a", scores=[0.1]), replace(scored("a", scores=[0.2]), event=None))
    record(replace(scored("a", version=2, scores=[0.3]), event=None))
    found = collect(settings)
    assert [(each.version, each.event, each.score) for each in filed(settings)] == [
        (1, 3, 0.1),
        (1, None, 0.2),
        (2, None, 0.3),
    ]
    assert found.reused == set()


def test_a_record_that_was_never_answered_is_kept_and_marked(settings: Settings, record: Callable[..., None]) -> None:
    record(scored("a"), answered=False)
    found = collect(settings)
    assert [(each.id, each.answered) for each in filed(settings)] == [("a", False)]
    assert found.unanswered == 1


def test_what_a_shadow_said_stays_beside_the_answer(settings: Settings, record: Callable[..., None]) -> None:
    record(scored("a"), scored("a", version=2, role="shadow"), scored("a", version=2, role="shadow", at=NOON + SECOND))
    collect(settings)
    assert [(each.version, each.role) for each in filed(settings)] == [(1, "production"), (2, "shadow")]


def test_versions_whose_features_differ_lie_in_files_of_their_own_and_read_together(
    settings: Settings, record: Callable[..., None]
) -> None:
    record(scored("a"), scored("b", version=2, features={"visits_28d": ["de"]}, moment=None))
    collect(settings)
    pattern = f"{served_folder('returns', settings)}/*/*.parquet"
    query = f"SELECT id, features.visits_28d.value FROM read_parquet('{pattern}', union_by_name = true) ORDER BY id"
    with duckdb.connect() as connection:
        rows = connection.execute(query).fetchall()
    assert rows == [("a", "4"), ("b", "de")]


def test_values_of_several_kinds_in_one_field_become_json_and_none_changes(
    settings: Settings, record: Callable[..., None]
) -> None:
    for number, value in enumerate([1, 2**60, 0.5, "text", True, None]):
        record(scored(f"{number}", request={"asked": [value]}))
        collect(settings)
    assert [each.request["asked"] for each in filed(settings)] == ["1", f"{2**60}", "0.5", "text", "true", None]


def test_one_model_alone_is_collected_and_what_is_others_stays_for_them(
    settings: Settings, record: Callable[..., None]
) -> None:
    record(scored("a"), scored("b", model="churn"))
    assert collect(settings, "returns").records == 1
    assert len(segments_in(segments_folder(settings))) == 1
    assert collect(settings).records == 1
    assert [each.id for model in ("returns", "churn") for each in filed(settings, model)] == ["a", "b"]
    assert segments_in(segments_folder(settings)) == []


def test_a_segment_with_a_line_that_nobody_can_read_stays(settings: Settings) -> None:
    with Recorder(segments_folder(settings), options()) as recorder:
        recorder.record([b'{"format":2}\n', *lines("a")])
    for _ in range(2):
        found = collect(settings)
        assert [each.id for each in filed(settings)] == ["a"]
        assert len(found.unreadable) == len(segments_in(segments_folder(settings))) == 1


def test_torn_lines_are_counted_and_go_with_their_segment(settings: Settings, record: Callable[..., None]) -> None:
    record(scored("a"), scored("b"))
    (segment,) = segments_in(segments_folder(settings))
    os.truncate(segment, segment.stat().st_size - 1)
    found = collect(settings)
    assert ([each.id for each in filed(settings)], found.torn, found.segments) == (["a"], 1, 1)


def test_what_a_worker_left_that_died_before_it_named_its_segment_goes(settings: Settings) -> None:
    folder = segments_folder(settings)
    folder.mkdir(parents=True)
    (folder / ".2024.segment.unfinished").touch()
    collect(settings)
    assert list(folder.glob(".*unfinished")) == []


def test_a_collected_file_that_is_damaged_is_refused_by_its_path_and_the_segments_stay(
    settings: Settings, record: Callable[..., None]
) -> None:
    record(scored("a"))
    collect(settings)
    (file,) = served_folder("returns", settings).glob("*/*.parquet")
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    record(scored("b"))
    for damage in (bytes(content), content[: len(content) // 2]):
        file.write_bytes(damage)
        with pytest.raises(DamagedError, match=f"^{file} is damaged: "):
            collect(settings)
    file.unlink()
    file.mkdir()
    with pytest.raises(DiskError, match=f"^{file} is a folder where a file is needed"):
        collect(settings)
    assert len(segments_in(segments_folder(settings))) == 1


@pytest.mark.parametrize("kill", range(9))
def test_killed_before_any_step_the_next_collection_completes_it(
    settings: Settings, record: Callable[..., None], monkeypatch: pytest.MonkeyPatch, kill: int
) -> None:
    """A retried id whose first attempt comes late moves to another day: two files are written, then segments go."""
    record(scored("a", at=MIDNIGHT + SECOND, scores=[0.2]), scored("c", at=MIDNIGHT + SECOND))
    collect(settings)
    record(scored("a", at=MIDNIGHT - SECOND, scores=[0.1]), scored("b", at=MIDNIGHT - SECOND))
    record(scored("d", at=MIDNIGHT + SECOND))
    steps = 0

    def step(act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*given: Any, **named: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > kill:
                raise KeyboardInterrupt
            return act(*given, **named)

        return acting

    with monkeypatch.context() as patch:
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            patch.setattr(owner, name, step(getattr(owner, name)))
        try:
            collect(settings)
        except KeyboardInterrupt:
            pass
        else:
            assert kill == 8
    collect(settings)
    assert sorted((each.id, each.score) for each in filed(settings)) == [
        ("a", 0.1), ("b", 0.25), ("c", 0.25), ("d", 0.25)
    ]  # fmt: skip
    assert segments_in(segments_folder(settings)) == []


def test_whatever_is_retried_and_collected_when_each_prediction_is_there_once(
    settings: Settings, record: Callable[..., None]
) -> None:
    """Against a plain dictionary: the first answered attempt of each id, else the first."""
    random.seed(7)
    expected: dict[str, tuple[bool, datetime]] = {}
    for _ in range(60):
        name, at = f"{random.randrange(15)}", MIDNIGHT + random.randrange(-20, 20) * SECOND
        answered = random.random() < 0.6
        record(scored(name, at=at), answered=answered)
        expected[name] = min(expected.get(name, (not answered, at)), (not answered, at))
        if random.random() < 0.3:
            collect(settings)
    collect(settings)
    found = {each.id: (not each.answered, each.request_timestamp) for each in filed(settings)}
    assert found == expected
    assert len(filed(settings)) == len(expected)

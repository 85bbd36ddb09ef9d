"""The collected record in object storage: several machines collect, and each prediction is there once in the end."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.transformations.models.predictions.conftest import NOON, give_artifact, options, scored
from transformations.engine.base.files.published import put_folder
from transformations.engine.base.settings import Settings
from transformations.models.batch.publishing import batches_folder
from transformations.models.predictions import collect as collecting
from transformations.models.predictions.collect import Collected, collect
from transformations.models.predictions.finding import last_day, models_with_records, records_of_day, records_of_id
from transformations.models.predictions.lines import Scored, record_lines
from transformations.models.predictions.published import Place, table_of
from transformations.models.predictions.recorder import Recorder
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.predictions import PredictionRecord, batch_id, request_id

On = Callable[[str], Settings]
LATER = NOON + timedelta(seconds=1)


@pytest.fixture
def on(at_machine: On, tmp_path: Path) -> On:
    """The settings of a machine, from now on this process'. All have the model's artifact in their bucket."""
    finished = Settings(data=tmp_path / "finished")
    give_artifact(finished, "returns")
    put_folder(finished.models_dir / "returns" / "run", on_models(at_machine("a")))
    return at_machine


def on_models(settings: Settings) -> Path:
    folder = settings.models_dir / "returns"
    folder.mkdir(parents=True)
    return folder / "run"


def record(settings: Settings, *rows: Scored) -> None:
    with Recorder(segments_folder(settings), options()) as recorder:
        for each in rows:
            recorder.answered(recorder.record(record_lines(each)))


def filed(settings: Settings) -> list[tuple[str, int, float | None]]:
    found = records_of_day("returns", NOON.date(), settings)
    return sorted((each.id, each.version, each.score) for each in found)


def test_what_each_machine_collects_all_of_them_find(on: On) -> None:
    record(on("a"), scored("a", "b"))
    assert collect(on("a")).records == 2
    record(on("b"), scored("c", at=LATER), scored("a", at=LATER, scores=[0.9]))
    found = collect(on("b"))
    assert (found.records, found.repeats, found.segments) == (1, 1, 1)
    assert filed(on("c")) == [("a", 1, 0.25), ("b", 1, 0.25), ("c", 1, 0.25)]
    assert [each.id for each in records_of_id("c", on("c"))] == ["c"]
    assert (models_with_records(on("c")), last_day("returns", on("c"))) == (["returns"], NOON.date())
    assert collect(on("a")) == Collected()


@pytest.mark.parametrize("tells", [True, False])
def test_by_an_id_that_tells_its_day_no_other_days_are_fetched(on: On, tmp_path: Path, tells: bool) -> None:
    days = [NOON - timedelta(days=each) for each in (40, 30, 0)]
    names = [f"{request_id(day)}-0" for day in days] if tells else ["a", "b", "c"]
    for day, name in zip(days, names, strict=True):
        record(on("a"), scored(name, at=day))
    collect(on("a"))
    found = records_of_id(names[1], on("b"))
    assert [(each.id, each.request_timestamp) for each in found] == [(names[1], days[1])]
    fetched = {file.parent.name for file in (tmp_path / "b").rglob("v1.parquet")}
    assert fetched == ({"day=2024-04-20"} if tells else {"day=2024-04-10", "day=2024-04-20", "day=2024-05-20"})


def test_what_is_filed_on_another_day_than_its_id_tells_is_found_all_the_same(on: On) -> None:
    name = f"{request_id(NOON - timedelta(days=300))}-0"
    record(on("a"), scored(name))
    collect(on("a"))
    assert [each.id for each in records_of_id(name, on("b"))] == [name]
    assert records_of_id(f"{request_id(NOON)}-0", on("b")) == []


def test_of_batches_those_are_fetched_that_can_hold_the_id(on: On, tmp_path: Path) -> None:
    name = batch_id("returns", 1, NOON, {"user_id": 1}, {})
    there = batches_folder("returns", on("a"))
    there.mkdir(parents=True)
    for batch in ("2024-05-19-v1", "2024-05-20-v1", "2024-05-20-v2", "2024-01-01-v1", "spine-0a-v1", "spine-0a-v2"):
        day = tmp_path / "new" / batch / "day=2024-05-20"
        day.mkdir(parents=True)
        (line,) = record_lines(scored(name if batch == "2024-05-20-v1" else batch))
        pq.write_table(table_of([PredictionRecord.model_validate_json(line)]), day / "predictions.parquet")
        put_folder(day.parent, there / batch)

    assert [each.id for each in records_of_id(name, on("b"))] == [name]
    fetched = {path.name for path in batches_folder("returns", on("b")).iterdir() if not path.name.startswith(".")}
    assert fetched == {"2024-05-19-v1", "2024-05-20-v1", "spine-0a-v1"}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("is_late", [True, False])
def test_of_two_that_file_at_once_both_are_there_and_no_prediction_twice(
    on: On, monkeypatch: pytest.MonkeyPatch, version: int, is_late: bool
) -> None:
    """While machine a writes what it has read, machine b files the same prediction, in the same place or another."""
    write, is_first = collecting.write_place, iter([True])

    def meanwhile(place: Place, *arguments: Any) -> int:
        if next(is_first, False):
            other = on("b")
            moment = LATER if is_late else NOON - timedelta(seconds=1)
            record(other, scored("both", at=moment, scores=[0.9], version=version), scored("b", version=version))
            collect(other)
            on("a")
        return write(place, *arguments)

    record(on("a"), scored("both", "a", scores=[0.1, 0.2]))
    monkeypatch.setattr(collecting, "write_place", meanwhile)
    assert collect(on("a")).records >= 1
    stays = ("both", 1, 0.1) if is_late else ("both", version, 0.9)
    assert filed(on("c")) == sorted([("a", 1, 0.2), ("b", version, 0.25), stays])

"""Finding recorded predictions: by day or by id, in what is collected, in segments, and in published batches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformations.engine.base.files.published import bring, published_in
from transformations.engine.base.settings import Settings
from transformations.models.batch.publishing import DAY, batches_folder
from transformations.models.predictions.published import path_of, places_of, read_place
from transformations.models.predictions.segment_reading import read_segment, segments_in
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.prediction_table import records_of
from transformations.models.records.predictions import PredictionRecord, Told, told_by


def models_with_records(settings: Settings) -> list[str]:
    """The models of which predictions are collected or published."""
    return [name for name in models_recorded(settings) if last_day(name, settings) is not None]


def models_recorded(settings: Settings) -> list[str]:
    """The models that the record may know, by name."""
    return [folder.name for folder in published_in(settings.predictions_dir, "[!._@]*") if not folder.is_file()]


def last_day(model: str, settings: Settings) -> date | None:
    """The last UTC day of which a model has records that are collected or published; None without any."""
    days = [place.day for place in places_of(model, settings)]
    days += [date.fromisoformat(file.parent.name.removeprefix(f"{DAY}=")) for file in _batch_files(model, settings)]
    return max(days, default=None)


def records_of_day(model: str, day: date, settings: Settings) -> Iterator[PredictionRecord]:
    """What a model said on a UTC day, online and in batch, as far as it is collected."""
    for place in places_of(model, settings, [day]):
        yield from records_of(read_place(place, settings))
    for file in _batch_files(model, settings, day):
        yield from records_of(pq.read_table(file, partitioning=None))


def sample_of_day(
    model: str, day: date, size: int | None, seed: int, settings: Settings
) -> tuple[list[PredictionRecord], int]:
    """So many of the records of a UTC day, as far as they are collected, by id and version; and how many there are.

    size: None for all. It is the same sample for the same seed and records. Only its own rows are read whole, so that
    a day of millions is no matter of memory.
    """
    files = [path_of(place, settings) for place in places_of(model, settings, [day])]
    files += _batch_files(model, settings, day)
    named = [_named_rows(file, number) for number, file in enumerate(files)]
    rows = pa.concat_tables(named) if named else pa.table({"id": pa.array([], pa.string())})
    if size is None or size >= len(rows):
        found = records_of_day(model, day, settings)
        return sorted(found, key=lambda record: (record.id, record.version)), len(rows)
    rows = rows.sort_by([("id", "ascending"), ("version", "ascending")])
    chosen = rows.take(pa.array(random.Random(seed).sample(range(len(rows)), size)))
    records: dict[tuple[str, int], PredictionRecord] = {}
    for number in pc.unique(chosen["file"]).to_pylist():
        ids = chosen.filter(pc.equal(chosen["file"], number))["id"].combine_chunks()
        table = pq.read_table(
            files[number], partitioning=None, filters=pc.field("id").isin(ids), page_checksum_verification=True
        )
        records |= {(record.id, record.version): record for record in records_of(table)}
    return [records[each["id"], each["version"]] for each in chosen.to_pylist()], len(rows)


def _named_rows(file: Path, number: int) -> pa.Table:
    """The id and version of a file's rows, and the number of the file."""
    table = pq.read_table(file, columns=["id", "version"], partitioning=None, page_checksum_verification=True)
    return table.append_column("file", pa.repeat(pa.scalar(number, pa.int64()), len(table)))


def records_of_id(prediction: str, settings: Settings) -> list[PredictionRecord]:
    """The records of an id, wherever they are; several where a shadow was asked, too, or the id was sent again.

    Where the id tells its day, only that day and those beside it are looked at, unless it is not there.
    """
    told = told_by(prediction)
    filed = [] if told is None else list(_filed(prediction, told, settings))
    return [*(filed or _filed(prediction, None, settings)), *_in_segments(prediction, settings)]


def _filed(prediction: str, told: Told | None, settings: Settings) -> Iterator[PredictionRecord]:
    days = None if told is None else _near(told)
    for model in models_recorded(settings):
        if told is not None and told.model not in (None, model):
            continue
        collected = [path_of(place, settings) for place in places_of(model, settings, days)]
        for file in sorted([*collected, *_batch_files(model, settings, told=told)]):
            # Statistics of ids rule out most files of batches, whose ids begin alike.
            yield from records_of(pq.read_table(file, partitioning=None, filters=[("id", "=", prediction)]))


def _in_segments(prediction: str, settings: Settings) -> Iterator[PredictionRecord]:
    for segment in segments_in(segments_folder(settings)):
        with suppress(FileNotFoundError):  # collected in the meantime
            yield from (record for record in read_segment(segment).records if record.id == prediction)


def _batch_files(model: str, settings: Settings, day: date | None = None, told: Told | None = None) -> list[Path]:
    """The files of a model's batches; day: of rows of that day alone; told: of those that can have the id."""
    pattern = f"{DAY}={'*' if day is None else day.isoformat()}/*.parquet"
    batches = [each for each in published_in(batches_folder(model, settings)) if told is None or _may_hold(each, told)]
    return sorted(file for folder in map(bring, batches) for file in folder.glob(pattern))


def _may_hold(batch: Path, told: Told) -> bool:
    """Whether a batch can have a row of which an id tells this: one of a spine may be of any days."""
    of, _, version = batch.name.rpartition("-v")
    return version == str(told.version) and (of in map(date.isoformat, _near(told)) or of.startswith("spine-"))


def _near(told: Told) -> list[date]:
    """The day that an id tells, and those beside it: another attempt's, or a batch's own where its zone is not UTC."""
    return [told.day + timedelta(days=each) for each in (-1, 0, 1)]

"""What tasks read themselves: every version of an event, and of few rows only what a correction has touched."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.engine.compute.knowledge import FOREVER, SINCE, UNTIL
from transformations.engine.compute.readings import FileReading, Files, HistoryReading, Narrowing

RAW = pa.schema(
    [
        ("event_id", pa.int64()),
        ("user_id", pa.int64()),
        ("amount", pa.float64()),
        ("_business_day", pa.int32()),
        ("_drop", pa.int32()),
        ("_retracted", pa.bool_()),
    ]
)
NUMBERS = ((1, 1), (2, 4), (3, 5))  # drops of the source in the view's timeline


def history(folder: Path, *rows: tuple[object, ...], superseding: tuple[int, ...] = (2, 3)) -> HistoryReading:
    """A reading of raw rows: event, user, amount, business day, drop, retracted."""
    columns = zip(*rows, strict=True)
    pq.write_table(pa.table([list(column) for column in columns], schema=RAW), folder / "raw.parquet")
    return HistoryReading(
        files=[str(folder / "raw.parquet")],
        schema=RAW,
        columns=["user_id", "amount", "_business_day"],
        identity=["event_id"],
        superseding=superseding,
        numbers=NUMBERS,
        days=None,
    )


def versions(reading: HistoryReading) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in reading.read().to_pylist()]


def test_an_event_is_known_from_its_drop_until_the_one_that_repeats_it(tmp_path: Path) -> None:
    reading = history(
        tmp_path,
        (7, 1, 10.0, 3, 1, False),
        (8, 1, 5.0, 3, 1, False),
        (7, 1, 12.0, 3, 2, False),
        (7, 1, 13.0, 4, 3, False),  # corrected again, and moved a day on
    )
    assert versions(reading) == [
        (1, 10.0, 3, 1, 4),
        (1, 5.0, 3, 1, FOREVER),
        (1, 12.0, 3, 4, 5),
        (1, 13.0, 4, 5, FOREVER),
    ]


def test_a_retracted_event_ends_and_the_retraction_itself_is_no_event(tmp_path: Path) -> None:
    reading = history(tmp_path, (7, 1, 10.0, 3, 1, False), (7, None, None, 3, 2, True), (7, 1, 9.0, 3, 3, False))
    assert versions(reading) == [(1, 10.0, 3, 1, 4), (1, 9.0, 3, 5, FOREVER)]


def test_without_a_drop_that_supersedes_every_event_stays(tmp_path: Path) -> None:
    reading = history(tmp_path, (7, 1, 10.0, 3, 1, False), (8, 1, 5.0, 2, 2, False), superseding=())
    assert versions(reading) == [(1, 10.0, 3, 1, FOREVER), (1, 5.0, 2, 4, FOREVER)]


def test_days_are_chosen_after_what_repeats_an_event_is_found_on_any_day(tmp_path: Path) -> None:
    whole = history(tmp_path, (7, 1, 10.0, 3, 1, False), (7, 1, 12.0, 9, 2, False))
    assert versions(HistoryReading(**{**vars(whole), "days": [range(3, 4)]})) == [(1, 10.0, 3, 1, 4)]


@pytest.mark.parametrize("buckets", [1, 2])
def test_of_untouched_entities_only_the_days_to_come_are_read(tmp_path: Path, buckets: int) -> None:
    reading = history(
        tmp_path,
        (7, 1, 10.0, 3, 1, False),
        (9, 2, 1.0, 3, 1, False),
        (5, None, 1.0, 21, 1, False),  # nobody's
        (6, 3, 1.0, 5, 1, False),
        (7, 1, 12.0, 3, 2, False),
        (4, 2, 2.0, 9, 3, False),  # late
        (3, 3, 2.0, 21, 3, False),  # with a day that was not complete before
    )
    moments = pa.array([0, 10, 0, 10], pa.timestamp("us", tz="UTC"))
    stored = pa.table({"user_id": [1, 1, 3, 3], "event_timestamp": moments})
    pq.write_table(stored, tmp_path / "stored.parquet")
    rows = FileReading(
        kind="stored",
        files=[str(tmp_path / "stored.parquet")],
        schema=stored.schema,
        columns=stored.column_names,
    )
    narrowing = Narrowing(drops=(4, 5), complete_day=20, days=[range(21, 22)], covered=5)
    files = Files((reading, rows), ("user_id",), narrowing)
    read = [files.bucket(number, buckets) for number in range(buckets)]
    tables = {kind: pa.concat_tables([tables[kind] for tables, _ in read]) for kind in ("events", "marks", "stored")}
    events = sorted(zip(*(tables["events"][name].to_pylist() for name in ("user_id", SINCE, UNTIL)), strict=True))
    assert events == [(1, 1, 4), (1, 4, FOREVER), (2, 1, FOREVER), (2, 5, FOREVER), (3, 5, FOREVER)]
    assert np.unique(tables["marks"]["user_id"].to_numpy()).tolist() == [1, 2]
    kept = zip(tables["stored"]["user_id"].to_pylist(), tables["stored"]["event_timestamp"].to_pylist(), strict=True)
    assert sorted((user, moment.microsecond) for user, moment in kept) == [(1, 0), (1, 10), (3, 10)]
    assert [counts for _, counts in read] == [[2, 1]] * buckets  # of the days to come: two events, one without a key

"""The pieces of the replay: its place and clock, its two faults, and the comparison of what was served.

The whole replay is in `make demo`, which compares every score by itself, and in `make replay-proof`.
"""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.worlds.literal_table import RUN
from transformations.cli.demo import asking, faults
from transformations.cli.demo.replay_place import ReplayPlace
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings, present_moment
from transformations.engine.base.storage import NewFile
from transformations.engine.tables.layout import write_rows
from transformations.engine.tables.offline_tables import OfflineTable

from .conftest import Demo

NIGHT, MORNING = timedelta(hours=7), timedelta(hours=11)
MONDAYS = [datetime(2017, 11, 13, tzinfo=UTC) + timedelta(weeks=week) for week in range(3)]
GOOD, *BAD = MONDAYS
TIMESTAMP = pa.timestamp("us", tz="UTC")


def test_a_replay_sees_its_own_data_and_clock_and_leaves_the_environment_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_REDIS_URL", "redis://far")
    monkeypatch.setenv("FEATURES_SPARK_DRIVER_MEMORY", "1g")
    before = dict(os.environ)
    place = ReplayPlace(tmp_path, tmp_path / "replay")
    place.folder.mkdir()
    with place.entered():
        for moment in (GOOD, BAD[0]):
            place.set_clock(moment)
            assert present_moment() == get_settings().now() == moment
        assert get_settings().data == tmp_path / "replay"
        assert get_settings().redis_url is None, "another service is not this replay's"
        assert get_settings().spark_driver_memory == "1g"
    assert dict(os.environ) == before


def test_the_server_of_a_killed_replay_is_ended_and_no_other_process(tmp_path: Path) -> None:
    place = ReplayPlace(tmp_path, tmp_path / "replay")
    sleeping = "import sys; sys.stdin.read()"
    for name, is_ended in (("model serve", True), ("another", False)):
        place.folder.mkdir()
        process = subprocess.Popen([sys.executable, "-c", sleeping, name], stdin=subprocess.PIPE)
        place.server.write_text(str(process.pid))
        place.remove()
        assert not place.folder.exists()
        if not is_ended:
            assert process.poll() is None
            process.communicate(b"")
        assert process.wait(timeout=10) == (-signal.SIGTERM if is_ended else 0)


def rows(*values: tuple[int, datetime, float, int]) -> pa.Table:
    """household, night, spend of 28 days, trips of 28 days"""
    keys, nights, spends, trips = zip(*values, strict=True)
    return pa.table(
        {
            "household_id": pa.array(keys, pa.int64()),
            "event_timestamp": pa.array(nights, TIMESTAMP),
            "created_timestamp": pa.array(nights, TIMESTAMP),
            "spend_sum_28d": pa.array(spends, pa.float64()),
            "trips_count_28d": pa.array(trips, pa.int64()),
        }
    )


def test_on_bad_mondays_one_feature_is_in_another_unit_and_another_stays_as_it_was(tmp_path: Path) -> None:
    stored = rows(
        (1, GOOD + NIGHT, 10.0, 3),
        (1, BAD[0] + NIGHT, 20.0, 4),
        (1, BAD[0] + NIGHT + timedelta(days=1), 21.0, 5),
        (2, GOOD + NIGHT - timedelta(days=4), 30.0, 6),  # nothing has changed for 2 since
        (3, BAD[1] + NIGHT, 40.0, 1),  # new, so nothing could be frozen
    )
    table = OfflineTable(tmp_path / "household_purchases")
    file = write_rows(stored, table.path / "run=a" / "part-0.parquet")
    new = NewFile("run=a/part-0.parquet", file.stat().st_size, stored.num_rows)
    table.publish([new], stored.schema, replace(RUN, rows=stored.num_rows), after=None, replace_all=False)

    faults.break_mondays(tmp_path, GOOD + MORNING, [each + MORNING for each in BAD])

    def served(moment: datetime) -> list[tuple[int, float, int]]:
        import pyarrow.parquet as pq

        every = pq.read_table(list(table.newest().files), partitioning=None)
        found = faults.newest_rows(every, moment)
        columns = (found[name].to_pylist() for name in ("household_id", "spend_sum_28d", "trips_count_28d"))
        return list(zip(*columns, strict=True))

    assert served(GOOD + MORNING) == [(1, 10.0, 3), (2, 30.0, 6)]
    assert served(BAD[0] + MORNING) == [(1, 36.0, 3), (2, 54.0, 6)]
    assert served(BAD[0] + MORNING + timedelta(days=1)) == [(1, 21.0, 5), (2, 54.0, 6)]
    assert served(BAD[1] + MORNING) == [(1, pytest.approx(37.8), 3), (2, 54.0, 6), (3, 72.0, 1)]
    assert table.newest().version == 1


def predictions(*scores: float, role: str = "production") -> pa.Table:
    places = range(len(scores))
    return pa.table(
        {
            "id": [f"a-{place}" for place in places],
            "version": [1 for _ in places],
            "role": [role for _ in places],
            "household_id": list(places),
            "keys": [{"household_id": place} for place in places],
            "request_timestamp": pa.array([GOOD for _ in places], TIMESTAMP),
            "score": list(scores),
        }
    )


def test_a_score_that_differs_in_one_bit_or_is_not_in_the_batch_is_refused() -> None:
    record, batch = predictions(0.1, 0.3), predictions(0.1, 0.3)
    assert asking.refuse_other_scores(record, 1, batch) == 2
    assert asking.refuse_other_scores(record, 2, batch) == 0
    with pytest.raises(DataError, match=r"prediction a-1: served 0\.30000000000000004, and in batch 0\.3"):
        asking.refuse_other_scores(predictions(0.1, 0.1 + 0.2), 1, batch)
    with pytest.raises(DataError, match="prediction a-1: served"):
        asking.refuse_other_scores(record, 1, predictions(0.1))


def test_an_answer_that_is_not_in_the_record_as_it_was_given_is_refused() -> None:
    told = [asking.Answer(id="a-0", score=0.1, version=1), asking.Answer(id="a-1", score=0.3, version=1)]
    asking.refuse_other_answers(predictions(0.1, 0.3), told)
    with pytest.raises(DataError, match="prediction a-1: answered"):
        asking.refuse_other_answers(predictions(0.1, 0.2), told)
    with pytest.raises(DataError, match="prediction a-1: answered"):
        asking.refuse_other_answers(predictions(0.1), told)
    with pytest.raises(DataError, match="1 predictions were answered, and 2 are in the record"):
        asking.refuse_other_answers(predictions(0.1, 0.3), told[:1])
    with pytest.raises(DataError, match="prediction a-0: answered"):
        asking.refuse_other_answers(predictions(0.1, 0.3, role="shadow"), told)


def test_without_a_model_that_has_passed_there_is_nothing_to_replay(finished: Demo) -> None:
    said = " ".join(finished.printed.split())
    assert "features demo replay nothing to do: household_lapse_2017 has not passed its gates" in said
    assert "What to look at, in this order:" in finished.printed

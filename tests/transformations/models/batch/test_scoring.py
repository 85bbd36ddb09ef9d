"""A batch has a score for everybody of its day, by the version that was in production, and is published once."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds import weekly
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import get_settings
from transformations.models.batch.publishing import predictions_of
from transformations.models.batch.scoring import Scorer
from transformations.models.log.event_log import EventLog
from transformations.models.records.prediction_table import records_of
from transformations.models.versions import standing

from .conftest import by_hand, scorer

MONDAY = date(2024, 5, 13)
AT_SIX = datetime(2024, 5, 13, 6, tzinfo=UTC)
Score = Callable[..., Scorer]


def test_everybody_of_the_day_has_the_score_of_features_counted_by_hand(score: Score) -> None:
    batch = score().day(MONDAY)
    rows = predictions_of(batch.folder)
    expected = by_hand(AT_SIX)

    assert len(expected) > 70
    assert {row["keys"]["user_id"]: row["score"] for row in rows.to_pylist()} == expected
    assert set(rows["request_timestamp"].to_pylist()) == {AT_SIX}
    assert batch.manifest.total == rows.num_rows == len(expected)
    assert batch.manifest.acted == sum(value >= 0.5 for value in expected.values())
    assert (batch.manifest.version, batch.manifest.as_of) == (1, datetime(2024, 5, 13, tzinfo=UTC))


def test_every_row_is_a_prediction_record(score: Score) -> None:
    batch = score().day(MONDAY)
    record = next(iter(records_of(predictions_of(batch.folder))))
    state = standing(weekly.MODEL, EventLog("shop")).version(1)

    assert (record.model, record.version, record.role) == (weekly.MODEL, 1, "batch")
    assert (record.artifact, record.event) == (state.registered.artifact, None)
    assert set(record.features) == {"visits_28d", "spend_28d", "days_since"}
    assert record.features["visits_28d"].row_timestamp == datetime(2024, 5, 13, 2, tzinfo=UTC)
    assert record.features["days_since"].row_timestamp is None
    assert record.features["visits_28d"].status == "PRESENT"
    assert record.views["user_visits"].table_version == 0
    assert record.decision == (record.score >= 0.5)


def test_a_batch_that_is_published_is_not_scored_again(score: Score) -> None:
    first = score().day(MONDAY)
    before = {file: file.stat().st_mtime_ns for file in first.folder.rglob("*")}
    again = score().day(MONDAY)

    assert (first.is_new, again.is_new, again.manifest) == (True, False, first.manifest)
    assert {file: file.stat().st_mtime_ns for file in first.folder.rglob("*")} == before


def test_a_backfill_scores_each_day_that_has_rows_by_the_version_of_that_day(
    weekly_production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_CLOCK", "2024-05-14T09:00:00Z")
    weekly.promote_another(weekly_production)
    monkeypatch.setenv("FEATURES_CLOCK", weekly.NOW)

    batches = list(scorer(weekly_production).days(date(2024, 5, 6), date(2024, 5, 20)))
    assert [(batch.manifest.day, batch.manifest.version) for batch in batches] == [
        (date(2024, 5, 6), 1),
        (date(2024, 5, 13), 1),
        (date(2024, 5, 20), 2),
    ]
    last = predictions_of(batches[-1].folder)
    expected = by_hand(datetime(2024, 5, 20, 6, tzinfo=UTC), version=2)
    assert {row["keys"]["user_id"]: row["score"] for row in last.to_pylist()} == expected


def test_before_anything_was_in_production_a_version_has_to_be_named(score: Score) -> None:
    with pytest.raises(UsageError, match=r"had nothing in production at 2024-05-01 .* Version 1 is, since 2024-05-06"):
        score().day(date(2024, 4, 30))
    named = score(1).day(date(2024, 4, 29))
    assert named.manifest.version == 1
    with pytest.raises(UsageError, match=r"has no version 7\. It has 1\."):
        score(7).day(MONDAY)


def test_a_day_without_rows_names_the_nearest_ones(score: Score) -> None:
    with pytest.raises(DataError, match=r"nobody on 2024-05-15 .* with rows are 2024-05-06, 2024-05-13, 2024-05-20"):
        score().day(date(2024, 5, 15))


def test_a_day_that_has_not_begun_and_a_row_whose_moment_has_not_come_are_refused(
    score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="2024-05-27 begins at 2024-05-27 00:00:00 UTC, and it is 2024-05-21"):
        score().day(date(2024, 5, 27))
    monkeypatch.setenv("FEATURES_CLOCK", "2024-05-20T05:00:00Z")
    with pytest.raises(DataError, match="a row is of 2024-05-20 06:00:00 UTC, and it is 2024-05-20 05:00:00 UTC"):
        score().day(date(2024, 5, 20))


def test_old_features_are_refused(score: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_CLOCK", "2024-05-28T12:00:00Z")
    with pytest.raises(DataError, match=r"user_visits is complete for requests before 2024-05-21 02:00:00 UTC only"):
        score().day(date(2024, 5, 27))


def test_all_that_the_views_know_can_be_scored_on_any_day(score: Score) -> None:
    batch = score().day(date(2024, 5, 15), entities="known")
    rows = predictions_of(batch.folder)
    midnight = datetime(2024, 5, 15, tzinfo=UTC)

    assert set(rows["request_timestamp"].to_pylist()) == {midnight}
    known = {row["user_id"] for row in weekly.features().to_pylist() if row["event_timestamp"] < midnight}
    assert sorted(row["keys"]["user_id"] for row in rows.to_pylist()) == sorted(known)


def test_a_day_before_all_data_has_nobody(score: Score) -> None:
    with pytest.raises(DataError, match="no view of the model has a row before 2023-01-02 began"):
        score(1).day(date(2023, 1, 2), entities="known")


def test_a_published_batch_of_others_is_not_passed_off_as_what_was_asked_for(score: Score) -> None:
    score().day(MONDAY)
    with pytest.raises(UsageError, match="holds the declared entities of 2024-05-13, and a published batch is never"):
        score().day(MONDAY, entities="known")


def test_a_file_is_scored_each_row_at_its_own_moment(score: Score, tmp_path: Path) -> None:
    moments = [AT_SIX, datetime(2024, 5, 6, 6, tzinfo=UTC), AT_SIX]
    file = tmp_path / "spine.parquet"
    pq.write_table(pa.table({"user_id": [1, 1, 999], "event_timestamp": moments}), file)
    batch = score().file(file)
    rows = predictions_of(batch.folder).to_pylist()

    assert [row["score"] for row in rows[:1]] == [by_hand(moments[1])[1]]  # filed by day
    scores = {(row["keys"]["user_id"], row["request_timestamp"]): row["score"] for row in rows}
    assert scores[1, AT_SIX] == by_hand(AT_SIX)[1]
    unknown = next(row for row in rows if row["keys"]["user_id"] == 999)
    assert unknown["features"]["visits_28d"] == {"value": None, "status": "NOT_FOUND", "row_timestamp": None}
    assert dict(batch.manifest.rows) == {"2024-05-06": 1, "2024-05-13": 2}
    assert score().file(file).is_new is False


@pytest.mark.parametrize(
    ("users", "said"),
    [
        ([1, 1], r"rows 0 and 1 are alike: \{'user_id': 1\} at 2024-05-13 06:00:00 UTC"),
        ([1, None], r"row 1 has no user_id \(1 such rows\)"),
        ([], "has no rows, so there is nobody to score"),
    ],
)
def test_rows_that_are_no_rows_of_one_entity_are_refused(
    score: Score, tmp_path: Path, users: list[int | None], said: str
) -> None:
    file = tmp_path / "spine.parquet"
    moments = pa.array([AT_SIX] * len(users), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"user_id": pa.array(users, pa.int64()), "event_timestamp": moments}), file)
    with pytest.raises(DataError, match=said):
        score().file(file)
    assert not get_settings().predictions_dir.exists()

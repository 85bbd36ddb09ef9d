"""Checking: what was looked up and scored is computed again to the bit, and whatever differs has its cause."""

import json
import math
import random
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from feast import FeatureStore
from redis import Redis

from tests.transformations.models.serving.conftest import ask, is_ready, recorded, running, until
from tests.worlds import weekly
from transformations.engine.base.settings import Settings, get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.predictions.check import Checked, check
from transformations.models.predictions.finding import records_of_day, sample_of_day
from transformations.models.predictions.replay import Replayer
from transformations.models.records.artifact import FILE, Decision
from transformations.models.records.base import content_id
from transformations.models.records.predictions import PredictionRecord
from transformations.models.scoring.artifact import read_manifest
from transformations.models.serving.api import app
from transformations.stores.redis.loaded import Loaded, loaded_views

from .conftest import NOON, command, record, served, store_of

DAY = NOON.date()
Change = Callable[[PredictionRecord], PredictionRecord]


def checked(loaded: Path, day: date = DAY, sample: int | None = None) -> Checked:
    with Replayer(EventLog("shop"), store_of(loaded), get_settings()) as replayer:
        return check(weekly.MODEL, day, sample, replayer, get_settings())


def test_every_score_is_computed_again_to_the_bit(loaded: Path) -> None:
    record(*served(loaded))
    found = checked(loaded)
    assert (found.records, found.compared, found.equal) == (31, 31, 31)
    assert (found.late, found.corrected, found.spared, found.skewed) == (0, 0, {}, ())


def test_a_sample_is_as_large_as_asked_and_the_same_again(loaded: Path) -> None:
    record(*served(loaded))
    assert checked(loaded, sample=5).compared == 5
    assert checked(loaded, sample=5) == checked(loaded, sample=5)
    everything = sorted(records_of_day(weekly.MODEL, DAY, get_settings()), key=lambda each: (each.id, each.version))
    taken, recorded = sample_of_day(weekly.MODEL, DAY, 5, 3, get_settings())
    assert recorded == len(everything)
    assert taken == random.Random(3).sample(everything, 5)


def test_the_commands_tell_what_came_of_it(loaded: Path) -> None:
    first, *others = served(loaded)
    record(first, *others)
    told = command("check", "--sample", "20")
    assert told.exit_code == 0
    assert told.stdout.splitlines()[1].split() == [weekly.MODEL, "2024-05-20", "31", "20", "20"]
    told = command("trace", first.id)
    assert told.exit_code == 0
    assert told.stdout.startswith(f"1: {weekly.MODEL} version 1 said 0.")
    assert "user_visits:visits_28d@0" in told.stdout
    assert "1 of 1 gates passed" in told.stdout
    assert "  margin: " in told.stdout
    assert "today: the recorded versions give the same score, bit for bit" in told.stdout
    (told_json,) = json.loads(command("trace", first.id, "--json").stdout)
    assert (told_json["again"], told_json["record"]["id"]) == ("same", first.id)

    record(of_value(first).model_copy(update={"id": "tampered"}))
    told = command("check")
    assert told.exit_code == 3
    assert "another value in 1 prediction, such as tampered: spend_28d was" in told.stdout
    assert command("trace", "tampered").exit_code == 3
    assert command("trace", "nobody").exit_code == 2
    assert command("check", "user_returns").exit_code == 2


def of_value(record: PredictionRecord) -> PredictionRecord:
    feature = record.features["spend_28d"]
    assert isinstance(feature.value, float)
    changed = feature.model_copy(update={"value": math.nextafter(feature.value, 1e9)})
    return record.model_copy(update={"features": {**record.features, "spend_28d": changed}})


def of_row(record: PredictionRecord) -> PredictionRecord:
    feature = record.features["spend_28d"]
    moment = (feature.row_timestamp or NOON) - timedelta(days=7)
    changed = feature.model_copy(update={"row_timestamp": moment})
    return record.model_copy(update={"features": {**record.features, "spend_28d": changed}})


def of_status(record: PredictionRecord) -> PredictionRecord:
    feature = record.features["spend_28d"].model_copy(update={"status": "OUTSIDE_MAX_AGE"})
    return record.model_copy(update={"features": {**record.features, "spend_28d": feature}})


def of_view(**changes: Any) -> Change:
    def change(record: PredictionRecord) -> PredictionRecord:
        views = {name: view.model_copy(update=changes) for name, view in record.views.items()}
        return record.model_copy(update={"views": views})

    return change


@pytest.mark.parametrize(
    ("change", "cause", "said"),
    [
        (of_value, "another value", "spend_28d was"),
        (of_row, "another row", "row of 2024-05-13"),
        (of_status, "another status", "OUTSIDE_MAX_AGE"),
        (lambda each: each.model_copy(update={"score": math.nextafter(each.score, 2)}), "another score", "it was 0."),
        (lambda each: each.model_copy(update={"decision": not each.decision}), "another decision", "and is"),
        (of_view(table_version=None), "version unknown", "of user_visits"),
    ],
)
def test_whatever_differs_is_skew_with_its_cause(loaded: Path, change: Change, cause: str, said: str) -> None:
    first, *others = served(loaded)
    record(change(first), *others)
    found = checked(loaded)
    assert (found.compared, found.equal) == (31, 30)
    (skew,) = found.skewed
    assert (skew.id, skew.cause) == (first.id, cause)
    assert said in skew.said


def test_a_record_of_another_artifact_than_its_version_is_skew(loaded: Path) -> None:
    """Of one whose folder is there: without it, collecting refuses, since nobody knows what is personal."""
    first, *others = served(loaded)
    models = get_settings().models_dir / weekly.MODEL
    mine = read_manifest(next(models.glob(f"*/{FILE}")).parent)
    scores = mine.scores.model_copy(update={"decision": Decision(threshold=0.123, chosen_by="threshold")})
    other = mine.model_copy(update={"scores": scores, "id": content_id(scores)})
    (models / "other").mkdir()
    (models / "other" / FILE).write_text(other.text())
    record(first.model_copy(update={"artifact": other.id}), *others)
    (skew,) = checked(loaded).skewed
    assert (skew.id, skew.cause) == (first.id, "another artifact")
    assert f"it names {other.id[:12]}, and version 1 is {mine.id[:12]}" in skew.said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda each: each.model_copy(update={"degraded": True, "score": 0.5}), "degraded"),
        (of_view(table_version=7), "expired"),
        (lambda each: each.model_copy(update={"keys": {"user_id": "hmac-sha256:0a"}}), "withheld"),
    ],
)
def test_what_cannot_be_compared_is_counted_apart(loaded: Path, change: Change, why: str) -> None:
    first, *others = served(loaded)
    record(change(first), *others)
    found = checked(loaded)
    assert (found.equal, found.spared, found.skewed) == (30, {why: 1}, ())


def later_rows() -> pa.Table:
    """The rows of the last Monday once a visit of user 1 and one of user 2 became known, user 2's a week late."""
    rows = weekly.features()
    newest = rows.filter(pc.equal(rows["event_timestamp"], pa.scalar(weekly.MONDAY + timedelta(weeks=20, hours=2))))
    mine = newest.filter(pc.is_in(newest["user_id"], pa.array([1, 2])))
    spends = pc.add(mine["spend_28d"], 100.0)
    created = pa.array([NOON + timedelta(hours=1)] * mine.num_rows, weekly.TIMESTAMP)
    mine = mine.set_column(mine.column_names.index("spend_28d"), "spend_28d", spends)
    return mine.set_column(mine.column_names.index("created_timestamp"), "created_timestamp", created)


def test_rows_that_came_late_or_were_corrected_are_counts_and_no_skew(loaded: Path) -> None:
    record(*served(loaded))
    corrected = later_rows()
    late = corrected.set_column(
        1, "event_timestamp", pa.array([NOON - timedelta(hours=1)] * corrected.num_rows, weekly.TIMESTAMP)
    )
    mixed = pa.concat_tables([corrected.slice(0, 1), late.slice(1, 1)])
    weekly.publish(mixed, get_settings(), date(2024, 5, 20))
    found = checked(loaded)
    assert (found.equal, found.corrected, found.late, found.skewed) == (31, 1, 1, ())


def test_what_a_load_that_went_on_has_given_is_told_from_skew(loaded: Path) -> None:
    """A server learns of a load some moments after it, and names the version before."""
    before = next(served(loaded)).views
    weekly.publish(later_rows(), get_settings(), date(2024, 5, 20))
    store_of(loaded).materialize(weekly.MONDAY, NOON)
    record(*(each.model_copy(update={"views": before}) for each in served(loaded)))
    found = checked(loaded)
    assert (found.equal, found.spared, found.skewed) == (29, {"reloaded": 2}, ())


def test_a_row_that_the_load_held_back_is_not_expected(loaded: Path, redis: Redis) -> None:
    """Served at noon from what had been loaded as far as one o'clock: the Monday's row, there from two on, was not."""
    store = store_of(loaded)
    early = NOON.replace(hour=1)
    redis.flushall()
    store.materialize(weekly.MONDAY, early)
    record(*served(loaded))
    found = checked(loaded)
    assert (found.equal, found.skewed) == (31, ())
    assert found.late > 0


def test_batches_are_checked_like_answers(loaded: Path) -> None:
    from tests.transformations.models.batch.conftest import scorer

    batch = scorer(loaded).day(DAY)
    found = checked(loaded)
    assert (found.equal, found.skewed) == (batch.manifest.total, ())


@pytest.mark.parametrize(
    ("later", "cause", "said"),
    [(0, "another value", "spend_28d was 12345.5"), (30, "another row", "row of 2024-05-20T02:30:00+00:00), and is")],
)
def test_what_was_planted_in_redis_is_found_and_its_cause_is_named(
    loaded: Path, later: int, cause: str, said: str
) -> None:
    """A row that somebody writes past the tables, of the same moment as the loaded one or of a newer one."""
    seen = next(each for each in served(loaded) if each.id == "7")
    moment = seen.features["spend_28d"].row_timestamp or NOON
    planted = {name: [each.value] for name, each in seen.features.items() if name != "days_since"}
    planted |= {"user_id": [7], "spend_28d": [12345.5], "visited_at": [weekly.MONDAY]}
    planted |= {"event_timestamp": [moment + timedelta(minutes=later)], "created_timestamp": [NOON]}
    store_of(loaded).write_to_online_store("user_visits", pd.DataFrame(planted))
    record(*served(loaded))
    told = command("check")
    assert told.exit_code == 3
    assert f"{cause} in 1 prediction, such as 7: " in told.stdout
    assert said in told.stdout
    assert f"is 7: {cause}" in told.stderr


async def test_the_first_answer_of_a_server_names_what_was_loaded_however_long_it_takes_to_know(
    loaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(store: FeatureStore, settings: Settings) -> dict[str, Loaded]:
        time.sleep(1.0)
        return loaded_views(store, settings)

    monkeypatch.setattr(app, "loaded_views", slowly)
    async with running(app.create_app([weekly.MODEL])) as client:
        await until(lambda: is_ready(client))
        assert (await ask(client, 7)).status_code == 200
    (first,) = recorded()
    assert first.views["user_visits"].table_version == 0

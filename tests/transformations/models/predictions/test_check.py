"""Checking: what was looked up and scored is computed again to the bit, and whatever differs has its cause."""

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner, Result
from feast import FeatureStore
from redis import Redis

from tests.transformations.models.predictions.conftest import options
from tests.transformations.models.serving.conftest import ask, is_ready, recorded, running, until
from tests.worlds import weekly
from transformations.cli.main import cli
from transformations.engine.base.settings import Settings, get_settings
from transformations.models.batch.personal import HASHED
from transformations.models.log.event_log import EventLog
from transformations.models.predictions.check import Checked, check
from transformations.models.predictions.collect import collect
from transformations.models.predictions.finding import records_of_day, sample_of_day
from transformations.models.predictions.recorder import Recorder
from transformations.models.predictions.replay import Replayer
from transformations.models.predictions.segments import segments_folder
from transformations.models.predictions.tracing import trace
from transformations.models.records.artifact import FILE, Decision
from transformations.models.records.base import content_id
from transformations.models.records.predictions import PredictionRecord, ServedFeature, ServedView
from transformations.models.scoring.artifact import read_manifest
from transformations.models.scoring.predict import predict
from transformations.models.serving.api import app
from transformations.models.versions import artifact_of, standing
from transformations.stores.redis.loaded import Loaded, loaded_views
from validation.parity.sides import read_answer

NOON = datetime(2024, 5, 20, 12, tzinfo=UTC)
DAY = NOON.date()
USERS = [*range(1, 31), 999]
"""The last one has never visited."""
Change = Callable[[PredictionRecord], PredictionRecord]


def store_of(project: Path) -> FeatureStore:
    return FeatureStore(repo_path=str(project / "repo"))


@pytest.fixture
def project(weekly_production: Path, redis: Redis, clock: Callable[[str], None]) -> Path:
    """The small project, its features loaded from version 0 of the table on the last Monday at noon."""
    clock(NOON.isoformat())
    store_of(weekly_production).materialize(weekly.MONDAY, NOON)
    return weekly_production


def served(project: Path, at: datetime = NOON, users: list[int] = USERS) -> Iterator[PredictionRecord]:
    """Predictions as a server makes them, by Feast's own lookup and the one predict."""
    store, settings = store_of(project), get_settings()
    rows = [{"user_id": user, "request_timestamp": at} for user in users]
    answer = read_answer(store.get_online_features(store.get_feature_service(weekly.SERVICE), rows))
    state = standing(weekly.MODEL, EventLog("shop")).version(1)
    artifact = artifact_of(weekly.MODEL, state, settings)
    inputs = [column.name for column in artifact.manifest.scores.inputs]
    table = pa.table({name: [each.value for each in answer[name]] for name in inputs})
    said = predict(artifact, table)
    views = {
        name: ServedView(table_version=each.version, loaded_through=each.end)
        for name, each in loaded_views(store, settings).items()
    }
    for row, user in enumerate(users):
        features = {name: answer[name][row] for name in inputs}
        yield PredictionRecord(
            id=f"{user}",
            request_timestamp=at,
            model=weekly.MODEL,
            version=1,
            artifact=artifact.id,
            role="production",
            event=3,
            keys={"user_id": user},
            features={
                name: ServedFeature.model_validate(
                    {
                        "value": each.value,
                        "status": each.status,
                        "row_timestamp": None if name == "days_since" else each.event,
                    }
                )
                for name, each in features.items()
            },
            views=views,
            score=said.scores[row].as_py(),
            decision=None if said.decisions is None else said.decisions[row].as_py(),
        )


def record(*records: PredictionRecord) -> None:
    """Record and collect predictions."""
    with Recorder(segments_folder(get_settings()), options()) as recorder:
        recorder.answered(recorder.record([each.line().encode() for each in records]))
    collect(get_settings())


def checked(project: Path, day: date = DAY, sample: int | None = None) -> Checked:
    with Replayer(EventLog("shop"), store_of(project), get_settings()) as replayer:
        return check(weekly.MODEL, day, sample, replayer, get_settings())


def test_every_score_is_computed_again_to_the_bit(project: Path) -> None:
    record(*served(project))
    found = checked(project)
    assert (found.records, found.compared, found.equal) == (31, 31, 31)
    assert (found.late, found.corrected, found.spared, found.skewed) == (0, 0, {}, ())


def test_a_sample_is_as_large_as_asked_and_the_same_again(project: Path) -> None:
    record(*served(project))
    assert checked(project, sample=5).compared == 5
    assert checked(project, sample=5) == checked(project, sample=5)
    everything = sorted(records_of_day(weekly.MODEL, DAY, get_settings()), key=lambda each: (each.id, each.version))
    taken, recorded = sample_of_day(weekly.MODEL, DAY, 5, 3, get_settings())
    assert recorded == len(everything)
    assert taken == random.Random(3).sample(everything, 5)


def test_the_commands_tell_what_came_of_it(project: Path) -> None:
    first, *others = served(project)
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


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["predictions", *arguments])


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
def test_whatever_differs_is_skew_with_its_cause(project: Path, change: Change, cause: str, said: str) -> None:
    first, *others = served(project)
    record(change(first), *others)
    found = checked(project)
    assert (found.compared, found.equal) == (31, 30)
    (skew,) = found.skewed
    assert (skew.id, skew.cause) == (first.id, cause)
    assert said in skew.said


def test_a_record_of_another_artifact_than_its_version_is_skew(project: Path) -> None:
    """Of one whose folder is there: without it, collecting refuses, since nobody knows what is personal."""
    first, *others = served(project)
    models = get_settings().models_dir / weekly.MODEL
    mine = read_manifest(next(models.glob(f"*/{FILE}")).parent)
    scores = mine.scores.model_copy(update={"decision": Decision(threshold=0.123, chosen_by="threshold")})
    other = mine.model_copy(update={"scores": scores, "id": content_id(scores)})
    (models / "other").mkdir()
    (models / "other" / FILE).write_text(other.text())
    record(first.model_copy(update={"artifact": other.id}), *others)
    (skew,) = checked(project).skewed
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
def test_what_cannot_be_compared_is_counted_apart(project: Path, change: Change, why: str) -> None:
    first, *others = served(project)
    record(change(first), *others)
    found = checked(project)
    assert (found.equal, found.spared, found.skewed) == (30, {why: 1}, ())


def later_rows() -> pa.Table:
    """The rows of the last Monday once a visit of user 1 and one of user 2 became known, user 2's a week late."""
    rows = weekly.features(weekly.visits())
    newest = rows.filter(pc.equal(rows["event_timestamp"], pa.scalar(weekly.MONDAY + timedelta(weeks=20, hours=2))))
    mine = newest.filter(pc.is_in(newest["user_id"], pa.array([1, 2])))
    spends = pc.add(mine["spend_28d"], 100.0)
    created = pa.array([NOON + timedelta(hours=1)] * mine.num_rows, weekly.TIMESTAMP)
    mine = mine.set_column(mine.column_names.index("spend_28d"), "spend_28d", spends)
    return mine.set_column(mine.column_names.index("created_timestamp"), "created_timestamp", created)


def test_rows_that_came_late_or_were_corrected_are_counts_and_no_skew(project: Path) -> None:
    record(*served(project))
    corrected = later_rows()
    late = corrected.set_column(
        1, "event_timestamp", pa.array([NOON - timedelta(hours=1)] * corrected.num_rows, weekly.TIMESTAMP)
    )
    mixed = pa.concat_tables([corrected.slice(0, 1), late.slice(1, 1)])
    weekly.publish(mixed, get_settings(), date(2024, 5, 20))
    found = checked(project)
    assert (found.equal, found.corrected, found.late, found.skewed) == (31, 1, 1, ())


def test_what_a_load_that_went_on_has_given_is_told_from_skew(project: Path) -> None:
    """A server learns of a load some moments after it, and names the version before."""
    before = next(served(project)).views
    weekly.publish(later_rows(), get_settings(), date(2024, 5, 20))
    store_of(project).materialize(weekly.MONDAY, NOON)
    record(*(each.model_copy(update={"views": before}) for each in served(project)))
    found = checked(project)
    assert (found.equal, found.spared, found.skewed) == (29, {"reloaded": 2}, ())


def test_a_row_that_the_load_held_back_is_not_expected(project: Path, redis: Redis) -> None:
    """Served at noon from what had been loaded as far as one o'clock: the Monday's row, there from two on, was not."""
    store = store_of(project)
    early = NOON.replace(hour=1)
    redis.flushall()
    store.materialize(weekly.MONDAY, early)
    record(*served(project))
    found = checked(project)
    assert (found.equal, found.skewed) == (31, ())
    assert found.late > 0


def test_batches_are_checked_like_answers(project: Path) -> None:
    from tests.transformations.models.batch.conftest import scorer

    batch = scorer(project).day(DAY)
    found = checked(project)
    assert (found.equal, found.skewed) == (batch.manifest.total, ())


def test_a_prediction_is_traced_to_version_run_dataset_gates_rows_and_its_score_again(project: Path) -> None:
    record(*served(project))
    (found,) = trace("7", EventLog("shop"), store_of(project), get_settings())
    state = standing(weekly.MODEL, EventLog("shop")).version(1)
    assert (found.again, found.difference, found.missing) == ("same", None, [])
    assert (found.version.stage, found.version.run_id) == ("production", state.registered.run_id)
    assert (found.version.dataset, found.version.dataset_hash) == (weekly.DATASET, state.registered.dataset_hash)
    assert found.version.gates == (1, 1)
    by_name = {each.name: each for each in found.features}
    (visits,) = by_name["visits_28d"].sources
    assert (visits.reference, visits.version) == ("user_visits:visits_28d", 0)
    assert visits.row is not None
    assert visits.row.value == by_name["visits_28d"].served.value
    assert visits.row.event_timestamp == by_name["visits_28d"].served.row_timestamp
    margin = (found.base or 0.0) + sum(found.contributions.values())
    assert list(found.contributions) != []
    assert 1 / (1 + math.exp(-margin)) == pytest.approx(found.record.score, abs=1e-12)
    (visited,) = by_name["days_since"].sources
    assert visited.reference == "user_visits:visited_at"


def test_a_prediction_whose_version_is_gone_is_traced_as_expired(project: Path) -> None:
    first, *_ = served(project)
    record(of_view(table_version=7)(first))
    (found,) = trace(first.id, EventLog("shop"), store_of(project), get_settings())
    assert (found.again, found.missing) == ("expired", ["user_visits@7"])


def test_a_prediction_whose_keys_were_hashed_is_traced_without_its_rows(project: Path) -> None:
    first, *_ = served(project)
    record(first.model_copy(update={"keys": {"user_id": f"{HASHED}0a"}}))
    (found,) = trace(first.id, EventLog("shop"), store_of(project), get_settings())
    assert (found.again, found.difference) == ("withheld", "user_id is personal, and not in the record")
    assert {source.row for each in found.features for source in each.sources} == {None}
    assert command("trace", first.id).exit_code == 0


async def test_the_first_answer_of_a_server_names_what_was_loaded_however_long_it_takes_to_know(
    project: Path, monkeypatch: pytest.MonkeyPatch
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

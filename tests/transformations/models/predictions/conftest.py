"""What tests of the record share: rows as a server has scored them, and where they are recorded."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from feast import FeatureStore
from redis import Redis

import transformations.models.records as records
from tests.worlds import weekly
from transformations.cli.main import cli
from transformations.engine.base.moments import instant_to_micros
from transformations.engine.base.settings import Settings, get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.predictions.collect import collect
from transformations.models.predictions.lines import Scored, feature_texts, record_lines
from transformations.models.predictions.recorder import Options, Recorder
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.base import Role
from transformations.models.records.predictions import PredictionRecord, ServedFeature, ServedView, Value
from transformations.models.scoring.predict import predict
from transformations.models.versions import artifact_of, standing
from transformations.stores.redis.loaded import loaded_views
from validation.parity.sides import read_answer

MANIFEST = (Path(str(records.__file__)).parent / "examples" / "artifact_manifest.json").read_text()
ARTIFACT = json.loads(MANIFEST)["id"]
"""The artifact that has scored, of which only the manifest is there."""
NOON = datetime(2024, 5, 20, 12, tzinfo=UTC)
NOON_MICROS = instant_to_micros(NOON)
USERS = [*range(1, 31), 999]
"""Whom the small project is asked about; the last one has never visited."""


def give_artifact(settings: Settings, *models: str, **facts: Any) -> None:
    """Put the manifest of the artifact where a collector finds it. facts: of the run, in place of the example's."""
    document = json.loads(MANIFEST)
    document["facts"] |= facts
    for model in models:
        folder = settings.models_dir / model / "run"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps(document))


def scored(
    *ids: str,
    at: datetime = NOON,
    model: str = "returns",
    version: int = 1,
    role: Role = "production",
    scores: Sequence[float] = (),
    request: Mapping[str, Sequence[Value]] | None = None,
    features: Mapping[str, Sequence[Value]] | None = None,
    moment: int | None = NOON_MICROS,
    table_version: int = 12,
) -> Scored:
    """A request's rows with one feature, as a version has scored them."""
    rows = len(ids)
    return Scored(
        model=model,
        version=version,
        artifact=ARTIFACT,
        role=role,
        event=3,
        request_timestamp=at,
        ids=ids,
        keys={"user_id": list(range(rows))},
        request={"price": [9.5] * rows} if request is None else request,
        features=feature_texts(features or {"visits_28d": [4] * rows}, [("PRESENT",)] * rows, [[moment] * rows]),
        views={"user_visits": ServedView(table_version=table_version, loaded_through=NOON)},
        scores=scores or [0.25] * rows,
        decisions=[True] * rows,
        latency_seconds=0.002,
    )


def lines(*ids: str, at: datetime = NOON, table_version: int = 12) -> list[bytes]:
    """The lines of a request's rows."""
    return record_lines(scored(*ids, at=at, table_version=table_version))


def options(
    *,
    sync_seconds: float | None = None,
    is_refused_when_full: bool = True,
    backlog_bytes: int = 2**30,
    segment_bytes: int = 2**26,
    segment_seconds: float = 3_600,
) -> Options:
    """How to record: by default nothing is due by itself during a test."""
    return Options(
        sync_seconds=sync_seconds,
        is_refused_when_full=is_refused_when_full,
        backlog_bytes=backlog_bytes,
        segment_bytes=segment_bytes,
        segment_seconds=segment_seconds,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where segments are written."""
    return tmp_path / "predictions" / "_segments"


def store_of(project: Path) -> FeatureStore:
    """Feast's store of a project."""
    return FeatureStore(repo_path=str(project / "repo"))


@pytest.fixture
def loaded(weekly_production: Path, redis: Redis, clock: Callable[[str], None]) -> Path:
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


def command(*arguments: str) -> Result:
    """`features predictions …` in this process."""
    return CliRunner().invoke(cli, ["predictions", *arguments])

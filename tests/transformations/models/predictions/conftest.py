"""What tests of the record share: rows as a server has scored them, and where they are recorded."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import transformations.models.records as records
from transformations.engine.base.moments import instant_to_micros
from transformations.engine.base.settings import Settings
from transformations.models.predictions.lines import Scored, State, record_lines
from transformations.models.predictions.recorder import Options
from transformations.models.records.base import Role
from transformations.models.records.predictions import ServedView, Value

MANIFEST = (Path(str(records.__file__)).parent / "examples" / "artifact_manifest.json").read_text()
ARTIFACT = json.loads(MANIFEST)["id"]
"""The artifact that has scored, of which only the manifest is there."""
NOON = datetime(2024, 5, 20, 12, tzinfo=UTC)
NOON_MICROS = instant_to_micros(NOON)


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
    state: State = (("PRESENT", NOON_MICROS),),
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
        features={"visits_28d": [4] * rows} if features is None else features,
        states=[state] * rows,
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

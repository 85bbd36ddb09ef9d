"""`features predictions trace ID --feature NAME`: the run and the raw events that a served value was made of."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import FeatureStore

from tests.transformations.models.serving.conftest import is_ready, running, until
from tests.worlds import returns
from tests.worlds.clicking import World
from transformations.datasets.config import LabelConfig
from transformations.datasets.manifest import FILE
from transformations.datasets.snapshot import take_snapshot
from transformations.engine.base.checksums import content_hash
from transformations.engine.tables.offline_tables import OfflineTable, Run
from transformations.models.declaration.resolution import Resolved
from transformations.models.fitting.fit import fit
from transformations.models.fitting.publishing import write_artifact
from transformations.models.log.event_log import log_of
from transformations.models.records.artifact import InputColumn
from transformations.models.records.base import text_hash
from transformations.models.records.events import ModelEvent, Registered, StageChanged
from transformations.models.serving.api.app import create_app

MODEL, FEATURE = "user_return", "attention_seconds_sum_7d"
NOW = "2024-05-05T12:00:00+00:00"
CORRECTED = "click_id,user_id,page,seconds,clicked_at\n2,1,/dogs,6.0,2024-05-02T16:00:00\n"
INPUTS = {"clicks_count_7d": "Int64", FEATURE: "Float64"}


def put_in_production(world: World) -> None:
    """A model of two of the world's features, as if it had been trained, judged and promoted."""
    store, settings = FeatureStore(repo_path=str(world.repository)), world.settings
    service = {"feature_service": "reading_v1"}
    manifest = returns.dataset_manifest([], **service).model_copy(
        update={"registry": take_snapshot(store, "reading_v1", settings)}
    )
    folder = settings.datasets_dir / manifest.name
    folder.mkdir(parents=True)
    (folder / FILE).write_text(manifest.text())
    declared = returns.declaration("logistic", transformations={})
    resolved = Resolved(
        declaration=declared,
        inputs=tuple(InputColumn(name=name, dtype=dtype) for name, dtype in INPUTS.items()),
        label=LabelConfig.model_validate({"column": "returns", "horizon": "7 days"}),
        timestamp="event_timestamp",
        entity="user_id",
    )
    made = fit(resolved, learned_from(1), learned_from(2))
    facts = returns.facts(made, dataset_hash=content_hash(folder / FILE), declaration=declared.model_dump(mode="json"))
    write_artifact(settings.models_dir / MODEL / facts.run_id, made, facts)
    changes: list[Registered | StageChanged] = [
        Registered(
            run_id=facts.run_id,
            artifact=made.id,
            dataset=manifest.name,
            dataset_hash=facts.dataset_hash,
            criteria_hash=text_hash("criteria"),
        ),
        StageChanged(from_stage="development", to_stage="staging"),
        StageChanged(from_stage="staging", to_stage="production"),
    ]
    log = log_of(world.repository)
    for number, change in enumerate(changes, 1):
        at = datetime(2024, 5, 4, number, tzinfo=UTC)
        log.append(ModelEvent(model=MODEL, number=number, at=at, who="test", why="it", version=1, change=change))


def learned_from(seed: int) -> pa.Table:
    generator = np.random.default_rng(seed)
    clicks, seconds = generator.poisson(3, 100), generator.exponential(9, 100)
    moments = pa.array([datetime(2024, 5, 1, tzinfo=UTC)] * 100, pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "user_id": np.arange(100),
            "event_timestamp": moments,
            "clicks_count_7d": clicks,
            FEATURE: seconds,
            "returns": clicks + generator.normal(0, 1, 100) > 3,
        }
    )


def run_of(world: World, version: int) -> Run:
    (found,) = (
        run for run in OfflineTable(world.settings.offline_dir / "user_clicks").runs() if run.version == version
    )
    return found


@pytest.fixture
def served(serve: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> World:
    """The small project, its model in production."""
    monkeypatch.setenv("FEATURES_PREDICT_POLL_SECONDS", "0.05")
    world = serve(NOW)
    put_in_production(world)
    return world


async def predict(*users: int) -> list[dict[str, Any]]:
    async with running(create_app([MODEL])) as client:
        await until(lambda: is_ready(client))
        rows = [{"user_id": user} for user in users]
        answer = await client.post(f"/v1/models/{MODEL}/predictions", json={"rows": rows})
        found: list[dict[str, Any]] = answer.json()["predictions"]
        return found


def do(world: World, *arguments: str) -> str:
    done = world.run(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


async def test_a_served_value_is_traced_to_the_run_and_the_events_that_it_was_made_of_whatever_was_corrected_since(
    served: World,
) -> None:
    (before,) = await predict(1)
    served.deliver("clicks", CORRECTED, correction=True)
    do(served, "build")
    served.materialize(NOW)
    (after,) = await predict(1)
    do(served, "predictions", "collect")

    expected = {0: (before, 15.0, [(1, 10.0), (2, 5.0)]), 1: (after, 16.0, [(1, 10.0), (2, 6.0)])}
    assert run_of(served, 0).run_id != run_of(served, 1).run_id
    for version, (prediction, value, events) in expected.items():
        (found,) = json.loads(do(served, "predictions", "trace", prediction["id"], "--feature", FEATURE, "--json"))
        (feature,) = (each for each in found["features"] if each["name"] == FEATURE)
        assert feature["served"]["value"] == value
        assert feature["sources"][0]["row"]["run_id"] == run_of(served, version).run_id
        (explained,) = found["explained"]
        assert [(each["click_id"], each["seconds"]) for each in explained["events"]] == events
        assert (explained["value"], explained["chosen"]["value"], explained["table_version"]) == (value, value, version)
        assert explained["chosen"]["run_id"] == run_of(served, version).run_id

    said = do(served, "predictions", "trace", before["id"], "--feature", FEATURE)
    assert run_of(served, 0).run_id[:8] in said
    assert run_of(served, 1).run_id[:8] not in said
    assert "Offline, version 0 of the table: 15.0" in said

"""What `bench-predict` serves: 20 stored features of users in Redis, and XGBoost of 200 trees in production."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import CHECKOUT, DATA

USERS, FEATURES, TREES = 5_000, 20, 200
MODEL, SERVICE, DATASET = "scored", "scored_v1", "scored_2024"
NAMES = tuple(f"stat_{number}" for number in range(FEATURES))
MOMENT = datetime(2024, 5, 1, tzinfo=UTC)
_STORE = """
project: bench
provider: local
entity_key_serialization_version: 3
registry: {registry_type: sql, path: "sqlite://?plugin=features", cache_ttl_seconds: 600}
offline_store: {type: transformations.stores.offline.PointInTimeOfflineStore}
online_store: {type: transformations.stores.online.PackedRedisOnlineStore}
batch_engine: {type: transformations.stores.materialization.BulkMaterializationEngine}
"""


def place() -> Path:
    """The folder of the world."""
    return DATA / "predict"


def environment(redis_port: int) -> dict[str, str]:
    """The variables under which processes work in it."""
    return {
        "FEATURES_DATA": str(place() / "data"),
        "FEATURES_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "FEATURE_REPO_DIR_ENV_VAR": str(place() / "repo"),
        "FEATURES_LINEAGE": "off",
        "FEATURES_REDIS_READ_TIMEOUT_MS": "10000",  # a stall of a busy machine is to be measured, not refused
        "FEATURES_PREDICT_DEADLINE_MS": "10000",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'tests' / 'benchmarks'}",
        "PYTHONWARNINGS": "ignore",
    }


def values() -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Every user's features."""
    generator = np.random.default_rng(7)
    return {name: generator.normal(size=USERS) for name in NAMES}


def make(variables: Mapping[str, str]) -> None:
    """Write the world anew: repository, rows in Redis, artifact, two versions of the model, the first in production."""
    import os

    os.environ.update(variables)
    shutil.rmtree(place(), ignore_errors=True)
    (place() / "repo").mkdir(parents=True)
    (place() / "repo" / "feature_store.yaml").write_text(_STORE)
    _apply_and_load()
    for depth in (6, 5):
        _release(depth)


def _apply_and_load() -> None:
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64, Int64

    (place() / "data").mkdir()
    rows = place() / "data" / "stats.parquet"
    moments = pa.array([MOMENT] * USERS, pa.timestamp("us", "UTC"))
    users = pa.array(range(USERS), pa.int64())
    pq.write_table(pa.table({"user_id": users, "event_timestamp": moments, **values()}), rows)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    view = FeatureView(
        name="stats",
        entities=[user],
        schema=[Field(name="user_id", dtype=Int64), *(Field(name=name, dtype=Float64) for name in NAMES)],
        source=FileSource(name="stats", path=str(rows), timestamp_field="event_timestamp"),
        ttl=timedelta(0),
    )
    store = FeatureStore(repo_path=str(place() / "repo"))
    store.apply([user, view, FeatureService(name=SERVICE, features=[view])])
    store.materialize(MOMENT - timedelta(days=1), MOMENT + timedelta(days=1))


def _release(depth: int) -> None:
    from feast import FeatureStore

    from transformations.datasets.config import DatasetConfig, LabelConfig
    from transformations.datasets.manifest import FILE, Manifest
    from transformations.datasets.snapshot import take_snapshot
    from transformations.engine.base.checksums import content_hash
    from transformations.engine.base.settings import get_settings
    from transformations.models.declaration.config import Declaration
    from transformations.models.declaration.resolution import Resolved
    from transformations.models.fitting.fit import fit
    from transformations.models.fitting.publishing import write_artifact
    from transformations.models.log.event_log import EventLog
    from transformations.models.records.artifact import InputColumn, RunFacts
    from transformations.models.records.base import text_hash
    from transformations.models.records.events import ModelEvent, Registered, StageChanged

    settings, log = get_settings(), EventLog("bench")
    store = FeatureStore(repo_path=str(place() / "repo"))
    label = LabelConfig.model_validate({"column": "returns", "horizon": "7 days"})
    config = DatasetConfig.model_validate(
        {
            "name": DATASET,
            "feature_service": SERVICE,
            "spine": {"query": "SELECT 1"},
            "label": label,
            "split": {"train": "2024-01-01", "validation": "2024-02-01", "test": "2024-03-01"},
        }
    )
    manifest = Manifest(
        name=DATASET,
        created_at=MOMENT,
        config=config,
        code_revision="",
        libraries={},
        data_end=MOMENT,
        timestamp="event_timestamp",
        views=(),
        spine_tables=(),
        spine_file=None,
        functions={},
        counts={},
        splits=(),
        leakage=(),
        registry=take_snapshot(store, SERVICE, settings),
    )
    folder = settings.datasets_dir / DATASET
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / FILE).write_text(manifest.text())
    declared = Declaration.model_validate(
        {
            "name": MODEL,
            "description": "Returns?",
            "owner": "team@example.com",
            "dataset": DATASET,
            "task": "binary_classification",
            "trainer": "xgboost",
            "hyperparameters": {"rounds": TREES, "max_depth": depth},
            "decision": {"threshold": 0.5},
            "evaluation": {"entity": "user_id", "gates": []},
        }
    )
    inputs = tuple(InputColumn(name=name, dtype="Float64") for name in NAMES)
    resolved = Resolved(declaration=declared, inputs=inputs, label=label, timestamp="event_timestamp", entity="user_id")
    made = fit(resolved, _labelled(0), _labelled(1))
    number = len(log.events(MODEL)) + 1
    run = f"run{number}"
    facts = RunFacts(
        model=MODEL,
        run_id=run,
        dataset=DATASET,
        dataset_hash=content_hash(folder / FILE),
        criteria_hash=text_hash(""),
        declaration=declared.model_dump(mode="json"),
        code_revision="",
        libraries={},
        started_at=MOMENT,
        finished_at=MOMENT,
        rows=dict(made.rows),
    )
    write_artifact(settings.models_dir / MODEL / run, made, facts)
    version = 1 if number == 1 else 2
    registered = Registered(
        run_id=run,
        artifact=made.id,
        dataset=DATASET,
        dataset_hash=facts.dataset_hash,
        criteria_hash=facts.criteria_hash,
    )
    changes: list[Registered | StageChanged] = [
        registered,
        StageChanged(from_stage="development", to_stage="staging"),
    ]
    if version == 1:
        changes.append(StageChanged(from_stage="staging", to_stage="production"))
    for place_of, change in enumerate(changes):
        log.append(
            ModelEvent(
                model=MODEL,
                number=number + place_of,
                at=MOMENT,
                who="bench",
                why="measured",
                version=version,
                change=change,
            )
        )


def _labelled(seed: int) -> pa.Table:
    generator = np.random.default_rng(100 + seed)
    columns = {name: generator.normal(size=4_000) for name in NAMES}
    tendency = sum(list(columns.values())[:5]) + generator.normal(size=4_000)
    moments = pa.array([MOMENT - timedelta(days=30 - seed)] * 4_000, pa.timestamp("us", "UTC"))
    return pa.table(
        {"user_id": generator.integers(0, USERS, 4_000), "event_timestamp": moments, **columns, "returns": tendency > 0}
    )

"""A small world to learn from: visits of users, and whether (or how often) they come back."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from transformations.datasets.config import DatasetConfig, LabelConfig
from transformations.datasets.content.content_hash import column_hashes, combine_hashes
from transformations.datasets.manifest import FILE, Manifest, SplitContent
from transformations.models.declaration.config import Declaration
from transformations.models.declaration.resolution import Resolved
from transformations.models.fitting.fit import Fit, fit
from transformations.models.records.artifact import ArtifactManifest, InputColumn, RunFacts
from transformations.models.records.base import text_hash
from transformations.models.scoring.artifact import Artifact, assemble
from transformations.models.trainers.interface import Files, Job, Scorer, Task, Trainer

INPUTS = (
    InputColumn(name="visits", dtype="Int64"),
    InputColumn(name="days_since", dtype="Float64"),
    InputColumn(name="is_member", dtype="Bool"),
    InputColumn(name="country", dtype="String"),
)
SETTINGS: dict[str, dict[str, object]] = {
    "xgboost": {"rounds": 8, "early_stopping_rounds": 3, "max_depth": 3, "subsample": 0.8},
    "lightgbm": {"rounds": 8, "early_stopping_rounds": 3, "num_leaves": 7, "bagging_fraction": 0.8, "bagging_freq": 1},
    "logistic": {"l2": 0.5},
    "linear": {},
}
REGRESSIONS = ("linear",)


def _fit(job: Job) -> Files:
    return {"mean.json": json.dumps({"mean": float(job.train.labels.mean())}).encode()}


def _load(files: Files, _task: Task, _threads: int) -> Scorer:
    mean = json.loads(files["mean.json"])["mean"]
    return lambda matrix: np.full(len(matrix), mean)


constant = Trainer(name="constant", fit=_fit, load=_load)
CONSTANT = f"{__name__}:constant"


def declaration(trainer: str = "xgboost", **changes: Any) -> Declaration:
    task = "regression" if trainer in REGRESSIONS else "binary_classification"
    document: dict[str, Any] = {
        "name": "user_return",
        "description": "Does the user return?",
        "owner": "team@example.com",
        "dataset": "returns_2020",
        "task": task,
        "trainer": trainer,
        "hyperparameters": SETTINGS.get(trainer, {}),
        "seed": 7,
        "transformations": {"country": {"kind": "one_hot"}},
        "evaluation": {"entity": "user_id", "gates": []},
    }
    return Declaration.model_validate(document | changes)


def resolved(trainer: str = "xgboost", **changes: Any) -> Resolved:
    declared = declaration(trainer, **changes)
    label = "later_visits" if declared.task == "regression" else "returns"
    return Resolved(
        declaration=declared,
        inputs=INPUTS,
        label=LabelConfig.model_validate({"column": label, "horizon": "7 days"}),
        timestamp="event_timestamp",
        entity="user_id",
    )


def rows(count: int = 400, seed: int = 1) -> pa.Table:
    """The label follows from the visits, the days since the last one and the country, with noise; some are null."""
    generator = np.random.default_rng(seed)
    visits = generator.poisson(4, count)
    days = generator.exponential(10, count)
    country = generator.choice(["de", "fr", "us"], count, p=[0.5, 0.3, 0.2])
    tendency = 0.5 * visits - 0.15 * days + (country == "de") + generator.normal(0, 1, count)
    moments = generator.integers(0, 30, count) * 86_400_000_000 + 1_580_515_200_000_000
    return pa.table(
        {
            "user_id": generator.integers(0, count // 4, count),
            "event_timestamp": pa.array(moments, pa.timestamp("us", "UTC")),
            "visits": pa.array(visits, pa.int64(), mask=generator.random(count) < 0.1),
            "days_since": pa.array(days, pa.float64(), mask=generator.random(count) < 0.1),
            "is_member": pa.array(generator.random(count) < 0.3, pa.bool_(), mask=generator.random(count) < 0.1),
            "country": pa.array(country, pa.string(), mask=generator.random(count) < 0.1),
            "returns": tendency > 1,
            "later_visits": np.maximum(tendency, 0.0),
        }
    )


TRAIN, VALIDATION, TEST = rows(seed=1), rows(300, seed=2), rows(200, seed=3)


def trained(trainer: str = "xgboost", **changes: Any) -> Fit:
    return fit(resolved(trainer, **changes), TRAIN, VALIDATION)


def facts(made: Fit, **changes: Any) -> RunFacts:
    document = {
        "model": "user_return",
        "run_id": "run1",
        "dataset": "returns_2020",
        "dataset_hash": text_hash("dataset"),
        "criteria_hash": text_hash("criteria"),
        "declaration": {},
        "code_revision": "abc",
        "libraries": {},
        "started_at": "2020-03-01T00:00:00Z",
        "finished_at": "2020-03-01T00:01:00Z",
        "rows": dict(made.rows),
    }
    return RunFacts.model_validate(document | changes)


def in_memory(made: Fit, threads: int = 1) -> Artifact:
    manifest = ArtifactManifest(id=made.id, scores=made.scores, facts=facts(made))
    return assemble(manifest, made.transformations, made.files, threads)


MOMENT = datetime(2020, 3, 1, tzinfo=UTC)
FEATURES = {"visits": "INT64", "days_since": "DOUBLE", "is_member": "BOOL", "country": "STRING"}


def split_content(name: str, table: pa.Table) -> SplitContent:
    hashes = column_hashes(table)
    return SplitContent(
        name=name,
        file=f"{name}.parquet",
        rows=table.num_rows,
        content_hash=combine_hashes(table.num_rows, hashes),
        first=MOMENT,
        last=MOMENT,
        columns=hashes,
        statistics={},
    )


def dataset_manifest(
    splits: Sequence[SplitContent], features: Mapping[str, str] = FEATURES, **changes: Any
) -> Manifest:
    """The manifest of a dataset of one service with these features, by Feast's names of value types."""
    config = {
        "name": "returns_2020",
        "feature_service": "returns_v1",
        "spine": {"query": "SELECT 1"},
        "label": {"column": "returns", "horizon": "7 days"},
        "split": {"train": "2020-01-01", "validation": "2020-02-01", "test": "2020-03-01"},
    }
    columns = [{"name": name, "value_type": kind} for name, kind in features.items()]
    projection = {"feature_view_name": "user_visits", "feature_columns": columns}
    return Manifest(
        name="returns_2020",
        created_at=MOMENT,
        config=DatasetConfig.model_validate(config | changes),
        code_revision="abc",
        libraries={},
        data_end=MOMENT,
        timestamp="event_timestamp",
        views=(),
        spine_tables=(),
        spine_file=None,
        functions={},
        counts={},
        splits=tuple(splits),
        leakage=(),
        registry={"feature_services": [{"spec": {"name": "returns_v1", "features": [projection]}}]},
    )


def write_dataset(
    datasets: Path, train: pa.Table = TRAIN, validation: pa.Table = VALIDATION, test: pa.Table = TEST
) -> None:
    """The pinned dataset, as `features dataset create` would leave it."""
    folder = datasets / "returns_2020"
    folder.mkdir(parents=True)
    contents = []
    for name, table in (("train", train), ("validation", validation), ("test", test)):
        pq.write_table(table, folder / f"{name}.parquet")
        contents.append(split_content(name, table))
    (folder / FILE).write_text(dataset_manifest(contents).text())


def write_declaration(repository: Path, trainer: str = "logistic", **changes: Any) -> None:
    """The declaration of the model, in a feature repository."""
    (repository / "models").mkdir(parents=True, exist_ok=True)
    document = declaration(trainer, **changes).model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    (repository / "models" / "user_return.yaml").write_text(yaml.safe_dump(document))

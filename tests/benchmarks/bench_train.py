"""`make bench-train`: `features model train`, a million rows of 100 float32 features, 50 rounds of depth 6, one thread.

Ours verifies the dataset by its hashes, checks its rows, labels and features, trains XGBoost, writes the artifact,
records the run in MLflow and registers a version. The rival reads the same Parquet files and trains the same trees, on
QuantileDMatrix like ours, and does nothing else. Memory is that of the process at its worst moment, libraries included.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from harness import (
    CHECKOUT,
    DATA,
    Bar,
    Figures,
    Finding,
    Stopwatch,
    in_fresh_process,
    in_turns,
    options,
    peak_memory,
    report,
    say,
)

ROWS, LARGE_ROWS = 1_000_000, 5_000_000
FEATURES = tuple(f"measure_{number:03}" for number in range(100))
HELD_OUT_SHARE = 0.05
ENTITIES = 50_000
NAME, DATASET = "learned", "learned_2020"
ROUNDS, DEPTH = 50, 6
SPLITS = {"train": datetime(2020, 1, 1, tzinfo=UTC), "validation": datetime(2020, 7, 1, tzinfo=UTC)}
SPLITS["test"] = datetime(2020, 9, 1, tzinfo=UTC)


def main() -> None:
    """Measure both sides in turn, and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--rows", type=int, metavar="N", help=f"default {ROWS:,}")
    parser.add_argument("--large", action="store_true", help=f"{LARGE_ROWS:,} rows")
    given = parser.parse_args()
    rows = given.rows or (LARGE_ROWS if given.large else ROWS)
    data = prepare(rows)
    sides = {
        "features model train": lambda: in_fresh_process(train, data),
        "bare XGBoost": lambda: in_fresh_process(train_bare, data),
    }
    measured = in_turns(sides, given.repeat)
    ours, theirs = measured["features model train"], measured["bare XGBoost"]
    case = f"{rows:,} rows, {len(FEATURES)} features, {ROUNDS} rounds"
    bars = {
        "seconds": ("s", Bar(1.4, of="ratio")),
        "processor seconds": ("s", None),
        "memory": ("GiB", Bar(1.3, of="ratio")),
    }
    findings = [Finding(case, name, ours[name], unit, theirs[name], bar) for name, (unit, bar) in bars.items()]
    report("train", findings, ["rival: pyarrow reads train and validation, QuantileDMatrix, xgboost.train; one thread"])


def train(data: Path) -> Figures:
    """The whole of `features model train`, in a process that has its libraries."""
    os.environ["FEATURES_DATA"] = str(data)
    import xgboost  # noqa: F401

    from transformations.engine.base.settings import get_settings
    from transformations.models.log.event_log import EventLog
    from transformations.models.tracking.runs import client_of
    from transformations.models.training import train

    client_of(get_settings())
    with peak_memory() as peak, Stopwatch() as watch:
        train(NAME, data / "repository", EventLog("bench"), get_settings())
    return {"seconds": watch.seconds, "processor seconds": watch.processor_seconds, "memory": peak()}


def train_bare(data: Path) -> Figures:
    """Read, and train."""
    import xgboost

    def rows_of(split: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        table = pq.read_table(data / "datasets" / DATASET / f"{split}.parquet", columns=[*FEATURES, "label"])
        matrix = np.empty((table.num_rows, len(FEATURES)), dtype=np.float32)
        for place, name in enumerate(FEATURES):
            matrix[:, place] = table[name].to_numpy()
        return matrix, table["label"].to_numpy()

    with peak_memory() as peak, Stopwatch() as watch:
        matrix, labels = rows_of("train")
        rows = xgboost.QuantileDMatrix(matrix, labels, nthread=1)
        held_out = xgboost.QuantileDMatrix(*rows_of("validation"), nthread=1, ref=rows)
        settings = {"objective": "binary:logistic", "max_depth": DEPTH, "learning_rate": 0.1, "nthread": 1}
        xgboost.train(settings, rows, ROUNDS, evals=[(held_out, "validation")], verbose_eval=False)
    return {"seconds": watch.seconds, "processor seconds": watch.processor_seconds, "memory": peak()}


def prepare(rows: int) -> Path:
    """A data folder with a pinned dataset of so many rows to learn from, and a repository that declares its model."""
    data = DATA / f"{rows}-learned"
    if not (data / "repository").exists():
        say(f"data: {rows:,} rows below {data.relative_to(CHECKOUT)}")
        in_fresh_process(write_dataset, data, rows)
    shutil.rmtree(data / "models", ignore_errors=True)
    return data


def write_dataset(data: Path, rows: int) -> None:
    """What `features dataset create` would leave, and the declaration."""
    from transformations.datasets.config import DatasetConfig
    from transformations.datasets.content.content_hash import column_hashes, combine_hashes
    from transformations.datasets.manifest import FILE, Manifest, SplitContent

    folder = data / "datasets" / DATASET
    folder.mkdir(parents=True, exist_ok=True)
    splits = []
    for seed, (name, begins) in enumerate(SPLITS.items()):
        table = learned_rows(rows if name == "train" else int(rows * HELD_OUT_SHARE), begins, seed)
        hashes = column_hashes(table)
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
        splits.append(
            SplitContent(
                name=name,
                file=f"{name}.parquet",
                rows=table.num_rows,
                content_hash=combine_hashes(table.num_rows, hashes),
                first=begins,
                last=begins + timedelta(days=30),
                columns=hashes,
                statistics={},
            )
        )
    columns = [{"name": name, "value_type": "FLOAT"} for name in FEATURES]
    projection = {"feature_view_name": "entity_measures", "feature_columns": columns}
    config = {
        "name": DATASET,
        "feature_service": "learned_v1",
        "spine": {"query": "SELECT 1"},
        "label": {"column": "label", "horizon": "7 days"},
        "split": {name: begins.isoformat() for name, begins in SPLITS.items()},
    }
    manifest = Manifest(
        name=DATASET,
        created_at=SPLITS["test"],
        config=DatasetConfig.model_validate(config),
        code_revision="benchmark",
        libraries={},
        data_end=None,
        timestamp="event_timestamp",
        views=(),
        spine_tables=(),
        spine_file=None,
        functions={},
        counts={},
        splits=tuple(splits),
        leakage=(),
        registry={
            "feature_services": [{"spec": {"name": "learned_v1", "features": [projection]}}],
            "feature_views": [{"spec": {"name": "entity_measures", "entity_columns": [{"name": "entity_id"}]}}],
        },
    )
    (folder / FILE).write_text(manifest.text())
    (data / "repository" / "models").mkdir(parents=True)
    (data / "repository" / "models" / f"{NAME}.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(DECLARATION))))


DECLARATION = {
    "description": "A benchmark",
    "owner": "team@example.com",
    "dataset": DATASET,
    "task": "binary_classification",
    "trainer": "xgboost",
    "hyperparameters": {"rounds": ROUNDS, "max_depth": DEPTH},
    "evaluation": {"entity": "entity_id", "gates": [{"metric": "log_loss", "at_most": 0.6}]},
}


def learned_rows(count: int, begins: datetime, seed: int) -> pa.Table:
    """Rows whose label follows from a tenth of the features, of which a hundredth is null."""
    chance = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {
        "entity_id": pa.array(chance.integers(0, ENTITIES, count)),
        "event_timestamp": pa.array(
            chance.integers(0, 30 * 86_400, count) * 10**6 + int(begins.timestamp()) * 10**6, pa.timestamp("us", "UTC")
        ),
    }
    tendency = chance.normal(size=count)
    for place, name in enumerate(FEATURES):
        values = chance.normal(size=count).astype(np.float32)
        if place % 10 == 0:
            tendency += 0.5 * values
        columns[name] = pa.array(values, mask=chance.random(count) < 0.01)
    columns["label"] = pa.array(tendency > 1)
    return pa.table(columns)


if __name__ == "__main__":
    main()

"""A whole project on disk, small: delivered, built twice, applied, loaded, with a dataset, a model, expectations and
predictions, some of them collected.

A correction waits to be built, which this process computes without Spark.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from redis import Redis

from tests.transformations.models.predictions.conftest import NOON, options, scored
from tests.worlds.clicking import World
from tests.worlds.returns import write_dataset, write_declaration
from transformations.models.predictions.lines import record_lines
from transformations.models.predictions.recorder import Recorder
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.predictions import ServedView

NOW = "2024-06-01T00:00:00Z"
DATASET = """
feature_service: reading_v1
spine:
  query: |
    SELECT user_id, clicked_at AS event_timestamp, page <> '/lost' AS stays FROM raw.clicks
label: {column: stays, horizon: 12 hours}
split: {train: 2024-05-01, test: 2024-05-02, zone: America/New_York}
"""
LATER = "click_id,user_id,page,seconds,clicked_at\n5,2,/dogs,2.0,2024-05-12T16:00:00\n"
LATE = "click_id,user_id,page,seconds,clicked_at\n2,1,/dogs,6.0,2024-05-02T16:00:00\n"
_NOT_OURS = shutil.ignore_patterns("spark", "redis", "__pycache__", "*.lock", "*.csv")


@dataclass(frozen=True)
class Project:
    """A project as it is copied for each trial, and the rows that its Redis then holds."""

    folder: Path
    rows: dict[bytes, bytes]

    def copy_to(self, folder: Path, redis: Redis) -> None:
        """A copy in another place, served by this Redis."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder, symlinks=True)
        (folder / "later.csv").write_text(LATER)
        redis.flushdb()
        for key, dump in self.rows.items():
            redis.restore(key, 0, dump)

    def files(self) -> Iterator[str]:
        """Every file, relative to the folder."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                yield path.relative_to(self.folder).as_posix()

    def folders(self) -> Iterator[str]:
        for path in sorted(self.folder.rglob("*")):
            if path.is_dir():
                yield path.relative_to(self.folder).as_posix()


def make(world: World, redis: Redis, folder: Path) -> Project:
    """Fill the world, and keep a copy of it in the folder."""
    datasets = world.repository / "datasets"
    datasets.mkdir()
    (datasets / "reading.yaml").write_text(DATASET)
    (datasets / "another.yaml").write_text(DATASET)
    write_declaration(world.repository)
    write_dataset(world.settings.datasets_dir)
    world.deliver_all()
    _do(world, "build")
    world.deliver_later()
    _do(world, "build")
    world.apply()
    world.materialize(NOW)
    _do(world, "dataset", "create", str(datasets / "reading.yaml"))
    _do(world, "model", "train", "user_return")
    _do(world, "expect")
    record_predictions(world, "a", "b")
    _do(world, "predictions", "collect")
    record_predictions(world, "b", "c")
    world.deliver("clicks", LATE, correction=True)
    shutil.copytree(world.folder, folder, ignore=_NOT_OURS)
    return Project(folder, {key: redis.dump(key) for key in redis.scan_iter()})


def record_predictions(world: World, *ids: str) -> None:
    """As the server of the trained model has recorded them."""
    (manifest,) = (world.settings.models_dir / "user_return").glob("*/manifest.json")
    views = {"user_clicks": ServedView(table_version=0, loaded_through=NOON)}
    rows = replace(scored(*ids, model="user_return"), artifact=json.loads(manifest.read_text())["id"], views=views)
    with Recorder(segments_folder(world.settings), options()) as recorder:
        recorder.answered(recorder.record(record_lines(rows)))


def _do(world: World, *arguments: str) -> None:
    done = world.run(*arguments)
    assert done.exit_code == 0, done.output

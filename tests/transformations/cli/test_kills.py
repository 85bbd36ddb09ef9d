"""Commands killed at random moments: readers see what was before or what comes after, and the rerun completes it.

`make kill-test` runs them, KILLS of each, and a third of that where Spark starts each time. What a kill left and what
the rerun made of it is compared with a run that nobody killed. A kill certainly interrupted the work where something
was left to do after it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from feast.protos.feast.core.FeatureView_pb2 import FeatureView as FeatureViewProto
from google.protobuf.json_format import MessageToDict
from redis import Redis

from tests.transformations.models.predictions.conftest import NOON, give_artifact, options, scored
from tests.worlds.clicking import VIEWS, World
from tests.worlds.processes import forking
from tests.worlds.returns import write_dataset, write_declaration
from transformations.datasets.manifest import read_manifest
from transformations.engine.base.settings import Settings
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.tables.pins import pinned
from transformations.engine.upkeep.integrity import examine_tables
from transformations.models.predictions.lines import record_lines
from transformations.models.predictions.published import served_folder
from transformations.models.predictions.recorder import Recorder
from transformations.models.predictions.segment_reading import segments_in
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.predictions import ServedView
from transformations.models.scoring.artifact import read_artifact

KILLS = int(os.environ.get("COMMAND_KILLS", "3"))
SEED = int(os.environ.get("KILL_SEED", "20240501"))

pytestmark = pytest.mark.kills

DATASET = """
feature_service: reading_v1
spine:
  query: |
    SELECT user_id, clicked_at AS event_timestamp, page <> '/lost' AS stays FROM raw.clicks
label: {column: stays, horizon: 12 hours}
split: {train: 2024-05-01, test: 2024-05-02, zone: America/New_York}
"""
MORE = """
topics_v1 = FeatureService(name="topics_v1", features=[user_topics], owner="ml@x.org", description="Which topic?")
"""


def command_line(arguments: list[str], environment: dict[str, str], domains: str, started: str) -> None:
    """What the process does that is killed: one command, as the console runs it, which notes when it begins."""
    os.environ.clear()  # it has the environment of the first test of all
    os.environ.update(environment)
    import transformations
    from transformations.cli import main

    transformations.__path__ = [*transformations.__path__, domains]
    output = os.open(f"{started}.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if arguments[0] == "restore":
        from transformations.engine.base.settings import get_settings
        from transformations.engine.compute.spark import spark_session

        spark_session(get_settings())  # its start is not what is to be killed
    Path(started).touch()
    if arguments[0] == "feast":
        sys.argv = arguments
        from feast.cli.cli import cli

        cli(arguments[1:], standalone_mode=False)
    elif code := main.run(arguments):
        sys.exit(code)


@dataclass(frozen=True)
class Killing:
    """A project to run commands in, whose data can be set back."""

    world: World
    folder: Path
    redis: Redis

    def save(self) -> None:
        """Remember the data as it is."""
        shutil.copytree(self.world.settings.data, self.folder / "saved", symlinks=True)

    def set_back(self) -> None:
        while self.world.settings.data.exists():
            with suppress(FileNotFoundError):  # Spark's Java, at its end, removes files of its own meanwhile
                shutil.rmtree(self.world.settings.data)
        shutil.copytree(self.folder / "saved", self.world.settings.data, symlinks=True)

    def apply(self) -> None:
        code, _, words = self.run(["feast", "-c", str(self.world.repository), "apply"])
        assert code == 0, words

    def run(self, arguments: list[str], seconds: float | None = None) -> tuple[int | None, float, str]:
        """Run a command in a process of its own, killed after that long: its exit code, seconds and words."""
        started = self.folder / "started"
        started.unlink(missing_ok=True)
        domains = str(self.world.folder / "domains")
        process = forking().Process(target=command_line, args=(arguments, dict(os.environ), domains, str(started)))
        process.start()
        while not started.exists() and process.is_alive():
            time.sleep(0.001)
        began = time.monotonic()
        process.join(seconds)
        if seconds is not None and process.is_alive():
            process.kill()
        process.join()
        return process.exitcode, time.monotonic() - began, Path(f"{started}.log").read_text()


def state(world: World) -> dict[str, Any]:
    """All that readers can see: tables with their runs, the raw zone, datasets, pins, the registry."""
    settings = world.settings
    tables = [OfflineTable(folder) for folder in sorted(settings.offline_dir.glob("*"))]
    rows = {table.name: content(list(latest.files)) for table in tables if (latest := table.latest())}
    datasets = [folder for folder in sorted(settings.datasets_dir.glob("[!.]*")) if folder.is_dir()]
    splits = {folder.name: [split.content_hash for split in read_manifest(folder)[0].splits] for folder in datasets}
    return {
        "raw": {folder.name: content(sorted(map(str, raw_files(folder)))) for folder in settings.raw_dir.glob("*")},
        "rows": rows,
        "files": {table.name: len(latest.files) for table in tables if (latest := table.latest())},
        "raw files": {folder.name: len(raw_files(folder)) for folder in settings.raw_dir.glob("*")},
        "runs": {table.name: [(run.version, run.kind) for run in table.runs()] for table in tables},
        "whole versions": {
            table.name: [run.version for run in table.runs() if is_whole(table, run.version)] for table in tables
        },
        "pins": {table.name: dict(pinned(table)) for table in tables},
        "datasets": splits,
        "registry": registered(settings.registry_path),
        "models": artifacts(settings),
        "collected": collected(settings),
        "segments": [path.name for path in segments_in(segments_folder(settings))],
    }


def collected(settings: Settings) -> list[str]:
    """The ids of all predictions that were collected, each as often as it stands there."""
    files = sorted(served_folder("returns", settings).glob("*/*.parquet"))
    return sorted(name for file in files for name in pq.read_table(file, columns=["id"])[0].to_pylist())


def artifacts(settings: Settings) -> list[str]:
    """The artifacts that versions of models are registered with, each once; all of them can be read."""
    if not settings.registry_path.exists():
        return []
    with closing(sqlite3.connect(settings.registry_path)) as database:
        tables = database.execute("SELECT name FROM sqlite_schema WHERE name = 'features_model_events'").fetchall()
        rows = database.execute("SELECT event FROM features_model_events").fetchall() if tables else []
    runs = [json.loads(event)["change"]["run_id"] for (event,) in rows]
    return sorted({read_artifact(settings.models_dir / "user_return" / run).manifest.id for run in runs})


def registered(file: Path) -> list[str]:
    """What the registry says. Not by Feast, which keeps it open, and closes over the file that was put in its place."""
    if not file.exists():
        return []
    with closing(sqlite3.connect(file)) as database:
        views = database.execute("SELECT feature_view_proto FROM feature_views ORDER BY feature_view_name").fetchall()
        services = database.execute("SELECT feature_service_name FROM feature_services ORDER BY 1").fetchall()
        saved = database.execute("SELECT saved_dataset_name FROM saved_datasets ORDER BY 1").fetchall()
    specs = [MessageToDict(FeatureViewProto.FromString(proto).spec) for (proto,) in views]
    for spec in specs:
        spec["batchSource"].pop("meta", None)  # when it was applied
        spec["entityColumns"].sort(key=lambda column: column["name"])  # Feast takes them from a set
    return [*(json.dumps(spec, sort_keys=True) for spec in specs), *(name for (name,) in services + saved)]


def raw_files(folder: Path) -> list[Path]:
    from transformations.engine.base import storage

    return [folder / path for path in storage.file_paths(storage.open_table(folder))]


def is_whole(table: OfflineTable, version: int) -> bool:
    try:
        table.at(version)
    except Exception:
        return False
    return True


def content(files: list[str]) -> list[str]:
    """The rows of files, as text in order; when they were written says no more than the run's own moment."""
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return sorted(json.dumps({name: str(value) for name, value in row.items()}) for row in rows)


def leftovers(world: World) -> list[str]:
    """What nothing refers to, after vacuum; a killed Spark is still clearing up its own folder meanwhile."""
    world.run("vacuum", "--older-than", "0")
    data = world.settings.data
    paths = [Path(folder, name) for folder, folders, files in os.walk(data) for name in (*folders, *files)]
    found = [path for path in paths if path.name.endswith((".tmp", ".unfinished")) or "#" in path.name]
    return sorted(str(path.relative_to(data)) for path in found)


def later_clicks(killing: Killing) -> list[str]:
    (killing.folder / "later.csv").write_text(
        "click_id,user_id,page,seconds,clicked_at\n"
        + "".join(f"{number},1,/cats,1.0,2024-05-11T16:00:00\n" for number in range(4, 4_000))
    )
    return ["ingest", "clicks", str(killing.folder / "later.csv"), "--complete-through", "2024-05-11"]


def new_dataset(killing: Killing) -> list[str]:
    (killing.folder / "reading.yaml").write_text(DATASET)
    killing.apply()
    return ["dataset", "create", str(killing.folder / "reading.yaml")]


def old_versions(killing: Killing) -> list[str]:
    killing.world.deliver_later()
    killing.world.run("build")
    killing.world.rewrite(('description="Clicks", unit="clicks"', 'description="All clicks", unit="clicks"'))
    killing.world.rewrite(("windows=[days(7)]", "windows=[days(14)]"))
    killing.world.run("build")
    for number in range(20):  # as many killed runs left
        folder = killing.world.settings.offline_dir / "user_clicks" / f"run=killed{number}"
        folder.mkdir()
        (folder / "part.parquet").write_bytes(b"x" * 1_000)
    return ["vacuum", "--keep-versions", "1", "--yes", "--older-than", "0"]


def earlier_version(killing: Killing) -> list[str]:
    killing.world.deliver_later()
    killing.world.run("build", "user_clicks")
    return ["restore", "user_clicks", "--version", "0", "--yes"]


def another_service(killing: Killing) -> list[str]:
    killing.apply()
    views = killing.world.repository / "user_views.py"
    views.write_text(VIEWS.replace('owner="news@x.org"', 'owner="cats@x.org"') + MORE)
    return ["feast", "-c", str(killing.world.repository), "apply"]


def correction(killing: Killing) -> list[str]:
    """Computed in the command's own process: a killed Spark is `test_processes.py`'s."""
    rows = "click_id,user_id,page,seconds,clicked_at\n2,1,/dogs,6.0,2024-05-02T16:00:00\n"
    killing.world.deliver("clicks", rows, correction=True)
    return ["build", "user_clicks"]


def new_version_of_a_model(killing: Killing) -> list[str]:
    write_dataset(killing.world.settings.datasets_dir)
    write_declaration(killing.world.repository)
    return ["model", "train", "user_return"]


def small_files(killing: Killing) -> list[str]:
    killing.world.deliver_later()
    killing.world.run("build")
    return ["compact", "user_clicks"]


def recorded_predictions(killing: Killing) -> list[str]:
    settings = killing.world.settings
    give_artifact(settings, "returns")
    views = {"user_clicks": ServedView(table_version=0, loaded_through=NOON)}
    with Recorder(segments_folder(settings), options()) as recorder:
        for request in range(200):
            rows = scored(*(f"{request}-{row}" for row in range(10)))
            recorder.answered(recorder.record(record_lines(replace(rows, views=views))))
    return ["predictions", "collect"]


COMMANDS: dict[str, Callable[[Killing], list[str]]] = {
    "ingest": later_clicks,
    "dataset create": new_dataset,
    "vacuum": old_versions,
    "apply": another_service,
    "build": correction,
    "model train": new_version_of_a_model,
    "restore": earlier_version,
    "compact": small_files,
    "predictions collect": recorded_predictions,
}
STARTS_SPARK = ("restore",)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_killed_at_any_moment_leaves_the_old_or_the_new_and_the_rerun_completes_it(
    world: World,
    redis: Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    command: str,
) -> None:
    monkeypatch.setenv("FEATURES_CLOCK", "2024-06-01T00:00:00Z")
    monkeypatch.setenv("FEATURES_SPARK_MASTER", "local[1]")
    monkeypatch.setenv("FEATURES_SPARK_DRIVER_MEMORY", "512m")
    monkeypatch.chdir(Path(__file__).parents[3])
    world.deliver_all()
    if command == "model train":
        request.getfixturevalue("mlflow_tables")
    elif command not in ("ingest", "apply"):
        request.getfixturevalue("_spark")
        assert world.run("build").exit_code == 0
    killing = Killing(world, tmp_path, redis)
    arguments = COMMANDS[command](killing)
    killing.save()
    before = state(world)
    needed = 0.0
    for _ in range(2):  # the first one also loads what the second finds loaded
        killing.set_back()
        code, needed, words = killing.run(arguments)
        assert code == 0, words
    after = state(world)
    assert after != before, words

    chosen, interrupted, kills = random.Random(f"{SEED} {command}"), 0, KILLS // (3 if command in STARTS_SPARK else 1)
    for number in range(kills):
        killing.set_back()
        seconds = chosen.uniform(0, needed)
        code, _, words = killing.run(arguments, seconds)
        where = f"{command}, kill {number} after {seconds:.3f} of {needed:.3f} s (KILL_SEED={SEED})"
        assert code in (0, -signal.SIGKILL), f"{where}: {words}"
        found = state(world)
        interrupted += code != 0 and found != after
        for part, value in found.items():  # a command that changes two things may have changed one
            assert command == "vacuum" or value in (before[part], after[part]), (where, part)
        code, _, words = killing.run(arguments)
        if command == "dataset create" and "is never overwritten" in words:  # it stands; what is left is finished
            code, _, words = killing.run(["dataset", "rebuild", "reading"])
        assert code == 0, f"{where}: {words}"
        assert state(world) == after, where
        assert leftovers(world) == [], where
        assert [
            fault
            for table in examine_tables(world.settings.raw_dir, world.settings.offline_dir)
            for fault in table.faults
        ] == [], where
    print(f"\nkills: {kills} of {command}, which takes {needed:.2f} s: {interrupted} certainly interrupted it")
    assert interrupted or kills < 3

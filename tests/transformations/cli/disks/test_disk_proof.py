"""Every file and folder of a project, damaged in every way, under every command: the right value, or one clear refusal.

`make disk-proof` tries the whole matrix, `make test` a sample.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.transformations.cli.disks import commands, damages
from tests.transformations.cli.disks.commands import READERS, WRITERS, Ended
from tests.transformations.cli.disks.judging import SLOW_SECONDS, Trial, complaint
from tests.transformations.cli.disks.project import NOW, Project, make
from tests.worlds.clicking import World
from tests.worlds.samples import some_quick

UNDAMAGED = Trial("", "nothing", "")
# Of files that are alike one is enough.
LEFT_OUT = (
    "data/datasets/returns_2020/[tv]e*",
    "data/datasets/returns_2020/validation*",
    "data/lineage/*",
    "*/.pins",
    "data/mlflow/user_return/*",
    "data/models/*/reference.json",
    "data/offline/user_topics/*",
    "contracts/pages*",
    "*/bucket-00001*",
    "data/raw/*0001.json",
    "data/raw/pages/SHA256SUMS",
    "expectations/user_topics*",
    "*.csv",
)
ONLY_OF: dict[str, tuple[str, ...]] = {
    "empty": (".json", ".db", ".yaml"),
    "another bit flipped": (".parquet", "SHA256SUMS"),
    "a folder": (".json", ".db", ".parquet", ".yaml"),
}
"""Damages that teach nothing new of other files, by the ends of names."""
FOLDERS = (
    "data", "data/raw", "data/raw/clicks", "data/offline", "data/offline/user_clicks",
    "data/offline/user_clicks/_delta_log", "data/datasets", "data/datasets/reading", "data/models", "data/mlflow",
    "data/predictions", "data/predictions/_segments",
    "contracts", "feature_repo", "expectations",
)  # fmt: skip
# Their words have nothing to do with stored data.
_OF_DECLARATIONS = ("check", "diff", "feast plan", "feast views", "lineage", "contract show", "docs")
_OF_MODELS = ("model train", "model list", "model show", "model show version", "predictions collect")


def places(project: Project) -> Iterator[tuple[str, str]]:
    """Each place and damage of the matrix."""
    for file in project.files():
        if not any(fnmatchcase(file, pattern) for pattern in LEFT_OUT):
            yield from ((file, damage) for damage in damages.OF_FILES if file.endswith(ONLY_OF.get(damage, "")))
    for folder in FOLDERS:
        yield from ((folder, damage) for damage in damages.OF_FOLDERS)
    yield ".", damages.FULL


def names_for(place: str) -> list[str]:
    """The commands that are tried on a place."""
    is_data = place.startswith("data/") and "registry" not in place
    is_model = any(word in place for word in ("model", "mlflow", "returns", "registry", "predictions")) or place in (
        "",
        ".",
        "data",
    )
    left_out = {*(_OF_DECLARATIONS if is_data else ()), *(() if is_model else _OF_MODELS)}
    return [name for name in (*READERS, *WRITERS) if name not in left_out]


def try_place(project: Project, place: str, damage: str, folder: Path, socket: str, number: int, told: Any) -> None:
    """In a process of its own: damage a copy, run the commands, and tell how each ended."""
    damages.give_up_root()
    from transformations.engine.compute import run

    def refuse_to_start(*_: object, **__: object) -> None:
        raise SystemExit(SPARK)

    run.spark_session = refuse_to_start  # type: ignore[assignment]
    redis, where = Redis(unix_socket_path=socket, db=number), folder / f"work{number}" / "project"
    url = f"unix://{socket}?db={number}"

    def start_anew() -> None:
        damages.empty_the_disk()
        damages.allow(where)
        project.copy_to(where, redis)
        if damage in damages.ALL:
            damages.ALL[damage](where / place)

    start_anew()
    for name in names_for(place):
        if name in WRITERS:
            start_anew()
        commands.use(where, url)
        ended = commands.run((READERS | WRITERS)[name], where)
        told.put((Trial(place, damage, name), ended))
        if name in WRITERS and ended.code == 0:  # what was written must read as it should, or be refused
            for reader in ("training", "lookup"):
                commands.use(where, url)
                told.put((Trial(place, damage, f"{reader} after {name}"), commands.run(READERS[reader], where)))
    damages.empty_the_disk()
    damages.allow(where)


SPARK = 99
"""How a build ends that begins to compute with Spark, as it does where the table's state is gone."""


def try_all(project: Project, wanted: list[tuple[str, str]], folder: Path, socket: str) -> dict[Trial, Ended | None]:
    """How each trial ended; None for one that did not end."""
    context = get_context("forkserver")
    context.set_forkserver_preload(
        [
            "tests.worlds.quickened",
            "feast",
            "feast.cli.cli",
            "duckdb",
            "deltalake",
            "pandas",
            "transformations.stores.loading",
        ]
    )
    told, found, running = context.Queue(), dict[Trial, Ended | None](), dict[Any, tuple[tuple[str, str], int, float]]()
    left, free = list(wanted), [1, 2]

    def listen() -> None:
        while True:
            try:
                trial, ended = told.get(timeout=0.02)
            except queue.Empty:
                return
            found[trial] = ended

    while left or running:
        while left and free:
            (place, damage), number = left.pop(0), free.pop()
            process = context.Process(target=try_place, args=(project, place, damage, folder, socket, number, told))
            process.start()
            running[process] = (place, damage), number, time.monotonic()
        listen()
        for process, ((place, damage), number, began) in list(running.items()):
            is_stuck = time.monotonic() - began > 5 * SLOW_SECONDS
            if process.is_alive() and not is_stuck:
                continue
            process.kill()
            process.join()
            if is_stuck or process.exitcode:
                found[Trial(place, damage, f"process ended with {process.exitcode}")] = None
            del running[process]
            free.append(number)
    listen()
    return found


def judge(found: dict[Trial, Ended | None], right: dict[str, Ended]) -> list[str]:
    """A line for each trial that neither gave the right value nor refused as it should."""
    faults = []
    for trial, ended in found.items():
        command = trial.command.partition(" after ")[0]
        if ended is None:
            faults.append(f"{trial}: it did not end")
        elif ended.code == SPARK:
            continue
        elif said := complaint(Trial(trial.place, trial.damage, command), ended, right[trial.command]):
            faults.append(f"{trial}: {said}")
    return faults


@pytest.fixture
def socket(redis: Redis) -> str:
    """Of the tests' Redis."""
    return str(redis.connection_pool.connection_kwargs["path"])


@pytest.fixture
def project(
    world: World, redis: Redis, _spark: None, mlflow_tables: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    monkeypatch.setenv("FEATURES_CLOCK", NOW)
    return make(world, redis, tmp_path / "project")


SAMPLE = (
    ("offline/user_clicks/run=*/*.parquet", "cut short"),
    ("offline/user_clicks/run=*/*.parquet", "deleted"),
    ("offline/user_clicks/_delta_log/*.json", "empty"),
    ("offline/user_clicks/SHA256SUMS", "bit flipped"),
    ("raw/clicks/_delta_log/*.json", "bit flipped"),
    ("raw/clicks/drop-*/*.parquet", "a folder"),
    ("raw/pages", "a file"),
)


@pytest.mark.parametrize(("pattern", "damage"), some_quick(SAMPLE, 0, 4))
def test_a_sample_of_damages_gives_the_right_value_or_one_refusal_by_path_and_remedy(
    built: World, pattern: str, damage: str
) -> None:
    def run(name: str) -> Ended:
        (command, *arguments) = READERS[name].split()
        done = built.run(command, *arguments)
        output, errors = (text.replace(str(built.folder), "PROJECT") for text in (done.stdout, done.stderr))
        return Ended(done.exit_code, output, errors, 0.0)

    names = ("status", "show", "preview", "runs", "doctor deep")
    right = {name: run(name) for name in names}
    place = max(built.settings.data.glob(pattern))
    damages.ALL[damage](place)
    shown = f"data/{place.relative_to(built.settings.data)}"
    found = {name: run(name) for name in names}
    said = {name: complaint(Trial(shown, damage, name), ended, right[name]) for name, ended in found.items()}
    assert {name: text for name, text in said.items() if text} == {}
    deep = found["doctor deep"]
    assert deep.code == 3 or "no checksum recorded" in deep.output


@pytest.mark.disks
def test_whatever_is_damaged_each_command_gives_the_right_value_or_refuses_by_path_and_remedy(
    project: Project, socket: str, tmp_path: Path
) -> None:
    folder = tmp_path / "trials"
    folder.mkdir()
    undamaged = try_all(project, [("", "nothing")], folder, socket)
    right = {trial.command: ended for trial, ended in undamaged.items() if ended is not None}
    failed = {name: ended.output + ended.errors for name, ended in right.items() if ended.code and name != "check"}
    assert (failed, {*READERS, *WRITERS} - right.keys()) == ({}, set())

    patterns = os.environ.get("DISKS", "*").split("|")
    wanted = [
        (place, damage)
        for place, damage in places(project)
        if any(fnmatchcase(f"{place} × {damage}", pattern) for pattern in patterns)
    ]
    found = try_all(project, wanted, folder, socket)
    faults = judge(found, right)
    alike = sum(ended is not None and ended.output == right[trial.command].output for trial, ended in found.items())
    print(f"\n{len(found):,} trials of {len(wanted)} damages: {alike:,} ended as undamaged, {len(faults)} are faults")
    print(*faults, sep="\n")
    assert faults == []

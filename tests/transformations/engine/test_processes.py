"""Builds in processes of their own, killed by the system: readers keep the published version, the rerun completes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

# What a build in another process does: it loads the view and kills itself at one point of the run.
_PROGRAM = """
    import os, pickle, signal, sys, threading, time
    from pathlib import Path

    from transformations.engine.compute.build import build
    from transformations.engine.base.settings import get_settings

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def die_once_a_task_has_written(table):
        before = set(table.glob("run=*/*"))
        while set(table.glob("run=*/*")) == before:
            time.sleep(0.001)
        die()

    view, settings = pickle.loads(Path(sys.argv[1]).read_bytes()), get_settings()
    began = time.monotonic()
    {sabotage}
    build(view, settings)
    print("seconds:", time.monotonic() - began)
"""
_ONCE_A_TASK_HAS_WRITTEN = """threading.Thread(
        target=die_once_a_task_has_written, args=(settings.offline_dir / view.name,), daemon=True
    ).start()"""
_AFTER_SECONDS = "threading.Timer({seconds}, die).start()"

# `make kill-test` sets how many builds are killed at moments that nobody chose, each a share of what a whole one takes.
_MOMENTS = [random.Random(number).uniform(0.05, 0.95) for number in range(int(os.environ.get("KILLED_BUILDS", "0")))]

_FIRST = """
    sale_id  user_id  amount  sold_at
    1        1        10.00   2017-03-09 12:00"""
_SECOND = """
    sale_id  user_id  amount  sold_at
    2        1        5.00    2017-03-10 12:00
    3        2        7.00    2017-03-13 12:00"""


@pytest.fixture(scope="module")
def seconds_of_a_build() -> list[float]:
    """How long a build takes that is not killed: measured before the first that is, for this machine and its load."""
    return []


@pytest.mark.parametrize("moment", [None, *_MOMENTS], ids=["writing", *(f"after {share:.0%}" for share in _MOMENTS)])
def test_a_build_killed_at_any_moment_leaves_a_whole_version_and_the_rerun_completes(
    world: Any, tmp_path: Path, moment: float | None, seconds_of_a_build: list[float]
) -> None:
    world.deliver(_FIRST, through="2017-03-12")
    world.build()
    before = world.rows()
    world.deliver(_SECOND, through="2017-03-14")

    sabotage = _ONCE_A_TASK_HAS_WRITTEN
    if moment is not None:
        if not seconds_of_a_build:
            seconds_of_a_build.append(_seconds_of_a_whole_build(world, tmp_path))
        sabotage = _AFTER_SECONDS.format(seconds=moment * seconds_of_a_build[0])
    ended = _run(textwrap.dedent(_PROGRAM).format(sabotage=sabotage), world.saved_view(tmp_path), tmp_path / "log")
    assert ended == -signal.SIGKILL or (ended == 0 and moment is not None), (tmp_path / "log").read_text()

    published = world.latest().version == 1
    assert not (published and moment is None)
    assert published or world.rows() == before
    assert (world.build() is None) is published
    assert world.latest().version == 1
    world.assert_equals_definition()
    print(
        f"\nkills: 1 of build by Spark, {sabotage[:16]!r}: {int(ended != 0 and not published)} certainly interrupted it"
    )


def _seconds_of_a_whole_build(world: Any, folder: Path) -> float:
    """How long the build takes over a copy of the data, its imports left out, as the timer of a killed one counts."""
    copy = shutil.copytree(world.settings.data, folder / "copy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATURES_DATA", str(copy))
        ended = _run(textwrap.dedent(_PROGRAM).format(sabotage=""), world.saved_view(folder), folder / "whole")
    text = (folder / "whole").read_text()
    assert ended == 0, text
    return float(text.rpartition("seconds:")[2].split()[0])


def _run(program: str, view: Path, log: Path) -> int:
    """How it ended. It writes to a file: a pipe would stay open until the killed build's Java has ended too."""
    with log.open("w") as output:
        return subprocess.run(
            [sys.executable, "-c", program, view],
            env=os.environ | {"FEATURES_SPARK_MASTER": "local[1]", "FEATURES_SPARK_DRIVER_MEMORY": "512m"},
            stdout=output,
            stderr=output,
            check=False,
            timeout=120,
        ).returncode

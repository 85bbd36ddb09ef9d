"""Builds in processes of their own, killed by the system: readers keep the published version, the rerun completes."""

import os
import random
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
    {sabotage}
    build(view, settings)
"""
_ONCE_A_TASK_HAS_WRITTEN = """threading.Thread(
        target=die_once_a_task_has_written, args=(settings.offline_dir / view.name,), daemon=True
    ).start()"""
_AFTER_SECONDS = "threading.Timer({seconds}, die).start()"

# `make kill-test` sets how many builds are killed at moments that nobody chose: a whole one takes some ten seconds.
_MOMENTS = [random.Random(number).uniform(0, 15) for number in range(int(os.environ.get("KILLED_BUILDS", "0")))]
_SABOTAGES = [_ONCE_A_TASK_HAS_WRITTEN, *(_AFTER_SECONDS.format(seconds=seconds) for seconds in _MOMENTS)]

_FIRST = """
    sale_id  user_id  amount  sold_at
    1        1        10.00   2017-03-09 12:00"""
_SECOND = """
    sale_id  user_id  amount  sold_at
    2        1        5.00    2017-03-10 12:00
    3        2        7.00    2017-03-13 12:00"""


@pytest.mark.parametrize("sabotage", _SABOTAGES, ids=["writing", *(f"after {seconds:.1f} s" for seconds in _MOMENTS)])
def test_a_build_killed_at_any_moment_leaves_a_whole_version_and_the_rerun_completes(
    world: Any, tmp_path: Path, sabotage: str
) -> None:
    world.deliver(_FIRST, through="2017-03-12")
    world.build()
    before = world.rows()
    world.deliver(_SECOND, through="2017-03-14")

    ended = _run(textwrap.dedent(_PROGRAM).format(sabotage=sabotage), world.saved_view(tmp_path), tmp_path / "log")
    assert ended == -signal.SIGKILL or (ended == 0 and sabotage in _SABOTAGES[1:]), (tmp_path / "log").read_text()

    published = world.latest().version == 1
    assert not (published and sabotage == _ONCE_A_TASK_HAS_WRITTEN)
    assert published or world.rows() == before
    assert (world.build() is None) is published
    assert world.latest().version == 1
    world.assert_equals_definition()
    print(
        f"\nkills: 1 of build by Spark, {sabotage[:16]!r}: {int(ended != 0 and not published)} certainly interrupted it"
    )


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

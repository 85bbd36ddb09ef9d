"""Batches and releases whose process is killed at random moments: nobody sees a part, and the next one completes it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.batch.publishing import batches_folder, predictions_of, read_batch
from transformations.models.log.event_log import EventLog

KILLS = int(os.environ.get("KILLS", "5"))
FEATURES = [sys.executable, "-c", "from transformations.cli.main import main; main()", "model"]
DAYS = ["predict", weekly.MODEL, "--from", "2024-01-08", "--to", "2024-05-20", "--version", "1"]

pytestmark = pytest.mark.proof


def kill_once_there(command: list[str], sign: Path, within: float) -> None:
    """Run a command and kill it at a random moment after something has appeared."""
    process = subprocess.Popen([*FEATURES, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not sign.exists():
        time.sleep(0.01)
    time.sleep(random.random() * within)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)


def test_batches_of_a_killed_backfill_are_whole_and_the_next_one_publishes_the_rest(weekly_production: Path) -> None:
    folder = batches_folder(weekly.MODEL, get_settings())
    for _ in range(KILLS):
        kill_once_there(DAYS, folder, within=0.5)
        for batch in folder.glob("[!.]*"):
            assert predictions_of(batch).num_rows == read_batch(batch).total
    subprocess.run([*FEATURES, *DAYS], check=True, capture_output=True)
    assert len(list(folder.glob("[!.]*"))) == weekly.WEEKS
    assert list(folder.glob(".*unfinished")) == []


def test_a_killed_release_goes_on_and_makes_one_version(weekly_project: Path) -> None:
    command = ["release", weekly.MODEL]
    for _ in range(KILLS):
        kill_once_there(command, get_settings().models_dir, within=2.0)
    done = subprocess.run([*FEATURES, *command], check=True, capture_output=True, text=True)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[:5]] == [
        "dataset", "check", "train", "evaluate", "staging"
    ]  # fmt: skip
    kinds = [event.change.kind for event in EventLog("shop").events(weekly.MODEL)]
    assert kinds == ["registered", "evaluated", "stage"]

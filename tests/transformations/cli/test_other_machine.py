"""Two machines over one bucket: what one does, the other one sees, continues, and cannot tear."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest

from tests.worlds import buckets
from tests.worlds.literal_table import LiteralTable
from transformations.engine.base.settings import get_settings
from transformations.insight.repository import open_store
from transformations.local import redis as embedded

DATASET = """
feature_service: reading_v1
spine: {query: "SELECT user_id, clicked_at AS event_timestamp FROM raw.clicks"}
"""
# Ingests a click, and is killed once its file is in the bucket and before the commit that would name it.
KILLED = """
import os, signal, sys
from datetime import date
from pathlib import Path
from transformations.engine.base import storage
from transformations.engine.base.settings import get_settings
from validation.delivery.ingest import Delivery, ingest_drop
finish = storage.finish_files
def die(folder, named):
    finish(folder, named)
    os.kill(os.getpid(), signal.SIGKILL)
storage.finish_files = die
ingest_drop(Delivery("clicks", Path(sys.argv[1]), complete_through=date(2024, 5, 12)), get_settings())
"""
# Publishes numbers, one a version, as fast as it can, and prints those that it could publish.
RACER = """
import json, sys
from tests.worlds.literal_table import LiteralTable
from transformations.engine.base.errors import ConflictError
from transformations.engine.base.settings import get_settings
table, won = LiteralTable(get_settings().offline_dir / "user_clicks"), []
for number in range(int(sys.argv[1]), int(sys.argv[1]) + 12):
    try:
        table.run(f"run-{number}", number)
        won.append(number)
    except ConflictError:
        pass
print(json.dumps(won))
"""
LATER = "click_id,user_id,page,seconds,clicked_at\n5,2,/cats,3.0,2024-05-12T16:00:00\n"

pytestmark = pytest.mark.proof


@pytest.fixture
def on(
    world: Any, bucket: dict[str, str], _spark: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Any]:
    """The project on a machine: with copies and a Redis of its own, over one bucket and one registry."""
    place = {**bucket, "FEATURES_DATA": f"s3://{buckets.BUCKET}/{uuid4().hex[:12]}"}
    for name, value in {**place, "FEATURES_REGISTRY_URL": f"sqlite:///{tmp_path}/registry.db"}.items():
        monkeypatch.setenv(name, value)

    def machine(name: str) -> Any:
        if get_settings().redis_dir.is_dir():
            embedded.stop()
        monkeypatch.setenv("FEATURES_LOCAL", str(tmp_path / name))
        return world

    return machine


def trained() -> pd.DataFrame:
    moments = [datetime(2024, 5, day, 12, tzinfo=UTC) for day in (5, 13)]
    spine = pd.DataFrame({"user_id": [1, 2] * 2, "event_timestamp": sorted(moments * 2)})
    store = open_store(get_settings())
    return store.get_historical_features(spine, store.get_feature_service("reading_v1")).to_df()


def served() -> dict[str, list[Any]]:
    store = open_store(get_settings())
    service = store.get_feature_service("reading_v1")
    found: dict[str, list[Any]] = store.get_online_features(service, [{"user_id": 1}, {"user_id": 2}]).to_dict()
    return found


def test_one_machine_continues_what_the_other_one_did(on: Callable[[str], Any], tmp_path: Path) -> None:
    on("a").deliver_all()
    assert on("a").run("build").exit_code == 0
    on("a").apply()

    world = on("b")
    assert not (tmp_path / "b" / "offline").exists()
    world.deliver_later()
    assert world.run("build").exit_code == 0
    here = trained()
    assert here["clicks_count_7d"].tolist() == [2, 1, 1, 0]
    world.materialize("2024-05-13T00:00:00+00:00")
    online = served()
    assert online["clicks_count_7d"] == [1, 0]

    world = on("c")  # which has nothing at all
    pd.testing.assert_frame_equal(trained(), here)
    world.materialize("2024-05-13T00:00:00+00:00")
    assert served() == online
    assert world.run("parity").exit_code == 0
    assert world.run("status", "user_clicks").exit_code == 0
    assert world.run("restore", "user_clicks", "--version", "0", "--yes").exit_code == 0

    world = on("a")
    assert trained()["clicks_count_7d"].tolist() == [2, 1, 0, 0]
    assert world.run("build").exit_code == 0
    pd.testing.assert_frame_equal(trained(), here)
    assert world.run("doctor", "--deep").exit_code in (0, 4)
    assert world.run("compact").exit_code == 0

    assert on("d").run("build").exit_code == 0
    pd.testing.assert_frame_equal(trained(), here)


def test_a_dataset_is_there_for_all_machines_until_one_deletes_it(on: Callable[[str], Any], tmp_path: Path) -> None:
    (tmp_path / "reading.yaml").write_text(DATASET)
    on("a").deliver_all()
    assert on("a").run("build").exit_code == 0
    on("a").apply()
    assert on("a").run("dataset", "create", str(tmp_path / "reading.yaml")).exit_code == 0
    frame = open_store(get_settings()).get_saved_dataset("reading").to_df()

    world = on("b")
    pd.testing.assert_frame_equal(open_store(get_settings()).get_saved_dataset("reading").to_df(), frame)
    assert world.run("dataset", "verify", "reading").exit_code == 0
    assert "the same content" in world.run("dataset", "rebuild", "reading").stdout
    refused = world.run("dataset", "create", str(tmp_path / "reading.yaml"))
    assert (refused.exit_code, "is never overwritten" in refused.output) == (2, True)
    assert world.run("dataset", "delete", "reading").exit_code == 0

    world = on("a")
    assert world.run("dataset", "verify", "reading").exit_code == 2
    assert not (get_settings().datasets_dir / "reading").exists()
    assert world.run("dataset", "create", str(tmp_path / "reading.yaml")).exit_code == 0
    assert on("b").run("dataset", "verify", "reading").exit_code == 0


def test_an_ingestion_killed_before_its_commit_leaves_no_row_and_can_be_repeated(
    on: Callable[[str], Any], tmp_path: Path
) -> None:
    on("a").deliver_all()
    (tmp_path / "later.csv").write_text(LATER)
    on("b")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "later.csv")], env=os.environ, check=False, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    assert on("a").run("build").exit_code == 0
    on("a").apply()
    assert trained()["clicks_count_7d"].tolist() == [2, 1, 0, 0]

    on("c").deliver("clicks", LATER, complete_through="2024-05-12")
    assert on("b").run("build").exit_code == 0
    assert trained()["clicks_count_7d"].tolist() == [2, 1, 0, 1]


def test_writers_on_several_machines_publish_each_version_once(
    bucket: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {**bucket, "FEATURES_DATA": f"s3://{buckets.BUCKET}/{uuid4().hex[:12]}"}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(number * 100)],
            env={**os.environ, **place, "FEATURES_LOCAL": str(tmp_path / str(number)), "PYTHONPATH": str(Path.cwd())},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2, 3)
    ]
    won = [json.loads(racer.communicate(timeout=120)[0]) for racer in racers]
    assert all(won), "none was shut out"
    assert sum(map(len, won)) < 36, "they did not meet"
    for name, value in {**place, "FEATURES_LOCAL": str(tmp_path / "reader")}.items():
        monkeypatch.setenv(name, value)

    table = LiteralTable(get_settings().offline_dir / "user_clicks")
    published = sorted(number for each in won for number in each)
    assert table.newest().version == len(published) - 1
    assert table.users(len(published) - 1) == published

"""`features dataset` makes, proves, lists and shows datasets; the example of the repository is one."""

import json
from pathlib import Path
from typing import Any

from transformations.datasets.config import read_config

CONFIG = """
feature_service: reading_v1
spine:
  query: |
    SELECT user_id, clicked_at AS event_timestamp, page <> '/lost' AS stays FROM raw.clicks
label: {column: stays, horizon: 12 hours}
split: {train: 2024-05-01, test: 2024-05-02, zone: America/New_York}
"""


def test_a_dataset_is_made_proved_listed_and_shown(built: Any, tmp_path: Path) -> None:
    (tmp_path / "reading.yaml").write_text(CONFIG)
    built.apply()

    made = built.run("dataset", "create", str(tmp_path / "reading.yaml"))
    assert made.exit_code == 0
    assert made.stdout.startswith(f"reading: {built.settings.datasets_dir / 'reading'}\n")
    assert "of 3 rows of the spine, left out: none\n" in made.stdout
    assert "label stays, known until 2024-05-11 04:00 UTC\n" in made.stdout
    assert "leakage check: 1 views, no row from the future\n" in made.stdout

    again = built.run("dataset", "create", str(tmp_path / "reading.yaml"))
    assert (again.exit_code, "is never overwritten" in again.output) == (2, True)

    built.deliver_later()
    built.run("build")
    proved = built.run("dataset", "rebuild", "reading")
    assert proved.stdout == "reading: the same content, by the hash of every split; what is there stays\n"
    verified = built.run("dataset", "verify", str(built.settings.datasets_dir / "reading" / "manifest.json"))
    assert verified.stdout == "reading: 3 rows in 2 splits are what the manifest says\n"

    (listed,) = json.loads(built.run("dataset", "list", "--json").stdout)
    assert (listed["name"], listed["rows"]) == ("reading", {"train": 1, "test": 2})
    shown = built.run("dataset", "show", "reading").stdout
    assert "  offline user_clicks: version 0, " in shown
    assert "  raw clicks: version 0, 1 files\n" in shown


def test_an_unknown_dataset_is_answered_with_the_nearest(world: Any) -> None:
    result = world.run("dataset", "verify", "reading")
    assert result.exit_code == 2
    assert "reading is neither a manifest.json, a dataset's folder, nor a dataset: Known: none." in result.output
    assert "no dataset has been made yet" in world.run("dataset", "list").stderr


def test_the_configurations_of_the_repository_are_sound() -> None:
    files = list((Path(__file__).parents[3] / "feature_repo" / "datasets").glob("*.yaml"))
    assert [read_config(file).name for file in files] == [file.stem for file in files]

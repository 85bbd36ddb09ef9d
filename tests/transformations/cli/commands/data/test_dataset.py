"""`features dataset` makes, proves, lists and shows datasets; the example of the repository is one."""

import json
from pathlib import Path
from typing import Any

import pytest

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
    assert "leakage check: 1 view, no row from the future\n" in made.stdout

    again = built.run("dataset", "create", str(tmp_path / "reading.yaml"))
    assert (again.exit_code, "is never overwritten" in again.output) == (2, True)

    built.deliver_later()
    built.run("build")
    proved = built.run("dataset", "rebuild", "reading")
    assert proved.stdout == "reading: the same content, by the hash of every split; what is there stays\n"
    verified = built.run("dataset", "verify", str(built.settings.datasets_dir / "reading" / "manifest.json"))
    assert verified.stdout == "reading: 3 rows in 2 splits are what the manifest says\n"

    checked = built.run("dataset", "check", "reading")
    assert checked.exit_code == 0
    assert "0.00% of the rows stand there again, allowed 0.00%" in checked.stdout
    assert "not told: 1 row of the train split, and 500 would be enough" in checked.stdout

    (listed,) = json.loads(built.run("dataset", "list", "--json").stdout)
    assert (listed["name"], listed["rows"]) == ("reading", {"train": 1, "test": 2})
    shown = built.run("dataset", "show", "reading").stdout
    assert "  offline user_clicks: version 0, " in shown
    assert "  raw clicks: version 0, 1 file\n" in shown


@pytest.mark.proof
def test_a_dataset_that_spark_has_joined_is_made_again_without_it(built: Any, tmp_path: Path) -> None:
    (tmp_path / "reading.yaml").write_text(CONFIG)
    built.apply()
    assert built.run("dataset", "create", str(tmp_path / "reading.yaml"), "--engine", "spark").exit_code == 0
    proved = built.run("dataset", "rebuild", "reading")
    assert proved.stdout == "reading: the same content, by the hash of every split; what is there stays\n"


def test_a_dataset_with_equal_rows_is_not_fit_to_learn_from(built: Any, tmp_path: Path) -> None:
    twice = "SELECT user_id, clicked_at AS event_timestamp, unnest([true, false]) AS stays FROM raw.clicks"
    query = CONFIG.replace(
        "SELECT user_id, clicked_at AS event_timestamp, page <> '/lost' AS stays FROM raw.clicks", twice
    )
    (tmp_path / "reading.yaml").write_text(query)
    built.apply()
    built.run("dataset", "create", str(tmp_path / "reading.yaml"))

    checked = built.run("dataset", "check", "reading")
    assert checked.exit_code == 3
    assert "100.00% of the rows equal one with another label, allowed 0.00%" in checked.output
    assert "raise the limit under `checks` in the dataset's YAML" in checked.output


def test_a_dry_run_tells_rows_labels_and_pins_and_writes_nothing(built: Any, tmp_path: Path) -> None:
    (tmp_path / "reading.yaml").write_text(CONFIG)
    built.apply()

    told = built.run("dataset", "create", str(tmp_path / "reading.yaml"), "--dry-run")

    assert told.exit_code == 0
    assert told.stdout.startswith("reading: a dry run, nothing was written\n")
    assert "train     1  2024-05-01  2024-05-01  100.00% true" in told.stdout
    assert "test      2  2024-05-02  2024-05-02  50.00% true" in told.stdout
    assert "label stays, known until 2024-05-11 04:00 UTC\n" in told.stdout
    assert "  would pin offline user_clicks: version 0, complete through 2024-05-10\n" in told.stdout
    assert "  would pin raw clicks: version 0\n" in told.stdout
    assert not built.settings.datasets_dir.exists()
    assert built.run("dataset", "list", "--json").stdout == "[]\n"

    (tmp_path / "broken.yaml").write_text(CONFIG.replace("SELECT", "SELEKT", 1))
    for options in ([], ["--dry-run"]):
        refused = built.run("dataset", "create", str(tmp_path / "broken.yaml"), *options)
        assert (refused.exit_code, f"{tmp_path}/broken.yaml: the spine's query cannot" in refused.output) == (2, True)


def test_a_dataset_without_a_label_is_for_scoring_and_can_be_replaced_and_deleted(built: Any, tmp_path: Path) -> None:
    file = tmp_path / "reading.yaml"
    file.write_text(CONFIG.split("label:", maxsplit=1)[0])
    built.apply()

    made = built.run("dataset", "create", str(file))
    assert "scoring     3  2024-05-01  2024-05-02" in made.stdout
    assert "no label: for scoring\n" in made.stdout
    assert "it cannot know: a column of the source or spine that is known only after its event time" in made.stdout

    file.write_text(CONFIG)
    assert "label stays" in built.run("dataset", "create", str(file), "--replace").stdout
    (listed,) = json.loads(built.run("dataset", "list", "--json").stdout)
    assert listed["label"] == "stays"

    deleted = built.run("dataset", "delete", "reading")
    assert deleted.stdout == "reading is deleted; it had pinned 1 table version, which may go now\n"
    assert built.run("dataset", "delete", "reading").exit_code == 2


def test_a_dataset_without_its_manifest_is_named_and_hides_no_other(built: Any, tmp_path: Path) -> None:
    built.apply()
    for name in ("reading", "second"):
        (tmp_path / f"{name}.yaml").write_text(CONFIG)
        assert built.run("dataset", "create", str(tmp_path / f"{name}.yaml")).exit_code == 0
    folder = built.settings.datasets_dir / "reading"
    (folder / "manifest.json").unlink()

    listed = built.run("dataset", "list", "--json")
    assert [each["name"] for each in json.loads(listed.stdout)] == ["second"]
    assert (listed.exit_code, f"{folder} has no manifest.json" in listed.stderr) == (3, True)
    for command in (["create", str(tmp_path / "reading.yaml")], ["verify", "reading"], ["rebuild", "reading"]):
        refused = built.run("dataset", *command)
        assert (refused.exit_code, "features dataset delete reading" in refused.output) == (3, True)
    assert built.run("vacuum").exit_code == 0
    assert built.run("dataset", "delete", "reading").exit_code == 0
    assert built.run("dataset", "create", str(tmp_path / "reading.yaml")).exit_code == 0
    assert built.run("dataset", "list").exit_code == 0


def test_a_training_frame_that_was_saved_beside_them_is_no_dataset(world: Any) -> None:
    folder = world.settings.datasets_dir
    (folder / "saved").mkdir(parents=True)
    for file in (folder / "saved" / "data.parquet", folder / "frame.parquet"):
        file.write_bytes(b"PAR1")

    assert world.run("dataset", "list", "--json").stdout == "[]\n"
    assert "dataset" not in world.run("doctor", "--deep").stdout


def test_an_unknown_dataset_is_answered_with_the_nearest(world: Any) -> None:
    result = world.run("dataset", "verify", "reading")
    assert result.exit_code == 2
    assert "reading is neither a manifest.json, a dataset's folder, nor a dataset: Known: none." in result.output
    assert "no dataset has been made yet" in world.run("dataset", "list").stderr


def test_a_configuration_that_cannot_be_read_is_refused_by_its_path_and_the_remedy(world: Any, tmp_path: Path) -> None:
    for path, why in ((tmp_path / "gone.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        refused = world.run("dataset", "create", str(path))
        assert refused.exit_code == 2
        assert refused.stderr == (
            f"Error: {path} cannot be read: {why}. Name a YAML file that describes a dataset, such as "
            f"feature_repo/datasets/NAME.yaml, that is there and that this user may read.\n"
        )


def test_the_configurations_of_the_repository_are_sound() -> None:
    files = list((Path(__file__).parents[5] / "feature_repo" / "datasets").glob("*.yaml"))
    assert [read_config(file).name for file in files] == [file.stem for file in files]

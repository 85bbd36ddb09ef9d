"""`features doctor` looks, says, and ends with the code that a script can act on."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from feast import FeatureView, Field, FileSource
from feast.types import Float64

from tests.worlds.literal_table import LiteralTable
from transformations.cli.commands.start.doctor import doctor
from transformations.engine.base.settings import get_settings
from transformations.insight import checkup
from transformations.insight.checkup import Check, exit_code
from transformations.insight.repository import open_store
from transformations.stores.base.views import DEFINITION_HASH


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FEATURES_REDIS_URL", "FEATURES_REGISTRY_URL", "FEATURES_JAVA_HOME", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def examine() -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(doctor, ["--json"])
    return result.exit_code, {check["name"]: check for check in json.loads(result.stdout)}


def read_aloud() -> Result:
    return CliRunner().invoke(doctor)


def test_a_machine_after_make_install_is_well_and_is_left_as_it_was(data: Path) -> None:
    code, checks = examine()

    assert code == 0
    assert {name: check["status"] for name, check in checks.items()} == {
        "python": "ok",
        "packages": "ok",
        "data": "ok",
        "java": "ok",
        "redis": "ok",
        "repository": "ok",
        "registry": "ok",
        "models": "ok",
    }
    assert not (data / "redis").exists()
    assert not (data / "registry.db").exists()


def test_a_feature_store_yaml_that_feast_itself_would_answer_with_a_trace_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "feature_store.yaml"
    file.write_text("project: shop\nonline_store: {password: *hunter2}\n")
    monkeypatch.setenv("FEATURE_REPO_DIR_ENV_VAR", str(tmp_path))
    code, checks = examine()
    said = checks["repository"]["detail"]
    assert (code, said.startswith(f"{file} is no YAML: found undefined alias"), "hunter2" in said) == (3, True, False)


def test_a_redis_that_does_not_answer_is_a_service_to_retry(
    unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_REDIS_URL", f"redis://me:hunter2@127.0.0.1:{unused_tcp_port}")
    code, checks = examine()

    assert code == 4
    assert checks["redis"]["status"] == "fail"
    assert checks["redis"]["remedy"] == "Start that server, or correct FEATURES_REDIS_URL."
    assert "hunter2" not in json.dumps(checks)


def test_a_url_that_is_none_of_redis_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_REDIS_URL", "host:6379")

    assert examine()[0] == 3


def test_a_java_that_is_too_old_is_to_be_mended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "old" / "bin" / "java"
    old.parent.mkdir(parents=True)
    old.write_text("""#!/bin/sh\necho 'openjdk version "11.0.21"' >&2\n""")
    old.chmod(0o755)
    monkeypatch.setenv("FEATURES_JAVA_HOME", str(tmp_path / "old"))
    code, checks = examine()

    assert code == 3
    assert "Java 11.0.21 is older than 17" in checks["java"]["detail"]


def test_an_old_java_home_that_is_passed_over_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    code, checks = examine()

    assert code == 0
    assert checks["java"]["status"] == "warn"


def test_a_misspelt_variable_is_a_warning_with_the_right_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_REDIS_ULR", "redis://host")
    code, checks = examine()

    assert code == 0
    assert checks["settings"]["detail"] == "no setting reads FEATURES_REDIS_ULR"
    assert checks["settings"]["remedy"].startswith("Did you mean 'FEATURES_REDIS_URL'?")


def test_a_setting_that_cannot_be_read_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_CLOCK", "yesterday")
    code, checks = examine()

    assert code == 3
    assert "FEATURES_CLOCK=yesterday" in checks["settings"]["detail"]


def test_a_full_disk_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "FREE_BYTES_FAIL", 2**62)
    code, checks = examine()

    assert code == 3
    assert checks["data"]["status"] == "fail"


def test_a_data_folder_below_a_file_is_to_be_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "file" / "data"))
    code, checks = examine()

    assert code == 3
    assert f"{tmp_path}/file is a file where a folder is needed" in checks["settings"]["detail"]


def test_a_file_in_place_of_a_zone_is_to_be_mended(data: Path) -> None:
    data.mkdir()
    (data / "raw").write_text("not a folder")
    code, checks = examine()

    assert code == 3
    assert checks["data"]["detail"] == f"{data}/raw is a file where a folder is needed"


@pytest.mark.parametrize("content", [b"junk" * 2_000, b"SQLite format 3\x00" + b"\xff" * 9_000])
def test_a_registry_that_is_no_database_is_to_be_mended(data: Path, content: bytes) -> None:
    data.mkdir()
    (data / "registry.db").write_bytes(content)
    code, checks = examine()

    assert code == 3
    assert f"{data}/registry.db is damaged" in checks["registry"]["detail"]


def test_an_empty_registry_is_to_be_mended(data: Path) -> None:
    data.mkdir()
    (data / "registry.db").touch()
    code, checks = examine()

    assert code == 3
    assert checks["registry"]["detail"] == f"{data}/registry.db is empty"
    assert "feast -c feature_repo apply" in checks["registry"]["remedy"]


def test_a_registry_that_was_cut_short_is_to_be_mended(data: Path) -> None:
    open_store(get_settings()).list_projects()  # which makes the registry
    with closing(sqlite3.connect(data / "registry.db")) as database:
        database.execute("CREATE TABLE more (content BLOB)")
        database.executemany("INSERT INTO more VALUES (?)", [(b"x" * 3_000,)] * 40)
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = (data / "registry.db").read_bytes()
    assert examine()[0] == 0

    (data / "registry.db").write_bytes(whole[: len(whole) // 2])
    code, checks = examine()
    assert code == 3
    assert f"{data}/registry.db is damaged" in checks["registry"]["detail"]


def test_the_database_of_another_program_is_no_registry(data: Path) -> None:
    data.mkdir()
    with closing(sqlite3.connect(data / "registry.db")) as database:
        database.execute("CREATE TABLE songs (name TEXT)")
    code, checks = examine()

    assert code == 3
    assert "other tables than Feast's registry" in checks["registry"]["detail"]


def test_an_older_registry_of_another_data_folder_is_to_be_mended(data: Path) -> None:
    store = open_store(get_settings())
    for name, path in {
        "user_spend": "/elsewhere/offline/user_spend",
        "user_age": "$FEATURES_DATA/offline/user_age",
    }.items():
        source = FileSource(name=name, path=path, timestamp_field="event_timestamp", tags={DEFINITION_HASH: "0"})
        view = FeatureView(name=name, source=source, schema=[Field(name="spend", dtype=Float64)])
        store.registry.apply_feature_view(view, store.project, commit=True)

    code, checks = examine()

    assert code == 3
    assert checks["registry"]["detail"] == "it was written for another data folder, by user_spend"
    assert "feast -c feature_repo apply" in checks["registry"]["remedy"]


def test_looking_deep_names_the_tables_and_datasets_that_are_not_as_they_were_written(data: Path) -> None:
    table = LiteralTable(data / "offline" / "user_clicks")
    table.run("a", 1, 2)
    dataset = data / "datasets" / "clicks_v1"
    dataset.mkdir(parents=True)
    (dataset / "manifest.json").write_text('{"format": 1, "name"')
    assert examine()[0] == 0

    result = CliRunner().invoke(doctor, ["--deep"])
    assert result.exit_code == 3
    assert "ok    offline     user_clicks: 3 files" in result.stdout
    assert f"fail  dataset     clicks_v1: {dataset}/manifest.json is no manifest of ours" in result.stdout

    (dataset / "manifest.json").write_bytes(b"\xff\xfe")
    result = CliRunner().invoke(doctor, ["--deep"])
    assert f"clicks_v1: {dataset}/manifest.json is no manifest of ours: it is no UTF-8 text" in result.stdout

    rows = table.path / "run=a" / "1.parquet"
    rows.write_bytes(rows.read_bytes().replace(b"PAR1", b"PAR2"))
    result = CliRunner().invoke(doctor, ["--deep"])
    assert f"fail  offline     user_clicks: {rows} does not hold the bytes that were written" in result.stdout
    assert "Damaged files" in result.stdout


def test_a_file_beside_the_datasets_is_none(data: Path) -> None:
    (data / "datasets").mkdir(parents=True)
    (data / "datasets" / "frame.parquet").write_bytes(b"PAR1\xff")  # as the demo saves its training frame

    result = CliRunner().invoke(doctor, ["--deep"])
    assert (result.exit_code, "frame" in result.stdout) == (0, False)


def test_looking_deep_says_where_no_checksum_is_recorded(data: Path) -> None:
    table = LiteralTable(data / "offline" / "user_clicks")
    table.run("a", 1, 2)
    (table.path / "SHA256SUMS").unlink()

    result = CliRunner().invoke(doctor, ["--deep"])
    assert result.exit_code == 0
    assert "warn  offline     user_clicks: 3 files" in result.stdout
    assert "no checksum recorded of 3 files, read whole instead" in result.stdout


def test_a_registry_whose_driver_is_missing_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_REGISTRY_URL", "postgresql+psycopg://me:hunter2@127.0.0.1/registry")
    code, checks = examine()

    assert code == 3
    assert "driver psycopg is not installed: pip install psycopg" in checks["registry"]["detail"]


def test_a_person_reads_one_line_a_check_and_the_remedy_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_REDIS_ULR", "redis://host")
    lines = read_aloud().stdout.splitlines()

    assert lines[0].startswith("ok    python      3.")
    warning = lines.index("warn  settings    no setting reads FEATURES_REDIS_ULR")
    assert lines[warning + 1].strip().startswith("→ Did you mean 'FEATURES_REDIS_URL'?")


@pytest.mark.parametrize(
    ("failed", "code"),
    [
        ([], 0),
        ([Check("redis", "fail", "", is_service=True)], 4),
        ([Check("data", "fail", "")], 3),
        ([Check("redis", "fail", "", is_service=True), Check("data", "fail", "")], 3),
        ([Check("java", "warn", "")], 0),
    ],
)
def test_what_must_be_mended_weighs_more_than_what_may_come_back(failed: list[Check], code: int) -> None:
    assert exit_code(failed) == code


def test_a_file_in_the_place_of_a_table_or_dataset_is_told_and_the_rest_examined(built: Any) -> None:
    for zone in ("raw", "offline", "datasets"):
        place = built.settings.data / zone / "mislaid"
        place.parent.mkdir(exist_ok=True)
        place.write_text("no folder")
        done = built.run("doctor", "--deep")
        assert (done.exit_code, f"{place} is a file where a folder is needed" in done.output) == (3, True), done.output
        assert "models" in done.output
        place.unlink()

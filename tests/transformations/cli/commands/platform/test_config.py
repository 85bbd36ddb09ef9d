"""`features config` shows what is in force and where it came from."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from transformations.cli.commands.platform.config import config, markdown_table
from transformations.engine.base.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FEATURES_{name.upper()}", raising=False)
    monkeypatch.setenv("FEATURES_SPARK_DRIVER_MEMORY", "8g")
    monkeypatch.setenv("FEATURES_REDIS_URL", "redis://me:hunter2@host:6379/0")


def test_each_value_is_shown_with_its_origin_and_without_passwords() -> None:
    lines = CliRunner().invoke(config).stdout.splitlines()
    shown = {line.split()[0]: line.split()[1:3] for line in lines if line.startswith("FEATURES_")}

    assert shown["FEATURES_SPARK_DRIVER_MEMORY"] == ["8g", "environment"]
    assert shown["FEATURES_SPARK_MASTER"] == ["local[*]", "default"]
    assert shown["FEATURES_REDIS_URL"] == ["redis://***@host:6379/0", "environment"]
    assert set(shown) == {f"FEATURES_{name.upper()}" for name in Settings.model_fields}


def test_json_has_the_same_and_the_defaults() -> None:
    document = json.loads(CliRunner().invoke(config, ["--json"]).stdout)
    memory = next(setting for setting in document if setting["name"] == "spark_driver_memory")

    assert (memory["value"], memory["default"], memory["origin"]) == ("8g", "4g", "environment")
    assert "hunter2" not in json.dumps(document)


def test_a_misspelt_variable_is_a_warning_beside_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_DATUM", "/data")
    result = CliRunner().invoke(config, ["--json"])

    assert "no setting reads FEATURES_DATUM: did you mean 'FEATURES_DATA'?" in result.stderr
    assert json.loads(result.stdout)


def test_the_markdown_table_shows_defaults_and_nothing_of_this_machine() -> None:
    table = CliRunner().invoke(config, ["--markdown"]).stdout

    assert table == markdown_table() + "\n"
    assert "| `FEATURES_DATA` | `data` | " in table
    assert "| `FEATURES_SPARK_DRIVER_MEMORY` | `4g` | " in table
    assert "hunter2" not in table
    assert str(Path.home()) not in table
    assert str(Path.cwd()) not in table

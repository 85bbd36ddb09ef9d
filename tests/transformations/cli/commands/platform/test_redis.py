"""`features redis` starts, shows and stops the project's own server, and never prints a password unasked."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from transformations.cli.commands.platform.redis import redis
from transformations.local import redis as embedded


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("FEATURES_REDIS_URL", raising=False)
    yield tmp_path / "data"
    embedded.stop()


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(redis, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result


def test_start_status_and_stop_tell_one_story(data: Path) -> None:
    assert call("status").stdout.startswith("Redis does not run")

    url = call("start").stdout.strip()
    assert url == call("url").stdout.strip() == f"unix://{data}/redis/redis.sock"

    status = json.loads(call("status", "--json").stdout)
    assert status["running"] is True
    assert f"runs as process {status['process_id']}" in call("status").stdout

    assert call("stop").stdout == f"Redis is stopped (process {status['process_id']}).\n"
    assert call("stop").stdout == "Redis does not run.\n"
    assert json.loads(call("status", "--json").stdout) == {"running": False}


def test_the_url_is_known_without_starting_anything(data: Path) -> None:
    call("url")

    assert not data.exists()


def test_a_configured_url_is_shown_masked_and_starts_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_REDIS_URL", "redis://me:hunter2@host:6379/0")

    assert call("url").stdout == "redis://***@host:6379/0\n"
    assert call("url", "--reveal").stdout == "redis://me:hunter2@host:6379/0\n"
    assert "nothing to start" in call("start").stdout
    assert "hunter2" not in call("start").stdout
    assert not data.exists()

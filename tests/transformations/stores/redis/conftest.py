"""Servers that misbehave as no Redis would."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from socket import create_server, socket
from threading import Event, Thread

import pytest

_COMMANDS = (
    b"*2\r\n*6\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n"
    b"*6\r\n$7\r\nevalsha\r\n:-3\r\n*1\r\n+movablekeys\r\n:0\r\n:0\r\n:0\r\n"
)


def _slots(port: int) -> bytes:
    node = b"*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$40\r\n%s\r\n" % (port, b"a" * 40)
    return b"*1\r\n*3\r\n:0\r\n:16383\r\n" + node


def _answer_at_once(command: bytes, word: bytes, port: int, others: Mapping[str, bytes]) -> bytes | None:
    """None where the answer is to drip."""
    if word in command:
        return None
    if b"SLOTS" in command:
        return _slots(port)
    if b"COMMAND" in command:
        return _COMMANDS
    return next((others[each] for each in others if each.encode() in command), b"+OK\r\n" * command.count(b"*"))


@pytest.fixture
def dripping() -> Iterator[Callable[..., str]]:
    """The address of a server that sends what follows this word of a command byte by byte, ten a second.

    Otherwise it greets as Redis does, and as the only node of a cluster. others: what it answers at once, by a word.
    """
    stop = Event()
    listeners: list[socket] = []

    def serve(listener: socket, word: bytes, answer: bytes, others: Mapping[str, bytes]) -> None:
        while not stop.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                while command := peer.recv(4_096):
                    port = listener.getsockname()[1]
                    if (at_once := _answer_at_once(command, word, port, others)) is not None:
                        peer.sendall(at_once)
                    else:
                        for byte in answer:
                            peer.sendall(bytes([byte]))
                            if stop.wait(0.1):
                                return

    def address(word: bytes, answer: bytes, options: str = "protocol=2", **others: bytes) -> str:
        listener = create_server(("127.0.0.1", 0))
        listeners.append(listener)
        Thread(target=serve, args=(listener, word, answer, others), daemon=True).start()
        return f"redis://me:secret@127.0.0.1:{listener.getsockname()[1]}/0?{options}"

    yield address
    stop.set()
    for listener in listeners:
        listener.close()

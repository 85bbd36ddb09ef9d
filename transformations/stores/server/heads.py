"""How large the head of a request may be: uvicorn's faster reader of HTTP, httptools, reads headers without an end.

It copies a header that comes in pieces with each piece: one of 100 MB, for which nobody needs a token, keeps a worker
from everybody else for 15 seconds. Its other reader, h11, has a limit of its own.
"""

from __future__ import annotations

from typing import Any

MOST_BYTES = 64 << 10
"""Of what comes before a body, between two parts of one, or behind it."""
_STEPS = ("on_headers_complete", "on_body", "on_message_complete")
_SINCE = "bytes_since_a_step"


def bound_heads() -> None:
    """Let every uvicorn server of this process refuse larger ones: with 400, and the connection closed. To call it
    again changes nothing.
    """
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:  # uvicorn does not insist on the package
        return
    kind: Any = HttpToolsProtocol
    if not hasattr(kind.data_received, "without_bound"):
        for name in _STEPS:
            setattr(kind, name, _noting(getattr(kind, name)))
        kind.data_received = _bounded(kind.data_received)


def _noting(handle: Any) -> Any:
    def note(connection: Any, *given: Any) -> None:
        setattr(connection, _SINCE, 0)
        handle(connection, *given)

    return note


def _bounded(receive: Any) -> Any:
    def receive_bounded(connection: Any, data: bytes) -> None:
        setattr(connection, _SINCE, getattr(connection, _SINCE, 0) + len(data))
        receive(connection, data)
        if getattr(connection, _SINCE) > MOST_BYTES and not connection.transport.is_closing():
            connection.send_400_response(f"The head of the request is larger than {MOST_BYTES >> 10} KB.")

    receive_bounded.without_bound = receive  # type: ignore[attr-defined]
    return receive_bounded

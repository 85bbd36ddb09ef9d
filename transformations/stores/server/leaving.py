"""How a worker leaves: what was sent to it before it could say so is still answered.

A worker ends when it is told to, and Gunicorn's also after so many requests (`feast serve --max-requests`, 1,000 by
default). uvicorn then closes every connection on which no request is under way:

    accepted, request not read yet    ─┐  what the client has sent meanwhile is reset: for it, a request that failed
    answered, kept open for another   ─┘

Here these stay open for a moment. What comes on them is answered with `connection: close`, and the rest is closed then.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOMENT_SECONDS = 0.1
"""As long as uvicorn waits anyway after it has told its connections (server.py:285)."""
_CLOSE = (b"connection", b"close")


def leave_gently() -> None:
    """Let every uvicorn server of this process leave so. To call it again changes nothing."""
    for protocol in _protocols():
        if not hasattr(protocol.shutdown, "at_once"):
            protocol.shutdown = _gently(protocol.shutdown)


def _protocols() -> list[Any]:
    """The two readers of HTTP that uvicorn has. The faster one needs a package that it does not insist on."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return [H11Protocol]
    return [H11Protocol, HttpToolsProtocol]


def _gently(at_once: Any) -> Any:
    def shutdown(connection: Any) -> None:
        headers = connection.server_state.default_headers
        if _CLOSE not in headers:
            connection.server_state.default_headers = [*headers, _CLOSE]
        connection.loop.call_later(MOMENT_SECONDS, at_once, connection)

    shutdown.at_once = at_once  # type: ignore[attr-defined]
    return shutdown

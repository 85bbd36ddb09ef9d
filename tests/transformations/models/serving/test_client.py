"""The client asks again under the same id until its time is over, and says what the server refuses."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from transformations.engine.base.errors import DataError, ServiceUnavailableError, UsageError
from transformations.models.serving.client import Client

ROW = {
    "id": "x-0",
    "score": 0.5,
    "decision": True,
    "model_version": 3,
    "role": "production",
    "holdout": False,
    "degraded": False,
    "feature_timestamps": {"user_visits": None},
}
BUSY = (503, {"error": {"code": "overloaded", "message": "too busy"}})


class Script(ThreadingHTTPServer):
    """A server that answers as it is told, the last of it for ever, and notes what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, Any]] = [(200, {"predictions": [ROW]})]
        self.asked: list[tuple[str, Any, str | None]] = []
        self.attempts: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Any = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.asked.append((self.path, body, self.headers.get("Authorization")))
        server.attempts.append(self.headers.get("X-Attempt"))
        status, answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        if status == 0:
            self.close_connection = True
            return
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 503:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def script() -> Iterator[Script]:
    server = Script()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def client(script: Script, **options: Any) -> Client:
    return Client(f"http://127.0.0.1:{script.server_address[1]}", **options)


def test_predictions_come_with_all_that_the_server_tells(script: Script) -> None:
    (found,) = client(script, token="secret").predict("user_return", [{"user_id": 7}])
    assert (found.score, found.model_version, found.decision, found.role) == (0.5, 3, True, "production")
    ((path, body, authorization),) = script.asked
    assert (path, body["rows"], authorization) == (
        "/v1/models/user_return/predictions",
        [{"user_id": 7}],
        "Bearer secret",
    )


def test_a_lost_connection_and_a_busy_server_are_asked_again_under_the_same_id(script: Script) -> None:
    script.answers = [(0, None), BUSY, *script.answers]
    assert client(script, seconds=3).predict("user_return", [{"user_id": 7}])[0].score == 0.5
    assert len(script.asked) == 3
    assert len({body["id"] for _, body, _ in script.asked}) == 1
    assert script.attempts == [None, "2", "3"], "the server is told that it may have answered before"


def test_what_never_answers_in_time_is_told_with_its_last_words(script: Script) -> None:
    script.answers = [BUSY]
    with pytest.raises(ServiceUnavailableError, match=r"no answer within 0\.3 s: too busy"):
        client(script, seconds=0.3).predict("user_return", [{"user_id": 7}])


def test_refusals_are_not_repeated(script: Script) -> None:
    script.answers = [(422, {"error": {"code": "invalid_request", "message": "rows.0.user_id is missing"}})]
    with pytest.raises(DataError, match="user_id is missing"):
        client(script).predict("user_return", [{}])
    script.answers = [(404, {"error": {"code": "unknown_model", "message": "no model"}})]
    with pytest.raises(UsageError, match=r"no model \(HTTP 404\)"):
        client(script).predict("user_return", [{}])
    assert len(script.asked) == 2
    with pytest.raises(UsageError, match="is no address"):
        Client("localhost:8080").predict("user_return", [{}])

"""Explanations: nobody waits for them but who asked, and an answer without the one it was to have is none."""

import asyncio
import threading
from typing import Any

import httpx
import pytest

from tests.transformations.models.serving.conftest import PATH, Serve, ask, recorded, until
from transformations.models.serving.api import explaining

CONTRIBUTIONS = explaining.contributions_of


async def explain(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(f"{PATH}?explain=true", json={"id": "why", "rows": [{"user_id": 7}, {"user_id": 8}]})


async def test_while_one_request_is_explained_others_are_answered(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_PREDICT_DEADLINE_MS", "20000")
    has_begun, may_end = threading.Event(), threading.Event()

    def slow(*given: Any) -> Any:
        has_begun.set()
        assert may_end.wait(10)
        return CONTRIBUTIONS(*given)

    monkeypatch.setattr(explaining, "contributions_of", slow)
    async with serve() as client:
        explained = asyncio.create_task(explain(client))
        await until(lambda: asyncio.sleep(0, has_begun.is_set()))
        assert (await ask(client, 9)).status_code == 200
        may_end.set()
        rows = (await explained).json()["predictions"]
    assert len({row["explanation"]["base"] for row in rows}) == 1
    assert rows[0]["explanation"]["contributions"] != rows[1]["explanation"]["contributions"]


@pytest.mark.parametrize(("error", "status"), [(ValueError("no"), 500), (None, 503)])
async def test_what_cannot_be_explained_in_time_is_not_answered_and_its_record_says_so(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, error: Exception | None, status: int
) -> None:
    monkeypatch.setenv("FEATURES_PREDICT_DEADLINE_MS", "2000")
    is_over = threading.Event()

    def failing(*_: Any) -> Any:
        if error is not None:
            raise error
        is_over.wait(10)

    monkeypatch.setattr(explaining, "contributions_of", failing)
    async with serve() as client:
        refused = await explain(client)
        is_over.set()
        monkeypatch.setattr(explaining, "contributions_of", CONTRIBUTIONS)
        again = await explain(client)
    assert (refused.status_code, again.status_code) == (status, 200)
    assert [(each.id, each.answered) for each in recorded()] == [
        ("why-0", False), ("why-1", False), ("why-0", True), ("why-1", True)
    ]  # fmt: skip

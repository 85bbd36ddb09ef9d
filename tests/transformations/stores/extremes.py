"""Every path that a value can take, and what it gives: a value, or a refusal.

A refusal is a DataError (over HTTP a 422), and what its message says behind the place is the same on all paths.
"""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pyarrow as pa
from feast import FeatureStore
from feast.feature_server import get_app
from feast.types import FeastType

from transformations.engine.base.errors import DataError
from transformations.stores.serving import Watch, extend

NOW = datetime(2024, 5, 9, 10, tzinfo=UTC)
DAY = datetime(2024, 5, 1, tzinfo=UTC)
TIMESTAMP = pa.timestamp("us", tz="UTC")
NAN, INFINITY = float("nan"), float("inf")
YEARS = "which is beyond the years 1 to 9999, as a count in the wrong unit is"
SURROGATE = "row 0 holds '\\ud800', which is no Unicode text: half of a surrogate pair has no UTF-8"
IN_MILLISECONDS = 1_714_550_400_000 * 1_000_000  # the microseconds of 2024-05-01, had its milliseconds been seconds


def lossy(value: object, dtype: FeastType) -> str:
    return f"is declared {dtype}, but row 0 holds {value}, which cannot become {dtype} without loss"


@dataclass(frozen=True)
class Refused:
    """What a refusal says behind its place."""

    words: str


def outcome(call: Callable[[], Any]) -> Any:
    """What a path gives: a value, or how it refuses; of any other error, the error."""
    try:
        value = call()
    except DataError as error:
        return Refused(said(error.message))
    except Exception as error:
        return error
    return comparable(value)


def said(message: str) -> str:
    return re.sub(r"^.*?(?=is declared|row \d)", "", message)


def comparable(value: Any) -> Any:
    """A value such that NaN equals itself, and 1 no 1.0."""
    if isinstance(value, list | set | tuple):
        return [comparable(each) for each in (sorted(value) if isinstance(value, set) else value)]
    if isinstance(value, Mapping):
        return {name: comparable(each) for name, each in sorted(value.items())}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return repr(value)


def agrees(found: Any, expected: Any) -> bool:
    if isinstance(expected, Refused):
        return isinstance(found, Refused) and found.words.startswith(expected.words)
    return bool(found == comparable(expected))


def check(paths: Mapping[str, Callable[[], Any]], expected: Any, case: object) -> list[str]:
    """The paths that do not give what is expected, with what they give."""
    found = {name: outcome(call) for name, call in paths.items()}
    return [f"{case!r:.60} {name}: {each!r}" for name, each in found.items() if not agrees(each, expected)]


class Server:
    """`feast serve` of a store, in this process."""

    def __init__(self, store: FeatureStore) -> None:
        self.store, self.runner, self.stack = store, asyncio.Runner(), AsyncExitStack()
        self.client = self.runner.run(self._open())

    async def _open(self) -> httpx.AsyncClient:
        app = get_app(self.store, registry_ttl_sec=0)
        extend(app, Watch(self.store))
        await self.stack.enter_async_context(app.router.lifespan_context(app))
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://features")
        return await self.stack.enter_async_context(client)

    def get(self, feature: str, **given: Any) -> Any:
        """One feature of one row."""
        answer = self._post("get-online-features", features=[feature], entities={k: [v] for k, v in given.items()})
        return answer["results"][-1]["values"][0]

    def push(self, view: str, row: Mapping[str, Any]) -> None:
        self._post("push", push_source_name=f"{view}_push", df={name: [row[name]] for name in row}, to="online")

    def get_async(self, feature: str, **given: Any) -> Any:
        """By the store's own asynchronous method."""
        return self.runner.run(self.store.get_online_features_async([feature], [given])).to_dict()[named(feature)][0]

    def close(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()

    def _post(self, path: str, **body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        response = self.runner.run(self.client.post(f"/{path}", content=json.dumps(body), headers=headers))
        if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            raise DataError(json.loads(response.json())["message"])
        assert response.status_code == httpx.codes.OK, response.text
        return response.json() if response.content else None


def named(feature: str) -> str:
    return feature.partition(":")[2]


def as_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def spoken(value: Any, expected: Any) -> Any:
    """JSON's value in the form that is expected: moments are seconds there, and what is no number is a text."""
    if isinstance(expected, list):
        return [spoken(each, like) for each, like in zip(value, expected, strict=True)]
    if isinstance(expected, dict):
        return {name: spoken(value[name], expected[name]) for name in expected}
    if isinstance(expected, datetime):
        return datetime.fromtimestamp(value, UTC)
    return float(value) if isinstance(value, str) and isinstance(expected, float) else value

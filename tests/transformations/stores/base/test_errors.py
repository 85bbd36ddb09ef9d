"""What a client of `feast serve` sees: values as the SDK gives them, and errors with their status and their words."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from types import ModuleType
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pandas as pd
import pyarrow as pa
import pytest
import uvicorn
from feast import Entity, FeatureStore, FeatureView, Field, RequestSource
from feast.errors import (
    EntityTimestampInferenceException,
    FeastEntityDFMissingColumnsError,
    FeastError,
    FeatureViewNotFoundException,
)
from feast.feature_server import get_app
from feast.types import Float64, Int64, UnixTimestamp

from transformations.engine.base.errors import UsageError
from transformations.local import redis as embedded
from transformations.stores.computed.on_demand import on_demand_view
from transformations.stores.serving import Watch, extend

NOW = "2024-05-09T10:00:00+00:00"
FUNCTIONS = '''
import pyarrow as pa
import pyarrow.compute as pc
from transformations import ANYTHING, Float64, Int64, UnixTimestamp, on_demand

@on_demand(unit="USD", expect=ANYTHING)
def total(price: Float64, spent: Float64) -> Float64:
    """The price and what was spent."""
    return pc.add(price, spent)

@on_demand(unit="share", expect=ANYTHING)
def share(items: Int64) -> Float64:
    """One of the items; fails without any."""
    return pa.array([1 / value for value in items.to_pylist()])

@on_demand(unit="seconds", expect=ANYTHING)
def idle(request_timestamp: UnixTimestamp, seen_at: UnixTimestamp) -> Int64:
    """Seconds since the user was seen."""
    return pc.seconds_between(seen_at, request_timestamp)
'''
ROWS = "user_id  event_timestamp  created_timestamp  spent  seen_at\n1  2024-05-01  2024-05-01  10  2024-05-09T09:59:00"


@pytest.fixture
def ask(
    store_of: Callable[..., FeatureStore],
    stored: Callable[..., FeatureView],
    table_of: Callable[..., pa.Table],
    module_of: Callable[[str, str], ModuleType],
    user: Entity,
    clock: Callable[[str], None],
    unused_tcp_port: int,
) -> Iterator[Callable[..., tuple[int, Any]]]:
    """Asks a running feature server: the status and the answer."""
    clock(NOW)
    visits = stored("user_visits", table_of(ROWS, spent=pa.float64()), spent=Float64, seen_at=UnixTimestamp)
    functions = module_of("http_functions", FUNCTIONS)
    fields = [Field(name="price", dtype=Float64), Field(name="items", dtype=Int64)]
    now = on_demand_view(
        "user_now",
        [functions.total, functions.share, functions.idle],
        [visits, RequestSource(name="cart", schema=fields)],
        owner="me",
        description="Now",
    )
    store = store_of(user, visits, now)
    store.materialize(datetime(1970, 1, 1), datetime.fromisoformat(NOW))
    app = get_app(store)
    extend(app, Watch(store))
    server = uvicorn.Server(uvicorn.Config(app, port=unused_tcp_port, log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)

    def post(*features: str, **entities: Any) -> tuple[int, Any]:
        body = json.dumps({"features": list(features), "entities": entities}).encode()
        url = f"http://127.0.0.1:{unused_tcp_port}/get-online-features"
        try:
            with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=10) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.loads(json.load(error))

    yield post
    server.should_exit = True
    thread.join(10)


def test_a_request_over_http_is_answered_or_told_what_is_wrong_with_it(
    ask: Callable[..., tuple[int, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    request = {"user_id": [1, 1], "price": [5, 2.5], "items": [4, 2]}
    status, answer = ask("user_now:total", "user_now:share", "user_now:idle", **request)
    values = [vector["values"] for vector in answer["results"]]
    assert (status, values) == (200, [[1, 1], [15.0, 12.5], [0.25, 0.5], [60, 60]])

    moments = ["2024-05-09T10:00:30Z", "2024-05-09T12:01:00+02:00"]
    _, answer = ask("user_now:idle", **request, request_timestamp=moments)
    assert [vector["values"] for vector in answer["results"]] == [[1, 1], [90, 120]]

    def refused(**more: Any) -> tuple[int, str]:
        status, detail = ask("user_now:total", "user_now:share", "user_now:idle", **{**request, **more})
        return status, f"{detail['class']}: {detail['message']}"

    for reference, expected, words in (
        ("user_visits:spend", 400, "feature view user_visits has no feature 'spend': did you mean 'spent'?"),
        ("user_now:totals", 400, "feature view user_now has no feature 'totals': did you mean 'total'?"),
        ("user_visit:spent", 404, "user_visit"),
        ("spent", 400, "'spent' is no reference to a feature. Write <view>:<feature>."),
        ("user_visits:", 400, "'user_visits:' is no reference to a feature"),
        (None, 400, "the request names no feature. List some as <view>:<feature>"),
    ):
        status, detail = ask(*([reference] if reference else []), user_id=[1])
        assert (status, words in detail["message"]) == (expected, True), detail

    status, detail = ask("user_visits:spent", "user_visits:spent", user_id=[1])
    assert (status, detail["message"][:30]) == (400, "Duplicate features named spent")

    status, message = refused(items=[4, 2.5])
    assert status == 422
    assert (
        "user_now: request field 'items' is declared Int64, but row 1 holds 2.5, which cannot become Int64" in message
    )
    status, message = refused(price=["5", "6"])
    assert status == 422
    assert "user_now: request field 'price' is declared Float64, but holds string such as '5'" in message
    status, message = refused(items=[4, 0])
    assert status == 422
    assert "function share failed at row 1 with {'items': 0}: ZeroDivisionError: division by zero" in message
    status, message = refused(request_timestamp=["yesterday", None])
    assert status == 422
    assert "request field 'request_timestamp' is declared UnixTimestamp, but row 0 holds 'yesterday'" in message
    del request["price"]
    status, message = refused()
    assert status == 422
    assert "['price'] not found" in message
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]  # all of these were clients'

    request["price"] = [5.0, 1.0]
    embedded.stop()
    status, message = refused()
    assert status == 503
    assert message.startswith("UnavailableError: Redis at")
    (record,) = (record for record in caplog.records if record.levelno >= logging.ERROR)
    assert (record.message[:36], record.exc_info) == ("POST /get-online-features: Redis at ", None)


def test_in_process_an_error_is_of_the_class_that_feast_raises_there(
    store_of: Callable[..., FeatureStore],
    user: Entity,
    stored: Callable[..., Any],
    table_of: Callable[..., pa.Table],
    redis: Any,
) -> None:
    store = store_of(user, stored("user_visits", table_of(ROWS, spent=pa.float64()), spent=Float64))
    moment = pd.Timestamp("2024-05-02", tz="UTC")
    look, train = store.get_online_features, store.get_historical_features
    cases: list[tuple[type[Exception], type[Exception], Callable[[], Any]]] = [
        (KeyError, UsageError, lambda: look(["user_visits:spend"], [{"user_id": 1}])),
        (KeyError, UsageError, lambda: look(["user_visits:spent"], [{"other": 2}])),
        (FeatureViewNotFoundException, FeastError, lambda: look(["visits:spent"], [{"user_id": 1}])),
        (
            FeastEntityDFMissingColumnsError,
            UsageError,
            lambda: train(pd.DataFrame({"event_timestamp": [moment]}), ["user_visits:spent"]),
        ),
        (
            EntityTimestampInferenceException,
            UsageError,
            lambda: train(pd.DataFrame({"user_id": [1]}), ["user_visits:spent"]),
        ),
    ]
    for feasts, ours, call in cases:
        with pytest.raises(feasts) as caught:
            call()
        assert isinstance(caught.value, ours)
        assert str(caught.value).strip("'")

"""The plain endpoint: scores with all that a caller may want to know of them, each recorded before it is answered."""

from typing import Any

import httpx
import pytest

from tests.transformations.models.batch.conftest import by_hand
from tests.transformations.models.serving.conftest import NOW, PATH, Serve, ask, recorded
from tests.worlds import weekly


async def test_every_user_has_the_score_of_features_counted_by_hand(serve: Serve) -> None:
    expected = by_hand(NOW)
    async with serve() as client:
        answered = await ask(client, *expected)

    answer = answered.json()
    assert [row["score"] for row in answer["predictions"]] == list(expected.values())
    assert answered.headers["x-model-route"] == "production"
    assert answer["predictions"][0] == {
        "id": f"{answer['id']}-0",
        "score": expected[1],
        "decision": expected[1] >= 0.5,
        "model_version": 1,
        "role": "production",
        "holdout": False,
        "degraded": False,
        "feature_timestamps": {"user_visits": "2024-05-20T02:00:00Z"},
    }


async def test_what_was_answered_is_recorded(serve: Serve) -> None:
    async with serve() as client:
        answer = (await ask(client, 7, 999, id="monday")).json()
        records = list(recorded())

    assert [(record.id, record.keys, record.score) for record in records] == [
        (row["id"], {"user_id": user}, row["score"]) for row, user in zip(answer["predictions"], (7, 999), strict=True)
    ]
    assert [record.features["visits_28d"].status for record in records] == ["PRESENT", "NOT_FOUND"]
    assert {record.request_timestamp for record in records} == {NOW}
    assert records[0].views["user_visits"].table_version == 0
    assert records[0].features["days_since"].row_timestamp is None
    assert (records[0].role, records[0].event, records[0].answered) == ("production", 4, True)


async def test_a_request_that_is_sent_again_gets_the_same_answer_and_one_record(serve: Serve) -> None:
    async with serve() as client:
        first, again = await ask(client, 7, id="a"), await ask(client, 7, id="a")
        other = await ask(client, 8, id="a")
        assert first.json() == again.json()
        assert (other.status_code, other.json()["error"]["code"]) == (409, "id_reused")
        assert [record.id for record in recorded()] == ["a-0"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "rows is missing"),
        ({"rows": []}, 422, "rows: List should have at least 1 item"),
        ({"rows": [{}]}, 422, "rows.0.user_id is missing"),
        ({"rows": [{"user_id": "7"}]}, 422, "rows.0.user_id: should be a valid integer"),
        ({"rows": [{"user_id": 7.5}]}, 422, "rows.0.user_id: should be a valid integer"),
        ({"rows": [{"user_id": None}]}, 422, "rows.0.user_id: should be a valid integer"),
        ({"rows": [{"user_id": 2**63}]}, 422, "rows.0.user_id: should be less than"),
        ({"rows": [{"user_id": 7, "request_timestamp": "2020-01-01"}]}, 422, "request_timestamp is no field of this"),
        ({"rows": [{"user_id": 7}], "id": "a b"}, 422, "id: String should match"),
        ({"rows": [{"user_id": 7}], "now": 1}, 422, "now is no field of this model"),
        ({"rows": [{"user_id": 7}] * 1_001}, 422, "at most 1000 items"),
        ([1], 422, "the body: should be a valid dictionary"),
        ("{", 400, "the body is no JSON"),
        ('{"rows": [{"user_id": 1, "user_id": 2}]}', 400, "user_id"),
        ("[" * 4_000, 400, "nested too deeply"),
        ("[" * 100_000, 413, "more values than a request of 1,000 rows to this model (FEATURES_PREDICT_MAX_ROWS)"),
    ],
)
async def test_what_the_model_does_not_take_is_refused_with_its_place(
    serve: Serve, body: Any, status: int, words: str
) -> None:
    async with serve() as client:
        content = {"content": body} if isinstance(body, str) else {"json": body}
        answer = await client.post(PATH, **content)
        assert answer.status_code == status, answer.text
        assert words in answer.json()["error"]["message"]
        assert list(recorded()) == []


async def test_a_model_that_is_not_served_and_a_path_that_is_none_are_told(serve: Serve) -> None:
    async with serve() as client:
        answer = await client.post(PATH.replace(weekly.MODEL, "other"), json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_model")
        assert "It has user_return" in answer.json()["error"]["message"]
        answer = await client.post(f"{PATH}/", json={"rows": [{"user_id": 7}]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        answer = await client.get("/v1/nothing")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_contributions_and_base_sum_to_the_margin(serve: Serve) -> None:
    async with serve() as client:
        plain = (await ask(client, 7)).json()["predictions"][0]
        answer = await client.post(f"{PATH}?explain=true", json={"rows": [{"user_id": 7}]})
        row = answer.json()["predictions"][0]
        refused = await client.post(f"{PATH}?explain=maybe", json={"rows": [{"user_id": 7}]})

    assert "explanation" not in plain
    assert refused.status_code == 422
    explained = row["explanation"]
    margin = explained["base"] + sum(explained["contributions"].values()) + explained["rest"]
    assert set(explained["contributions"]) == {"visits_28d", "spend_28d", "days_since"}
    assert 1 / (1 + 2.718281828459045**-margin) == pytest.approx(row["score"], rel=1e-9)


async def test_a_model_tells_who_answers_and_what_it_takes(serve: Serve) -> None:
    async with serve() as client:
        (model,) = (await client.get("/v1/models")).json()["models"]
        assert (await client.get(f"/v1/models/{weekly.MODEL}")).json() == model
        example = await client.post(PATH, json=model["example"])

    assert (model["production"], model["canary"], model["loaded"]) == (1, None, [1])
    assert model["request"]["properties"]["rows"]["items"]["required"] == ["user_id"]
    assert example.status_code == 200


async def test_metrics_count_requests_rows_and_the_event_that_is_followed(serve: Serve) -> None:
    async with serve() as client:
        before = await metrics_of(client)
        await ask(client, 7, 8)
        await client.post(PATH, json={})
        after = await metrics_of(client)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown('features_model_predictions_total{model="user_return",role="production",version="1"}') == 2
    assert grown('features_model_requests_total{model="user_return",status="200"}') == 1
    assert grown('features_model_requests_total{model="user_return",status="422"}') == 1
    assert grown('features_model_request_seconds_count{model="user_return"}') == 2
    assert after['features_model_event_applied{model="user_return"}'] == 4
    assert after["features_model_state_timestamp_seconds"] > 1e9


async def metrics_of(client: httpx.AsyncClient) -> dict[str, float]:
    lines = (await client.get("/metrics")).text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

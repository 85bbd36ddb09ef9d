"""The Open Inference Protocol, as specification/protocol/inference_rest.md of kserve/open-inference-protocol has it."""

from typing import Any

import httpx
import jsonschema
import pytest

from tests.transformations.models.serving.conftest import Serve, ask
from tests.worlds import weekly

MODEL = f"/v2/models/{weekly.MODEL}"
TEXT, YES_OR_NO = {"type": "string"}, {"type": "boolean"}


def document(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


TENSOR = document(
    ["name", "datatype", "shape"], name=TEXT, datatype=TEXT, shape={"type": "array", "items": {"type": "integer"}}
)
OUTPUT = document(
    ["name", "datatype", "shape", "data"], **TENSOR["properties"], parameters={"type": "object"}, data={"type": "array"}
)
# The specification's own response objects, written down from its text.
SERVER = document(["name", "version", "extensions"], name=TEXT, version=TEXT, extensions={"type": "array"})
METADATA = document(
    ["name", "platform", "inputs", "outputs"],
    name=TEXT,
    versions={"type": "array", "items": TEXT},
    platform=TEXT,
    inputs={"type": "array", "items": TENSOR},
    outputs={"type": "array", "items": TENSOR},
)
RESPONSE = document(
    ["model_name", "outputs"],
    model_name=TEXT,
    model_version=TEXT,
    id=TEXT,
    parameters={"type": "object"},
    outputs={"type": "array", "items": OUTPUT},
)
ERROR = document(["error"], error=TEXT)


def users(*numbers: int, shape: list[int] | None = None, **changes: Any) -> dict[str, Any]:
    return {"name": "user_id", "shape": shape or [len(numbers)], "datatype": "INT64", "data": list(numbers)} | changes


def outputs(answer: httpx.Response) -> dict[str, list[Any]]:
    jsonschema.validate(answer.json(), RESPONSE)
    return {each["name"]: each["data"] for each in answer.json()["outputs"]}


async def test_server_and_model_describe_themselves(serve: Serve) -> None:
    async with serve() as client:
        jsonschema.validate((await client.get("/v2")).json(), SERVER)
        for path in (MODEL, f"{MODEL}/versions/1"):
            metadata = (await client.get(path)).json()
            jsonschema.validate(metadata, METADATA)
            assert metadata["versions"] == ["1"]
            assert metadata["inputs"] == [{"name": "user_id", "datatype": "INT64", "shape": [-1]}]
            assert (await client.get(f"{path}/ready")).json() == {"name": weekly.MODEL, "ready": True}
        assert (await client.get("/v2/health/live")).json() == {"live": True}
        assert (await client.get("/v2/health/ready")).status_code == 200


async def test_scores_are_those_of_the_plain_endpoint(serve: Serve) -> None:
    async with serve() as client:
        plain = (await ask(client, 7, 999)).json()["predictions"]
        answer = await client.post(f"{MODEL}/infer", json={"id": "42", "inputs": [users(7, 999)]})

    found = outputs(answer)
    assert found["score"] == [row["score"] for row in plain]
    assert found["decision"] == [row["decision"] for row in plain]
    assert found["prediction_id"] == ["42-0", "42-1"]
    assert found["model_version"] == ["1", "1"]
    assert (answer.json()["id"], answer.json()["model_name"], answer.json()["model_version"]) == (
        "42",
        weekly.MODEL,
        "1",
    )
    assert answer.json()["parameters"] == {"route": "production", "degraded": False}


@pytest.mark.parametrize("tensor", [users(7, 8, shape=[2, 1]), users(7, 8, shape=[2, 1], data=[[7], [8]])])
async def test_rows_may_be_nested_as_their_shape_says(serve: Serve, tensor: dict[str, Any]) -> None:
    async with serve() as client:
        flat = await client.post(f"{MODEL}/infer", json={"inputs": [users(7, 8)]})
        nested = await client.post(f"{MODEL}/infer", json={"inputs": [tensor]})
    assert outputs(nested)["score"] == outputs(flat)["score"]


async def test_only_the_outputs_that_are_asked_for_are_given(serve: Serve) -> None:
    async with serve() as client:
        body = {"inputs": [users(7)], "outputs": [{"name": "score"}]}
        assert set(outputs(await client.post(f"{MODEL}/versions/1/infer", json=body))) == {"score"}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/infer", {}, 422, "inputs is no list of objects"),
        ("/infer", {"inputs": []}, 422, "user_id missing"),
        ("/infer", {"inputs": [users(7, name="x")]}, 422, "no input 'x'. It has user_id"),
        ("/infer", {"inputs": [users(7), users(7)]}, 422, "stands twice"),
        ("/infer", {"inputs": [users(7, datatype="FP64")]}, 422, "user_id is INT64, not 'FP64'"),
        ("/infer", {"inputs": [users(7, shape=[2])]}, 422, "1 elements, shape [2] says 2"),
        ("/infer", {"inputs": [users(7, shape=[1, 2])]}, 422, "inputs have [rows] or [rows, 1]"),
        ("/infer", {"inputs": [users(7, data=[[[7]]])]}, 422, "nested otherwise"),
        ("/infer", {"inputs": [users(7)], "outputs": [{"name": "x"}]}, 422, "no output 'x'"),
        ("/infer", {"inputs": [users(7)], "more": 1}, 422, "'more' is no field"),
        ("/infer", {"inputs": [users()]}, 422, "at least 1 item"),
        ("/infer", {"inputs": [users(*range(1_001))]}, 422, "1,001 elements, and a request has 1,000 rows at most"),
        ("/infer", {"inputs": [users(7)], "parameters": 5}, 422, "the request: parameters is no object"),
        ("/infer", {"inputs": [users(7, parameters=[])]}, 422, "inputs.0: parameters is no object"),
        ("/infer", {"inputs": [users(7, data=None)]}, 422, "binary data is not read"),
        ("/versions/2/infer", {"inputs": [users(7)]}, 404, "no version '2' that answers now. There are 1"),
        ("/versions/x/infer", {"inputs": [users(7)]}, 404, "no version 'x'"),
    ],
)
async def test_errors_are_in_the_protocols_form(
    serve: Serve, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    async with serve() as client:
        answer = await client.post(f"{MODEL}{path}", json=body)
    jsonschema.validate(answer.json(), ERROR)
    assert answer.status_code == status
    assert words in answer.json()["error"]

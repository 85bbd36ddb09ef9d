"""The description of the API: each model's own request and answer, with examples and errors, as it is served now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from transformations.models.scoring.shape import Given, Shape
from transformations.models.serving.answering import Answering
from transformations.models.serving.api.inference import DATATYPES
from transformations.models.serving.api.reads import described_read, schemas_of_reads
from transformations.models.serving.following import Followed
from transformations.models.serving.requests import Form

_ERRORS = {
    400: "The body is no JSON",
    401: "The request has no valid token",
    404: "There is no such model or version here",
    408: "The body did not come in time",
    409: "The id came with other rows before",
    413: "The body is too large, or holds more values than the most rows have",
    415: "The body is not sent as JSON, is compressed, or has binary data in it",
    422: "The body is not what the model takes",
    503: "Too busy, not ready, or features cannot be read; Retry-After says when to try again",
}
_NUMBER, _TEXT, _YES_OR_NO = {"type": "number"}, {"type": "string"}, {"type": "boolean"}
_VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}
_EXPLAIN = {
    "name": "explain",
    "in": "query",
    "description": "Add what each input contributes to the score; costs several times the prediction itself",
    "schema": {"type": "string", "enum": ["true", "false"], "default": "false"},
}


def describe(app: FastAPI, answering: Answering) -> None:
    """Let the app describe itself, the models that it serves now included."""

    def openapi() -> dict[str, Any]:
        found = get_openapi(title=app.title, version="1", description=app.description, routes=app.routes)
        components = found.setdefault("components", {})
        components.setdefault("schemas", {}).update(_schemas() | schemas_of_reads())
        if answering.settings.predict_tokens is not None:
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            found["security"] = [{"bearer": []}]
        for path, methods in found["paths"].items():
            methods["get"] |= described_read(path)
        for model in answering.follower.models.values():
            found["paths"] |= _paths(model, answering)
        return found

    app.openapi = openapi  # type: ignore[method-assign]


def _paths(model: Followed, answering: Answering) -> dict[str, Any]:
    name = model.name
    plain = {
        "post": {
            "summary": f"Predictions of {name}",
            "operationId": f"predict_{name}",
            "tags": [name],
            "parameters": [_EXPLAIN],
            "requestBody": _body(model.form.schema(), model.form.example()),
            "responses": {
                "200": _content("Scores in the order of the rows", _answer(model.form.shape)),
                **_errors("Error"),
            },
        }
    }
    infer = {
        "summary": f"Predictions of {name}, by the Open Inference Protocol",
        "tags": [name],
        "requestBody": _body(_tensors(model.form), _tensor_example(model)),
        "responses": {
            "200": _content("Outputs as tensors", {"$ref": "#/components/schemas/InferenceResponse"}),
            **_errors("InferenceError"),
        },
    }
    versions = sorted(map(str, model.route(answering.follower.clock()).versions))
    version = {**_VERSION, "schema": {"type": "string", "enum": versions}}
    return {
        f"/v1/models/{name}/predictions": plain,
        f"/v2/models/{name}/infer": {"post": {**infer, "operationId": f"infer_{name}"}},
        f"/v2/models/{name}/versions/{{version}}/infer": {
            "post": {**infer, "operationId": f"infer_{name}_version", "parameters": [version]}
        },
    }


def _answer(shape: Shape) -> dict[str, Any]:
    """An answer of /v1; a model without a decision says null."""
    moments = {"type": "object", "additionalProperties": {"type": ["string", "null"], "format": "date-time"}}
    explanation = {
        "type": "object",
        "description": "base + contributions + rest is the margin: log-odds before calibration, or the value",
        "properties": {
            "base": _NUMBER,
            "contributions": {"type": "object", "additionalProperties": _NUMBER},
            "rest": _NUMBER,
        },
    }
    row = {
        "id": {**_TEXT, "description": "Of the prediction, in its record"},
        "score": _NUMBER,
        "decision": _YES_OR_NO if shape.decides else {"type": "null"},
        "model_version": {"type": "integer"},
        "role": {"type": "string", "enum": ["production", "canary"]},
        "holdout": {**_YES_OR_NO, "description": "Nobody is to act on it: its unit is in the holdout"},
        "degraded": {**_YES_OR_NO, "description": "Made from defaults, because features could not be read"},
        "feature_timestamps": {**moments, "description": "Of the stored row of each view; null where there is none"},
    }
    rows = {"type": "object", "required": list(row), "properties": {**row, "explanation": explanation}}
    return {
        "type": "object",
        "required": ["id", "model", "predictions"],
        "properties": {"id": _TEXT, "model": _TEXT, "predictions": {"type": "array", "items": rows}},
    }


def _tensor(given: Given, value: Mapping[str, Any], most_rows: int) -> dict[str, Any]:
    """An input. That its shape says how much data there is, JSON Schema cannot say."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string", "enum": [given.name]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 2},
            "datatype": {"type": "string", "enum": [DATATYPES[given.kind]]},
            "parameters": {"type": "object"},
            "data": {"type": "array", "items": value, "minItems": 1, "maxItems": most_rows},
        },
    }


def _tensors(form: Form) -> dict[str, Any]:
    shape, values = form.shape, form.schema()["properties"]["rows"]["items"]["properties"]
    tensors = [_tensor(each, values[each.name], form.most_rows) for each in shape.given]
    tensor = tensors[0] if len(tensors) == 1 else {"oneOf": tensors}
    output = {"type": "object", "required": ["name"], "properties": {"name": _TEXT, "parameters": {"type": "object"}}}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["inputs"],
        "properties": {
            "id": _TEXT,
            "parameters": {"type": "object"},
            "inputs": {"type": "array", "items": tensor, "minItems": len(shape.given), "maxItems": len(shape.given)},
            "outputs": {"type": "array", "items": {**output, "additionalProperties": False}},
        },
    }


def _tensor_example(model: Followed) -> dict[str, Any]:
    (row,) = model.form.example()["rows"]
    return {
        "inputs": [
            {"name": each.name, "shape": [1], "datatype": DATATYPES[each.kind], "data": [row[each.name]]}
            for each in model.form.shape.given
        ]
    }


def _schemas() -> dict[str, Any]:
    error = {"type": "object", "required": ["code", "message"], "properties": {"code": _TEXT, "message": _TEXT}}
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": _TEXT,
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": _TEXT,
            "data": {"type": "array"},
        },
    }
    response = {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": _TEXT,
            "parameters": {"type": "object"},
            "outputs": {"type": "array", "items": tensor},
        },
    }
    return {
        "Error": {"type": "object", "required": ["error"], "properties": {"error": error}},
        "InferenceError": {"type": "object", "required": ["error"], "properties": {"error": _TEXT}},
        "InferenceResponse": response,
    }


def _errors(schema: str) -> dict[str, Any]:
    shown = {"$ref": f"#/components/schemas/{schema}"}
    return {str(status): _content(meaning, shown) for status, meaning in _ERRORS.items()}


def _body(schema: Mapping[str, Any], example: Mapping[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _content(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}

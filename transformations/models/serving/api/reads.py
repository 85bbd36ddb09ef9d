"""The description of what is read with GET: the answers' forms, and what is answered where something is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT, _YES_OR_NO = {"type": "string"}, {"type": "boolean"}
_WHOLE: Mapping[str, Any] = {"type": ["integer", "null"]}
_IN_PATH = {"in": "path", "required": True, "schema": _TEXT}
_WORDS = {
    200: "As it is now",
    401: "The request has no valid token",
    404: "There is no such model or version here",
    503: "Not ready, or too busy",
}
_FORMS: Mapping[str, tuple[str, dict[int, str]]] = {
    "/v1/models": ("Models", {401: "Error"}),
    "/v1/models/{name}": ("Model", {401: "Error", 404: "Error", 503: "Error"}),
    "/health": ("Health", {503: "Health"}),
    "/v2": ("InferenceServer", {401: "InferenceError"}),
    "/v2/health/live": ("InferenceHealth", {}),
    "/v2/health/ready": ("InferenceHealth", {503: "InferenceHealth"}),
}
"""By path the form of its answer, and of its answers with another status."""
_OF_MODELS = {401: "InferenceError", 404: "InferenceError", 503: "InferenceError"}


def described_read(path: str) -> dict[str, Any]:
    """What is to be added to the description of GET of a path."""
    if path == "/metrics":
        text = {"text/plain": {"schema": _TEXT}}
        return {"responses": {"200": {"description": _WORDS[200], "content": text}, "401": _answer("Error", 401)}}
    whole = "InferenceReady" if path.endswith("/ready") else "InferenceModel"
    form, others = _FORMS.get(path, (whole, _OF_MODELS))
    found: dict[str, Any] = {
        "responses": {str(status): _answer(name, status) for status, name in {200: form, **others}.items()}
    }
    named = [{**_IN_PATH, "name": name} for name in ("name", "version") if f"{{{name}}}" in path]
    return {**found, "parameters": named} if named else found


def schemas_of_reads() -> dict[str, Any]:
    """The forms of those answers."""
    tensor = _object(
        {"name": _TEXT, "datatype": _TEXT, "shape": {"type": "array", "items": {"type": "integer"}}},
    )
    model = {
        "name": _TEXT,
        "production": _WHOLE,
        "canary": _WHOLE,
        "canary_percent": {"type": "number"},
        "shadow": _WHOLE,
        "event": {"type": "integer"},
        "loaded": _list({"type": "integer"}),
        "request": {"type": "object"},
        "example": {"type": "object"},
    }
    return {
        "Model": _object(model),
        "Models": _object({"models": _list({"$ref": "#/components/schemas/Model"})}),
        "Health": _object({"status": {"type": "string", "enum": ["ok", "unavailable"]}, "reasons": _list(_TEXT)}),
        "InferenceServer": _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
        "InferenceHealth": {**_object({"live": _YES_OR_NO, "ready": _YES_OR_NO}), "required": ["live"]},
        "InferenceReady": _object({"name": _TEXT, "ready": _YES_OR_NO}),
        "InferenceModel": _object(
            {
                "name": _TEXT,
                "versions": _list(_TEXT),
                "platform": _TEXT,
                "inputs": _list(tensor),
                "outputs": _list(tensor),
            }
        ),
    }


def _answer(schema: str, status: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": _WORDS[status], "content": content}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}

"""The Open Inference Protocol, version 2, by REST: models as tensors in, tensors out.

Entity keys and fields of the request are inputs under their own names, each of shape [rows] or [rows, 1]. The outputs
are tensors of shape [rows]: `score`, `decision` where the model decides, `prediction_id` and `model_version`. Source:
specification/protocol/inference_rest.md of kserve/open-inference-protocol.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from transformations.models.scoring.shape import Shape
from transformations.models.serving.answering import Answer, Answering
from transformations.models.serving.api.arriving import is_again, json_of
from transformations.models.serving.api.door import Endpoint
from transformations.models.serving.api.readiness import Readiness
from transformations.models.serving.api.sending import RecordedResponse
from transformations.models.serving.following import Followed
from transformations.models.serving.refusals import InvalidError, UnknownModelError
from transformations.models.serving.requests import Form

SERVER = "feature-platform"
DATATYPES: Mapping[str, str] = {
    "INT64": "INT64",
    "INT32": "INT32",
    "DOUBLE": "FP64",
    "FLOAT": "FP32",
    "BOOL": "BOOL",
    "STRING": "BYTES",
    "UNIX_TIMESTAMP": "BYTES",
}
"""Of Feast's value types the protocol's."""
_REQUEST_KEYS = frozenset({"id", "parameters", "inputs", "outputs"})
_INPUT_KEYS = frozenset({"name", "shape", "datatype", "parameters", "data"})
_OUTPUT_KEYS = frozenset({"name", "parameters"})


def infer_endpoint(answering: Answering) -> Endpoint:
    """The endpoint that predicts."""

    async def infer(request: Request) -> Response:
        model, number = _named(answering, request)
        body = json_of(request, model.form)
        wanted = _wanted(body, model.form.shape)
        asked = model.form.read(rows_of(body, model.form), is_again=is_again(request))
        answer = await answering.answer(model, asked, number)
        route = model.route(answering.follower.clock())
        version = str(number or route.production)
        return RecordedResponse(answering, model, answer, lambda: _response(model, answer, wanted, version))

    return infer


def inference_routes(answering: Answering, readiness: Readiness, infer: Endpoint) -> APIRouter:
    """The endpoints of /v2. infer: of `infer_endpoint`."""
    routes = APIRouter(prefix="/v2")

    @routes.get("", summary="The server")
    async def server() -> Response:
        found = {"name": SERVER, "version": installed_version(SERVER), "extensions": []}
        return JSONResponse(found)

    @routes.get("/health/live", summary="Whether the server runs")
    async def live() -> Response:
        return JSONResponse({"live": True})

    @routes.get("/health/ready", summary="Whether requests should be sent here")
    async def ready() -> Response:
        is_ready = not await asyncio.to_thread(readiness.reasons)
        return JSONResponse({"live": True, "ready": is_ready}, 200 if is_ready else 503)

    async def model_ready(request: Request) -> Response:
        model, _ = _named(answering, request)
        return JSONResponse({"name": model.name, "ready": True})

    async def metadata(request: Request) -> Response:
        model, number = _named(answering, request)
        return JSONResponse(_metadata(model, number, answering))

    _both(routes, "/models/{name}", "", metadata, "GET", "A model's inputs and outputs")
    _both(routes, "/models/{name}", "/ready", model_ready, "GET", "Whether a model can answer")
    _both(routes, "/models/{name}", "/infer", infer, "POST", "Scores", is_shown=False)
    return routes


def rows_of(body: Any, form: Form) -> dict[str, Any]:
    """The body of a plain request that asks the same as one of the protocol. InvalidError for what is none of it."""
    if not isinstance(body, dict):
        raise InvalidError('the body is no object. Send {"inputs": [...]}')
    _refuse_unknown(body, _REQUEST_KEYS, "the request")
    kinds = {each.name: DATATYPES[each.kind] for each in form.shape.given}
    columns: dict[str, list[Any]] = {}
    for place, tensor in enumerate(_objects(body.get("inputs"), "inputs")):
        where = f"inputs.{place}"
        _refuse_unknown(tensor, _INPUT_KEYS, where)
        name = tensor.get("name")
        if not isinstance(name, str) or name not in kinds:
            raise InvalidError(f"{where}: the model has no input {name!r:.100}. It has {', '.join(kinds)}")
        if name in columns:
            raise InvalidError(f"{where}: input {name!r} stands twice")
        if tensor.get("datatype") != kinds[name]:
            raise InvalidError(f"{where}: {name} is {kinds[name]}, not {tensor.get('datatype')!r:.50}")
        columns[name] = _values(tensor, where, form.most_rows)
    if lacking := [name for name in kinds if name not in columns]:
        raise InvalidError(f"inputs: {', '.join(lacking)} missing")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidError(f"inputs have different lengths: {lengths}")
    names = list(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return {"rows": rows, **({"id": body["id"]} if body.get("id") is not None else {})}


def _values(tensor: Mapping[str, Any], where: str, most_rows: int) -> list[Any]:
    """The elements of an input's tensor, a row each; data may be nested as its shape says, or flat."""
    shape = tensor.get("shape")
    is_shape = isinstance(shape, list) and all(type(each) is int and each >= 0 for each in shape)
    if not is_shape or not shape or len(shape) > 2 or math.prod(shape[1:]) != 1:
        raise InvalidError(f"{where}: shape is {shape!r:.50}, and inputs have [rows] or [rows, 1]")
    data = tensor.get("data")
    if not isinstance(data, list):
        raise InvalidError(f"{where}: data is no list. Values stand there as JSON; binary data is not read")
    if len(data) > most_rows:
        raise InvalidError(f"{where}: data has {len(data):,} elements, and a request has {most_rows:,} rows at most")
    flat = list(_flattened(data))
    if len(flat) != shape[0]:
        raise InvalidError(f"{where}: data has {len(flat):,} elements, shape {shape} says {shape[0]:,}")
    return flat


def _flattened(data: Sequence[Any]) -> Iterator[Any]:
    for each in data:
        if isinstance(each, list):
            if len(each) != 1 or isinstance(each[0], list):
                raise InvalidError("data is nested otherwise than its shape")
            yield each[0]
        else:
            yield each


def _wanted(body: Any, shape: Shape) -> list[str]:
    """The outputs that are asked for; all where none are named."""
    there = list(_outputs(shape))
    if not isinstance(body, dict) or body.get("outputs") is None:
        return there
    wanted = []
    for place, output in enumerate(_objects(body["outputs"], "outputs")):
        _refuse_unknown(output, _OUTPUT_KEYS, f"outputs.{place}")
        if output.get("name") not in there:
            said = f"outputs.{place}: the model has no output {output.get('name')!r:.100}. It has {', '.join(there)}"
            raise InvalidError(said)
        wanted.append(output["name"])
    return wanted or there


def _response(model: Followed, answer: Answer, wanted: Sequence[str], version: str) -> dict[str, Any]:
    rows = len(answer.ids)
    columns: dict[str, list[Any]] = {name: [None] * rows for name in _outputs(model.form.shape)}
    columns["prediction_id"] = list(answer.ids)
    for part in answer.parts:
        for place, row in enumerate(part.rows):
            columns["score"][row] = part.scored.scores[place]
            columns["holdout"][row] = part.holdout is not None and part.holdout[place]
            columns["model_version"][row] = str(part.scored.served.number)
            if part.scored.decisions is not None:
                columns["decision"][row] = part.scored.decisions[place]
    datatypes = _outputs(model.form.shape)
    return {
        "model_name": model.name,
        "model_version": version,
        "id": answer.id,
        "parameters": {"route": answer.route, "degraded": answer.is_degraded},
        "outputs": [
            {"name": name, "shape": [rows], "datatype": datatypes[name], "data": columns[name]} for name in wanted
        ],
    }


def _metadata(model: Followed, number: int | None, answering: Answering) -> dict[str, Any]:
    route = model.route(answering.follower.clock())
    served = model.served[number or route.production or 0]
    shape = model.form.shape
    return {
        "name": model.name,
        "versions": [str(each) for each in sorted(route.versions)],
        "platform": served.artifact.trainer.name,
        "inputs": [{"name": each.name, "datatype": DATATYPES[each.kind], "shape": [-1]} for each in shape.given],
        "outputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in _outputs(shape).items()],
    }


def _outputs(shape: Shape) -> dict[str, str]:
    """The outputs of a model with their datatypes."""
    decides = {"decision": "BOOL"} if shape.decides else {}
    return {"score": "FP64", **decides, "holdout": "BOOL", "prediction_id": "BYTES", "model_version": "BYTES"}


def _named(answering: Answering, request: Request) -> tuple[Followed, int | None]:
    """The model that a path names, and the version where it names one. UnknownModelError for one that is not routed."""
    model = answering.model(request.path_params["name"])
    text = request.path_params.get("version")
    if text is None:
        return model, None
    versions = model.route(answering.follower.clock()).versions
    if not text.isascii() or not text.isdecimal() or int(text[:10]) not in versions:
        listed = ", ".join(map(str, sorted(versions)))
        raise UnknownModelError(f"model {model.name} has no version {text!r:.50} that answers now. There are {listed}.")
    return model, int(text)


def _both(
    routes: APIRouter,
    start: str,
    end: str,
    endpoint: Callable[..., Any],
    method: str,
    summary: str,
    *,
    is_shown: bool = True,
) -> None:
    """An endpoint of a model, and of one of its versions."""
    for place in (f"{start}{end}", f"{start}/versions/{{version}}{end}"):
        routes.add_api_route(place, endpoint, methods=[method], summary=summary, include_in_schema=is_shown)


def _objects(given: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise InvalidError(f"{where} is no list of objects")
    return given


def _refuse_unknown(given: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    if unknown := given.keys() - known:
        raise InvalidError(f"{where}: {min(unknown)!r:.100} is no field of it. Known: {', '.join(sorted(known))}")
    if not isinstance(given.get("parameters", {}), dict):
        raise InvalidError(f"{where}: parameters is no object")

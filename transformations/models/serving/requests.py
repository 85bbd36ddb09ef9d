"""What a request to a model may be: read strictly, and told as JSON Schema under the model's own names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypeAlias

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from transformations.models.records.predictions import Value
from transformations.models.scoring.shape import Given, Shape
from transformations.models.serving.refusals import InvalidError

MOST_ID = 100
"""Characters of a request's id: a row's number is added to it."""
_Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=MOST_ID, pattern=r"^[A-Za-z0-9._:\-]+$")]
_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
_Text = Annotated[str, Field(max_length=10_000)]
_KINDS: Mapping[str, tuple[Any, object]] = {
    "INT64": (_Int64, 42),
    "INT32": (_Int32, 42),
    "DOUBLE": (float, 12.5),
    "FLOAT": (float, 12.5),
    "BOOL": (bool, True),
    "STRING": (_Text, "de"),
    "UNIX_TIMESTAMP": (Annotated[AwareDatetime, Field(strict=False)], "2024-05-01T08:30:00Z"),
}
"""Of Feast's value types what pydantic reads, and an example."""
_MOST_FAULTS = 5


@dataclass(kw_only=True, slots=True)
class Asked:
    """A request that was read. id: as the client gave it; None where it gave none. columns: a value a row, by name.
    is_again: whether the client says that it has sent it before.
    """

    id: str | None
    rows: int
    columns: Mapping[str, Sequence[Any]]
    is_again: bool = False


class Form:
    """The form of requests to one model. most_rows: of a request."""

    def __init__(self, model: str, shape: Shape, most_rows: int) -> None:
        self.shape, self.most_rows = shape, most_rows
        self._names = [each.name for each in shape.given]
        self._integers = [each.name for each in shape.given if each.kind in ("INT64", "INT32")]
        keys = {each.name for each in shape.keys}
        fields = {each.name: _field(each, is_key=each.name in keys) for each in shape.given}
        row: Any = _object(f"{model}_row", fields)
        rows: Any = Annotated[list[row], Field(min_length=1, max_length=most_rows, description="Whom to score")]
        named = Annotated[_Id | None, Field(description="Of the request: sent again, it gives the same answer")]
        request = _object(f"{model}_request", {"rows": rows, "id": NotRequired[named]})
        self._adapter: TypeAdapter[Any] = TypeAdapter(request)

    def read(self, body: Any, *, is_again: bool = False) -> Asked:
        """A body's rows. InvalidError that names the place of each fault and what should stand there."""
        try:
            read = self._adapter.validator.validate_python(body)
        except ValidationError:
            read = self._read_again(body)
        rows = read["rows"]
        columns = {name: [row[name] for row in rows] for name in self._names}
        return Asked(id=read.get("id"), rows=len(rows), columns=columns, is_again=is_again)

    def _read_again(self, body: Any) -> Any:
        """A body that was refused, with 42.0 as the 42 that it is in JSON; Python's reader makes a float of it."""
        if isinstance(body, dict) and isinstance(rows := body.get("rows"), list):
            body = {**body, "rows": [self._with_integers(row) if isinstance(row, dict) else row for row in rows]}
        try:
            return self._adapter.validator.validate_python(body)
        except ValidationError as error:
            raise InvalidError(faults_of(error)) from None

    def _with_integers(self, row: dict[str, Any]) -> dict[str, Any]:
        floats = {name: row[name] for name in self._integers if isinstance(row.get(name), float)}
        return row | {name: int(value) for name, value in floats.items() if value.is_integer()}

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a body, without references."""
        schema = self._adapter.json_schema()
        (row,) = schema.pop("$defs").values()
        schema["properties"]["rows"]["items"] = row
        return schema

    def example(self) -> dict[str, Any]:
        """A body that passes."""
        return {"rows": [{each.name: _KINDS[each.kind][1] for each in self.shape.given}]}


def faults_of(error: ValidationError) -> str:
    """What is wrong with a body, in few words that repeat little of it."""
    faults = error.errors(include_url=False, include_context=False)
    said = [_fault(fault) for fault in faults[:_MOST_FAULTS]]
    more = [f"and {len(faults) - _MOST_FAULTS:,} more"] if len(faults) > _MOST_FAULTS else []
    return "; ".join([*said, *more])


def as_values(columns: Mapping[str, Sequence[Any]], names: Sequence[Given], row: int) -> dict[str, Value]:
    """A row's values as a record has them: a moment is its ISO text."""
    found = {each.name: columns[each.name][row] for each in names}
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in found.items()}


def _object(name: str, fields: Mapping[str, Any]) -> Any:
    """A JSON object of these fields and no others, whatever their names; it is read as a dict."""
    make: Any = TypedDict
    kind = make(name, fields)
    kind.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return kind


def _field(given: Given, *, is_key: bool) -> Any:
    kind, example = _KINDS[given.kind]
    if is_key:
        return Annotated[kind, Field(description=f"Join key ({given.kind})", examples=[example])]
    return Annotated[kind | None, Field(description=f"Field of the request ({given.kind})", examples=[example])]


def _fault(fault: Mapping[str, Any]) -> str:
    place = ".".join(map(str, fault["loc"])) or "the body"
    if fault["type"] == "missing":
        return f"{place} is missing"
    if fault["type"] == "extra_forbidden":
        return f"{place} is no field of this model"
    return f"{place}: {str(fault['msg']).replace('Input should', 'should')}"

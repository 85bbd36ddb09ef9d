"""What a request to a model may be: read strictly, and told as JSON Schema under the model's own names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, NotRequired, TypeAlias

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from transformations.models.records.predictions import Value
from transformations.models.scoring.shape import Given, Shape
from transformations.models.serving.refusals import InvalidError

_FIELDS = ("rows", "id")
MOST_ID = 100
"""Characters of a request's id: a row's number is added to it."""
_Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=MOST_ID, pattern=r"^[A-Za-z0-9._:\-]+$")]
_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
_Text = Annotated[str, Field(max_length=10_000)]
_MOST_FLOAT = 3.4028234663852886e38
_Float = Annotated[float, Field(ge=-_MOST_FLOAT, le=_MOST_FLOAT)]
_EARLIEST, _LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def _moment_text(given: object) -> object:
    """Text alone: of a number, nobody knows whether it counts seconds or milliseconds."""
    if not isinstance(given, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]", given):
        raise PydanticCustomError("moment", "Input should be a moment in ISO 8601, such as 2024-05-01T08:30:00Z")
    return given


def _instant(moment: datetime) -> datetime:
    """Within the years that there are in every time zone."""
    if not _EARLIEST <= moment <= _LATEST:
        raise PydanticCustomError("moment", "Input should be within the years 1 to 9999 in UTC")
    return moment


_Moment = Annotated[AwareDatetime, Field(strict=False), AfterValidator(_instant), BeforeValidator(_moment_text)]
_KINDS: Mapping[str, tuple[Any, object]] = {
    "INT64": (_Int64, 42),
    "INT32": (_Int32, 42),
    "DOUBLE": (float, 12.5),
    "FLOAT": (_Float, 12.5),
    "BOOL": (bool, True),
    "STRING": (_Text, "de"),
    "UNIX_TIMESTAMP": (_Moment, "2024-05-01T08:30:00Z"),
}
"""Of Feast's value types what pydantic reads, and an example."""
_MOST_FAULTS = 5
_MANY_FAULTS = 100
_OTHER_VALUES = 100
"""Beside those of rows: an input's shape and datatype, the outputs that are asked for, parameters."""
_EXACT = 2**53
"""From which on a number with a point may be another integer than the one that was written."""


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
    """The form of requests to one model. most_rows: of a request. most_values: of its JSON, commas, lists and objects
    counted: tensors whose elements are each in a list of its own have two a value.
    """

    def __init__(self, model: str, shape: Shape, most_rows: int) -> None:
        self.shape, self.most_rows = shape, most_rows
        self._names = [each.name for each in shape.given]
        self.most_values = 2 * (most_rows + _OTHER_VALUES) * (len(self._names) + 1)
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
        self._refuse_many_fields(body)
        try:
            read = self._adapter.validator.validate_python(body)
        except ValidationError:
            read = self._read_again(body)
        rows = read["rows"]
        columns = {name: [row[name] for row in rows] for name in self._names}
        return Asked(id=read.get("id"), rows=len(rows), columns=columns, is_again=is_again)

    def _read_again(self, body: Any) -> Any:
        """A body that was refused, with 42.0 as the 42 that it is in JSON; Python's reader makes a float of it."""
        rows = body.get("rows") if isinstance(body, dict) else None
        if isinstance(rows, list) and len(rows) <= self.most_rows:
            body = {**body, "rows": [self._with_integers(row) if isinstance(row, dict) else row for row in rows]}
        try:
            return self._adapter.validator.validate_python(body)
        except ValidationError as error:
            raise InvalidError(self._told(body, error)) from None

    def _refuse_many_fields(self, body: Any) -> None:
        """Refuse a body or row that has more fields than there are. Telling of each of a million takes seconds."""
        if not isinstance(body, dict):
            return
        if len(body) > len(_FIELDS):
            raise InvalidError(_unknown(body, _FIELDS, ""))
        rows, most = body.get("rows"), len(self._names)
        if isinstance(rows, list):
            for place, row in enumerate(rows[: self.most_rows]):
                if isinstance(row, dict) and len(row) > most:
                    raise InvalidError(_unknown(row, self._names, f"rows.{place}."))

    def _told(self, body: Any, error: ValidationError) -> str:
        """What is wrong with a body. Where that is much, rows are read one by one until enough is told."""
        if error.error_count() <= _MANY_FAULTS:
            return faults_of(error)
        for place, row in enumerate(body["rows"]):
            try:
                self._adapter.validator.validate_python({**body, "rows": [row]})
            except ValidationError as own:
                return faults_of(own, error.error_count(), place)
        return faults_of(error)

    def _with_integers(self, row: dict[str, Any]) -> dict[str, Any]:
        floats = {name: row[name] for name in self._integers if isinstance(row.get(name), float)}
        exact = {name: value for name, value in floats.items() if value.is_integer() and abs(value) < _EXACT}
        return row | {name: int(value) for name, value in exact.items()}

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a body, without references."""
        schema = self._adapter.json_schema()
        (row,) = schema.pop("$defs").values()
        schema["properties"]["rows"]["items"] = row
        return schema

    def example(self) -> dict[str, Any]:
        """A body that passes."""
        return {"rows": [{each.name: _KINDS[each.kind][1] for each in self.shape.given}]}


def faults_of(error: ValidationError, count: int | None = None, row: int = 0) -> str:
    """What is wrong with a body, in few words that repeat little of it. count: of all faults. row: where the first of
    the rows that were read stands in the body.
    """
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    said = [_fault(fault, row) for fault in faults[:_MOST_FAULTS]]
    left = (count or len(faults)) - len(said)
    return "; ".join([*said, *([f"and {left:,} more"] if left else [])])


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


def _unknown(given: Mapping[str, Any], known: Collection[str], where: str) -> str:
    unknown = [name for name in given if name not in known]
    named = [name.encode(errors="replace").decode()[:MOST_ID] for name in unknown[:_MOST_FAULTS]]
    said = [f"{where}{name} is no field of this model" for name in named]
    left = len(unknown) - len(said)
    return "; ".join([*said, *([f"and {left:,} more"] if left else [])])


def _fault(fault: Mapping[str, Any], row: int) -> str:
    parts = [*fault["loc"]]
    if parts[:1] == ["rows"] and len(parts) > 1:
        parts[1] += row
    place = ".".join(map(str, parts)) or "the body"
    if fault["type"] == "missing":
        return f"{place} is missing"
    if fault["type"] == "extra_forbidden":
        return f"{place} is no field of this model"
    return f"{place}: {str(fault['msg']).replace('Input should', 'should')}"

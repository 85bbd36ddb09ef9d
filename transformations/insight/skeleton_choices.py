"""What `features new` chooses of a contract: the entity, where only one can be meant, and what is worth measuring."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transformations.contracts import Column, Contract
from transformations.engine.base.errors import UsageError, nearest

_MEASURES = 2
_CALENDAR = re.compile(r"(?:.*_)?(?:year|quarter|month|week|weekday|day|hour|minute|second|date|time)", re.IGNORECASE)
_NAMES = re.compile(r"(?:.*_)?(?:id|key|code|number|no|nr|zip|postcode|version|flight|line)", re.IGNORECASE)
_NO_MEASURE_UNITS = ("id", "code", "category", "number", "year", "month", "day", "week", "hhmm", "hour of day")
_RATE_UNITS = re.compile(r"rate|ratio|share|percent|%|score|degrees?|°.*|celsius|fahrenheit|kelvin|.*/.*|.* per .*")


@dataclass(frozen=True)
class KnownEntity:
    """An Entity that a file of the feature repository declares: in which module and variable, by which column."""

    module: str
    variable: str
    name: str
    join_key: str


@dataclass(frozen=True)
class Measure:
    """A column worth aggregating, and how: amounts are summed, what may be negative or is a rate is averaged."""

    column: Column
    aggregation: Literal["Sum", "Mean"]


def known_entities(feature_repo: Path) -> list[KnownEntity]:
    """The entities of one join key that its files declare, read without importing them."""
    return [entity for file in sorted(feature_repo.glob("*.py")) for entity in _entities(file)]


def join_key(contract: Contract, asked: str | None, known: Sequence[KnownEntity]) -> Column:
    """The entity's column: as asked, or the only one that can be meant; UsageError names the candidates otherwise.

    Meant can be a column that an entity is known by or whose name ends in _id, but not what identifies a single event.
    """
    usable = {column.name: column for column in contract.columns if column.dtype in ("Int64", "String")}
    usable.pop(contract.event_time or "", None)
    if not usable:
        raise UsageError(f"{contract.file_name}: no column is Int64 or String, so none can be a key.")
    if asked is not None:
        if asked not in usable:
            raise UsageError(f"{contract.file_name}: {asked!r} cannot be an entity's key: {nearest(asked, usable)}.")
        return usable[asked]
    likely = likely_keys(contract, known)
    if len(likely) == 1:
        return usable[likely[0]]
    names = likely or possible_keys(contract)
    raise UsageError(
        f"{contract.file_name}: what are the features about? Name the entity's column with --key, one of: "
        f"{', '.join(names)}."
    )


def likely_keys(contract: Contract, known: Sequence[KnownEntity]) -> list[str]:
    """The columns that probably identify an entity; a snapshot's own key is the only one."""
    if contract.event_time is None and len(contract.key) == 1:
        return list(contract.key)
    event = contract.key if len(contract.key) == 1 else ()
    joined = {entity.join_key for entity in known}
    return [
        column.name
        for column in contract.columns
        if column.dtype in ("Int64", "String")
        and column.name not in (*event, contract.event_time)
        and (column.name in joined or re.fullmatch(r".+(?:_id|[a-z]I[dD])", column.name))
    ]


def possible_keys(contract: Contract) -> list[str]:
    """The columns that an author may have in mind where none is likely: texts, then integers that are no calendar's."""
    columns = [column for column in contract.columns if column.dtype in ("String", "Int64")]
    columns.sort(key=lambda column: (column.dtype != "String", _CALENDAR.fullmatch(column.name) is not None))
    return [column.name for column in columns if column.name != contract.event_time]


def measures(contract: Contract, join_key: str) -> list[Measure]:
    """The numbers of an event that the contract gives a unit of measure; years, codes and ids are none."""
    found = []
    for column in contract.columns:
        unit = (column.unit or "").strip().lower()
        is_measure = column.dtype in ("Int64", "Float64") and unit and unit not in _NO_MEASURE_UNITS
        if not is_measure or column.name in (join_key, *contract.key):
            continue
        is_calendar = _CALENDAR.fullmatch(column.name) and unit.rstrip("s") in column.name.lower()
        if is_calendar or _NAMES.fullmatch(column.name):
            continue
        is_amount = column.minimum is not None and column.minimum >= 0 and not _RATE_UNITS.fullmatch(unit)
        found.append(Measure(column, "Sum" if is_amount else "Mean"))
    return found[:_MEASURES]


def _entities(file: Path) -> Iterator[KnownEntity]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        variable, made = node.targets[0], ast.unparse(node.value.func)
        if not isinstance(variable, ast.Name) or made.rpartition(".")[2] != "Entity":
            continue
        given = {argument.arg: argument.value for argument in node.value.keywords}
        try:
            name, keys = ast.literal_eval(given["name"]), ast.literal_eval(given["join_keys"])
        except (KeyError, ValueError):
            continue  # not written out, so not to be read without importing
        if len(keys) == 1:
            yield KnownEntity(file.stem, variable.id, name, keys[0])

"""From an Open Data Contract Standard document to a Contract; a rule that our checks would not enforce is refused."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import cast, get_args

from transformations.contracts.document import Node, read_document
from transformations.contracts.file_form import file_form
from transformations.contracts.formats import column_format, refuse_zoneless
from transformations.contracts.limits import (
    expected_days,
    freshness,
    freshness_rule,
    future_allowed,
    quarantine_allowed,
    supersedes_allowed,
)
from transformations.contracts.marks import refuse_open_marks
from transformations.contracts.model import (
    EVENT_YEARS,
    LOGICAL_TYPES,
    PII_CLASSES,
    Column,
    Contract,
    Delivery,
    Reference,
)
from transformations.contracts.quality_reader import (
    is_of_dtype,
    is_plain_value_list,
    quality_rules,
)
from transformations.contracts.servers import is_one_drop, local_path, table_server
from transformations.contracts.texts import nearest
from transformations.contracts.vocabulary import (
    COLUMN_PROPERTIES,
    REFERENCE_PROPERTIES,
    SOURCE_PROPERTIES,
    refuse_unknown,
)
from transformations.contracts.zones import fault_of_zone

_DTYPES = {logical_type: dtype for dtype, logical_type in LOGICAL_TYPES.items()}
NUMERIC = ("Int64", "Float64")


def contract_of_file(path: Path) -> Contract:
    """Read one contract file whole, or raise the ContractError of its first fault."""
    document = read_document(path)
    refuse_open_marks(path)
    if document.values.get("kind") != "DataContract":
        raise document.error("kind", f"is {document.values.get('kind')!r}. Write kind: DataContract.")
    if not document.text("apiVersion", "apiVersion: v3.1.0").startswith("v3."):
        raise document.error("apiVersion", f"is {document.values['apiVersion']!r}. Write apiVersion: v3.1.0.")
    refuse_unknown(document)
    source = _only_schema(document)
    if (name := source.text("name", "the source's name")) != path.stem:
        raise source.error("name", f"is {name!r} in a file called {path.name}. Give both the same name.")
    columns, key = _read_columns(source), _read_key(source)
    properties = source.custom(SOURCE_PROPERTIES)
    event_time = _read_event_time(properties, columns)
    refuse_zoneless(properties, columns)
    promised = freshness(document, event_time)
    return Contract(
        name=name,
        version=document.text("version", "the contract's own version, such as 1.0.0"),
        description=source.text("description", "what one row of the source is"),
        owner=document.child("team", "the team that answers for the source, under name:").text("name", "its owner"),
        columns=columns,
        key=key,
        event_time=event_time,
        timestamp_zone=_read_zone(properties, "timestampZone", default="UTC"),
        business_day_zone=_read_zone(properties, "businessDayZone"),
        valid_from=_valid_from(properties, event_time),
        delivery=_read_delivery(properties, event_time, columns, key),
        references=tuple(_read_references(source, columns)),
        form=file_form(properties, columns),
        declares_zone=properties.values.get("timestampZone") is not None,
        path=path,
        future_allowed=future_allowed(properties),
        supersedes_allowed=supersedes_allowed(properties, event_time),
        freshness=promised,
        delivered=local_path(document),
        delivered_as_one=is_one_drop(document),
        quality=quality_rules(source, columns, event_time, freshness_rule(document, promised)),
        expected_days=expected_days(properties),
        pulled=table_server(document, source, properties.values.get("delivery"), key),
        quarantine_allowed=quarantine_allowed(properties, properties.values.get("delivery")),
    )


def _only_schema(document: Node) -> Node:
    objects = tuple(document.children("schema"))
    if len(objects) != 1:
        raise document.error("schema", f"holds {len(objects)} objects. Write one source a file.")
    return objects[0]


def _read_columns(source: Node) -> tuple[Column, ...]:
    columns = tuple(_read_column(node) for node in source.children("properties"))
    if not columns:
        raise source.error("properties", "is empty. List the source's columns.")
    counts = Counter(column.name.lower() for column in columns)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise source.error("properties", f"name {repeated[0]!r} more than once (case does not count). Keep one.")
    return columns


def _read_column(node: Node) -> Column:
    name = node.text("name", "the column's name")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise node.error("name", f"is {name!r}. Use letters, digits and _, beginning with a letter.")
    logical_type = node.text("logicalType", f"one of {', '.join(_DTYPES)}")
    if logical_type not in _DTYPES:
        raise node.error("logicalType", f"of {name!r} is {logical_type!r}; {nearest(logical_type, _DTYPES)}.")
    if node.values.get("unique"):
        raise node.error(
            "unique", f"of {name!r} is not checked on its own. Make it the key (primaryKey: true) or leave it out."
        )
    dtype = _DTYPES[logical_type]
    minimum, maximum = _read_range(node, name, dtype)
    custom = node.custom(COLUMN_PROPERTIES)
    return Column(
        name=name,
        dtype=dtype,
        nullable=not node.optional("required", bool, "true or false"),
        description=node.text("description", f"what {name!r} means"),
        unit=custom.optional("unit", str, "the unit as a text"),
        minimum=minimum,
        maximum=maximum,
        allowed=_read_allowed_values(node, name, dtype),
        physical_name=node.optional("physicalName", str, "the column's name in the file, in quotes"),
        format=column_format(node, custom, name, dtype),
        pii=_read_pii(custom, name),
    )


def _read_pii(custom: Node, name: str) -> str:
    declared = custom.optional("pii", str, f"one of {', '.join(PII_CLASSES)}") or PII_CLASSES[0]
    if declared not in PII_CLASSES:
        raise custom.error("pii", f"of {name!r} is {declared!r}; {nearest(declared, PII_CLASSES)}.")
    return declared


def _read_range(node: Node, name: str, dtype: str) -> tuple[float | None, float | None]:
    if not node.values.get("logicalTypeOptions"):
        return None, None
    options = node.child("logicalTypeOptions", "minimum and maximum")
    if unknown := sorted(set(options.values) - {"minimum", "maximum"}):
        raise options.error(unknown[0], f"of {name!r} would not be checked. Use minimum and maximum, or leave it out.")
    if dtype not in NUMERIC:
        raise node.error("logicalTypeOptions", f"of {name!r}: only integers and numbers have a range. Leave it out.")
    minimum, maximum = options.number("minimum"), options.number("maximum")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise options.error("minimum", f"of {name!r} is {minimum}, above the maximum {maximum}. No value can pass.")
    return minimum, maximum


def _read_allowed_values(node: Node, name: str, dtype: str) -> tuple[object, ...]:
    allowed: tuple[object, ...] = ()
    for rule in node.children("quality"):
        if not is_plain_value_list(rule):
            continue
        values = rule.child("arguments", "validValues, the list of allowed values").values.get("validValues")
        if not isinstance(values, list) or not values:
            raise rule.error("arguments.validValues", f"of {name!r} is no list of values.")
        if strange := [value for value in values if not is_of_dtype(value, dtype)]:
            raise rule.error(
                "arguments.validValues", f"of {name!r} holds {strange[0]!r}, which is no {dtype}. Mind the quotes."
            )
        allowed += tuple(values)
    return allowed


def _read_key(source: Node) -> tuple[str, ...]:
    positions: dict[object, str] = {}
    nodes = [node for node in source.children("properties") if node.optional("primaryKey", bool, "true or false")]
    for node in source.children("properties"):
        if node not in nodes and node.values.get("primaryKeyPosition") is not None:
            raise node.error("primaryKeyPosition", "stands without primaryKey: true. Write both, or neither.")
    for node in nodes:
        name = str(node.values["name"])
        position = node.values.get("primaryKeyPosition", 1 if len(nodes) == 1 else None)
        if position not in range(1, len(nodes) + 1) or position in positions:
            raise node.error(
                "primaryKeyPosition", f"of {name!r} is {position}. Number the key columns 1 to {len(nodes)}."
            )
        if not node.values.get("required"):
            raise node.error("required", f"of {name!r} is not true, yet it is part of the key. Write required: true.")
        positions[position] = name
    return tuple(positions[position] for position in range(1, len(nodes) + 1))


def _read_event_time(properties: Node, columns: tuple[Column, ...]) -> str | None:
    name = properties.optional("eventTime", str, "a column's name")
    if name is None:
        return None
    column = next((column for column in columns if column.name == name), None)
    if column is None:
        raise properties.error(
            "eventTime", f"is {name!r}, no column; {nearest(name, (each.name for each in columns))}."
        )
    if column.dtype not in ("UnixTimestamp", "Date"):
        raise properties.error("eventTime", f"is {name!r}, a {column.dtype}. Give it logicalType timestamp or date.")
    if column.nullable:
        raise properties.error("eventTime", f"is {name!r}, which may be null. Write required: true there.")
    return name


def _read_zone(properties: Node, key: str, default: str | None = None) -> str:
    if default is not None and properties.values.get(key) is None:
        return default
    zone = properties.text(key, "a time zone, such as Europe/Berlin")
    if fault := fault_of_zone(zone):
        raise properties.error(key, f"is {zone!r}, {fault}. Write a zone such as Europe/Berlin.")
    return zone


def _valid_from(properties: Node, event_time: str | None) -> datetime | None:
    value = properties.values.get("validFrom")
    if event_time is not None:
        if value is not None:
            raise properties.error("validFrom", f"makes no sense beside eventTime {event_time!r}. Remove one of them.")
        return None
    if isinstance(value, date):
        raise properties.error("validFrom", f"is an unquoted YAML date. Put it in quotes, with its offset: '{value}'.")
    text = properties.text("validFrom", "the moment from which the first drop holds, as '2020-01-01T00:00:00+01:00'")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise properties.error("validFrom", f"is {text!r}. Write it as '2020-01-01T00:00:00+01:00'.") from None
    if moment.tzinfo is None:
        raise properties.error("validFrom", f"is {text!r}, without an offset. Write it as '{text}+00:00'.")
    if not EVENT_YEARS[0] <= moment.year <= EVENT_YEARS[1]:
        raise properties.error("validFrom", f"is {text!r}. Write a moment of the years 1900 to 2199.")
    return moment


def _read_delivery(
    properties: Node, event_time: str | None, columns: tuple[Column, ...], key: tuple[str, ...]
) -> Delivery:
    delivery = properties.text("delivery", "append (a drop adds rows) or snapshot (a drop is the whole content)")
    known = get_args(Delivery)
    if delivery not in known:
        raise properties.error("delivery", f"is {delivery!r}. Write {', '.join(known[:-1])} or {known[-1]}.")
    if delivery in ("upsert", "replace-partition"):
        if event_time is None:
            raise properties.error("delivery", f"is {delivery}, yet rows have no eventTime. Write append or snapshot.")
        if not key:
            raise properties.error(
                "delivery", f"is {delivery}, yet nothing identifies a row. Mark its key with primaryKey."
            )
        if properties.values.get("supersedesAllowed") is not None:
            raise properties.error("supersedesAllowed", f"limits nothing where delivery is {delivery}. Remove it.")
    if delivery == "snapshot" and event_time is not None:
        raise properties.error(
            "delivery", "is snapshot, yet its rows are events. Write append; a drop may repeat rows."
        )
    if delivery == "snapshot" and not key:
        raise properties.error("delivery", "is snapshot, yet nothing identifies a row. Mark its key with primaryKey.")
    if delivery == "snapshot" and len(key) == len(columns):
        raise properties.error(
            "delivery",
            "is snapshot, yet every column is part of the key: no column is left to be null once a row has vanished. "
            "Write append, and take rows back with `features ingest --retract`.",
        )
    return cast(Delivery, delivery)


def _read_references(source: Node, columns: tuple[Column, ...]) -> Iterator[Reference]:
    name, known = str(source.values["name"]), tuple(column.name for column in columns)
    for column, node in zip(columns, source.children("properties"), strict=True):
        for relationship in node.children("relationships"):
            yield _read_reference(relationship, name, (column.name,), (relationship.values.get("to"),), known)
    for relationship in source.children("relationships"):
        ends = [relationship.values.get("from"), relationship.values.get("to")]
        here, there = (end if isinstance(end, list) else [end] for end in ends)
        if len(here) != len(there):
            raise relationship.error("to", f"names {len(there)} for the {len(here)} columns of from. Name as many.")
        yield _read_reference(
            relationship, name, tuple(str(end).rpartition(".")[2] for end in here), tuple(there), known
        )


def _read_reference(
    node: Node, source: str, here: tuple[str, ...], there: tuple[object, ...], known: tuple[str, ...]
) -> Reference:
    if unknown := [name for name in here if name not in known]:
        raise node.error("from", f"names {unknown[0]!r}, no column; {nearest(unknown[0], known)}.")
    targets = [re.fullmatch(r"([A-Za-z_][\w-]*)\.([A-Za-z]\w*)", str(target)) for target in there]
    if not all(targets) or len({target[1] for target in targets if target}) != 1:
        raise node.error("to", f"is {node.values.get('to')!r}. Write source.column, all of one source.")
    missing = node.custom(REFERENCE_PROPERTIES).optional("missingAllowed", int, "a number of distinct values")
    if missing is not None and missing < 0:
        raise node.error("customProperties.missingAllowed", f"is {missing}. Write 0 or more.")
    found = [target for target in targets if target]
    if found[0][1] == source:
        raise node.error("to", f"refers to {source!r} itself, which is not checked. Leave it out.")
    return Reference(here, found[0][1], tuple(target[2] for target in found), missing or 0)

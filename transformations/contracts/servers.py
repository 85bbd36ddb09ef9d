"""Where a source comes from: the standard's `servers`, of which local files and one table can be read here.

    servers:
      - { server: drops, type: local, path: deliveries/clicks-*.parquet }
    or
      - { server: app, type: duckdb, database: app.duckdb, schema: main,
          customProperties: [{ property: watermark, value: updated_at }, { property: overlap, value: PT1H }] }

A table is of type duckdb (`database` is a file), custom (`urlVariable` names the environment variable with a SQLAlchemy
URL, so that no secret stands in a contract; or `engine` is spark, whose catalogue knows the table), or local with
format delta (`path` is a Delta table's folder).
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from transformations.contracts.document import Node
from transformations.contracts.limits import duration_of
from transformations.contracts.model import TableServer
from transformations.contracts.texts import nearest

_LOCAL = ("server", "type", "id", "description", "environment", "path", "format", "delimiter", "roles")
_OWN = ("urlVariable", "engine", "watermark", "overlap")
_COMMON = ("server", "type", "id", "description", "environment", "roles", "customProperties")


@dataclass(frozen=True)
class _Kind:
    """The keys that a server of one kind may have besides the common ones, and which one is its place."""

    kind: Literal["duckdb", "sqlalchemy", "delta", "spark"]
    keys: tuple[str, ...]


_DUCKDB = _Kind("duckdb", ("database", "schema"))
_SQLALCHEMY = _Kind("sqlalchemy", ("schema",))
_DELTA = _Kind("delta", ("path", "format"))
_SPARK = _Kind("spark", ())


def local_path(document: Node) -> str | None:
    """The path of the server of type local; None where there is none.

    A `*` in the file's name stands for any text, everything else for itself; a relative path begins at the project.
    """
    local = _local_servers(document)
    if not local:
        return None
    server = local[0]
    if len(local) > 1:
        raise local[1].error("type", "is local a second time. Write one place where the files are.")
    for key in server.values:
        if key not in (*_LOCAL, "customProperties"):
            raise server.error(str(key), f"would not be read; {nearest(str(key), _LOCAL)}.")
    path = server.text("path", "where the files are, as deliveries/clicks-*.parquet")
    if "*" in str(Path(path).parent):
        raise server.error("path", f"is {path!r}. Write * in the file's name alone: folders are taken literally.")
    return path


def is_one_drop(document: Node) -> bool:
    """Whether all files of the server of type local are one drop; by default each is one of its own."""
    for server in _local_servers(document):
        said = server.custom(("drop",)).optional("drop", str, "all, or leave it out: each file is a drop")
        if said not in (None, "all"):
            raise server.error("customProperties.drop", f"is {said!r}. Write all, or leave it out.")
        return said == "all"
    return False


def _local_servers(document: Node) -> list[Node]:
    """The servers of files; a Delta table is none."""
    servers = document.children("servers")
    return [each for each in servers if each.values.get("type") == "local" and each.values.get("format") != "delta"]


def delivered_files(path: str, root: Path) -> tuple[Path, ...]:
    """The files and folders of files delivered so far, sorted by name; hidden ones are ignored."""
    whole = root / path
    if "*" not in whole.name:
        return (whole,) if whole.exists() else ()
    name = re.compile(".*".join(re.escape(part) for part in whole.name.split("*")), re.DOTALL)
    if not whole.parent.is_dir():
        return ()
    found = (each for each in whole.parent.iterdir() if name.fullmatch(each.name) and not each.name.startswith("."))
    return tuple(sorted(each for each in found if each.is_file() or each.is_dir()))


def is_table(server: Node) -> bool:
    """Whether a server is a table that can be pulled."""
    return _kind(server) is not None


def table_server(document: Node, source: Node, delivery: object, key: tuple[str, ...]) -> TableServer | None:
    """The one table among the servers; None where there is none."""
    tables = [(server, kind) for server in document.children("servers") if (kind := _kind(server)) is not None]
    if not tables:
        return None
    if len(tables) > 1:
        raise tables[1][0].error("type", "is a second table to pull from. Keep one.")
    server, kind = tables[0]
    for name in server.values:
        if name not in (*_COMMON, *kind.keys):
            raise server.error(str(name), f"would not be read; {nearest(str(name), (*_COMMON, *kind.keys))}.")
    custom = server.custom(_OWN)
    watermark = custom.optional("watermark", str, "the column that grows with each row, such as updated_at")
    if not key:
        raise server.error("type", "is a table, yet nothing identifies a row, so one read twice would be stored twice.")
    if delivery == "replace-partition":
        raise server.error("type", "is a table, of which only new rows are pulled, no whole days. Write upsert.")
    if delivery == "snapshot" and watermark is not None:
        raise custom.error("watermark", "makes no sense beside delivery snapshot, which is all rows. Leave it out.")
    if watermark is None and custom.values.get("overlap") is not None:
        raise custom.error("overlap", "stands without watermark. Write both, or neither.")
    return TableServer(
        kind=kind.kind,
        place=_place(server, custom, kind),
        table=source.optional("physicalName", str, "the table's name") or str(source.values["name"]),
        schema=server.optional("schema", str, "the schema's name"),
        watermark=watermark,
        overlap=_overlap(custom),
    )


def _place(server: Node, custom: Node, kind: _Kind) -> str:
    """The file or folder of a table, or the variable with its URL; a table of Spark's catalogue has its name alone."""
    if kind.kind == "spark":
        if (engine := custom.values["engine"]) != "spark":
            raise custom.error("engine", f"is {engine!r}. Write spark; for another engine, leave it out.")
        return ""
    if kind.kind != "sqlalchemy":
        return server.text(kind.keys[0], "where the table is")
    variable = custom.text("urlVariable", "the environment variable that holds the SQLAlchemy URL")
    if not re.fullmatch(r"[A-Za-z_]\w*", variable):
        raise custom.error("urlVariable", "is no variable's name. Write a name: the URL itself stands in no contract.")
    return variable


def _kind(server: Node) -> _Kind | None:
    """None for a server that only other tools read."""
    said = {entry.values.get("property") for entry in server.children("customProperties")}
    match server.values.get("type"), server.values.get("format"):
        case "duckdb", _:
            return _DUCKDB
        case "local", "delta":
            return _DELTA
        case "custom", _:
            return _SQLALCHEMY if "urlVariable" in said else _SPARK if "engine" in said else None
    return None


def _overlap(custom: Node) -> timedelta | int:
    value = custom.values.get("overlap")
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    duration = duration_of(value) if isinstance(value, str) else None
    if duration is None:
        raise custom.error("overlap", f"is {value!r}. Write a duration such as PT1H; for numbers, a number.")
    return duration

"""SQL that others wrote, run without harm: one SELECT over given tables, in a locked session, for a limited time.

Plain DuckDB reads any file and writes one. So a query is looked at before it runs, and the session that runs it can
open nothing but the files that are named to `lock`, and its settings are locked.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transformations.engine.base.duck import literal
from transformations.engine.base.errors import UsageError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Table functions of values alone. Others read files or DuckDB's own state, or run a text as SQL past all checks.
TABLE_FUNCTIONS = ("generate_series", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest")
_CALLED = re.compile(r"[a-z_0-9]+(?=\()")
_CLOCK = ("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp")  # columns, to the parser
_WORD = re.compile(r"[a-z_]+")
# DuckDB (2.0) calls these consistent, though they read the clock.
_CALLED_CONSISTENT = frozenset({"current_localtime", "current_localtimestamp"})


def one_select(connection: DuckDBPyConnection, text: str, subject: str) -> Mapping[str, Any]:
    """The syntax tree of a text that is one SELECT; UsageError for any other. subject: what messages call the query."""
    (answer,) = connection.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0]
    parsed = json.loads(answer)
    if parsed["error"] and parsed["error_type"] != "not implemented":
        raise UsageError(f"{subject} cannot be run: {parsed['error_message']}")
    if parsed["error"] or len(parsed["statements"]) != 1:
        raise UsageError(
            f"{subject} has to be one SELECT; this is another statement, several, or none. Send one SELECT."
        )
    statement: Mapping[str, Any] = parsed["statements"][0]
    return statement


def nodes(tree: object) -> Iterator[Mapping[str, Any]]:
    """Every node of a syntax tree."""
    if isinstance(tree, Mapping):
        yield tree
        for value in tree.values():
            yield from nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from nodes(value)


def refuse_table_functions(statement: Mapping[str, Any], subject: str, readable: str) -> None:
    """UsageError where a query reads from a function that may reach beyond the tables it may read."""
    for node in nodes(statement):
        function = node.get("function") if node.get("type") == "TABLE_FUNCTION" else None
        if function and (name := str(function["function_name"]).lower()) not in TABLE_FUNCTIONS:
            raise UsageError(
                f"{subject} may read {readable} only, and calls {name}(). Of table functions it may call "
                f"{', '.join(TABLE_FUNCTIONS)}; a SELECT within it is written out."
            )


def refuse_other_tables(
    statement: Mapping[str, Any], subject: str, readable: str, may_read: Callable[[str, str], bool]
) -> None:
    """UsageError where a query reads a table that it may not, such as DuckDB's own of its state.

    may_read: whether it may, by schema ("" where the query names none) and name, in lower case. Tables that the query
    itself makes by WITH are its own.
    """
    known = set(_common_tables(statement))
    for node in nodes(statement):
        if node.get("type") == "SHOW_REF":
            raise UsageError(f"{subject} may read {readable} only, and describes or lists tables. Select rows instead.")
        if node.get("type") != "BASE_TABLE":
            continue
        parts = [str(node.get(part) or "") for part in ("catalog_name", "schema_name", "table_name")]
        catalog, schema, name = (part.lower() for part in parts)
        is_own = not catalog and not schema and name in known
        if not is_own and (catalog or not may_read(schema, name)):
            raise UsageError(f"{subject} may read {readable} only, and names {'.'.join(filter(None, parts))}.")


def volatile_parts(connection: DuckDBPyConnection, statement: Mapping[str, Any]) -> tuple[str, ...]:
    """What in a query may give other values the next time, such as `now()`, in alphabetical order."""
    return tuple(sorted(set(_find_volatile(statement, _volatile_functions(connection)))))


@contextmanager
def time_limit(connection: DuckDBPyConnection, seconds: float, subject: str, setting: str) -> Iterator[None]:
    """UsageError, naming the setting that allows more, where what is run in here takes longer than that."""
    import duckdb

    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise UsageError(
            f"{subject} took longer than {seconds:g} s and was stopped. Narrow it to fewer rows, or raise {setting}."
        ) from error
    finally:
        timer.cancel()


def lock(connection: DuckDBPyConnection, files: Sequence[str] = ()) -> None:
    """Nothing but these files can be opened from now on, nothing loaded, and no setting changed. Spilling goes on."""
    connection.execute(f"SET allowed_paths = [{', '.join(map(literal, files))}]")
    for setting in ("autoinstall_known_extensions", "autoload_known_extensions", "enable_external_access"):
        connection.execute(f"SET {setting} = false")
    connection.execute("SET lock_configuration = true")


def _common_tables(statement: Mapping[str, Any]) -> Iterator[str]:
    """The names that WITH gives to tables, in lower case."""
    for node in nodes(statement):
        tables = node.get("cte_map")
        for entry in tables.get("map", []) if isinstance(tables, Mapping) else []:
            yield str(entry["key"]).lower()


def _volatile_functions(connection: DuckDBPyConnection) -> set[str]:
    """Functions that may give other values the next time, and the macros that call one or name the clock."""
    query = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
    functions = {str(row[0]) for row in connection.execute(query).fetchall()} | _CALLED_CONSISTENT
    macros = "SELECT function_name, lower(macro_definition) FROM duckdb_functions() WHERE macro_definition IS NOT NULL"
    for name, definition in connection.execute(macros).fetchall():
        if functions & set(_CALLED.findall(definition)) or set(_CLOCK) & set(_WORD.findall(definition)):
            functions.add(str(name))
    return functions


def _find_volatile(statement: Mapping[str, Any], functions: set[str]) -> Iterator[str]:
    for node in nodes(statement):
        name = str(node.get("function_name", "")).lower()
        column = ".".join(node.get("column_names") or ()).lower()
        if name in functions or (name == "age" and len(node["arguments"]) == 1):
            yield f"{name}()"
        elif column in _CLOCK:
            yield column
        elif node.get("sample"):
            yield "SAMPLE"

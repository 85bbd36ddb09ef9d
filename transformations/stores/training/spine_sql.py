"""Spines written as SQL: one SELECT over the raw zone's sources (`raw.<source>`) and the offline tables
(`offline.<view>`), each at its newest version or at a given one (`offline."<view>@3"`).

A query comes from outside (`feast serve_offline` forwards it), and plain DuckDB reads any file and writes one. So it
runs in a session that can open the files of the tables it names and nothing else, and whose settings are locked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from transformations.contracts import contract_names, read_contract
from transformations.engine.base.disk_faults import folders_in, verify_reads
from transformations.engine.base.duck import identifier, identifiers, parquet
from transformations.engine.base.errors import DataError, UsageError, nearest
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.raw import raw_sql
from transformations.engine.raw.zone import RawTable
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.stores.history.session_sql import Resources, session
from transformations.stores.training.guarded_sql import (
    lock,
    nodes,
    one_select,
    refuse_other_tables,
    refuse_table_functions,
    time_limit,
    volatile_parts,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RAW = "raw"
OFFLINE = "offline"
_SUBJECT = "the spine's query"
_READABLE = f"{RAW}.<source> and {OFFLINE}.<view>"
_SECONDS = "FEATURES_OFFLINE_QUERY_SECONDS"


@dataclass(frozen=True, kw_only=True)
class QueriedTable:
    """A table at the version that a query reads. zone: `raw` or `offline`; name: the source or the view.

    files: absolute. columns: those that the query may see. is_named: whether the query itself names the version.
    """

    zone: str
    name: str
    version: int
    files: tuple[str, ...]
    columns: tuple[str, ...]
    is_named: bool = False


@dataclass(frozen=True)
class Query:
    """A query and the pinned tables that it reads; run it with `rows`.

    volatile: parts that may give other values the next time, such as `now()`.
    """

    text: str
    tables: tuple[QueriedTable, ...]
    volatile: tuple[str, ...] = ()
    _views: Mapping[tuple[str, str], str] = field(default_factory=dict, repr=False)

    def rows(self, resources: Resources) -> pa.Table:
        """The query's rows, in its order.

        UsageError if DuckDB cannot run it, if it reaches beyond its tables, or takes longer than the settings allow.
        """
        import duckdb

        with session(resources, is_private=True) as connection:
            _create_views(connection, self._views)
            lock(connection, [file for table in self.tables for file in table.files])
            try:
                with time_limit(connection, get_settings().offline_query_seconds, _SUBJECT, _SECONDS):
                    return connection.sql(self.text).to_arrow_table()
            except duckdb.PermissionException as error:
                raise UsageError(f"{_SUBJECT} may read {_READABLE} only: {error}") from error
            except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
                raise UsageError(
                    f"the spine's query cannot be run: {error}\n"
                    f'It sees {_READABLE}, at a given version as {OFFLINE}."<view>@3".'
                ) from error


def rows_of_query(query: str, resources: Resources) -> pa.Table:
    """A query's rows, in its order. A source holds its current content, an offline table all its rows.

    UsageError if it is not a single SELECT or cannot be run, DataError if it names a table that does not exist.
    """
    return read_query(query).rows(resources)


def read_query(text: str, pins: Mapping[tuple[str, str], int] | None = None) -> Query:
    """A query whose tables are pinned now: later deliveries and builds do not show in it.

    pins: the version by (zone, name) of tables that the query names without one; by default the newest.
    Errors as `rows_of_query`.
    """
    settings = get_settings()
    with session(Resources()) as connection:
        statement = one_select(connection, text, _SUBJECT)
        refuse_table_functions(statement, _SUBJECT, _READABLE)
        refuse_other_tables(statement, _SUBJECT, _READABLE, lambda schema, _: schema in (RAW, OFFLINE))
        tables: dict[tuple[str, str], QueriedTable] = {}
        views: dict[tuple[str, str], str] = {}
        for zone, written in dict.fromkeys(_named_tables(statement)):
            name, version = _split_version(zone, written)
            wanted = version if version is not None else (pins or {}).get((zone, name))
            read = _raw_content if zone == RAW else _offline_content
            content, files, at = read(connection, settings, name, wanted)
            verify_reads(files)
            columns = [row[0] for row in connection.execute(f"DESCRIBE {content}").fetchall()]
            tables[zone, written] = QueriedTable(
                zone=zone, name=name, version=at, files=files, columns=tuple(columns), is_named=version is not None
            )
            views[zone, written] = content
        volatile = volatile_parts(connection, statement)
    return Query(text, tuple(tables.values()), volatile, views)


@dataclass(frozen=True)
class Named:
    """What a query names, whatever is stored: tables by (zone, name), and columns, in lower case. all_columns: `*`."""

    tables: frozenset[tuple[str, str]]
    columns: frozenset[str]
    all_columns: bool


def names_in(text: str) -> Named:
    """The tables and columns that a query names; UsageError where it is not one SELECT."""
    with session(Resources()) as connection:
        statement = one_select(connection, text, _SUBJECT)
    tables = {(zone, _split_version(zone, written)[0]) for zone, written in _named_tables(statement)}
    columns = {str(part).lower() for node in nodes(statement) for part in node.get("column_names") or ()}
    columns |= {str(name).lower() for node in nodes(statement) for name in node.get("using_columns") or ()}
    stars = any(node.get("class") == "STAR" for node in nodes(statement))
    return Named(frozenset(tables), frozenset(columns), stars)


def _named_tables(statement: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for node in nodes(statement):
        if node.get("type") == "BASE_TABLE" and str(node["schema_name"]).lower() in (RAW, OFFLINE):
            yield str(node["schema_name"]).lower(), str(node["table_name"])


def _split_version(zone: str, written: str) -> tuple[str, int | None]:
    """`view@3` as the view and its version."""
    name, at, version = written.partition("@")
    if at and not version.isdecimal():
        raise UsageError(
            f"the spine's query names {zone}.{written}: a version of a table is a number, as in "
            f'{zone}."{name}@3". `features status {name}` lists them.'
        )
    return name, int(version) if at else None


def _create_views(connection: DuckDBPyConnection, views: Mapping[tuple[str, str], str]) -> None:
    for (zone, written), content in views.items():
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {zone}")
        connection.execute(f"CREATE VIEW {zone}.{identifier(written)} AS {content}")


def _raw_content(
    connection: DuckDBPyConnection, settings: Settings, source: str, version: int | None
) -> tuple[str, tuple[str, ...], int]:
    if source not in contract_names(settings.contracts):
        known = ", ".join(contract_names(settings.contracts))
        raise DataError(f"the spine's query names raw.{source}, and there is no such source. There are: {known}.")
    contract = read_contract(source, settings.contracts)
    snapshot = RawTable(contract, settings.raw_dir).snapshot(version)
    if all(Path(file).exists() for file in snapshot.as_delivered().files):  # else originals were given up
        snapshot = snapshot.as_delivered()
    rows = raw_sql.current_rows(connection, contract, snapshot.files, snapshot.supersedes)
    return f"SELECT {identifiers(contract.column_names)} FROM {rows}", snapshot.files, snapshot.version


def _offline_content(
    _connection: DuckDBPyConnection, settings: Settings, view: str, version: int | None
) -> tuple[str, tuple[str, ...], int]:
    built = [folder.name for folder in folders_in(settings.offline_dir) if OfflineTable(folder).exists()]
    if view not in built:
        raise DataError(
            f"the spine's query names offline.{view}, and nothing has been built there: {nearest(view, built)}. "
            f"Run `features build`; tables that another tool writes are given as a frame."
        )
    table = OfflineTable(settings.offline_dir / view)
    published = table.newest() if version is None else table.at(version)
    return f"SELECT * FROM {parquet(published.files)}", published.files, published.version

"""Spines written as SQL: a query over the raw zone's sources (`raw.<source>`) and the offline tables
(`offline.<view>`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from transformations.engine import raw_sql
from transformations.engine.duck import identifier, identifiers, parquet
from transformations.engine.errors import DataError, UsageError
from transformations.engine.offline_tables import OfflineTable
from transformations.engine.raw_zone import RawTable
from transformations.engine.settings import Settings, get_settings
from transformations.stores.retrieval import Resources, session
from validation.contracts import contract_names, read_contract

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def rows_of_query(query: str, resources: Resources) -> pa.Table:
    """The rows that a query gives, in its order; each source shows its current content, each offline table all its
    rows.

    UsageError where DuckDB cannot run the query, DataError where a table that it names does not exist.
    """
    import duckdb

    settings = get_settings()
    with session(resources) as connection:
        for schema, table in sorted(set(_named_tables(query))):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            content = _raw(connection, settings, table) if schema == "raw" else _offline(settings, table)
            connection.execute(f"CREATE VIEW {schema}.{identifier(table)} AS {content}")
        try:
            return connection.sql(query).to_arrow_table()
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as error:
            raise UsageError(f"the spine's query cannot be run: {error}") from error


def _named_tables(query: str) -> list[tuple[str, str]]:
    return [(schema.lower(), table) for schema, table in re.findall(r'(?i)\b(raw|offline)\s*\.\s*"?(\w+)', query)]


def _raw(connection: DuckDBPyConnection, settings: Settings, source: str) -> str:
    if source not in contract_names(settings.contracts):
        known = ", ".join(contract_names(settings.contracts))
        raise DataError(f"the spine's query names raw.{source}, and there is no such source. There are: {known}.")
    contract = read_contract(source, settings.contracts)
    snapshot = RawTable(contract, settings.raw_dir).snapshot()
    rows = raw_sql.current_rows(connection, contract, snapshot.files, snapshot.supersedes)
    return f"SELECT {identifiers(contract.column_names)} FROM {rows}"


def _offline(settings: Settings, view: str) -> str:
    published = OfflineTable(settings.offline_dir / view).latest()
    if published is None:
        raise DataError(
            f"the spine's query names offline.{view}, and nothing has been built there. Run `features build`."
        )
    return f"SELECT * FROM {parquet(published.files)}"

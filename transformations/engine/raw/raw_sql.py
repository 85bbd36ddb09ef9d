"""The SQL of the raw zone: what is current in it, and what a drop changes. DuckDB only.

Identity of a row: the contract's key, with the event timestamp where the source has no event time of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from transformations.contracts import Contract
from transformations.engine.base.business_days import days_of_instants
from transformations.engine.base.duck import identifier, identifiers, literal, parquet, parquet_keys, same
from transformations.engine.raw.files import BUSINESS_DAY, DROP, RAW_TIMESTAMP, RETRACTED, ROWS_A_GROUP, SYSTEM_COLUMNS
from transformations.engine.vocabulary.dtypes import UNIX_TIMESTAMP, dtype_named

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FILE = "_file"
DELIVERED = "delivered_rows"  # the relation that the caller registers: contract columns, or keys to retract


@dataclass(frozen=True, kw_only=True)
class Changes:
    """A relation of rows to write (contract columns, `_event_timestamp`, `_retracted`), and what they mean.

    delivered: rows of the file; unchanged: those that are current already; supersedes: earlier rows whose identity is
    written again; retracted: rows that take one back because a drop of whole `days` lacks it.
    """

    relation: str
    unchanged: int = 0
    supersedes: int = 0
    delivered: int = 0
    retracted: int = 0
    days: tuple[int, ...] = ()


def current_query(
    connection: DuckDBPyConnection,
    contract: Contract,
    files: Sequence[str],
    columns: Sequence[str],
    where: Mapping[str, object],
    has_superseded: bool,
) -> str:
    """A query of the current content in its total order: by event timestamp, key and all columns."""
    conditions = [f"{identifier(name)} IS NOT DISTINCT FROM {literal(value)}" for name, value in where.items()]
    rows = current_rows(connection, contract, files, has_superseded)
    order = dict.fromkeys((RAW_TIMESTAMP, *contract.key, *contract.column_names))
    return (
        f"SELECT {identifiers(columns)} FROM {rows} WHERE {' AND '.join(conditions) or 'TRUE'} "
        f"ORDER BY {', '.join(f'{identifier(name)} NULLS FIRST' for name in order)}"
    )


def current_rows(connection: DuckDBPyConnection, contract: Contract, files: Sequence[str], has_superseded: bool) -> str:
    """A FROM item of the current content: for each identity the row of the highest drop, unless it was retracted."""
    rows = _raw_rows(connection, contract, files)
    if has_superseded and contract.key:
        rows = f"(SELECT * FROM {rows} AS raw {_keep_highest_drop(contract)})"
    return f"(SELECT * FROM {rows} AS latest WHERE NOT {identifier(RETRACTED)})"


def changes_of_rows(
    connection: DuckDBPyConnection, contract: Contract, files: Sequence[str] | None, moment: datetime | None
) -> Changes:
    """The changes that delivered rows make; `files` is the table so far, None before the first drop.

    `moment`: from when on rows without an event time of their own hold.
    """
    event = identifier(contract.event_time) if contract.event_time else literal(moment)
    delivered = (
        f"SELECT {identifiers(contract.column_names)}, {event} AS {identifier(RAW_TIMESTAMP)}, "
        f"FALSE AS {identifier(RETRACTED)} FROM {DELIVERED}"
    )
    if files is None or not contract.key:
        connection.execute(f"CREATE TEMP VIEW changes AS {delivered}")
        return Changes(relation="changes")
    connection.execute(f"CREATE TEMP TABLE delivered AS {delivered}")
    days = _delivered_days(connection, contract) if contract.delivery == "replace-partition" else ()
    _create_earlier(connection, contract, files, every_key=contract.delivery == "snapshot", days=days)
    connection.execute(f"CREATE TEMP TABLE state AS SELECT * FROM current_rows {_keep_newest(contract)}")
    agrees = same("delivered", "state", contract.column_names)
    connection.execute(f"CREATE TEMP TABLE changes AS SELECT delivered.* FROM delivered ANTI JOIN state ON {agrees}")
    count = _count_rows(connection, "delivered")
    unchanged = count - _count_rows(connection, "changes")
    if contract.delivery == "snapshot":
        connection.execute(f"INSERT INTO changes {_vanished_rows(contract, moment)}")
    retracted = 0
    if days:
        connection.execute(f"INSERT INTO changes {_rows_missing_now(contract, days)}")
        retracted = _count_rows(connection, "changes") - (count - unchanged)
    return Changes(
        relation="changes",
        unchanged=unchanged,
        supersedes=_count_superseded(connection, contract),
        delivered=count,
        retracted=retracted,
        days=days,
    )


def replaced_query(contract: Contract) -> str:
    """A query of the current rows that `changes` replace: key, old `_business_day`, new `_event_timestamp`."""
    key, event = identifiers(contract.key, "current_rows"), identifier(RAW_TIMESTAMP)
    return (
        f"SELECT {key}, {identifier(BUSINESS_DAY)}, changes.{event} FROM current_rows "
        f"JOIN changes USING ({identifiers(contract.key)}) ORDER BY {key}"
    )


def reverted_query(contract: Contract) -> str:
    """A query of the `changes` that bring an old row back: key, the `_drop` that ended it, and whether by retraction.

    Rows that are already current are not among `changes`, so a stored row that equals one of these is no longer
    current.
    """
    key, drop, retracted = identifiers(contract.key, "changes"), identifier(DROP), identifier(RETRACTED)
    was_stored = f"{same('changes', 'earlier', contract.column_names)} AND NOT earlier.{retracted}"
    return (
        f"SELECT {key}, latest.{drop}, latest.{retracted} FROM changes "
        f"JOIN (SELECT * FROM earlier {_keep_highest_drop(contract)}) AS latest USING ({identifiers(contract.key)}) "
        f"WHERE EXISTS (FROM earlier WHERE {was_stored}) ORDER BY {key}"
    )


def newest_days(connection: DuckDBPyConnection, contract: Contract, files: Sequence[str]) -> tuple[int | None, ...]:
    """The newest business days, as numbers: of the current rows that `changes` replace, and of all others."""
    newest, key = f"max({identifier(BUSINESS_DAY)})", identifiers(contract.key)
    rows = current_rows(connection, contract, files, has_superseded=True)
    of_replaced = f"SELECT {newest} FROM current_rows SEMI JOIN changes USING ({key})"
    of_others = f"SELECT {newest} FROM {rows} AS others ANTI JOIN changes USING ({key})"
    return tuple(connection.execute(f"SELECT ({of_replaced}), ({of_others})").fetchall()[0])


def days(connection: DuckDBPyConnection, files: Sequence[str]) -> list[int]:
    """All business days, as numbers, of which these files have a row that is no retraction."""
    if not files:
        return []
    day, retraction = identifier(BUSINESS_DAY), identifier(RETRACTED)
    query = f"SELECT DISTINCT {day} FROM {parquet(files)} WHERE NOT {retraction}"
    return [row[0] for row in connection.execute(query).fetchall()]


def changes_of_retraction(connection: DuckDBPyConnection, contract: Contract, files: Sequence[str]) -> Changes:
    """What retracting the delivered keys changes: every current row of them, whatever its moment."""
    connection.execute(f"CREATE TEMP TABLE delivered AS SELECT DISTINCT {identifiers(contract.key)} FROM {DELIVERED}")
    _create_earlier(connection, contract, files, every_key=False)
    connection.execute(
        f"CREATE TEMP TABLE changes AS SELECT {_key_alone(contract)}, {identifier(RAW_TIMESTAMP)}, "
        f"TRUE AS {identifier(RETRACTED)} FROM current_rows"
    )
    return Changes(relation="changes", supersedes=_count_superseded(connection, contract))


def ordered_query(contract: Contract, changes: Changes) -> str:
    """The rows to write, by event time and then by key, so that the same drop gives the same files."""
    order = dict.fromkeys((RAW_TIMESTAMP, *(contract.key or contract.column_names)))
    return f"SELECT * FROM {changes.relation} ORDER BY {', '.join(f'{identifier(name)} NULLS FIRST' for name in order)}"


def _create_earlier(
    connection: DuckDBPyConnection,
    contract: Contract,
    files: Sequence[str],
    every_key: bool,
    days: Sequence[int] = (),
) -> None:
    """Temporary relations: `earlier` rows of the delivered keys (or of all), and of those the `current_rows`.

    days: the keys of all rows that were ever stored of these business days count as delivered, too.

    Keys are matched first, because a drop usually touches few of the rows there are, and only the files that hold one
    are read whole:

        file    keys     delivered: 3, 9      read whole
        drop-1  1, 2     -                    no
        drop-2  3, 4     3                    yes
    """
    key, condition = identifiers(contract.key), ""
    if files and not every_key:
        of_days = f" UNION SELECT {key} FROM {parquet(files)} WHERE {_within(days)}" if days else ""
        connection.execute(
            f"CREATE TEMP TABLE touched AS SELECT DISTINCT {key}, {_FILE} FROM {parquet_keys(files, _FILE)} AS raw "
            f"SEMI JOIN (SELECT {key} FROM delivered{of_days}) AS asked USING ({key})"
        )
        files = [row[0] for row in connection.execute(f"SELECT DISTINCT {_FILE} FROM touched ORDER BY 1").fetchall()]
        condition = f"SEMI JOIN touched USING ({key})"
    _create_rows(connection, contract, files, condition)
    connection.execute(
        f"CREATE TEMP VIEW current_rows AS SELECT * FROM (SELECT * FROM earlier {_keep_highest_drop(contract)}) "
        f"WHERE NOT {identifier(RETRACTED)}"
    )


def _create_rows(connection: DuckDBPyConnection, contract: Contract, files: Sequence[str], condition: str) -> None:
    """`earlier`: the raw table's columns of the rows in these files. Each file is opened once."""
    if not files:
        connection.execute(f"CREATE TEMP TABLE earlier AS SELECT * FROM {_raw_rows(connection, contract, files)}")
        return
    connection.execute(f"CREATE TEMP TABLE stored AS SELECT * FROM {parquet(files)} AS raw {condition}")
    connection.execute(
        f"CREATE TEMP VIEW earlier AS SELECT * FROM {_with_missing_columns(connection, contract, 'stored')}"
    )


def _raw_rows(connection: DuckDBPyConnection, contract: Contract, files: Sequence[str]) -> str:
    """A FROM item of the raw table's columns; one that no file has yet (the contract is newer) is null."""
    if not files:
        nulls = ", ".join(f"{_null_of(contract, name)} AS {identifier(name)}" for name in contract.column_names)
        return f"(SELECT {nulls}, {_empty_system_columns()} WHERE FALSE)"
    return _with_missing_columns(connection, contract, parquet(files))


def _with_missing_columns(connection: DuckDBPyConnection, contract: Contract, relation: str) -> str:
    """A FROM item of the raw table's columns of a relation; those that it lacks are null."""
    present = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}
    columns = [
        identifier(name) if name in present else f"{_null_of(contract, name)} AS {identifier(name)}"
        for name in contract.column_names
    ]
    return f"(SELECT {', '.join(columns)}, {identifiers(SYSTEM_COLUMNS)} FROM {relation})"


def _keep_highest_drop(contract: Contract) -> str:
    identity = contract.key if contract.event_time else (*contract.key, RAW_TIMESTAMP)
    return f"QUALIFY row_number() OVER (PARTITION BY {identifiers(identity)} ORDER BY {identifier(DROP)} DESC) = 1"


def _keep_newest(contract: Contract) -> str:
    key, event = identifiers(contract.key), identifier(RAW_TIMESTAMP)
    return f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {event} DESC) = 1"


def _vanished_rows(contract: Contract, moment: datetime | None) -> str:
    """Rows for keys of the last content that the new one lacks: from `moment` on all their attributes are null."""
    attributes = [name for name in contract.column_names if name not in contract.key]
    known = " OR ".join(f"{identifier(name)} IS NOT NULL" for name in attributes)
    return (
        f"SELECT {_key_alone(contract)}, {literal(moment)}, FALSE "
        f"FROM (SELECT * FROM state ANTI JOIN delivered USING ({identifiers(contract.key)})) WHERE {known}"
    )


def _rows_missing_now(contract: Contract, days: Sequence[int]) -> str:
    """Retractions of the current rows of these business days that the drop lacks."""
    return (
        f"SELECT {_key_alone(contract)}, {identifier(RAW_TIMESTAMP)}, TRUE FROM "
        f"(SELECT * FROM current_rows ANTI JOIN delivered USING ({identifiers(contract.key)})) WHERE {_within(days)}"
    )


def _delivered_days(connection: DuckDBPyConnection, contract: Contract) -> tuple[int, ...]:
    """The business days, as numbers, of the delivered rows."""
    query = f"SELECT epoch_us({identifier(RAW_TIMESTAMP)}) AS micros FROM delivered"
    found: set[int] = set()
    for batch in connection.sql(query).to_arrow_reader(ROWS_A_GROUP):
        micros = batch.column(0).to_numpy(zero_copy_only=False)
        found.update(np.unique(days_of_instants(micros, contract.business_day_zone)).tolist())
    return tuple(sorted(found))


def _within(days: Sequence[int]) -> str:
    return f"{identifier(BUSINESS_DAY)} IN ({', '.join(map(str, days))})"


def _count_superseded(connection: DuckDBPyConnection, contract: Contract) -> int:
    identity = contract.key if contract.event_time else (*contract.key, RAW_TIMESTAMP)
    return _count_rows(connection, f"(SELECT * FROM earlier SEMI JOIN changes USING ({identifiers(identity)}))")


def _key_alone(contract: Contract) -> str:
    """The contract's columns of a row whose key alone is known; the others are null."""
    return ", ".join(
        identifier(name) if name in contract.key else f"{_null_of(contract, name)} AS {identifier(name)}"
        for name in contract.column_names
    )


def _null_of(contract: Contract, name: str) -> str:
    dtype = UNIX_TIMESTAMP if name == contract.event_time else dtype_named(contract.column(name).dtype)
    return f"CAST(NULL AS {dtype.duckdb})"


def _empty_system_columns() -> str:
    types = ("TIMESTAMPTZ", "INTEGER", "INTEGER", "BOOLEAN")
    return ", ".join(
        f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in zip(SYSTEM_COLUMNS, types, strict=True)
    )


def _count_rows(connection: DuckDBPyConnection, relation: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {relation}").fetchall()[0]
    return int(count)

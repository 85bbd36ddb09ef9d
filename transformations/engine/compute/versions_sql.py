"""The SQL of every version of every event, with the drops since and until which it is known. For Spark and DuckDB.

An event has a new version whenever a drop changes it or a record looked up for it. Which versions counted before the
event's day was complete is decided by the reader of the versions (see `knowledge`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from transformations.contracts import Contract
from transformations.engine.compute.knowledge import ALWAYS, FOREVER, SINCE, UNTIL, Timeline
from transformations.engine.raw.files import BUSINESS_DAY, DROP, RAW_TIMESTAMP, RETRACTED
from transformations.engine.raw.zone import RawSnapshot
from transformations.engine.vocabulary.definitions import Lookup
from transformations.engine.vocabulary.resolution import Resolved

Quote = Callable[[str], str]

_BEFORE_ALL = "CAST('0001-01-01 00:00:00+00:00' AS {timestamp})"


@dataclass(frozen=True)
class Dialect:
    """The differences. quote: quotes an identifier; timestamp: the type of instants; relation: the pattern of names."""

    quote: Quote
    timestamp: str
    relation: str


SPARK = Dialect(lambda name: "`" + name.replace("`", "``") + "`", "TIMESTAMP", "{{raw_{}}}")
DUCKDB = Dialect(lambda name: '"' + name.replace('"', '""') + '"', "TIMESTAMPTZ", "raw_{}")


def found_column(source: str) -> str:
    """The column that is null where the lookup found no record."""
    return f"_found_{source}"


def versions(
    resolved: Resolved,
    snapshots: Mapping[str, RawSnapshot],
    line: Timeline,
    columns: Sequence[str],
    days: Sequence[range],
    dialect: Dialect,
) -> str:
    """A query of all versions of the events of these days: `columns`, `_since` and `_until`.

    It reads each source's raw rows, superseded and retracted ones included, from the relation with the source's number
    in `source_names`. columns: the source's own, system columns, looked-up columns, and `found_column` of each lookup.
    """
    own, lookups = resolved.contract, resolved.definition.lookups
    needed = _own_columns(resolved, columns)
    within = " OR ".join(f"{BUSINESS_DAY} >= {each.start} AND {BUSINESS_DAY} < {each.stop}" for each in days) or "FALSE"
    records = _records(own, snapshots[own.name], line, needed, dialect)
    rows = f"SELECT * FROM ({records}) AS own WHERE {within}"
    for lookup in lookups:
        records = _rectangles(lookup, resolved.lookups[lookup.source], snapshots[lookup.source], line, dialect)
        rows = _join_lookup(rows, needed, records, lookup, dialect.quote)
        needed = [*needed, *lookup.columns, found_column(lookup.source)]
    return f"SELECT {_list_of(columns, dialect.quote)}, {SINCE}, {UNTIL} FROM ({rows}) AS versions"


def _own_columns(resolved: Resolved, columns: Sequence[str]) -> list[str]:
    """The source's own and system columns among these and those that lookups need."""
    lookups = resolved.definition.lookups
    looked_up = {name for each in lookups for name in (*each.columns, found_column(each.source))}
    keys = {key for each in lookups for key in each.on}
    return sorted(({*columns, BUSINESS_DAY, RAW_TIMESTAMP} | keys) - looked_up)


def _records(
    contract: Contract, snapshot: RawSnapshot, line: Timeline, columns: Sequence[str], dialect: Dialect
) -> str:
    """Each row of a source except retractions, with the drop that brought it and the drop that superseded it."""
    quote = dialect.quote
    relation = dialect.relation.format(line.resolved.source_names.index(contract.name))
    following = "CAST(NULL AS INT)"
    if snapshot.supersedes and contract.key:
        identity = _list_of([*contract.key, *([] if contract.event_time else [RAW_TIMESTAMP])], quote)
        following = f"lead({DROP}) OVER (PARTITION BY {identity} ORDER BY {DROP})"
    numbers = ", ".join(f"({drop}, {number})" for drop, number in line.since(contract.name))
    return f"""
        SELECT {_list_of(columns, quote, "raw")}, came._number AS {SINCE}, COALESCE(went._number, {FOREVER}) AS {UNTIL}
        FROM (
            SELECT {_list_of(columns, quote)}, {DROP}, {RETRACTED}, {following} AS _following FROM {relation}
        ) AS raw
        JOIN (VALUES {numbers}) AS came(_drop_number, _number) ON raw.{DROP} = came._drop_number
        LEFT JOIN (VALUES {numbers}) AS went(_drop_number, _number) ON raw._following = went._drop_number
        WHERE NOT raw.{RETRACTED} AND came._number < COALESCE(went._number, {FOREVER})"""


def _rectangles(lookup: Lookup, contract: Contract, snapshot: RawSnapshot, line: Timeline, dialect: Dialect) -> str:
    """Records with the time in which they hold (`_from` to `_to`) and in which that is known (`_since` to `_until`).

    The two times cover every key without a gap. What is known about a key changes at some drops; between two of these,
    each record holds until the next record's time. Where none holds, attributes are null.
    """
    quote = dialect.quote
    on = _list_of(lookup.on, quote)
    nulls = ", ".join(f"NULL AS {quote(name)}" for name in lookup.columns)
    found = quote(found_column(lookup.source))
    columns = [*dict.fromkeys((*lookup.on, *lookup.columns)), RAW_TIMESTAMP]
    records = _records(contract, snapshot, line, columns, dialect)
    same = " AND ".join(f"spans.{quote(key)} IS NOT DISTINCT FROM known.{quote(key)}" for key in lookup.on)
    known_columns = _list_of([*lookup.on, *lookup.columns], quote, "known")
    return f"""
        WITH records AS ({records}
        ), known AS (
            SELECT {_list_of([*lookup.on, *lookup.columns], quote)}, {RAW_TIMESTAMP} AS _from, TRUE AS {found},
                {SINCE} AS _record_since, {UNTIL} AS _record_until
            FROM records
            UNION ALL
            SELECT DISTINCT {on}, {nulls}, {_BEFORE_ALL.format(timestamp=dialect.timestamp)}, CAST(NULL AS BOOLEAN),
                {ALWAYS}, {FOREVER}
            FROM records
        ), spans AS (
            SELECT *, lead(_point, 1, {FOREVER}) OVER (PARTITION BY {on} ORDER BY _point) AS _next_point
            FROM (
                SELECT {on}, _record_since AS _point FROM known
                UNION
                SELECT {on}, _record_until AS _point FROM known WHERE _record_until < {FOREVER}
            ) AS points
        )
        SELECT {known_columns}, known.{found}, known._from, spans._point AS _record_since,
            spans._next_point AS _record_until, lead(known._from) OVER (
                PARTITION BY {_list_of(lookup.on, quote, "spans")}, spans._point ORDER BY known._from
            ) AS _to
        FROM spans JOIN known ON {same}
            AND known._record_since <= spans._point AND spans._point < known._record_until"""


def _join_lookup(rows: str, columns: Sequence[str], records: str, lookup: Lookup, quote: Quote) -> str:
    same = " AND ".join(f"event.{quote(key)} IS NOT DISTINCT FROM record.{quote(key)}" for key in lookup.on)
    found = quote(found_column(lookup.source))
    return f"""
        SELECT {_list_of(columns, quote, "event")}, {_list_of(lookup.columns, quote, "record")}, record.{found},
            greatest(event.{SINCE}, COALESCE(record._record_since, {ALWAYS})) AS {SINCE},
            least(event.{UNTIL}, COALESCE(record._record_until, {FOREVER})) AS {UNTIL}
        FROM ({rows}) AS event LEFT JOIN ({records}
        ) AS record ON {same}
            AND record._from <= event.{RAW_TIMESTAMP} AND (record._to IS NULL OR event.{RAW_TIMESTAMP} < record._to)
            AND record._record_since < event.{UNTIL} AND event.{SINCE} < record._record_until"""


def _list_of(columns: Sequence[str], quote: Quote, table: str | None = None) -> str:
    prefix = f"{table}." if table else ""
    return ", ".join(prefix + quote(name) for name in columns)

"""What a view's table holds for some entities at a moment: the newest row wins, read straight from the files.

Parity reads this beside training retrieval. It shows which row both paths should have, and when that was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from itertools import cycle, islice
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
from feast import FeatureView

from transformations.engine.base.duck import session
from transformations.engine.base.file_rows_sql import column
from transformations.stores.base.join_keys import key_names
from transformations.stores.base.values import as_feature, unseen_value
from validation.parity.rows_sql import (
    CREATED,
    ENTITIES,
    ENTITY,
    EVENT,
    history_query,
    keys_query,
    newest_query,
    rows_query,
    sample_query,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from transformations.stores.history.history import History

Row: TypeAlias = dict[str, object]

PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE = "PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"


@dataclass(frozen=True)
class Settled:
    """A feature's value for one entity at one moment, with the status that serving owes it."""

    value: object
    status: str


@dataclass(frozen=True)
class Held:
    """For each requested entity, the table's current row. event, created: its timestamps; None without a row."""

    view: FeatureView
    event: Sequence[datetime | None]
    created: Sequence[datetime | None]
    values: dict[str, pa.Array] = field(repr=False)

    def settled(self, feature: str, row: int, moment: datetime) -> Settled:
        """The value that both paths owe at a moment: the row's value, null past its ttl, or the unseen default."""
        event = self.event[row]
        if event is None:
            default = unseen_value(next(each for each in self.view.features if each.name == feature))
            return Settled(None, NOT_FOUND) if default is None else Settled(default.as_py(), PRESENT)
        if self.view.ttl and event + self.view.ttl < moment:
            return Settled(None, OUTSIDE_MAX_AGE)
        value = self.values[feature][row].as_py()
        return Settled(value, NULL_VALUE if value is None else PRESENT)

    def column(self, feature: str, moment: datetime) -> list[Settled]:
        """`settled` for all entities."""
        return [self.settled(feature, row, moment) for row in range(len(self.event))]


@dataclass(frozen=True)
class Written:
    """One row of an entity's history."""

    event: datetime
    created: datetime | None
    values: dict[str, object]


def join_keys(view: FeatureView) -> list[str]:
    """A view's join keys; none where it is about no entity."""
    return key_names(view)


def entities_of(view: FeatureView, histories: Sequence[History], sample: int | None, seed: int) -> pa.Table:
    """The keys that a table has, or a sample of them: the same one for the same seed."""
    keys = join_keys(view)
    histories = [history for history in histories if history.files]
    if not histories or not keys:
        return pa.table({key: pa.array([], pa.int64()) for key in keys})
    with session() as connection:
        parts = []
        for history in histories:
            columns = {key: history.column(key) for key in keys}
            parts.append(keys_query(columns, history.scan(connection, list(columns.values())).relation))
        return connection.sql(sample_query(parts, keys, sample, seed)).to_arrow_table()


def combine_entities(entities: Sequence[pa.Table]) -> pa.Table:
    """Join entities of several views into rows that carry all keys; every input row occurs at least once.

    Rows that agree in the keys that they share are put together, as many as the longer side has; a row without such a
    partner is put beside any row of the other side. No cross product: a thousand users and a thousand products are a
    thousand entities.
    """
    ordered = sorted(entities, key=lambda table: -table.num_columns)
    return reduce(_combine_two, ordered[1:], ordered[0]) if ordered else pa.table({})


def _combine_two(left: pa.Table, right: pa.Table) -> pa.Table:
    shared = [name for name in left.column_names if name in right.column_names]
    schema = pa.schema([*left.schema, *(field for field in right.schema if field.name not in shared)])
    if not left.num_rows or not right.num_rows:
        return schema.empty_table()
    lefts, rights = left.to_pylist(), right.to_pylist()
    by_left, by_right = _by_keys(lefts, shared), _by_keys(rights, shared)
    rows: list[Row] = []
    for keys in dict.fromkeys([*by_left, *by_right]):
        # A row's own keys come last: they hold over those of a row that it was put beside for want of a partner.
        if keys not in by_right:
            rows += [{**other, **row} for row, other in zip(by_left[keys], cycle(rights))]
        else:
            ones, others = by_left.get(keys, lefts), by_right[keys]
            many = max(len(by_left.get(keys, ())), len(others))
            rows += [{**one, **other} for one, other in islice(zip(cycle(ones), cycle(others)), many)]
    return pa.Table.from_pylist(rows, schema)


def _by_keys(
    rows: Sequence[dict[str, object]], names: Sequence[str]
) -> dict[tuple[object, ...], list[dict[str, object]]]:
    found: dict[tuple[object, ...], list[dict[str, object]]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def held_at(
    view: FeatureView, history: History | None, entities: pa.Table, until: datetime, known_at: datetime | None = None
) -> Held:
    """Each entity's newest row by (event, created) whose event timestamp is not after `until`.

    known_at: rows that were created later do not count, where the table says when they were.
    """
    features = [feature.name for feature in view.features]
    if history is None or not history.files or not entities.num_rows:
        empty = {name: pa.nulls(entities.num_rows) for name in features}
        nothing: list[datetime | None] = [None] * entities.num_rows
        return Held(view, nothing, nothing, empty)
    with session() as connection:
        connection.register(ENTITIES, _number_entities(entities))
        rows = _rows_of(connection, view, history)
        query = newest_query(rows, until, known_at if history.created else None)
        found = connection.sql(query).to_arrow_table()
    place: list[int | None] = [None] * entities.num_rows
    for position, row in enumerate(found[ENTITY].to_pylist()):
        place[row] = position
    taken = found.take(pa.array(place, pa.int64()))
    values = {
        feature.name: as_feature(taken[column(feature.name)], feature.dtype, f"{view.name}: feature {feature.name!r}")
        for feature in view.features
    }
    return Held(view, _moments_of(taken[EVENT]), _moments_of(taken[CREATED]), values)


def histories_of(view: FeatureView, history: History | None, entities: pa.Table) -> list[list[Written]]:
    """Every entity's rows, oldest first."""
    rows: list[list[Written]] = [[] for _ in range(entities.num_rows)]
    if history is None or not history.files or not entities.num_rows:
        return rows
    with session() as connection:
        connection.register(ENTITIES, _number_entities(entities))
        found = connection.sql(history_query(_rows_of(connection, view, history))).to_arrow_table()
    columns = {
        feature.name: as_feature(found[column(feature.name)], feature.dtype, f"{view.name}: feature {feature.name!r}")
        for feature in view.features
    }
    events, created = _moments_of(found[EVENT]), _moments_of(found[CREATED])
    for position, (row, event) in enumerate(zip(found[ENTITY].to_pylist(), events, strict=True)):
        if event is None:  # in a foreign table: no path can serve it
            continue
        values = {name: column[position].as_py() for name, column in columns.items()}
        rows[row].append(Written(event, created[position], values))
    return rows


def _rows_of(connection: DuckDBPyConnection, view: FeatureView, history: History) -> str:
    keys = {key: history.column(key) for key in join_keys(view)}
    features = {feature.name: history.column(feature.name) for feature in view.features}
    scan = history.scan(connection, [*keys.values(), *features.values()])
    return rows_query(keys, features, history.timestamp, history.created, scan.relation)


def _number_entities(entities: pa.Table) -> pa.Table:
    keys = entities.rename_columns([column(name) for name in entities.column_names])
    return keys.append_column(ENTITY, pa.array(range(entities.num_rows), pa.int64()))


def _moments_of(column: pa.ChunkedArray) -> list[datetime | None]:
    moments: list[datetime | None] = column.cast(pa.timestamp("us", tz="UTC"), safe=False).to_pylist()
    return [moment if moment is None else moment.astimezone(UTC) for moment in moments]

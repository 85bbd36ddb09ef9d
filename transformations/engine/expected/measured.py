"""Statistics of a view's values as-of a day, over the row of each entity that serving would have then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from transformations.contracts import PII_CLASSES, Contract
from transformations.engine.base import duck
from transformations.engine.base.business_days import start_of_day
from transformations.engine.expected import measured_sql as sql
from transformations.engine.expected.measured_sql import Form, form_of
from transformations.engine.expected.model import (
    NULL_SHARE,
    OTHERS,
    OUTSIDE_RANGE,
    QUANTILE_GROUP,
    QUANTILES,
    SHARE_GROUP,
    Band,
    Statistic,
)
from transformations.engine.vocabulary.resolution import Feature, Resolved

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ROWS = 10_000_000
"""Of a larger table about this many rows are read: whole entities, chosen by a hash of the key."""
_CHANCE = 3.0
"""How many standard deviations chance may move a statistic of few entities. Among 1,000 entities a share of 10 % is
observed as 7 % to 13 %, and the median lies between the 45 % and the 55 % quantile.
"""


@dataclass(frozen=True)
class Observed:
    """A statistic's value, and the range in which its true value probably lies, given the number of entities."""

    value: float
    likely: Band

    def breaks(self, expected: Band) -> bool:
        """Whether no likely value is in the expected range."""
        return self.likely.high < expected.low or self.likely.low > expected.high


@dataclass(frozen=True, kw_only=True)
class MeasuredFeature:
    """A feature's statistics as-of a day. counts: how many entities have each value; for texts only."""

    known: int
    nulls: Observed
    outside: Observed | None
    quantiles: Mapping[str, Observed]
    counts: Mapping[str, int]

    def observed(self, statistic: Statistic, listed: Sequence[str] = ()) -> Observed | None:
        """The value of a statistic; None where no value is known. listed: the values that are not among `others`."""
        if statistic.group == QUANTILE_GROUP:
            return self.quantiles.get(statistic.name)
        if statistic.group == SHARE_GROUP:
            return share(self.counts.get(statistic.name, 0), self.known) if self.known else None
        if statistic.name == OTHERS:
            others = self.known - sum(self.counts.get(value, 0) for value in listed)
            return share(others, self.known) if self.known else None
        return {NULL_SHARE: self.nulls, OUTSIDE_RANGE: self.outside}[statistic.name]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The values of all entities as-of a day, in an open DuckDB session.

    entities: that were looked at; total: that there are, which is about so many where the table is sampled.
    """

    connection: DuckDBPyConnection
    resolved: Resolved
    day: date
    entities: int
    total: int
    features: Mapping[str, MeasuredFeature]

    def example(self, feature: Feature, condition: str) -> tuple[str, str | None] | None:
        """The key, as `user_id 7`, and the value of an entity that meets a condition; None where none does."""
        keys = list(self.resolved.join_keys)
        found = self.connection.execute(sql.example(keys, feature.name, condition)).fetchone()
        if found is None:
            return None
        named = ", ".join(f"{key} {value}" for key, value in zip(keys, found, strict=False))
        return named, found[-1]


@contextmanager
def snapshots(
    resolved: Resolved, files: Sequence[str], rows: int, days: Sequence[date], names: Sequence[str] | None = None
) -> Iterator[Iterator[Snapshot]]:
    """The snapshots as-of these days, one after the other, each to be used before the next.

    files: of the view's table, all of its schema; rows: in them. names: the features to measure; None: all.
    """
    with duck.session() as connection:
        yield (_measured(connection, resolved, files, rows, day, names) for day in days)


def share(part: int, whole: int) -> Observed:
    """A part of the entities as a share of them."""
    found = part / whole
    by_chance = _CHANCE * math.sqrt(found * (1 - found) / whole)
    return Observed(found, Band(max(0.0, found - by_chance), min(1.0, found + by_chance)))


def shows_values(resolved: Resolved, feature: Feature) -> bool:
    """Whether the feature's values may stand in files and messages: none of them leads to a person."""
    columns = {f"{each.name}.{column.name}": column for each in _contracts(resolved) for column in each.columns}
    places = resolved.source_columns(feature.declared.aggregation.columns())
    return all(columns[place].pii == PII_CLASSES[0] for place in places)


def listed_values(resolved: Resolved, feature: Feature) -> tuple[str, ...]:
    """The values that the definition or the contract lists, which are no secret; empty where neither does."""
    expect = feature.declared.expect
    if expect is not None and expect.values:
        return expect.values
    columns = {each.name: each for contract in _contracts(resolved) for each in contract.columns}
    column = columns.get(feature.declared.aggregation.measured or "")
    return tuple(str(value) for value in column.allowed) if column is not None else ()


def _contracts(resolved: Resolved) -> list[Contract]:
    return [*resolved.lookups.values(), resolved.contract]


def _measured(
    connection: DuckDBPyConnection,
    resolved: Resolved,
    files: Sequence[str],
    rows: int,
    day: date,
    names: Sequence[str] | None,
) -> Snapshot:
    features = [each for each in resolved.features if names is None or each.name in names]
    stride = -(-rows // MOST_ROWS) or 1
    keys, moment = list(resolved.join_keys), resolved.available_from(day)
    connection.execute(sql.snapshot(files, keys, [each.name for each in features], moment, stride))
    facts = [(each.name, form_of(each.dtype), each.declared.expect) for each in features]
    counted = connection.execute(sql.counts(facts)).fetchall()[0]
    entities, known, outside = counted[0], counted[1::2], counted[2::2]
    begin = start_of_day(day, resolved.zone)
    found = {
        each.name: _of_feature(connection, each, entities, known[number], outside[number], begin)
        for number, each in enumerate(features if entities else ())
    }
    return Snapshot(
        connection=connection,
        resolved=resolved,
        day=day,
        entities=entities,
        total=entities * stride,
        features=found,
    )


def _of_feature(
    connection: DuckDBPyConnection, feature: Feature, entities: int, known: int, outside: int, begin: datetime
) -> MeasuredFeature:
    form = form_of(feature.dtype)
    found: Mapping[str, Observed] = {}
    counts: Mapping[str, int] = {}
    if form is Form.TEXTS:
        counts = dict(connection.execute(sql.shares(feature.name)).fetchall())
    elif known:
        found = _quantiles(connection, feature.name, form, known, begin)
    strays = outside / known if known else 0.0
    return MeasuredFeature(
        known=known,
        nulls=share(entities - known, entities),
        outside=Observed(strays, Band(strays, strays)) if feature.declared.expect is not None else None,
        quantiles=found,
        counts=counts,
    )


def _quantiles(
    connection: DuckDBPyConnection, name: str, form: Form, known: int, begin: datetime
) -> Mapping[str, Observed]:
    places: list[float] = []
    for place in QUANTILES.values():
        by_chance = _CHANCE * math.sqrt(place * (1 - place) / known)
        places += [max(0.0, place - by_chance), place, min(1.0, place + by_chance)]
    ((values,),) = connection.execute(sql.quantiles(name, form, places, begin)).fetchall()
    return {
        label: Observed(values[3 * number + 1], Band(values[3 * number], values[3 * number + 2]))
        for number, label in enumerate(QUANTILES)
    }

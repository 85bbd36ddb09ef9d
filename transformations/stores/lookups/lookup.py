"""One online lookup: turns a request and its plan into the keys to read, and their values into the answer.

It reads nothing itself; `steps.py` fetches the keys in one round trip.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd
import pyarrow as pa
from feast import utils
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feast.type_map import feast_value_type_to_python_type
from feast.types import Int64, String, UnixTimestamp
from feast.value_type import ValueType

from transformations.engine.base.errors import UsageError
from transformations.engine.base.moments import instant_to_micros
from transformations.engine.base.settings import present_moment
from transformations.engine.vocabulary.functions import REQUEST_TIMESTAMP, numbers
from transformations.stores.base.errors import MissingJoinKeyError, NotServedError
from transformations.stores.base.join_keys import key_values
from transformations.stores.base.values import TIMESTAMP, as_declared, column_of, count_rows
from transformations.stores.lookups.plans import ComputedPlan, Plan, ViewPlan
from transformations.stores.lookups.response import NOT_FOUND, OUTSIDE_MAX_AGE, Block, Column, PackedResponse, Status
from transformations.stores.redis.catalogue import Catalog, Table
from transformations.stores.rows.codecs import Stored
from transformations.stores.rows.damaged import refuse_damaged
from transformations.stores.rows.keys import NO_ENTITY, NOBODY, parts_of, tags_of
from transformations.stores.rows.packed_rows import ChecksumError, event_micros, schema_number, schema_numbers

EntityRows: TypeAlias = list[dict[str, Any]] | Mapping[str, Sequence[Any] | RepeatedValue]
Rows: TypeAlias = Sequence[bytes | None]

_NO_MOMENTS = pa.nulls(0, TIMESTAMP)
_PLAIN = {int, str, bool, type(None)}
# A key may come as a text in place of an integer, or the other way round; the answer shows the type's own kind.
_TEXT, _INTEGERS = ValueType.STRING, (ValueType.INT64, ValueType.INT32)


@dataclass(slots=True, kw_only=True)  # not frozen: creating it would take three times as long
class Lookup:
    """A request and its plan.

    rows: how many the request has. given: its join keys and request fields. tags: for each entity of the plan, the hash
    tag of each row. nobody: for each entity, the rows with a null join key. moments: each row's time in microseconds
    UTC; empty if the plan does not need it.
    """

    plan: Plan
    rows: int
    given: Mapping[str, Sequence[Any]]
    tags: Sequence[Sequence[bytes]]
    nobody: Sequence[frozenset[int]]
    moments: Sequence[int]

    def keys(self, epoch: bytes, catalog: Catalog) -> list[bytes]:
        """The keys to read: the catalogue's epoch, then the rows of each view that was ever written."""
        keys = [epoch]
        for view in self.plan.views:
            if (table := catalog.tables.get(view.table)) is not None:
                number = table.number
                keys += [tag + number for tag in self.tags[view.entity]]
        return keys

    def answer(self, values: Rows, catalog: Catalog, with_versions: bool = False) -> PackedResponse:
        """The answer from the values of `keys`.

        UnknownSchemaError if the catalogue is older than a row, DamagedRowError for a value that is no intact row.
        """
        first, blocks = 1, []
        for view in self.plan.views:
            table = catalog.tables.get(view.table)
            if table is None:
                if not view.is_online:
                    raise NotServedError(
                        f"feature view {view.reference} has online=False, so nothing is loaded for it, and nothing was "
                        f"pushed to it. Declare online=True, apply and materialize it; training needs neither."
                    )
                raw: Rows = [None] * self.rows
            else:
                raw = values[first : first + self.rows]
                first += self.rows
            try:
                blocks.append(_make_block(view, table, raw, self.moments, self.nobody[view.entity]))
            except (ChecksumError, struct.error, TypeError, ValueError):
                self.refuse_damaged(values, catalog)
                raise
        computed: dict[str, Column] = {}
        for each in self.plan.computed:
            computed |= self._evaluate(each, blocks)
        keys = {
            name: (_show_keys(self.given[name], kind), kind)
            for name, kind in self.plan.shown_keys
            if name in self.given
        }
        return PackedResponse(self.plan, keys, blocks, computed, with_versions)

    def refuse_damaged(self, values: Rows, catalog: Catalog) -> None:
        """DamagedRowError if one of the values of `keys` is no intact row."""
        first = 1
        for view in self.plan.views:
            if (table := catalog.tables.get(view.table)) is not None:
                rows = zip(self.tags[view.entity], values[first : first + self.rows], strict=True)
                refuse_damaged(view.reference, rows, table.schemas, table.number)
                first += self.rows

    def _evaluate(self, plan: ComputedPlan, blocks: Sequence[Block]) -> dict[str, Column]:
        """The requested features of one on-demand view, by reference."""
        views = self.plan.views
        inputs: dict[str, pa.Array] = {
            reference: views[view].features[place].codec.to_arrow(blocks[view].values[place])
            for reference, view, place in plan.inputs
        }
        for name in plan.request_fields:
            inputs[name] = plan.evaluation.request_column(name, self.given[name])
        moments = numbers(self.moments, "q", TIMESTAMP) if plan.evaluation.needs_moment else _NO_MOMENTS
        values = plan.evaluation(inputs, moments)
        nowhere = dict.fromkeys(range(self.rows), NOT_FOUND) if plan.not_served else {}
        return {
            reference: Column(
                name=name,
                codec=codec,
                values=codec.from_arrow(values[name]),
                absent=nowhere if name in plan.not_served else {},
                rows=None,
            )
            for name, (reference, codec) in zip(plan.wanted, plan.outputs, strict=True)
        }


def lookup_of(plan: Plan, entity_rows: EntityRows) -> Lookup:
    """Prepare a request for lookup.

    Each row's time is its `request_timestamp` if the request has one, else now by the settings' clock. UsageError for
    rows with different fields or a missing join key, DataError for a value that its declared dtype cannot hold.
    """
    rows, columns = _to_columns(entity_rows)
    given = {plan.given[name]: values for name, values in columns.items() if name in plan.given}
    if not rows:
        given = dict.fromkeys([*plan.request_fields, *(name for name, _ in plan.shown_keys)], ())
    elif not plan.request_fields <= given.keys():
        brought: dict[str, list[Any]] = {name: [] for name in given if name in plan.request_fields}
        utils.ensure_request_data_values_exist(set(plan.request_fields), brought)
    tags, nobody = _hash_tags(plan, rows, given)
    moments = _request_moments(columns.get(REQUEST_TIMESTAMP), rows) if plan.needs_now else ()
    return Lookup(plan=plan, rows=rows, given=given, tags=tags, nobody=nobody, moments=moments)


def _hash_tags(
    plan: Plan, rows: int, given: Mapping[str, Sequence[Any]]
) -> tuple[list[Sequence[bytes]], list[frozenset[int]]]:
    parts: list[Sequence[str | None]] = []
    for name, dtype in plan.key_columns:
        if rows and name not in given:
            raise MissingJoinKeyError(f"the request lacks join key {name!r}. It has {', '.join(given) or 'none'}.")
        parts.append(parts_of(given[name], dtype, f"join key {name!r}") if rows else ())
    tags: list[Sequence[bytes]] = []
    nobody: list[frozenset[int]] = []
    for columns in plan.entity_columns:
        try:
            found = tags_of([parts[column] for column in columns]) if columns else [NO_ENTITY] * rows
        except UnicodeEncodeError:
            for name, _ in plan.key_columns:
                column_of(given[name], f"join key {name!r}")  # names the row
            raise
        if None in found:
            nobody.append(frozenset(row for row, tag in enumerate(found) if tag is None))
            tags.append([tag or NOBODY for tag in found])
        else:
            nobody.append(frozenset())
            tags.append(cast("list[bytes]", found))
    return tags, nobody


def _make_block(
    view: ViewPlan, table: Table | None, raw: Rows, moments: Sequence[int], nobody: frozenset[int]
) -> Block:
    """One view's features: null where there is no row or the row lacks them, withheld where the ttl has passed."""
    absent: dict[int, Status] = {}
    present = cast("Sequence[bytes]", raw)
    if None in raw:
        absent = {row: NOT_FOUND for row, value in enumerate(raw) if value is None}
        present = [value for value in raw if value is not None]
    expired: dict[int, Status] = {}
    if view.ttl:
        ttl = view.ttl
        expired = {
            row: OUTSIDE_MAX_AGE
            for row, (value, now) in enumerate(zip(raw, moments, strict=True))
            if value is not None and event_micros(value) + ttl < now
        }
    values, lacking = _unpack(view, table, raw, present, expired)
    if not (absent or expired or lacking):
        return Block(values, None, raw)
    states: list[Mapping[int, Status]] = []
    filled = list(values)
    for place, feature in enumerate(view.features):
        state = absent
        if feature.unseen is not None and absent:
            column = filled[place] = list(values[place])
            state = {row: NOT_FOUND for row in absent if row in nobody}
            for row in absent.keys() - nobody:
                column[row] = feature.unseen
        lacks = dict.fromkeys(lacking[place], NOT_FOUND) if lacking else {}
        states.append({**state, **lacks, **expired} if lacks or expired else state)
    return Block(filled, states, raw)


def _unpack(
    view: ViewPlan, table: Table | None, raw: Rows, present: Sequence[bytes], withheld: Mapping[int, Status]
) -> tuple[Sequence[Sequence[Stored]], Sequence[Sequence[int]] | None]:
    """Each feature's stored values, and, if there are any, the rows written before each feature was added."""
    nothing = [None] * len(raw)
    numbers = schema_numbers(present)
    if table is None or not numbers:
        return [nothing] * len(view.features), None
    if len(numbers) > 1:
        return _unpack_mixed(view, table, raw, withheld)
    layout = view.layout(table, numbers.pop())
    if withheld:
        layout.form.check(value for row in withheld if (value := raw[row]) is not None)
    if withheld or len(present) < len(raw):
        blank = layout.form.blank
        rows = [blank if value is None or row in withheld else value for row, value in enumerate(raw)]
    else:
        rows = cast("list[bytes]", present)
    columns = layout.form.columns(rows)
    if layout.select is not None:
        return layout.select(columns), None
    lacks = tuple(row for row, value in enumerate(raw) if value is not None)
    return (
        [nothing if place is None else columns[place] for place in layout.places],
        [lacks if place is None else () for place in layout.places],
    )


def _unpack_mixed(
    view: ViewPlan, table: Table, raw: Rows, withheld: Mapping[int, Status]
) -> tuple[list[Sequence[Stored]], list[Sequence[int]]]:
    """As `_unpack`, for rows of several schemas."""
    lists: list[list[Stored]] = [[None] * len(raw) for _ in view.features]
    lacking: list[list[int]] = [[] for _ in view.features]
    for row, value in enumerate(raw):
        if value is None:
            continue
        layout = view.layout(table, schema_number(value))
        columns = layout.form.columns([value])
        for feature, place in enumerate(layout.places):
            if place is None:
                lacking[feature].append(row)
            elif row not in withheld:
                lists[feature][row] = columns[place][0]
    return [*lists], [*lacking]


def _request_moments(given: Sequence[object] | None, rows: int) -> Sequence[int]:
    if given is None:
        return [instant_to_micros(present_moment())] * rows
    place = f"request field {REQUEST_TIMESTAMP!r}"
    now = instant_to_micros(present_moment())
    found = as_declared(column_of(given, place), UnixTimestamp, place).cast(pa.int64()).to_pylist()
    return [now if moment is None else moment for moment in found]


def _to_columns(entity_rows: EntityRows) -> tuple[int, Mapping[str, Sequence[Any]]]:
    """The number of rows, and the columns."""
    if isinstance(entity_rows, list):
        if len(entity_rows) == 1:
            return 1, {name: (value,) for name, value in entity_rows[0].items()}
        names = entity_rows[0].keys() if entity_rows else ()
        for number, row in enumerate(entity_rows):
            if row.keys() != names:
                raise UsageError(
                    f"entity row {number} has {', '.join(row)}, the first has {', '.join(names)}. Give all the same."
                )
        return len(entity_rows), {name: [row[name] for row in entity_rows] for name in names}
    columns = {
        name: values.val if isinstance(values, RepeatedValue) else values for name, values in entity_rows.items()
    }
    lengths = set(map(len, columns.values()))
    return lengths.pop() if len(lengths) == 1 else count_rows(columns, "the request"), columns


def _show_keys(values: Sequence[Any], kind: ValueType) -> list[Any]:
    """Join keys as the answer shows them: plain Python values of their kind, None for whatever names no entity."""
    kinds = set(map(type, values))
    if kind is _TEXT:
        if int in kinds:
            values = key_values(values, String)
    elif str in kinds and kind in _INTEGERS:
        values = key_values(values, Int64)
    if kinds <= _PLAIN:
        return list(values)
    return [_show_key(value) for value in values]


def _show_key(value: Any) -> Any:
    if isinstance(value, Value):
        return feast_value_type_to_python_type(value)
    plain = value.item() if isinstance(value, np.generic) else value
    return None if plain is pd.NA or plain is pd.NaT or plain != plain else plain

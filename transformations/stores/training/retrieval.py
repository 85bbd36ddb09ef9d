"""Point-in-time retrieval: stored features joined to a spine by DuckDB, on-demand features computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import Field, OnDemandFeatureView

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.file_rows_sql import Scan
from transformations.engine.base.moments import EVENT_TIMESTAMP, MICROSECOND, instant_to_micros, micros_to_instant
from transformations.stores.base.casting import plain
from transformations.stores.base.values import arrow_type, as_feature, canonical_key, unseen_value
from transformations.stores.computed.evaluation import evaluate
from transformations.stores.computed.feast_functions import request_fields_of
from transformations.stores.computed.wiring import reference_of
from transformations.stores.history import point_in_time_sql as sql
from transformations.stores.history.fetching import fetch
from transformations.stores.history.matching import LastRows, Matches
from transformations.stores.history.point_in_time_sql import Join
from transformations.stores.history.session_sql import Resources, session, threads_of
from transformations.stores.history.spilling import spill_of
from transformations.stores.history.stored import Stored
from transformations.stores.training.progress import Advance, progress
from transformations.stores.training.spine import Spine, encode_keys, spine_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROWS_AT_ONCE = 1_000_000
RECENT = timedelta(days=60)
"""How long before a spine's first moment rows are matched at once; older ones only with moments that see none yet."""
# Of the memory limit: for the result, and for the rows of one view that it is made from; beyond, they are spilled.
_SHARE_OF_RESULT, _SHARE_OF_ROWS = 0.5, 0.25


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a retrieval computes.

    columns: the feature reference behind each column of the result. is_strict: as `evaluate`. loaded_through: by view
    reference, the event timestamp through which rows are there: what a lookup finds that was loaded that far. Rows
    expire at their moment all the same, and on-demand functions are asked for it.
    """

    stored: tuple[Stored, ...]
    on_demand: tuple[OnDemandFeatureView, ...]
    columns: Mapping[str, str]
    as_served: bool = False
    is_strict: bool = False
    loaded_through: Mapping[str, datetime] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)


def features_of(spine: Spine, plan: Plan, matched: dict[str, Matches] | None = None) -> dict[str, pa.Array]:
    """Compute the feature columns of the result, in the spine's order.

    matched: gets, by view, which stored row each row of the spine found; a view without any file has no entry.
    """
    return result_columns(spine, plan, stored_values(spine, plan, matched))


def stored_values(spine: Spine, plan: Plan, matched: dict[str, Matches] | None = None) -> dict[str, pa.Array]:
    """The stored features that the plan reads, under their references, in the spine's order. matched: as there."""
    values: dict[str, pa.Array] = {}
    with session(plan.resources) as connection, progress(2 * len(plan.stored)) as advance:
        spill = spill_of(connection, _SHARE_OF_RESULT)
        for stored in plan.stored:
            for name, column in _stored_features(connection, spine, stored, plan, advance, matched).items():
                values[name] = plain(spill.keep(pa.table({name: column}))[name])
    return values


def result_columns(spine: Spine, plan: Plan, stored: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """The columns of the result, on-demand features among them, computed from the stored ones."""
    values = dict(stored)
    for view in plan.on_demand:
        values |= _on_demand_features(view, spine, plan, values)
    return {column: values[reference] for column, reference in plan.columns.items()}


def range_spine(stored: Sequence[Stored], start: datetime | None, end: datetime, resources: Resources) -> Spine:
    """The spine of a time range: every key and event timestamp at which one of the views has a row.

    UsageError if the views have different keys, which give no single set of rows.
    """
    names = sorted(stored[0].spine_column(key) for key in stored[0].keys)
    for each in stored:
        if sorted(each.spine_column(key) for key in each.keys) != names:
            raise UsageError(
                f"without a spine the views must have the same keys: {stored[0].reference} has {', '.join(names)}, "
                f"{each.reference} has {', '.join(each.keys)}. Give a spine, or ask for each on its own."
            )
    with session(resources) as connection:
        joins = [
            each.join(each.scan(connection), {key: each.spine_column(key) for key in each.keys}) for each in stored
        ]
        query = sql.moments_between(joins, [*names, EVENT_TIMESTAMP], start, end)
        return spine_of(connection.sql(query).to_arrow_table())


def _stored_features(
    connection: DuckDBPyConnection,
    spine: Spine,
    stored: Stored,
    plan: Plan,
    advance: Advance,
    matched: dict[str, Matches] | None,
) -> dict[str, pa.Array]:
    """The wanted features of one view, under their references."""
    keys = {key: spine.key(stored.spine_column(key), canonical_key(dtype)) for key, dtype in stored.keys.items()}
    if not stored.history.files or not len(spine):
        values = {name: pa.nulls(len(spine), arrow_type(declared.dtype)) for name, declared in stored.fields.items()}
        is_absent = np.ones(len(spine), bool)
    else:
        scan = stored.scan(connection)
        matches = match_rows(connection, spine, stored, scan=scan, keys=keys, plan=plan, advance=advance)
        if matched is not None:
            matched[stored.reference] = matches
        values = _fetch_features(connection, stored, scan, matches, advance)
        is_absent = matches.of_spine < 0
    for key in keys.values():
        is_absent &= key.is_valid().to_numpy(zero_copy_only=False)  # a null key names no entity, not an unseen one
    result: dict[str, pa.Array] = {}
    for name, declared in stored.fields.items():
        unseen = unseen_value(declared)
        filled = values[name] if unseen is None else pc.if_else(pa.array(is_absent), unseen, values[name])
        result[f"{stored.reference}:{name}"] = filled
    return result


def match_rows(
    connection: DuckDBPyConnection,
    spine: Spine,
    stored: Stored,
    *,
    scan: Scan,
    keys: Mapping[str, pa.Array],
    plan: Plan,
    advance: Advance,
) -> Matches:
    """For every row of the spine the last row of the view's history that the plan lets it see."""
    names = {key: f"key_{number}" for number, key in enumerate(keys)}
    codes, distinct, count = encode_keys(list(keys.values()), len(spine))
    moments = spine.moments.cast(pa.int64()).to_numpy()
    loaded_through = plan.loaded_through.get(stored.reference)
    seen = moments if loaded_through is None else np.minimum(moments, instant_to_micros(loaded_through))
    last_rows = LastRows(
        codes,
        seen,
        count,
        has_created=stored.history.created is not None,
        as_served=plan.as_served,
        threads=threads_of(connection),
    )
    numbered = pa.table([*distinct, pa.array(np.arange(count, dtype=np.int32))], [*names.values(), sql.CODE])
    connection.register(sql.KEYS, numbered)
    first, last = (micros_to_instant(int(bound)) for bound in (seen.min(), seen.max()))
    join = stored.join(scan, names, first=stored.earliest(first), last=last)
    recent, older = _split_by_time(connection, join, first)
    step, done = f"{stored.view.name}: matching", 0.0
    for batch in connection.sql(sql.candidates(recent)).to_arrow_reader(_ROWS_AT_ONCE):
        last_rows.add(*(column.to_numpy() for column in batch.columns))
        read = max(done, connection.query_progress() / 100)  # -1 while DuckDB cannot say
        advance(step, read - done)
        done = read
    if older is not None and len(left := last_rows.unmatched()):
        connection.register(sql.KEYS, numbered.take(pa.array(left)))
        for batch in connection.sql(sql.candidates(older)).to_arrow_reader(_ROWS_AT_ONCE):
            last_rows.add(*(column.to_numpy() for column in batch.columns))
    advance(step, 1 - done)
    matches = last_rows.matches()
    if loaded_through is None:
        return matches
    return replace(matches, ages=np.where(matches.of_spine >= 0, matches.ages + moments - seen, 0))


def _split_by_time(connection: DuckDBPyConnection, join: Join, first: datetime) -> tuple[Join, Join | None]:
    """The rows to match first, and those to match what is left with; None where there are no such older rows.

    A row that happened later wins, so whoever sees a row of the recent part needs none of the older one. Of years of
    daily runs, most moments do.
    """
    try:
        since = first - RECENT
    except OverflowError:  # before the year 1
        return join, None
    if join.first is not None and join.first >= since:
        return join, None
    older = replace(join, last=since - MICROSECOND)
    ((there_are,),) = connection.execute(sql.has_candidates(older)).fetchall()
    return (replace(join, first=since), older) if there_are else (join, None)


def _fetch_features(
    connection: DuckDBPyConnection, stored: Stored, scan: Scan, matches: Matches, advance: Advance
) -> dict[str, pa.Array]:
    """The wanted features of the matched rows, for every row of the spine; null beyond the ttl."""
    threads = threads_of(connection)
    is_fresh = matches.of_spine >= 0
    if stored.ttl_micros:
        is_fresh &= matches.ages <= stored.ttl_micros
    if not is_fresh.any():
        return {name: pa.nulls(len(is_fresh), arrow_type(declared.dtype)) for name, declared in stored.fields.items()}
    table, row_of = fetch(
        connection,
        scan,
        [stored.history.column(name) for name in stored.features],
        places=matches.places,
        threads=threads,
        spill=spill_of(connection, _SHARE_OF_ROWS),
        advance=lambda share: advance(f"{stored.view.name}: fetching", share),
    )
    rows = pa.array(row_of[matches.of_spine])  # where not fresh, any row
    mask = None if is_fresh.all() else pa.array(is_fresh)

    def of_spine(column: pa.Array) -> pa.Array:
        taken = column.take(rows)
        if mask is None:
            return taken
        if taken.null_count or pa.types.is_nested(taken.type):
            return pc.if_else(mask, taken, pa.scalar(None, taken.type))
        return pa.Array.from_buffers(taken.type, len(taken), [mask.buffers()[1], *taken.buffers()[1:]])

    def values(declared: Field) -> pa.Array:
        column = plain(table[stored.history.column(declared.name)])
        place = f"{stored.view.name}: feature {declared.name!r}"
        try:
            return of_spine(as_feature(column, declared.dtype, place))
        except DataError:  # fails again, naming the spine's row, unless only expired rows hold such a value
            return as_feature(of_spine(column), declared.dtype, place)

    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(stored.fields, pool.map(values, stored.fields.values()), strict=True))


def _on_demand_features(
    view: OnDemandFeatureView, spine: Spine, plan: Plan, stored: Mapping[str, pa.Array]
) -> dict[str, pa.Array]:
    """The wanted features of one on-demand view, under their references."""
    reference = reference_of(view)
    wanted = [feature.name for feature in view.features if f"{reference}:{feature.name}" in plan.columns.values()]
    inputs: dict[str, pa.Array | pa.ChunkedArray] = dict(stored)
    inputs |= {name: spine.column(name) for name in request_fields_of(view)}
    values = evaluate(view, inputs, spine.moments, wanted, is_strict=plan.is_strict)
    return {f"{reference}:{name}": column for name, column in values.items()}

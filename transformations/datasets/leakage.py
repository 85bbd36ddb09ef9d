"""The leakage check: every feature of a dataset is that of the row that was available at its spine row's moment.

It finds that row anew, by SQL of its own (first the newest event timestamp, then the row created last of it), and
compares the dataset's values with it, so that a fault of the point-in-time join shows here.

A row is available from its event timestamp on. Its created timestamp says since when it is known in its present value:
later than the spine row where it was corrected or came late, which training takes in on purpose ("as corrected"); with
`as_served` such a row counts as not available.

It takes a source's event time at its word. A column whose value was known only later than that (a flight's delay is
known at its departure, not at its scheduled time) leaks into every feature of it, and into a spine that carries it,
without any sign in the data. The remedy is the contract's: an event time at which all columns are known, or a source of
its own for what is known later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transformations.datasets.leakage_sql import (
    newest_rows,
    newest_rows_known_then,
    view_of_rows,
    when_it_became_available,
)
from transformations.datasets.manifest import Availability
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import MICROSECOND, moment_text, value_text
from transformations.stores.base.values import as_feature, canonical_key, unseen_value
from transformations.stores.base.views import zone_of_views
from transformations.stores.history.session_sql import Resources, session
from transformations.stores.history.stored import Stored
from transformations.stores.training.spine import Spine

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def check_leakage(
    spine: Spine,
    dataset: pa.Table,
    stored: Sequence[Stored],
    columns: Mapping[str, str],
    *,
    as_served: bool,
    resources: Resources,
) -> tuple[Availability, ...]:
    """Check each stored view of a dataset whose rows are the spine's, in its order.

    columns: the dataset's column of each feature reference that it shows. DataError, naming view, feature and row, at
    the first value that is not of the available row.
    """
    with session(resources) as connection:
        return tuple(_check_view(connection, spine, dataset, each, columns, as_served) for each in stored)


def _check_view(
    connection: DuckDBPyConnection,
    spine: Spine,
    dataset: pa.Table,
    stored: Stored,
    columns: Mapping[str, str],
    as_served: bool,
) -> Availability:
    keys = {key: spine.key(stored.spine_column(key), canonical_key(dtype)) for key, dtype in stored.keys.items()}
    rows = len(spine)
    if not stored.history.files:
        return Availability(view=stored.reference, rows=rows, found=0, corrected_since=0, closest_seconds=None)
    names = {key: f"key_{index}" for index, key in enumerate(keys)}
    connection.register(
        "checked",
        pa.table(
            {
                "place": pa.array(np.arange(rows, dtype=np.int64)),
                "moment": spine.moments,
                **{names[key]: column for key, column in keys.items()},
            }
        ),
    )
    connection.execute(view_of_rows(stored, stored.scan(connection), names))
    query = newest_rows_known_then(names) if as_served and stored.history.created else newest_rows(names)
    found = connection.sql(query).to_arrow_table().combine_chunks()
    late = pc.fill_null(pc.greater(found["happened"], spine.moments), False)
    if pc.any(late).as_py():
        raise AssertionError(f"{stored.reference}: the leakage check itself joined a row from the future")
    _compare_values(connection, spine, dataset, stored=stored, columns=columns, found=found, keys=keys)
    age = pc.subtract(spine.moments.cast(pa.int64()), found["happened"].cast(pa.int64()))
    closest = pc.min(age).as_py()
    return Availability(
        view=stored.reference,
        rows=rows,
        found=rows - found["happened"].null_count,
        corrected_since=int(pc.sum(pc.greater(found["created"], spine.moments)).as_py() or 0),
        closest_seconds=None if closest is None else closest / 1e6,
    )


def _compare_values(
    connection: DuckDBPyConnection,
    spine: Spine,
    dataset: pa.Table,
    *,
    stored: Stored,
    columns: Mapping[str, str],
    found: pa.Table,
    keys: Mapping[str, pa.Array],
) -> None:
    fields = {feature.name: feature for feature in stored.view.features}
    happened = found["happened"].combine_chunks()
    fresh = _is_within_ttl(spine.moments, happened, stored.view.ttl)
    absent = pc.is_null(happened)
    for key in keys.values():
        absent = pc.and_(absent, key.is_valid())
    for index, name in enumerate(stored.features):
        column = columns.get(f"{stored.reference}:{name}")
        if column is None:
            continue  # read for an on-demand feature only
        place = f"{stored.view.name}: feature {name!r}"
        expected = pc.if_else(fresh, as_feature(found[f"feature_{index}"], fields[name].dtype, place), None)
        unseen = unseen_value(fields[name])
        if unseen is not None:
            expected = pc.if_else(absent, unseen, expected)
        given = dataset[column].combine_chunks()
        if given.equals(expected):
            continue
        row = _first_difference(given, expected)
        raise DataError(
            _leak_message(
                connection,
                spine,
                stored,
                index=index,
                name=name,
                row=row,
                given=given[row].as_py(),
                expected=expected[row].as_py(),
            )
        )


def _is_within_ttl(moments: pa.Array, happened: pa.Array, ttl: timedelta | None) -> pa.Array:
    if not ttl:
        return pa.array(np.ones(len(moments), dtype=np.bool_))
    age = pc.subtract(moments.cast(pa.int64()), happened.cast(pa.int64()))
    return pc.fill_null(pc.less_equal(age, ttl // MICROSECOND), False)


def _first_difference(given: pa.Array, expected: pa.Array) -> int:
    left, right = given.to_pylist(), expected.to_pylist()
    return next(row for row, (a, b) in enumerate(zip(left, right, strict=True)) if a != b)


def _leak_message(
    connection: DuckDBPyConnection,
    spine: Spine,
    stored: Stored,
    *,
    index: int,
    name: str,
    row: int,
    given: object,
    expected: object,
) -> str:
    """What is wrong with a value, and since when it has been available, if it is the key's at all."""
    key = ", ".join(
        f"{stored.spine_column(key)}={spine.column(stored.spine_column(key))[row].as_py()!r}" for key in stored.keys
    )
    zone = zone_of_views([stored.view])
    moment = moment_text(spine.moments[row].as_py(), zone)
    has, due = (value_text(value, zone, quoted=True) for value in (given, expected))
    said = f"row {row} ({key}, {moment}) has {has}, the row available then has {due}"
    query = when_it_became_available(index, len(stored.keys), row)
    ((later,),) = connection.execute(query, [given]).fetchall()
    leak = ""
    if later is not None:
        leak = f"; {has} became available at {moment_text(later, zone)}, which is in that row's future"
    return (
        f"leakage check: {stored.view.name}: feature {name!r}: {said}{leak}. No dataset was written. This is a fault "
        f"of the join; report it with this message."
    )

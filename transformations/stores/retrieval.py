"""Point-in-time retrieval: stored features joined to a spine by DuckDB, on-demand features computed from them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, OnDemandFeatureView, RepoConfig
from feast.feature_view import DUMMY_ENTITY_ID
from feast.types import FeastType

from transformations.engine import duck
from transformations.engine.errors import DataError, UsageError
from transformations.engine.settings import get_settings
from transformations.stores import point_in_time_sql as sql
from transformations.stores.history import History
from transformations.stores.on_demand import evaluate
from transformations.stores.spine import DEFAULT_TIMESTAMP, Spine, canonical, spine_of
from transformations.stores.values import as_feature, unseen_value
from transformations.stores.wiring import reference_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Resources:
    """What a retrieval may use; None leaves it to DuckDB, and `spill` to a temporary folder."""

    threads: int | None = None
    memory_limit: str | None = None
    spill: Path | None = None


@dataclass(frozen=True)
class Stored:
    """One feature view of a retrieval: its pinned history, and which of its features are wanted."""

    view: FeatureView
    history: History
    features: tuple[str, ...]

    @property
    def reference(self) -> str:
        """How feature references name the view here."""
        return reference_of(self.view)

    @property
    def keys(self) -> dict[str, FeastType]:
        """The view's join keys with their dtypes; none where it is about no entity."""
        columns = self.view.entity_columns
        return {column.name: column.dtype for column in columns if column.name != DUMMY_ENTITY_ID}

    def spine_column(self, key: str) -> str:
        """The spine's column that a join key is compared with; another one where the view is joined under a role."""
        return self.view.projection.join_key_map.get(key, key)

    def join(self, spine_names: Mapping[str, str], **more: datetime | bool | None) -> sql.Join:
        """The join of its history; `spine_names` tells how the spine calls each join key."""
        history = self.history
        keys = [sql.Key(history.column(key), spine_names[key], canonical(dtype)[1]) for key, dtype in self.keys.items()]
        return sql.Join(
            relation=history.relation,
            keys=tuple(keys),
            timestamp=history.column(history.timestamp),
            created=history.column(history.created) if history.created else None,
            features=tuple(history.column(name) for name in self.features),
            ttl_micros=(self.view.ttl or timedelta(0)) // timedelta(microseconds=1),
            **more,  # type: ignore[arg-type]  # bounds of time, and whether as served
        )

    def check_columns(self, connection: DuckDBPyConnection) -> None:
        """DataError where the files lack a column, or hold a join key that its dtype cannot be compared with."""
        history = self.history
        stamps = [history.timestamp, *([history.created] if history.created else [])]
        wanted = [history.column(name) for name in (*self.keys, *stamps, *self.features)]
        types = history.columns(connection, wanted)
        for key, dtype in self.keys.items():
            found, compared = types[history.column(key)], canonical(dtype)[1]
            if (compared == "BIGINT" and "INT" not in found) or (compared == "VARCHAR" and found != "VARCHAR"):
                raise DataError(
                    f"{self.view.name}: join key {key!r} is declared {dtype}, its files hold {found}. "
                    f"Correct the declaration or the files."
                )


@dataclass(frozen=True)
class Plan:
    """All that a retrieval was asked for. columns: for each column of the result, the feature reference it holds."""

    stored: tuple[Stored, ...]
    on_demand: tuple[OnDemandFeatureView, ...]
    columns: Mapping[str, str]
    as_served: bool = False
    resources: Resources = field(default_factory=Resources)


def features_of(spine: Spine, plan: Plan) -> dict[str, pa.Array]:
    """The feature columns of the result, in the spine's order."""
    values: dict[str, pa.Array] = {}
    with session(plan.resources) as connection:
        for stored in plan.stored:
            values |= _stored_features(connection, spine, stored, plan.as_served)
    for view in plan.on_demand:
        values |= _on_demand_features(view, spine, plan, values)
    return {column: values[reference] for column, reference in plan.columns.items()}


def range_spine(stored: Sequence[Stored], start: datetime | None, end: datetime, resources: Resources) -> Spine:
    """The spine of a range of time: every key at every event timestamp that one of the views has a row of.

    UsageError where the views are keyed differently: there is no one set of rows then.
    """
    names = sorted(stored[0].spine_column(key) for key in stored[0].keys)
    for each in stored:
        if sorted(each.spine_column(key) for key in each.keys) != names:
            raise UsageError(
                f"without a spine the views must have the same keys: {stored[0].reference} has {', '.join(names)}, "
                f"{each.reference} has {', '.join(each.keys)}. Give a spine, or ask for each on its own."
            )
    joins = [each.join({key: each.spine_column(key) for key in each.keys}) for each in stored]
    with session(resources) as connection:
        query = sql.moments_between(joins, [*names, DEFAULT_TIMESTAMP], start, end)
        return spine_of(connection.sql(query).to_arrow_table())


def resources_of(config: RepoConfig) -> Resources:
    """What the settings allow, else what the yaml's `offline_store` says."""
    settings, ours = get_settings(), config.offline_store
    return Resources(
        threads=settings.offline_threads or getattr(ours, "threads", None),
        memory_limit=settings.offline_memory_limit or getattr(ours, "memory_limit", None),
        spill=settings.offline_spill or getattr(ours, "spill", None),
    )


@contextmanager
def session(resources: Resources) -> Iterator[DuckDBPyConnection]:
    """A DuckDB of our own, in UTC, within the given resources; Feast's global one has neither bounds nor that zone."""
    with duck.session() as connection:
        settings = {
            "threads": resources.threads,
            "memory_limit": resources.memory_limit,
            "temp_directory": str(resources.spill / f"retrieval-{os.getpid()}") if resources.spill else None,
        }
        connection.execute("SET python_enable_replacements = false")  # a query's name never means a variable of ours
        for name, value in settings.items():
            if value is not None:
                connection.execute(f"SET {name} = {duck.literal(value)}")
        yield connection


def _stored_features(
    connection: DuckDBPyConnection, spine: Spine, stored: Stored, as_served: bool
) -> dict[str, pa.Array]:
    """The wanted features of one view, under their references."""
    keys = {key: spine.key(stored.spine_column(key), canonical(dtype)[0]) for key, dtype in stored.keys.items()}
    rows = _last_rows(connection, spine, stored, keys, as_served)
    absent = pc.invert(rows[sql.SEEN])
    for key in keys.values():
        absent = pc.and_(absent, key.is_valid())  # a null key names no entity, so it is not an unseen one either
    fields = {feature.name: feature for feature in stored.view.features}
    result: dict[str, pa.Array] = {}
    for name in stored.features:
        column = rows[stored.history.column(name)]
        values = as_feature(column, fields[name].dtype, f"{stored.view.name}: feature {name!r}")
        unseen = unseen_value(fields[name])
        result[f"{stored.reference}:{name}"] = values if unseen is None else pc.if_else(absent, unseen, values)
    return result


def _last_rows(
    connection: DuckDBPyConnection, spine: Spine, stored: Stored, keys: Mapping[str, pa.Array], as_served: bool
) -> dict[str, pa.Array | pa.ChunkedArray]:
    """For every row of the spine, whether the view has a row, and that row's features as the files hold them."""
    if not stored.history.files or not len(spine):
        absent: dict[str, pa.Array | pa.ChunkedArray] = {sql.SEEN: pa.array([False] * len(spine), pa.bool_())}
        return absent | {stored.history.column(name): pa.nulls(len(spine)) for name in stored.features}
    stored.check_columns(connection)
    names = {key: f"key_{number}" for number, key in enumerate(keys)}
    match = {
        sql.ROW: pa.array(np.arange(len(spine), dtype=np.int64)),
        sql.MOMENT: spine.moments,
        **{names[key]: column for key, column in keys.items()},
    }
    connection.register(sql.SPINE, pa.table(match))
    join = stored.join(names, last=pc.max(spine.moments).as_py(), as_served=as_served)
    table = connection.sql(sql.last_rows(join)).to_arrow_table()
    return dict(zip(table.column_names, table.columns, strict=True))


def _on_demand_features(
    view: OnDemandFeatureView, spine: Spine, plan: Plan, stored: Mapping[str, pa.Array]
) -> dict[str, pa.Array]:
    """The wanted features of one on-demand view, under their references."""
    wanted = [feature.name for feature in view.features if f"{view.name}:{feature.name}" in plan.columns.values()]
    inputs: dict[str, pa.Array | pa.ChunkedArray] = dict(stored)
    for source in view.source_request_sources.values():
        inputs |= {request.name: spine.column(request.name) for request in source.schema}
    values = evaluate(view, inputs, spine.moments, wanted)
    return {f"{view.name}:{name}": column for name, column in values.items()}

"""The features of rows in batch, read at one version of every table, with the statuses that serving would give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore

from transformations.datasets.manifest import Manifest
from transformations.datasets.registration import join_keys
from transformations.datasets.snapshot import open_snapshot, take_snapshot
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import EVENT_TIMESTAMP, moment_text
from transformations.engine.base.settings import Settings
from transformations.models.holding.definitions import definitions_of_snapshot, references_of
from transformations.models.records.artifact import InputColumn
from transformations.models.records.prediction_table import TIMESTAMP, Columns, FeatureColumn
from transformations.models.records.predictions import ServedView
from transformations.stores.base.values import canonical_key
from transformations.stores.history.history import history_of
from transformations.stores.history.matching import Matches
from transformations.stores.history.session_sql import resources_of, session
from transformations.stores.history.stored import Stored
from transformations.stores.training.jobs import PointInTimeJob
from transformations.stores.training.retrieval import Plan, features_of, match_rows
from transformations.stores.training.spine import Spine, spine_of

_NEVER = -1


@dataclass(frozen=True, kw_only=True)
class Served:
    """Rows with their features. table: the rows as given, and a column a feature; the rest are its parts, by name."""

    table: pa.Table
    moments: pa.Array
    keys: Columns
    request: Columns
    features: Mapping[str, FeatureColumn]
    views: Mapping[str, ServedView]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads the features of one feature service, every table at the version that it had when the reader was opened.

    manifest: of the dataset that the model learned from. inputs: the columns that the model takes. zone: of the views'
    business days.
    """

    manifest: Manifest
    inputs: tuple[InputColumn, ...]
    zone: str
    store: FeatureStore
    request: tuple[str, ...] = field(default=())

    def stored(self) -> tuple[Stored, ...]:
        """The stored views that are read."""
        types = {**{key: pa.int64() for key in join_keys(self.manifest)}, EVENT_TIMESTAMP: TIMESTAMP}
        types |= {name: pa.float64() for name in self.request}
        return self._job(pa.table({name: pa.array([], kind) for name, kind in types.items()})).plan.stored

    def read(self, rows: pa.Table, loaded_through: Mapping[str, datetime] | None = None) -> Served:
        """The rows' features, each at its own moment. DataError where a table is not yet complete at a row's moment.

        loaded_through: by view, how far it had been loaded online. With it, what is read is what a lookup gave then.
        """
        spine = spine_of(rows)
        job = self._job(rows, is_lookup=loaded_through is not None)
        plan = job.plan
        matched: dict[str, Matches] = {}
        if loaded_through is None:
            table = self._as_in_training(job, spine)
            matched = _matched(spine, plan, self.store)
        else:
            ends = {each.reference: loaded_through.get(each.view.name) for each in plan.stored}
            plan = replace(plan, loaded_through={name: end for name, end in ends.items() if end is not None})
            table = spine.to_arrow()
            for name, column in features_of(spine, plan, matched).items():
                table = table.append_column(name, column)
        moments_of = {each.reference: _moments_of_rows(spine, each, matched) for each in plan.stored}
        taken = [column.name for column in self.inputs if column.name in plan.columns]
        return Served(
            table=table,
            moments=spine.moments,
            keys={name: _whole(table[name]) for name in join_keys(self.manifest)},
            request={name: _whole(table[name]) for name in self.request},
            features={
                name: _as_served(_whole(table[name]), moments_of.get(plan.columns[name].partition(":")[0]))
                for name in taken
            },
            views={
                each.view.name: ServedView(
                    table_version=each.history.version, loaded_through=each.history.complete_until
                )
                for each in plan.stored
            },
        )

    def values(self, rows: pa.Table) -> tuple[pa.Table, pa.Array]:
        """The rows with a column a feature, and their moments: `read` without what is said of each value beside it.

        DataError where a table is not yet complete at a row's moment.
        """
        spine = spine_of(rows)
        return self._as_in_training(self._job(rows), spine), spine.moments

    def _as_in_training(self, job: PointInTimeJob, spine: Spine) -> pa.Table:
        last = pc.max(spine.moments).as_py()
        for stored in job.plan.stored:
            _refuse_unfinished(stored, last, self.zone)
        return job.to_arrow()

    def _job(self, rows: pa.Table, *, is_lookup: bool = False) -> PointInTimeJob:
        config = self.manifest.config
        job = self.store.get_historical_features(
            entity_df=rows,
            features=self.store.get_feature_service(config.feature_service),
            full_feature_names=config.full_feature_names,
            filter_by_created_timestamp=config.as_served and not is_lookup,
        )
        if not isinstance(job, PointInTimeJob):
            raise TypeError(f"the offline store of {self.store.project} is not ours")
        return job


@contextmanager
def reading(
    manifest: Manifest,
    inputs: Sequence[InputColumn],
    request_fields: Sequence[str],
    *,
    zone: str,
    store: FeatureStore,
    settings: Settings,
    versions: Mapping[str, int] | None = None,
) -> Iterator[Reader]:
    """A reader of the service that a dataset was made of: as it is applied now, at the newest version of every table;
    or, at given versions, as that dataset knew it.

    DataError where a feature that the model takes is no longer there, or is defined otherwise than in that dataset.
    """
    taken: Mapping[str, Any] = manifest.registry
    if versions is None:
        taken = take_snapshot(store, manifest.config.feature_service, settings)
        names = [column.name for column in inputs if column.name not in request_fields]
        refuse_changed_features(manifest, taken, names)
        with open_snapshot(taken, store.config, {}) as known:
            versions = _newest_versions(known)
    with open_snapshot(taken, store.config, versions) as pinned:
        asked = {
            name: None for view in pinned.list_on_demand_feature_views() for name in view.get_request_data_schema()
        }
        yield Reader(
            manifest=manifest,
            inputs=tuple(inputs),
            zone=zone,
            store=pinned,
            request=tuple(dict.fromkeys([*request_fields, *asked])),
        )


def _newest_versions(store: FeatureStore) -> dict[str, int]:
    views = store.list_feature_views()
    found = {view.name: history_of(view, store.config.repo_path, features=()).version for view in views}
    return {name: version for name, version in found.items() if version is not None}


def refuse_changed_features(manifest: Manifest, now: Mapping[str, Any], names: Sequence[str]) -> None:
    """DataError where one of these columns of a dataset comes of another definition now. now: a snapshot."""
    there, wanted = references_of(now, manifest), references_of(manifest.registry, manifest)
    before, after = (definitions_of_snapshot(each).features for each in (manifest.registry, now))
    lacking = [name for name in names if name not in there]
    changed = [
        name
        for name in names
        if name in there and any(before.get(each) != after.get(each) for each in (*wanted[name], *there[name]))
    ]
    if lacking or changed:
        said = [f"{', '.join(lacking)} no longer there"] if lacking else []
        said += [f"{', '.join(changed)} defined otherwise than then"] if changed else []
        raise DataError(
            f"feature service {manifest.config.feature_service} is not what the model learned from (dataset "
            f"{manifest.name}): {'; '.join(said)}. Bring the definitions back, or release a version that learned from "
            f"these."
        )


def _refuse_unfinished(stored: Stored, moment: datetime, zone: str) -> None:
    """DataError where rows of a later day than the table's last are due at a moment: what is there would be stale."""
    until = stored.history.complete_until
    if until is None:
        return
    due = (until.astimezone(ZoneInfo(zone)) + timedelta(days=1)).astimezone(UTC)
    if moment >= due:
        raise DataError(
            f"{stored.view.name} is complete for requests before {moment_text(due, zone)} only, and a row asks for "
            f"{moment_text(moment, zone)}: its features would be old. Run `features build {stored.view.name}` first."
        )


def _matched(spine: Spine, plan: Plan, store: FeatureStore) -> dict[str, Matches]:
    """By view which stored row each row of a spine finds; nothing of a view without any file."""
    found = {}
    for stored in plan.stored:
        if stored.history.files:
            keys = {key: spine.key(stored.spine_column(key), canonical_key(kind)) for key, kind in stored.keys.items()}
            with session(resources_of(store.config)) as connection:
                scan = stored.scan(connection)
                found[stored.reference] = match_rows(
                    connection, spine, stored, scan=scan, keys=keys, plan=plan, advance=lambda _step, _share: None
                )
    return found


def _moments_of_rows(spine: Spine, stored: Stored, matched: Mapping[str, Matches]) -> _Moments:
    matches = matched.get(stored.reference)
    if matches is None:
        return _Moments(np.full(len(spine), _NEVER), np.zeros(len(spine), np.bool_))
    moments = spine.moments.cast(pa.int64()).to_numpy()
    is_found = matches.of_spine >= 0
    is_old = is_found & (matches.ages > stored.ttl_micros) if stored.ttl_micros else np.zeros(len(spine), np.bool_)
    return _Moments(np.where(is_found, moments - matches.ages, _NEVER), is_old)


@dataclass(frozen=True)
class _Moments:
    """By row the event timestamp of the stored row in microseconds, -1 for none; and whether it is beyond its ttl."""

    micros: np.ndarray[tuple[int], np.dtype[np.int64]]
    is_old: np.ndarray[tuple[int], np.dtype[np.bool_]]


def _as_served(values: pa.Array, moments: _Moments | None) -> FeatureColumn:
    """A feature's column with statuses as online: a value is PRESENT, a null says why it is one."""
    if moments is None:
        why = pa.repeat("NULL_VALUE", len(values))
        stamps = pa.nulls(len(values), TIMESTAMP)
    else:
        absent = pa.array(moments.micros == _NEVER)
        why = pc.if_else(absent, "NOT_FOUND", pc.if_else(pa.array(moments.is_old), "OUTSIDE_MAX_AGE", "NULL_VALUE"))
        stamps = pa.array(moments.micros, mask=moments.micros == _NEVER).cast(TIMESTAMP)
    return FeatureColumn(values=values, statuses=pc.if_else(values.is_valid(), "PRESENT", why), row_timestamps=stamps)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)

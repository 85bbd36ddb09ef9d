"""Makes the job of a point-in-time retrieval from what Feast asks the offline store for."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, OnDemandFeatureView, RepoConfig
from feast.errors import FeastObjectNotFoundException
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry

from transformations.engine.base.errors import UsageError
from transformations.engine.base.moments import EVENT_TIMESTAMP, as_utc
from transformations.engine.base.settings import get_settings
from transformations.engine.lineage.names import project_in
from transformations.stores.base.errors import MissingColumnError
from transformations.stores.computed.feast_functions import request_fields_of
from transformations.stores.computed.rollout import Reading, add_inputs, as_served
from transformations.stores.computed.wiring import look_for_code_in, reference_of
from transformations.stores.history.history import history_of
from transformations.stores.history.session_sql import resources_of
from transformations.stores.history.stored import Stored
from transformations.stores.training.jobs import PointInTimeJob
from transformations.stores.training.retrieval import Plan, range_spine
from transformations.stores.training.spine import Rows, Spine, spine_of
from transformations.stores.training.spine_sql import rows_of_query


@dataclass(frozen=True, kw_only=True)
class HistoricalRequest:
    """A call of `get_historical_features`. entities: the spine as a frame, a table or a query; None for a time range.

    feature_refs: as Feast resolved them, with the inputs of on-demand views. as_served: values as they were known at
    each moment, instead of as corrected since. start, end: of the time range, both included.
    """

    config: RepoConfig
    feature_views: list[FeatureView]
    feature_refs: list[str]
    entities: Rows | str | None
    registry: BaseRegistry
    project: str
    full_feature_names: bool
    as_served: bool
    start: datetime | None
    end: datetime | None

    def job(self) -> PointInTimeJob:
        """The job, with its tables pinned now."""
        views = self.views()
        spine = self._spine(views.stored)
        return PointInTimeJob(
            spine,
            self.plan(views, spine.columns),
            _metadata(spine, self.feature_refs),
            full_feature_names=self.full_feature_names,
            repo_path=self.config.repo_path,
            nullable_dtypes=self.is_nullable,
            project=project_in(self.config),
        )

    def views(self) -> Views:
        """What is read, pinned now, and what is computed from it."""
        look_for_code_in(self.config.repo_path)
        on_demand = self._on_demand_views()
        read = add_inputs(Reading(self.feature_views, self.feature_refs), on_demand, self.registry, self.project)
        return Views(tuple(self._pin_history(view, read.feature_refs) for view in read.feature_views), on_demand)

    def plan(self, views: Views, columns: Sequence[str]) -> Plan:
        """The plan for a spine with these columns. UsageError if it lacks one, or has one that the result has, too."""
        named = name_columns(
            columns, views.stored, views.on_demand, self.feature_refs, full_names=self.full_feature_names
        )
        check_spine(columns, views.stored, views.on_demand)
        return Plan(
            stored=views.stored,
            on_demand=views.on_demand,
            columns=named,
            as_served=self.as_served,
            is_strict=self.config.offline_store.on_demand == "strict",
            resources=resources_of(self.config),
        )

    @property
    def is_nullable(self) -> bool:
        """Whether frames have pandas' nullable dtypes."""
        return get_settings().nullable_dtypes or bool(self.config.offline_store.nullable_dtypes)

    def _on_demand_views(self) -> tuple[OnDemandFeatureView, ...]:
        """The on-demand views that the references name, each in the version that this code can compute."""
        stored = {reference_of(view) for view in self.feature_views}
        names = dict.fromkeys(ref.partition(":")[0] for ref in self.feature_refs)
        return tuple(self._on_demand_view(name) for name in names if name not in stored)

    def _on_demand_view(self, name: str) -> OnDemandFeatureView:
        """A view by its own name, or by the one that services give it (`with_name`): all that Feast tells its stores.

        UsageError where no view has that name, or services give it to several.
        """
        registry = as_served(self.registry)
        try:
            return registry.get_on_demand_feature_view(name, self.project, allow_cache=True)
        except FeastObjectNotFoundException as error:
            services = self.registry.list_feature_services(self.project, allow_cache=True)
            renamed = [
                each for service in services for each in service.feature_view_projections if each.name_alias == name
            ]
            own_names = {each.name for each in renamed}
            if len(own_names) != 1:
                why = "No service gives this name to an on-demand view, either; versions of one cannot be pinned."
                if own_names:
                    why = f"Services give this name to {', '.join(sorted(own_names))}. Ask for one under its own name."
                raise UsageError(f"{error}. {why}") from error
            view = registry.get_on_demand_feature_view(own_names.pop(), self.project, allow_cache=True)
            renamed_view: OnDemandFeatureView = view.with_projection(copy.copy(renamed[0]))
            return renamed_view

    def _pin_history(self, view: FeatureView, feature_refs: Sequence[str]) -> Stored:
        prefix = f"{reference_of(view)}:"
        features = tuple(dict.fromkeys(ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix)))
        # Without a spine the table's own moments are asked for, which follow from all of its features.
        decisive = None if self.entities is None else features
        version = self.config.offline_store.table_versions.get(view.name)
        return Stored(view, history_of(view, self.config.repo_path, version, decisive), features)

    def _spine(self, stored: Sequence[Stored]) -> Spine:
        resources = resources_of(self.config)
        if self.entities is None:
            now = get_settings().now()
            start = None if self.start is None else as_utc(self.start)
            return range_spine(stored, start, min(as_utc(self.end or now), now), resources)
        if isinstance(self.entities, str):
            return spine_of(rows_of_query(self.entities, resources))
        if not isinstance(self.entities, pa.Table | pd.DataFrame):
            raise UsageError(
                f"a spine is a pandas frame, an Arrow table or SQL, and this is {type(self.entities).__name__}. "
                f"`offline_store: {{engine: spark}}` takes data frames of Spark."
            )
        return spine_of(self.entities)


class Views(NamedTuple):
    """What a retrieval reads and computes."""

    stored: tuple[Stored, ...]
    on_demand: tuple[OnDemandFeatureView, ...]


def name_columns(
    spine_columns: Sequence[str],
    stored: Sequence[Stored],
    on_demand: Sequence[OnDemandFeatureView],
    feature_refs: Sequence[str],
    *,
    full_names: bool,
) -> dict[str, str]:
    """For each column of the result, the feature reference it holds: stored features first, on-demand ones last.

    An on-demand feature may have the name of a request field of its own view: it then stands in the place of the
    spine's column, as in a lookup. UsageError for any other feature that would have the name of a spine column.
    """
    labels = {each.reference: each.view.projection.name_alias or each.view.name for each in stored}
    keys_of = {each.reference: each.keys for each in stored}
    computed = {reference_of(view): request_fields_of(view) for view in on_demand}
    moment_and_keys = {EVENT_TIMESTAMP, *(each.spine_column(key) for each in stored for key in each.keys)}
    columns: dict[str, str] = {}
    for ref in sorted(feature_refs, key=lambda ref: ref.partition(":")[0] in computed):
        view, _, feature = ref.partition(":")
        name = f"{labels.get(view, view)}__{feature}" if full_names else feature
        if name in spine_columns and feature in keys_of.get(view, ()):
            continue  # a stream view lists its keys among its features (stream_feature_view.py:314)
        if name in spine_columns and (name in moment_and_keys or name not in computed.get(view, ())):
            raise UsageError(explain_same_name(name, ref))
        # Feast appends what on-demand views read to what was asked for; of two with one name, what was asked for is
        # shown, as an on-demand feature always was.
        if view in computed or name not in columns:
            columns[name] = ref
    return columns


def explain_same_name(name: str, reference: str) -> str:
    """Why a result cannot have a column for this feature beside the spine's column of that name."""
    return (
        f"the spine has a column {name!r}, and so would the result: it is the name of feature {reference}. "
        f"Rename the spine's column, or ask for full_feature_names=True."
    )


def check_spine(
    spine_columns: Sequence[str], stored: Sequence[Stored], on_demand: Sequence[OnDemandFeatureView]
) -> None:
    """UsageError for a spine that lacks a join key or a request field."""
    for each in stored:
        for key in each.keys:
            if each.spine_column(key) not in spine_columns:
                raise MissingColumnError(
                    f"the spine lacks {each.spine_column(key)!r}, a join key of {each.reference}. "
                    f"It has {', '.join(map(str, spine_columns))}."
                )
    for view in on_demand:
        for name in view.get_request_data_schema():
            if name not in spine_columns:
                raise UsageError(f"the spine lacks {name!r}, which {view.name} takes from the request. Add the column.")


def _metadata(spine: Spine, feature_refs: list[str]) -> RetrievalMetadata:
    bounds = pc.min_max(spine.moments).as_py()
    keys = [name for name in spine.columns if name != spine.timestamp]
    return RetrievalMetadata(feature_refs, keys, bounds["min"], bounds["max"])

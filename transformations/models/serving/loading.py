"""A version of a model, ready to answer: its artifact verified by hash, its features found, and all of it tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from feast import FeatureService, FeatureStore

from transformations.datasets.manifest import Manifest
from transformations.engine.base.settings import Settings
from transformations.models.log.standing import VersionState
from transformations.models.records.artifact import InputColumn
from transformations.models.records.rollout_plan import RolloutPlan
from transformations.models.rollout.splitting import Holdout
from transformations.models.scoring.artifact import Artifact
from transformations.models.scoring.inputs import ARROW_TYPES
from transformations.models.scoring.predict import predict
from transformations.models.scoring.shape import Shape, shape_of
from transformations.models.versions import artifact_of, dataset_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Served:
    """A version that can answer. service: where its features come from. features, requested: of its inputs, those that
    are features and those that requests bring. views: of the online store, those that it reads.
    """

    model: str
    number: int
    artifact: Artifact
    dataset: Manifest
    service: FeatureService
    shape: Shape
    features: tuple[InputColumn, ...]
    requested: tuple[InputColumn, ...]
    views: tuple[str, ...]

    @cached_property
    def input_names(self) -> list[str]:
        """The names of its inputs, features first."""
        return [each.name for each in (*self.features, *self.requested)]

    @cached_property
    def requested_types(self) -> list[pa.DataType]:
        """The types of the inputs that requests bring, in Arrow."""
        return [ARROW_TYPES[each.dtype] for each in self.requested]

    @cached_property
    def holdout(self) -> Holdout:
        """Who is held out while this version is in production."""
        declared = self.artifact.manifest.facts.declaration.get("rollout")
        plan = None if declared is None else RolloutPlan.model_validate(declared)
        return Holdout(
            percent=plan.holdout if plan else 0.0, unit=plan.unit if plan else (), salt=f"{self.model} holdout"
        )

    @cached_property
    def has_fallback(self) -> bool:
        """Whether it answers without the online store, from `unseen` defaults."""
        declared = self.artifact.manifest.facts.declaration.get("serving")
        return isinstance(declared, Mapping) and declared.get("fallback") == "defaults"


def load(model: str, state: VersionState, store: FeatureStore, settings: Settings) -> Served:
    """A version's artifact and all that it needs; it has scored a row of nulls when this returns.

    DataError where the artifact is missing or not what was registered; Feast's error where its service is not there.
    """
    artifact = artifact_of(model, state, settings)
    dataset = dataset_of(model, state, settings)
    shape = shape_of(artifact.manifest, dataset)
    brought = {each.name for each in shape.request}
    inputs = artifact.manifest.scores.inputs
    store.registry.refresh(store.project)  # lookups find views in its cache, which may be older than a new service
    predict(artifact, pa.table({each.name: pa.nulls(1, ARROW_TYPES[each.dtype]) for each in inputs}))
    return Served(
        model=model,
        number=state.number,
        artifact=artifact,
        dataset=dataset,
        service=store.get_feature_service(dataset.config.feature_service),
        shape=shape,
        features=tuple(each for each in inputs if each.name not in brought),
        requested=tuple(each for each in inputs if each.name in brought),
        views=tuple(view["spec"]["name"] for view in dataset.registry.get("feature_views", ())),
    )

"""What features are defined by, in a registry or in the snapshot of one that a dataset keeps: a hash a feature."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from feast import FeatureService, FeatureView, OnDemandFeatureView
from feast.protos.feast.core.Feature_pb2 import FeatureSpecV2
from feast.protos.feast.core.FeatureService_pb2 import FeatureService as ServiceProto
from feast.protos.feast.core.FeatureView_pb2 import FeatureView as ViewProto
from feast.protos.feast.core.OnDemandFeatureView_pb2 import OnDemandFeatureView as OnDemandProto
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.value_type import ValueType
from google.protobuf.json_format import ParseDict

from transformations.datasets.manifest import Manifest
from transformations.stores.base.views import DEFINITION_HASH, FEATURE_HASHES


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """features: by `view:feature` what defines it. services: by name the features that each gives."""

    features: Mapping[str, str]
    services: Mapping[str, frozenset[str]]


def definitions_of(parts: Iterable[ViewProto | OnDemandProto | ServiceProto]) -> Definitions:
    """What these views and services define.

    A feature of ours is defined by its hash, which covers sources' columns, windows and code. One without a hash is
    defined by its dtype and, where it is computed on demand, by the text of the view's function.
    """
    features: dict[str, str] = {}
    services: dict[str, frozenset[str]] = {}
    for part in parts:
        match part:
            case ViewProto():
                features.update(_stored(part))
            case OnDemandProto():
                features.update(_on_demand(part))
            case ServiceProto():
                services[part.spec.name] = frozenset(
                    f"{projection.feature_view_name}:{column.name}"
                    for projection in part.spec.features
                    for column in projection.feature_columns
                )
    return Definitions(features=features, services=services)


def definitions_of_objects(objects: Iterable[Any]) -> Definitions:
    """The same of Feast's objects; of others nothing."""
    known = [each for each in objects if isinstance(each, FeatureView | OnDemandFeatureView | FeatureService)]
    return definitions_of(each.to_proto() for each in known)


def definitions_of_snapshot(snapshot: Mapping[str, Any]) -> Definitions:
    """The same of the registry that a dataset's manifest keeps."""
    proto = ParseDict(dict(snapshot), Registry())
    return definitions_of([*proto.feature_views, *proto.on_demand_feature_views, *proto.feature_services])


def references_of(registry: Mapping[str, Any], manifest: Manifest) -> dict[str, list[str]]:
    """By column of the dataset the feature behind it, as `view:feature`, and what an on-demand one is computed from."""
    (service,) = registry["feature_services"]
    tags = {view["spec"]["name"]: view["spec"].get("tags", {}) for view in registry.get("on_demand_feature_views", ())}
    found: dict[str, list[str]] = {}
    for projection in service["spec"].get("features", ()):
        view = projection["feature_view_name"]
        prefix = f"{projection.get('feature_view_name_alias') or view}__" if manifest.config.full_feature_names else ""
        for column in projection.get("feature_columns", ()):
            found[f"{prefix}{column['name']}"] = list(_reached(view, column["name"], tags.get(view, {})))
    return found


def _reached(view: str, feature: str, tags: Mapping[str, str]) -> Iterator[str]:
    """A feature, and those that it is computed from: stored ones, and others of its own view."""
    yield f"{view}:{feature}"
    for each in tags.get(f"{feature}.inputs", "").split(", "):
        if ":" in each:
            yield each
        elif f"{each}.inputs" in tags:
            yield from _reached(view, each, tags)


def _stored(view: ViewProto) -> Iterator[tuple[str, str]]:
    tags = view.spec.tags
    of_each = json.loads(tags.get(FEATURE_HASHES, "{}"))
    for column in view.spec.features:
        yield f"{view.spec.name}:{column.name}", of_each.get(column.name, tags.get(DEFINITION_HASH, _dtype(column)))


def _on_demand(view: OnDemandProto) -> Iterator[tuple[str, str]]:
    tags, text = view.spec.tags, view.spec.feature_transformation.user_defined_function.body_text
    for column in view.spec.features:
        yield f"{view.spec.name}:{column.name}", tags.get(f"{column.name}.hash", f"{_dtype(column)} {text}".strip())


def _dtype(column: FeatureSpecV2) -> str:
    return ValueType(column.value_type).name

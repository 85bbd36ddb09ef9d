"""What a registry says of one feature service, as JSON: enough to retrieve it anew when the registry has moved on.

A snapshot holds the text of on-demand views, which Feast executes on reading: it is code, like the registry itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feast import FeatureService, FeatureStore, FeatureView, OnDemandFeatureView, Project, RepoConfig
from feast.errors import FeatureServiceNotFoundException
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from google.protobuf.json_format import MessageToDict, ParseDict

from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.files.scratch import scratch_folder
from transformations.engine.base.settings import Settings
from transformations.stores.base.places import portable_path
from transformations.stores.computed.rollout import as_served


def take_snapshot(store: FeatureStore, service_name: str, settings: Settings) -> dict[str, Any]:
    """The part of the registry that a service is made of; places in the data folder are told relative to it.

    A view that the service takes at a version is here what it was then. UsageError where there is no such service, or
    where it takes a view both at a version and otherwise.
    """
    service = _registered_service(store, service_name)
    versions = _view_versions(service)
    registry = as_served(store.registry)
    proto = RegistryProto(registry_schema_version="1")
    names = dict.fromkeys(projection.name for projection in service.feature_view_projections)
    views = [
        registry.get_any_feature_view(name, store.project)
        if version is None
        else registry.get_feature_view_by_version(name, store.project, version)
        for name, version in versions.items()
    ]
    for view in [view for view in views if isinstance(view, OnDemandFeatureView)]:
        every = [source.name for source in view.source_feature_view_projections.values()]
        _refuse_pinned_sources(service, view, [name for name in every if versions.get(name) is not None])
        sources = [name for name in every if name not in names]
        views += [registry.get_any_feature_view(name, store.project) for name in sources]
        names |= dict.fromkeys(sources)
        proto.on_demand_feature_views.append(view.to_proto())
    entities: dict[str, None] = {}
    for stored in [view for view in views if isinstance(view, FeatureView)]:
        proto.feature_views.append(stored.to_proto())
        entities |= dict.fromkeys(name for name in stored.entities or () if name != DUMMY_ENTITY_NAME)
    proto.entities.extend(registry.get_entity(name, store.project).to_proto() for name in entities)
    proto.feature_services.append(service.to_proto())
    for projection in proto.feature_services[0].spec.features:
        if projection.HasField("version_tag"):
            # The snapshot knows one version of each view, called as Feast calls it in full feature names.
            called = projection.feature_view_name_alias or projection.feature_view_name
            projection.feature_view_name_alias = f"{called}@v{projection.version_tag}"
            projection.ClearField("version_tag")
    proto.projects.append(Project(name=store.project).to_proto())
    for kind in (proto.feature_views, proto.on_demand_feature_views, proto.entities, proto.feature_services):
        for each in kind:
            each.spec.project = store.project
            each.ClearField("meta")  # when it was applied and materialized, and whether it is being so now
            if getattr(each.spec, "version", "") == "latest":  # Feast's default, and no version
                each.spec.ClearField("version")
    document = MessageToDict(proto, preserving_proto_field_name=True)
    # Absolute where an older `feast apply` wrote them.
    return {name: _with_portable_paths(part, settings) for name, part in document.items()}


@contextmanager
def open_snapshot(
    snapshot: Mapping[str, Any], config: RepoConfig, versions: Mapping[str, int]
) -> Iterator[FeatureStore]:
    """A feature store that knows the snapshot and nothing else, and reads these versions of the views' tables.

    config: of the repository whose offline store settings hold here.
    """
    proto = ParseDict(dict(snapshot), RegistryProto())
    with scratch_folder("features-dataset-") as folder:
        registry = folder / "registry.db"
        registry.write_bytes(proto.SerializeToString())
        offline = config.offline_store.model_dump() | {"table_versions": dict(versions)}
        known = RepoConfig(
            project=proto.projects[0].spec.name,
            provider="local",
            registry={"registry_type": "file", "path": str(registry), "cache_ttl_seconds": 0},
            offline_store=offline,
            online_store=None,
            entity_key_serialization_version=3,
        )
        known.repo_path = config.repo_path
        yield FeatureStore(config=known)


def _registered_service(store: FeatureStore, name: str) -> FeatureService:
    try:
        service = store.get_feature_service(name)
    except FeatureServiceNotFoundException:
        known = [service.name for service in store.list_feature_services()]
        raise UsageError(
            f"feature_service: the registry knows no feature service {name!r}: {nearest(name, known)}. "
            f"Where feature_repo/ declares it, register it first: feast -c feature_repo apply."
        ) from None
    return service


def _view_versions(service: FeatureService) -> dict[str, int | None]:
    """The version at which a service takes each view, None where it takes what is applied."""
    found: dict[str, int | None] = {}
    for projection in service.feature_view_projections:
        if found.setdefault(projection.name, projection.version_tag) != projection.version_tag:
            raise UsageError(
                f"feature service {service.name} takes {projection.name} at several versions, which a dataset cannot "
                f"pin beside each other. Make a service of each."
            )
    return found


def _refuse_pinned_sources(service: FeatureService, view: OnDemandFeatureView, pinned: Sequence[str]) -> None:
    if pinned:
        raise UsageError(
            f"feature service {service.name} takes {pinned[0]} at a version, while its on-demand view {view.name} "
            f"reads {pinned[0]} as it is applied. Make a service of each."
        )


def _with_portable_paths(value: Any, settings: Settings) -> Any:
    if isinstance(value, dict):
        return {name: _with_portable_paths(each, settings) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_portable_paths(each, settings) for each in value]
    is_in_data = isinstance(value, str) and value.startswith(f"{settings.data}/")
    return portable_path(Path(value), settings) if is_in_data else value

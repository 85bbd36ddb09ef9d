"""A pinned dataset in Feast's registry: a saved dataset, with its feature service, manifest and hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from feast import FeatureStore
from feast.errors import SavedDatasetNotFound
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.protos.feast.core.FeatureService_pb2 import FeatureService as FeatureServiceProto
from feast.saved_dataset import SavedDataset
from google.protobuf.json_format import ParseDict

from transformations.datasets.manifest import FILE, Manifest
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings
from transformations.stores.base.places import portable_path
from transformations.stores.base.source_paths import SPLIT_FILES


def _validation_references(name: str, store: FeatureStore) -> Iterator[str]:
    for reference in store.registry.list_validation_references(store.project):
        if reference.dataset_name == name:
            yield f"validation reference {reference.name}"


Referrer: TypeAlias = Callable[[str, FeatureStore], Iterable[str]]
REFERRERS: tuple[Referrer, ...] = (_validation_references,)
"""Who may refer to a dataset by its name, each telling those who do. Its own saved dataset in the registry does not.
Rooms above this one add theirs in their call, as models do."""


def refuse_referred(name: str, store: FeatureStore, referrers: Sequence[Referrer] = REFERRERS) -> None:
    """UsageError where something refers to a dataset, which must then stay as it is."""
    found = [each for referrer in referrers for each in referrer(name, store)]
    if found:
        raise UsageError(
            f"dataset {name} stays: {', '.join(found)} refers to it. Remove that first (of a model: archive the "
            f"version), or make a dataset of another name."
        )


def register(store: FeatureStore, manifest: Manifest, settings: Settings) -> None:
    """Tell Feast's registry of a dataset; `store.get_saved_dataset(name).to_df()` then gives it, with its splits."""
    store.registry.apply_saved_dataset(_saved_dataset(manifest, settings), store.project, commit=True)


def is_registered(store: FeatureStore, manifest: Manifest) -> bool:
    """Whether the registry knows the dataset of that name with this content."""
    try:
        found = store.registry.get_saved_dataset(manifest.name, store.project)
    except SavedDatasetNotFound:
        return False
    return all(found.tags.get(tag) == value for tag, value in _content_tags(manifest).items())


def _content_tags(manifest: Manifest) -> dict[str, str]:
    return {f"{split.name}.content_hash": split.content_hash for split in manifest.splits}


def _saved_dataset(manifest: Manifest, settings: Settings) -> SavedDataset:
    folder = settings.datasets_dir / manifest.name
    (service,) = manifest.registry["feature_services"]
    spec = ParseDict(service, FeatureServiceProto()).spec
    dataset = SavedDataset(
        name=manifest.name,
        features=[
            f"{projection.feature_view_name_alias or projection.feature_view_name}:{column.name}"
            for projection in spec.features
            for column in projection.feature_columns
        ],
        join_keys=join_keys(manifest),
        full_feature_names=manifest.config.full_feature_names,
        storage=SavedDatasetFileStorage(path=portable_path(folder / SPLIT_FILES, settings)),
        tags={
            "manifest": portable_path(folder / FILE, settings),
            **({"label": manifest.config.label.column} if manifest.config.label else {}),
            "code_revision": manifest.code_revision,
            **_content_tags(manifest),
            **{f"{table.name}.version": str(table.version) for table in manifest.views if table.version is not None},
        },
        feature_service_name=manifest.config.feature_service,
        description=manifest.config.description,
    )
    dataset.min_event_timestamp = min(split.first for split in manifest.splits)
    dataset.max_event_timestamp = max(split.last for split in manifest.splits)
    return dataset


def join_keys(manifest: Manifest) -> list[str]:
    """The columns of the dataset that are join keys, under the roles that the service gives them."""
    views = {view["spec"]["name"]: view["spec"] for view in manifest.registry.get("feature_views", ())}
    projections = manifest.registry["feature_services"][0]["spec"]["features"]
    used = [(each["feature_view_name"], each.get("join_key_map", {})) for each in projections]
    used += [(name, {}) for name in views if name not in dict(used)]  # read for on-demand features only
    keys = [
        role.get(column["name"], column["name"])
        for name, role in used
        if name in views
        for column in views[name].get("entity_columns", ())
        if column["name"] != DUMMY_ENTITY_ID
    ]
    return list(dict.fromkeys(keys))

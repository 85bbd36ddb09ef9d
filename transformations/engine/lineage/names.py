"""The names of jobs and datasets in OpenLineage events: those that Feast gives, so that both graphs are one.

Feast (openlineage/identity.py, mappers.py) names a view, its batch source, a service, an entity and a saved dataset as
they are called, a view's rows in the online store `online_store_<view>`, and puts all of them into the project's
namespace. What Feast does not know, raw tables, files and models, has names that none of its objects can have.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import yaml

from transformations.engine.base.settings import Settings

FILES = "file"
"""The namespace of delivered files, as OpenLineage's naming asks; their names are absolute paths."""
# Feast's own variable for the folder that its `-c` names (feast/cli/cli.py:91).
_FOLDER_VARIABLE = "FEATURE_REPO_DIR_ENV_VAR"


@dataclass(frozen=True)
class Project:
    """The Feast project that events belong to. emits: whether Feast itself emits events of what Feast does."""

    name: str
    namespace: str
    emits: bool = False


class StoreConfig(Protocol):
    """What Feast's configuration of a store says of lineage."""

    @property
    def project(self) -> str:
        """The store's project."""

    @property
    def openlineage(self) -> Any:
        """Its `openlineage:` in feature_store.yaml; None without."""


def project_of(settings: Settings) -> Project:
    """The project that our feature_store.yaml declares; one of the default's name where it cannot be read."""
    named = os.environ.get(_FOLDER_VARIABLE)
    path = (Path(named) if named else settings.project_root / "feature_repo") / "feature_store.yaml"
    try:
        return _project(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, yaml.YAMLError):  # which whoever needs the file tells of
        return Project("feature_platform", "feature_platform")


def project_in(store: StoreConfig) -> Project:
    """The project of a feature store, which need not be our own."""
    given, name = store.openlineage, store.project
    return Project(name, _namespace(given.namespace if given else "", name), bool(given and given.enabled))


def raw_dataset(source: str) -> str:
    """A source's raw table, by the name that a spine's SQL has for it."""
    return f"raw.{source}"


def online_dataset(view: str) -> str:
    """A view's rows in the online store."""
    return f"online_store_{view}"


def model_dataset(model: str) -> str:
    """The scores of a model, which Feast knows nothing of."""
    return f"model.{model}"


def materialize_job(project: Project) -> str:
    """The job of loading the online store."""
    return f"materialize_{project.name}"


def saved_dataset_job(dataset: str) -> str:
    """The job of making a training dataset."""
    return f"saved_dataset_{dataset}"


@lru_cache(maxsize=8)
def _project(path: Path, _modified: int) -> Project:
    document = yaml.safe_load(os.path.expandvars(path.read_text(encoding="utf-8")))
    found = document if isinstance(document, dict) else {}
    name = str(found.get("project", "feature_platform"))
    given = found.get("openlineage")
    own = given if isinstance(given, dict) else {}
    return Project(name, _namespace(str(own.get("namespace") or ""), name), bool(own.get("enabled")))


def _namespace(configured: str, project: str) -> str:
    """As Feast resolves it (openlineage/identity.py:resolve_namespace)."""
    if configured.strip() in ("", "feast"):
        return project
    configured = configured.strip()
    return configured if configured == project or configured.endswith(f"/{project}") else f"{configured}/{project}"

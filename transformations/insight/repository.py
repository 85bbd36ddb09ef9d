"""The feature repository as the commands read it: its views held against their contracts, and Feast's store over it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.settings import Settings
from transformations.engine.vocabulary.resolution import Resolved, resolve

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from feast.repo_contents import RepoContents

    from transformations.engine.expected.model import ExpectedView
    from transformations.engine.vocabulary.definitions import Definition

# Feast's own variable for the folder that its `-c` names (feast/cli/cli.py:91): both commands follow it.
_FOLDER_VARIABLE = "FEATURE_REPO_DIR_ENV_VAR"

_NEEDED = ("project", "registry", "offline_store", "online_store")


@dataclass(frozen=True)
class OfferedView:
    """A view of the repository, with its definition held against its contracts."""

    view: FeatureView
    resolved: Resolved


@dataclass(frozen=True)
class Repository:
    """What `feature_repo/` offers. unoffered: the places of definitions that no view offers."""

    folder: Path
    views: Mapping[str, OfferedView]
    unoffered: Mapping[str, Definition]

    def select(self, names: Sequence[str]) -> list[OfferedView]:
        """The views of these names, all without any; UsageError with the nearest name for an unknown one."""
        for name in names:
            if name not in self.views:
                raise UsageError(f"{self.folder.name}/ offers no view {name!r}: {nearest(name, self.views)}.")
        return [offered for name, offered in self.views.items() if not names or name in names]


def repository_folder(settings: Settings) -> Path:
    """The folder of feature_store.yaml: the one that Feast's variable names, else the project's `feature_repo/`."""
    named = os.environ.get(_FOLDER_VARIABLE)
    return Path(named).absolute() if named else settings.project_root / "feature_repo"


def read_repository(settings: Settings) -> Repository:
    """Load the repository as Feast does, and resolve every view's definition."""
    from transformations.stores.base.views import contract_reader, find_unoffered, read_offers

    folder = repository_folder(settings)
    offers = read_offers(folder)
    read = contract_reader(settings)
    views = {offer.view.name: OfferedView(offer.view, resolve(offer.definition, read)) for offer in offers}
    return Repository(folder, views, find_unoffered(offers))


def read_expectations(repository: Repository, settings: Settings) -> dict[str, ExpectedView]:
    """By view, what is written of its values; views without such a file are left out."""
    from transformations.engine.expected.files import read_expected

    found = {name: read_expected(name, settings.expectations) for name in repository.views}
    return {name: expected for name, expected in found.items() if expected is not None}


def read_contents(settings: Settings) -> RepoContents:
    """Everything that the repository declares, as Feast objects, with the project that Feast would add."""
    from transformations.stores.base.views import contents_of_project

    folder = repository_folder(settings)
    _check_configuration(folder)
    return contents_of_project(folder)


def open_store(settings: Settings) -> FeatureStore:
    """Feast's own store over the repository."""
    return open_store_at(repository_folder(settings))


def open_store_at(folder: Path) -> FeatureStore:
    """Feast's own store over the repository in this folder."""
    from feast import FeatureStore

    _check_configuration(folder)
    return FeatureStore(repo_path=str(folder))


def registered_views(settings: Settings) -> dict[str, FeatureView]:
    """The views that Feast's registry knows, by name; none where there is no registry yet. Makes no registry."""
    if settings.registry_url is None and not settings.registry_path.exists():
        return {}
    store = open_store(settings)
    return {view.name: view for view in store.registry.list_feature_views(store.project, allow_cache=False)}


def _check_configuration(folder: Path) -> None:
    """UsageError for a feature_store.yaml that cannot be read, or that leaves it to Feast which stores to use.

    Of a file that was cut short Feast would take the rest, and its own stores for those that are no longer named.
    """
    file = folder / "feature_store.yaml"
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{file} is missing. Bring it back from a copy.") from None
    except OSError as error:
        raise known_fault(error) or error from error
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{file} is no YAML: {error}. Bring it back from a copy.") from None
    lacking = [key for key in _NEEDED if not isinstance(document, Mapping) or key not in document]
    if lacking:
        raise UsageError(f"{file} lacks {', '.join(lacking)}. Bring it back from a copy.")

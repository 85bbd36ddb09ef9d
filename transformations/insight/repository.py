"""The feature repository as the commands read it: its views held against their contracts, and Feast's store over it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import ValidationError

from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import FeaturesError, UsageError, nearest
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import HIDDEN, show_address
from transformations.engine.vocabulary.resolution import Resolved, resolve

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView, RepoConfig
    from feast.repo_contents import RepoContents

    from transformations.engine.expected.model import ExpectedView
    from transformations.engine.vocabulary.definitions import Definition

# Feast's own variable for the folder that its `-c` names (feast/cli/cli.py:91): both commands follow it.
_FOLDER_VARIABLE = "FEATURE_REPO_DIR_ENV_VAR"

_NEEDED = ("project", "registry", "offline_store", "online_store")
# What may be told of a configuration: names and class paths under these keys.
_SHOWN_KEYS = frozenset({"project", "provider", "type", "registry_type"})
_NAME = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)


class _NoRegistryError(Exception):
    """Why a registry's address can hold no registry, in words of ours."""


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
    """Feast's own store over the repository in this folder; UsageError for a configuration that Feast refuses."""
    from feast import FeatureStore

    return FeatureStore(repo_path=str(folder), config=read_configuration(folder))


def read_configuration(folder: Path) -> RepoConfig:
    """A repository's feature_store.yaml; UsageError, without what may be a secret, where Feast could not use it."""
    _check_configuration(folder)
    file = folder / "feature_store.yaml"
    try:
        return _read_configuration(folder, file)
    except FeaturesError:
        raise
    except Exception as error:
        if (fault := known_fault(error)) is not None:
            raise fault from error
        raise UsageError(f"{file}: {_fault_text(error, file)}. Correct it, or bring it back from a copy.") from error


def _read_configuration(folder: Path, file: Path) -> RepoConfig:
    """The configuration, with all that it names found: Feast would look for the rest when it is first used."""
    from feast.infra.provider import get_provider
    from feast.infra.registry.registry import get_registry_store_class_from_scheme
    from feast.repo_config import load_repo_config

    config = load_repo_config(folder, file)
    get_provider(config)
    registry, *_ = config.registry, config.offline_store, config.online_store, config.batch_engine
    if registry.registry_type == "file" and registry.registry_store_type is None:
        try:
            get_registry_store_class_from_scheme(registry.path)
        except Exception as error:
            raise UsageError(
                f"{file}: registry.path, {show_address(registry.path)}, is the address of no file. Give a path, or an "
                f"address that begins with file://, s3://, gs:// or hdfs://; a database needs `registry_type: sql`. "
                "Correct it, or bring it back from a copy."
            ) from error
    elif registry.registry_type == "sql":
        _find_registry(registry.path)
    return config


def _find_registry(path: str) -> None:
    """An error for a URL that names no database, dialect or plugin that is there."""
    from sqlalchemy import dialects, make_url

    url = make_url(path)
    url.get_dialect()
    filled_in = url.normalized_query.get("plugin", ())
    for plugin in filled_in:
        dialects.plugins.load(plugin)
    if url.get_backend_name() == "sqlite" and not (filled_in or url.database):
        raise _NoRegistryError("registry.path names a SQLite database in memory, which would forget what is applied")


def _fault_text(error: Exception, file: Path) -> str:
    """What is wrong, without the values that were given: an address may hold a password."""
    from sqlalchemy.exc import NoSuchModuleError

    causes = (error, error.__context__)
    if invalid := next((each for each in causes if isinstance(each, ValidationError)), None):
        faults = invalid.errors(include_input=False, include_context=False, include_url=False)
        said = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
    elif isinstance(error, (NoSuchModuleError, _NoRegistryError)) or type(error).__module__ == "feast.errors":
        said = str(error)
    else:
        return type(error).__name__
    document = yaml.safe_load(os.path.expandvars(file.read_text(encoding="utf-8")))  # as Feast reads it
    for value in sorted(set(_unshown(document)), key=len, reverse=True):
        said = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", HIDDEN, said)
    return said.rstrip(".'\"")


def _unshown(value: object, key: object = None) -> Iterator[str]:
    """Every text of a configuration that may not be told."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _unshown(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _unshown(each)
    elif isinstance(value, str) and value and not (key in _SHOWN_KEYS and _NAME.fullmatch(value)):
        yield value


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
        raise UsageError(f"{file} is no YAML: {_fault_of_yaml(error)}. Bring it back from a copy.") from None
    lacking = [key for key in _NEEDED if not isinstance(document, Mapping) or key not in document]
    if lacking:
        raise UsageError(f"{file} lacks {', '.join(lacking)}. Bring it back from a copy.")


def _fault_of_yaml(error: Exception) -> str:
    """What is wrong and where, without the line itself and what is quoted of it."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem is None or error.problem_mark is None:
        return str(error)
    what = re.split(" ?['\"]", error.problem)[0]
    return f"{what}{'' if what == error.problem else ' …'} in line {error.problem_mark.line + 1}"

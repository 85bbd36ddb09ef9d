"""The checks of `features doctor`: this machine, its services and the data folder, each with its remedy."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import DataError, DiskError, FeaturesError, ServiceUnavailableError
from transformations.engine.base.files.bucket import bucket_of
from transformations.engine.base.settings import Settings, file_in_place_of, get_settings, unknown_variables
from transformations.engine.base.words import human_bytes, plural, show_address, show_reason
from transformations.engine.launch.java import find_java
from transformations.engine.upkeep.integrity import Examined, examine_artifacts, examine_tables
from transformations.insight.model_copies import REMEDY, copies_text, lost_artifacts, standings
from transformations.insight.repository import open_store, read_configuration, registered_views, repository_folder
from transformations.local import redis as embedded
from transformations.stores.base.source_paths import is_elsewhere
from transformations.stores.redis.idle import within
from transformations.stores.registry import registry_url, url_to_open

FREE_BYTES_FAIL = 500 * 2**20
FREE_BYTES_WARN = 5 * 2**30


@dataclass(frozen=True)
class Check:
    """One thing that was checked, its status, and what to do about it."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""
    is_service: bool = field(default=False, kw_only=True)


def exit_code(checks: list[Check]) -> int:
    """0 if nothing fails, 4 if only services do, else 3."""
    failed = [check for check in checks if check.status == "fail"]
    if not failed:
        return 0
    return 4 if all(check.is_service for check in failed) else 3


def run_checks(*, deep: bool = False) -> Iterator[Check]:
    """All checks in the order in which one would mend them; those after a broken setting cannot run.

    deep: of every stored file too.
    """
    yield _check_python()
    yield from _check_packages()
    yield from _check_variables()
    try:
        settings = get_settings()
    except FeaturesError as error:
        yield Check("settings", "fail", str(error), "Correct the variable named above, or unset it.")
        return
    for check in _CHECKS_OF_SETTINGS:
        yield check(settings)
    if deep:
        yield from _check_stored_files(settings)


def _check_python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info < (3, 14):
        return Check("python", "ok", f"{version} ({sys.executable})")
    return Check("python", "fail", f"{version} ({sys.executable})", "Use Python 3.11, 3.12 or 3.13: make clean install")


def _check_packages() -> Iterator[Check]:
    groups: dict[str, list[str]] = {}
    for requirement in importlib.metadata.requires("feature-platform") or []:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        system = re.search(r"sys_platform == ['\"](\w+)['\"]", requirement)
        if name and (system is None or system.group(1) == sys.platform):
            groups.setdefault(extra.group(1) if extra else "base", []).append(name.group())
    complete = [group for group, names in groups.items() if all(map(_is_installed, names))]
    yield Check("packages", "ok", f"installed: {', '.join(complete)}")
    for group in groups.keys() - set(complete) - {"dev"}:
        missing = ", ".join(name for name in groups[group] if not _is_installed(name))
        if group == "base":
            yield Check("packages", "fail", f"{missing} missing", "pip install feature-platform, or make install")
        else:
            remedy = f"If this machine is to do that work: pip install 'feature-platform[{group}]'"
            yield Check("packages", "warn", f"without `{group}`: {missing} missing", remedy)


def _check_variables() -> Iterator[Check]:
    for variable, remedy in unknown_variables(os.environ):
        yield Check("settings", "warn", f"no setting reads {variable}", f"{remedy[0].upper()}{remedy[1:]}")


def _check_data_folder(settings: Settings) -> Check:
    folder = next(folder for folder in (settings.data, *settings.data.parents) if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Check("data", "fail", f"{folder} cannot be written", "Set FEATURES_DATA to a folder of yours.")
    for zone in (settings.raw_dir, settings.offline_dir, settings.datasets_dir, settings.redis_dir, settings.spark_dir):
        if file := file_in_place_of(zone):
            return Check("data", "fail", f"{file} is a file where a folder is needed", "Move it away.")
    free = shutil.disk_usage(folder).free
    detail = f"{settings.data}, {human_bytes(free)} free"
    if (bucket := bucket_of(settings.data)) is not None:
        try:
            bucket.folders(settings.data)
        except FeaturesError as error:
            return Check("data", "fail", error.message, is_service=isinstance(error, ServiceUnavailableError))
        detail = f"{bucket.url}, copies in {detail}"
    remedy = "Free some space, or set FEATURES_DATA to a folder on a larger disk."
    if free < FREE_BYTES_FAIL:
        return Check("data", "fail", detail, remedy)
    return Check("data", "warn", detail, remedy) if free < FREE_BYTES_WARN else Check("data", "ok", detail)


def _check_java(settings: Settings) -> Check:
    if not _is_installed("pyspark"):
        return Check("java", "ok", "not needed: Spark is not installed")
    try:
        java = find_java(settings)
    except FeaturesError as error:
        is_service = isinstance(error, ServiceUnavailableError)
        return Check("java", "fail", str(error), is_service=is_service)
    except OSError as error:
        return Check("java", "fail", f"the packaged runtime needs a folder in {settings.data}: {error}")
    detail = f"{java.version} from {java.origin}"
    if java.notes:
        return Check("java", "warn", detail, f"{'; '.join(java.notes)}. Correct or unset it.")
    return Check("java", "ok", detail)


def _check_redis(settings: Settings) -> Check:
    if settings.redis_url:
        return _check_configured_redis(settings.redis_url.get_secret_value(), settings)
    if server := embedded.status(settings):
        return Check(
            "redis", "ok", f"{server.version}, our own, process {server.process_id}, {plural(server.keys, 'key')}"
        )
    if embedded.is_embedded_installed():
        return Check("redis", "ok", "our own, not running; it starts on first use")
    remedy = "Set FEATURES_REDIS_URL=redis://host:6379/0, or: pip install 'feature-platform[local]'"
    return Check("redis", "fail", "no URL is set and no server is installed", remedy)


def _check_configured_redis(url: str, settings: Settings) -> Check:
    wait = settings.redis_read_timeout_ms / 1000
    address = show_address(url)
    try:
        with Redis.from_url(url, socket_timeout=wait, socket_connect_timeout=wait, retry=None) as client:
            is_redis = within(settings.redis_read_timeout_ms, client.ping, abandon=client.close)
    except (ValueError, TypeError) as error:
        remedy = "Correct FEATURES_REDIS_URL; percent-encode what its password has of / ? # @ and blanks."
        return Check("redis", "fail", f"{address} is no URL of Redis ({type(error).__name__})", remedy)
    except RedisError as error:
        remedy = "Start that server, or correct FEATURES_REDIS_URL."
        return Check("redis", "fail", f"{address} does not answer: {show_reason(error)}", remedy, is_service=True)
    if not is_redis:
        return Check("redis", "fail", f"{address} answers, but not as Redis does", "Correct FEATURES_REDIS_URL.")
    return Check("redis", "ok", f"{address} answers")


def _check_repository(settings: Settings) -> Check:
    """Whether Feast can use its file, which it reads before any code of ours: `feast` itself would show a trace."""
    folder = repository_folder(settings)
    if not folder.exists():
        return Check("repository", "ok", f"{folder} is not here")
    try:
        read_configuration(folder)
    except FeaturesError as error:
        return Check("repository", "fail", error.message)
    return Check("repository", "ok", str(folder))


def _check_registry(settings: Settings) -> Check:
    try:
        url = registry_url(settings)
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
            where = show_address(settings.registry_url) if settings.registry_url else url.database
            return Check("registry", "ok", f"{where}, not made yet; `feast -c feature_repo apply` makes it")
        if url.get_backend_name() == "sqlite" and url.database and Path(url.database).stat().st_size == 0:
            remedy = "Bring it back from a copy; without one, remove it and run: feast -c feature_repo apply"
            return Check("registry", "fail", f"{url.database} is empty", remedy)
        with create_engine(url_to_open(settings)).connect() as connection:
            if url.get_backend_name() == "sqlite":
                _refuse_damaged_database(connection)
        if elsewhere := _views_elsewhere(settings):
            found = f"it was written for another data folder, by {', '.join(elsewhere)}"
            return Check("registry", "fail", found, "Apply what is declared here: feast -c feature_repo apply")
    except FeaturesError as error:
        return Check("registry", "fail", str(error))
    except (SQLAlchemyError, sqlite3.Error) as error:
        if fault := known_fault(error):
            return Check("registry", "fail", fault.message)
        found = f"{_registry_text(settings)} cannot be opened: {show_reason(error)}"
        return Check("registry", "fail", found, "Start that server, or correct FEATURES_REGISTRY_URL.", is_service=True)
    return Check("registry", "ok", _registry_text(settings))


def _registry_text(settings: Settings) -> str:
    return show_address(settings.registry_url) if settings.registry_url else f"sqlite:///{settings.registry_path}"


def _views_elsewhere(settings: Settings) -> list[str]:
    """Views whose tables an older registry, with absolute paths, seeks in another data folder."""
    sources = {name: view.batch_source for name, view in registered_views(settings).items()}
    return sorted(name for name, source in sources.items() if is_elsewhere(source, settings))


def _refuse_damaged_database(connection: Connection) -> None:
    """DataError where SQLite finds its file damaged, or other tables in it than Feast's."""
    found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
    tables = set(inspect(connection).get_table_names())
    if found == "ok" and (not tables or "feature_views" in tables):
        return
    what = f"SQLite says: {found}" if found != "ok" else "it holds other tables than Feast's registry"
    raise DataError(
        f"{connection.engine.url.database} is damaged: {what}. Bring it back from a copy, or move it away and run "
        f"`feast -c feature_repo apply`."
    )


def _check_stored_files(settings: Settings) -> Iterator[Check]:
    """A line a table, dataset and model's version; where something is wrong, a line a fault.

    The imports need the extra `batch`.
    """
    from transformations.datasets.create import examine_datasets

    for zone, examine in (
        ("tables", partial(examine_tables, settings.raw_dir, settings.offline_dir)),
        ("datasets", partial(examine_datasets, settings)),
        ("models", partial(examine_artifacts, settings.models_dir)),
    ):
        try:
            for examined in examine():
                yield from _checks_of_files(examined)
        except DiskError as error:  # a file in the place of a folder: the rest is examined all the same
            yield Check(zone, "fail", error.message)
    with suppress(FeaturesError, SQLAlchemyError):  # of a registry that another check has told of
        yield from _lost_datasets(settings)
        for version, folder in lost_artifacts(standings(settings), settings):
            archive = f"features model promote {version} --to archived --why lost"
            remedy = f"Bring it back from a copy, or archive the version: {archive}"
            yield Check("model", "fail", f"{version}: it is registered, and {folder} is gone", remedy)


def _lost_datasets(settings: Settings) -> Iterator[Check]:
    """A line for each dataset that Feast's registry knows and whose folder is gone."""
    if settings.registry_url is None and not settings.registry_path.exists():
        return
    store = open_store(settings)
    for saved in store.list_saved_datasets(allow_cache=False):
        folder = settings.datasets_dir / saved.name
        if "manifest" in saved.tags and not folder.is_dir():
            found = f"{saved.name}: it is registered, and {folder} is gone"
            remedy = f"Bring it back from a copy, or let it go: features dataset delete {saved.name}"
            yield Check("dataset", "fail", found, remedy)


def _checks_of_files(found: Examined) -> Iterator[Check]:
    remedy = "Bring it back from a copy, or undo what wrote it: docs/operations.md, `Damaged files`."
    for fault in found.faults:
        yield Check(found.zone, "fail", f"{found.name}: {fault}", "" if "`" in fault else remedy)
    if found.faults:
        return
    detail = f"{found.name}: {plural(found.files, 'file')}, {human_bytes(found.size_bytes)}, as they were written"
    if found.unrecorded:
        without = f"no checksum recorded of {plural(found.unrecorded, 'file')}, read whole instead"
        yield Check(found.zone, "warn", f"{detail}; {without}")
    else:
        yield Check(found.zone, "ok", detail)
    if found.given_up:
        versions = ", ".join(map(str, found.given_up))
        yield Check(found.zone, "warn", f"{found.name}: files of version {versions} are gone, as vacuum gives them up")


def _check_models(settings: Settings) -> Check:
    try:
        known = standings(settings)
    except (FeaturesError, SQLAlchemyError, ImportError) as error:
        return Check("models", "warn", f"the log of versions cannot be read: {show_reason(error)}", "See the registry.")
    if not known:
        return Check("models", "ok", "none has a version yet")
    is_same, text = copies_text(known, settings)
    return Check("models", "ok", text) if is_same else Check("models", "warn", text, REMEDY)


_CHECKS_OF_SETTINGS: tuple[Callable[[Settings], Check], ...] = (
    _check_data_folder,
    _check_java,
    _check_redis,
    _check_repository,
    _check_registry,
    _check_models,
)


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True

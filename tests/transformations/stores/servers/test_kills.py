"""A materializing process killed at any point: what is served stays right, nothing is stuck, and a rerun completes it.

Three moments in every run of the tests; `make kill-test` takes more, at random.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from feast.feature_view import FeatureViewState

from tests.worlds.processes import forking, run_script

FEATURES = ["user_visits:visits", "user_visits:spent", "user_visits:page"]
END = datetime(2024, 6, 1, tzinfo=UTC)
EARLIER = datetime(2024, 5, 1, tzinfo=UTC)
SEED = int(os.environ.get("KILL_SEED", "20240501"))
KILLS = int(os.environ.get("KILLS", "3"))

# The process that is killed; from a server that has imported everything, so that a kill costs no start-up.
MATERIALIZE = """
from datetime import UTC, datetime
from feast import FeatureStore
FeatureStore(repo_path={repository!r}).materialize(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
"""
YAML = """
project: test
provider: local
registry:
  registry_type: sql
  path: "sqlite:///{repository}/registry.db"
  serve_features_while_materializing: true
online_store:
  type: transformations.stores.online.PackedRedisOnlineStore
  connection_string: "127.0.0.1:{port}"
offline_store: {{type: transformations.stores.offline.PointInTimeOfflineStore}}
batch_engine: {{type: transformations.stores.materialization.BulkMaterializationEngine}}
entity_key_serialization_version: 3
"""


@pytest.fixture
def new_process() -> Callable[[Path], Any]:
    """A process, not yet started, that runs this script."""
    return lambda script: forking().Process(target=run_script, args=(str(script), dict(os.environ)))


def look(store: FeatureStore) -> dict[str, list[Any]]:
    return store.get_online_features(FEATURES, {"user_id": list(range(3_000))}).to_dict()


@pytest.mark.proof
def test_a_materialization_killed_at_any_point_leaves_only_right_rows_and_a_rerun_completes_it(
    tmp_path: Path,
    server_of: Callable[..., Any],
    way_to: Callable[..., Any],
    serving: Callable[..., FeatureStore],
    expected: dict[str, list[Any]],
    new_process: Callable[[Path], Any],
) -> None:
    server = server_of("--appendonly", "yes")
    way = way_to(server)
    store = serving(connection_string=server.url)
    (tmp_path / "feature_store.yaml").write_text(YAML.format(repository=tmp_path, port=way.port))
    script = tmp_path / "materialize.py"
    script.write_text(MATERIALIZE.format(repository=str(tmp_path)))
    earlier = expected | {"visits": [user * 10 for user in expected["user_id"]]}

    def begin() -> None:
        server.client.flushall()
        store.materialize(datetime(2024, 1, 1, tzinfo=UTC), EARLIER)

    for _ in range(2):  # the first one also loads the script that writes
        begin()
        way.after(10**12, lambda: None)
        clean = new_process(script)
        clean.start()
        clean.join(60)
        assert (clean.exitcode, look(store)) == (0, expected)
    needed = int(way.passed * 0.98)  # how many it takes differs a little from run to run

    chosen = random.Random(SEED)
    for kill in range(KILLS):
        begin()
        process = new_process(script)
        point = chosen.randrange(needed)
        way.after(point, lambda process=process: process.kill())
        process.start()
        process.join(60)
        where = f"kill {kill} after {point} of {needed} bytes (KILL_SEED={SEED})"
        assert process.exitcode == -9, where
        found = look(store)
        rows = zip(found["visits"], earlier["visits"], expected["visits"], strict=True)
        assert all(visits in (older, newer) for visits, older, newer in rows), where
        assert all(found[name] == expected[name] for name in ("user_id", "spent", "page")), where
        store.refresh_registry()
        store.materialize_incremental(END)
        assert look(store) == expected, where
        assert store.get_feature_view("user_visits").state == FeatureViewState.AVAILABLE_ONLINE, where
    print(f"\nkills: {KILLS} of materialize, which writes {needed:,} bytes: {KILLS} certainly interrupted it")

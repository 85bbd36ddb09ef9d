"""`make bench-on-demand`: Feast's own on-demand views, mode pandas and python, on our stores and on Feast's.

Whole calls: a lookup of one row and of a hundred, each side with its own Redis 8 on loopback, and a training frame of
200,000 rows from one Parquet file, beside Feast's DuckDB store. Each side runs in a process of its own; the first call
for a training frame in it, which also starts what a process starts once, is reported beside the one after it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from harness import Bar, Finding, in_fresh_process, in_turns, options, report
from online_sides import END, lookup_table, servers

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore

USERS = 20_000
MODES = ("pandas", "python")
LOOKUPS = {1: 300, 100: 100}
"""How many lookups of so many rows are timed; the median counts."""


def main() -> None:
    """Measure both sides, and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--rows", type=int, default=200_000, metavar="N", help="of the training frame")
    given = parser.parse_args()
    with servers(["stock", "ours"]) as ports:
        sides = {name: partial(_measured, name, port, given.rows) for name, port in ports.items()}
        measured = in_turns(sides, given.repeat)
    ours, stock = measured["ours"], measured["stock"]
    cases = [(f"mode {mode}, {rows} rows", "lookup", f"{mode} {rows}", "ms") for mode in MODES for rows in LOOKUPS]
    for call, metric in (("training", "training frame"), ("first training", "training frame, first call")):
        cases += [(f"mode {mode}, {given.rows:,} rows", metric, f"{mode} {call}", "s") for mode in MODES]
    findings = [
        Finding(case, metric, ours[figure], unit, stock[figure], Bar(1, "ratio"))
        for case, metric, figure, unit in cases
    ]
    different = [abs(ours[f"{mode} sum"][0] - stock[f"{mode} sum"][0]) > 1e-6 for mode in MODES]
    findings.append(Finding("both modes", "other values than stock's", [float(sum(different))], "", bar=Bar(0)))
    report("on-demand", findings)


def _measured(side: str, port: int, rows: int) -> dict[str, float]:
    found: dict[str, float] = in_fresh_process(measure, side, port, rows)
    return found


def measure(side: str, port: int, rows: int) -> dict[str, float]:
    """Milliseconds of lookups and seconds of a training frame, by mode, and the sum of what came."""
    from datetime import UTC, datetime

    from feast_functions import ASKED

    with tempfile.TemporaryDirectory() as folder:
        store = _store(side, port, folder)
        store.materialize(datetime(1970, 1, 1, tzinfo=UTC), END, ["stats_0"])
        frame = _spine(rows)
        figures: dict[str, float] = {}
        for mode, names in ASKED.items():
            for count, times in LOOKUPS.items():
                asked = [{"user_id": user, "amount": float(user)} for user in range(count)]
                figures[f"{mode} {count}"] = 1_000 * _median(store, names, asked, times)
            for call in ("first training", "training"):
                began = time.perf_counter()
                found = store.get_historical_features(frame, names).to_df()
                figures[f"{mode} {call}"] = time.perf_counter() - began
                figures[f"{mode} sum"] = float(found[names[0].partition(":")[2]].sum()) / rows
        return figures


def _median(store: FeatureStore, names: list[str], rows: list[dict[str, Any]], times: int) -> float:
    seconds = []
    for _ in range(times + 10):
        began = time.perf_counter()
        store.get_online_features(names, rows).to_dict()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[10:])


def _spine(rows: int) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(3)
    users = random.integers(0, USERS, rows)
    return pd.DataFrame({"user_id": users, "amount": random.random(rows), "event_timestamp": [END] * rows})


def _store(side: str, port: int, folder: str) -> FeatureStore:
    from pathlib import Path

    from feast import FeatureStore, RepoConfig
    from feast_functions import views

    os.environ |= {"FEATURES_DATA": folder, "FEATURES_LINEAGE": "off"}
    ours = "transformations.stores."
    config = RepoConfig(
        project="benchmark",
        provider="local",
        registry={"registry_type": "file", "path": f"{folder}/registry.db"},
        offline_store={"type": ours + "offline.PointInTimeOfflineStore" if side == "ours" else "duckdb"},
        online_store={
            "type": ours + "online.PackedRedisOnlineStore" if side == "ours" else "redis",
            "connection_string": f"127.0.0.1:{port}",
        },
        batch_engine={"type": ours + "materialization.BulkMaterializationEngine" if side == "ours" else "local"},
        entity_key_serialization_version=3,
    )
    config.repo_path = Path(folder)
    store = FeatureStore(config=config)
    (file,) = lookup_table(USERS, 0).iterdir()
    store.apply(views(str(file)))
    return store


if __name__ == "__main__":
    main()

"""Training retrieval in repositories of other people's: Feast's own template, odd names, folders of unlike files."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64, Int64, String

from transformations.stores.training import retrieval

Store = Callable[..., FeatureStore]
Rows = Callable[..., pa.Table]

OURS = "transformations.stores.offline.PointInTimeOfflineStore"


def spine(*rows: tuple[Any, str]) -> pd.DataFrame:
    moments = pd.to_datetime([moment for _, moment in rows], utc=True, format="ISO8601")
    return pd.DataFrame({"user_id": [value for value, _ in rows], "event_timestamp": moments})


def feast(*arguments: str) -> None:
    """One of Feast's own commands, in the folder where this process stands."""
    from feast.cli.cli import cli

    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_a_repository_of_feast_init_that_names_our_class_gets_what_stock_feast_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    feast("init", "driver")
    repository = next(tmp_path.rglob("feature_store.yaml")).parent
    monkeypatch.chdir(repository)  # stock Feast reads a relative path from where it runs
    frames = {}
    for offline in (OURS, "duckdb"):
        config = repository / "feature_store.yaml"
        text = re.sub(r"(?m)^offline_store:\n(?:[ ]+.*\n)*", "", config.read_text())
        config.write_text(f"{text.rstrip()}\noffline_store:\n    type: {offline}\n")
        if offline == OURS:  # what it registers is the same for both
            feast("apply")
        store = FeatureStore(repo_path=str(repository))
        drivers = pq.read_table(next(repository.rglob("driver_stats.parquet"))).to_pandas()
        rows = drivers[["driver_id", "event_timestamp"]].iloc[::97].reset_index(drop=True)
        rows["event_timestamp"] += pd.Timedelta(minutes=30)
        names = ["conv_rate", "acc_rate", "avg_daily_trips"]
        job = store.get_historical_features(rows, [f"driver_hourly_stats:{name}" for name in names])
        frames[offline] = job.to_df().sort_values(["driver_id", "event_timestamp"])
    columns = ["driver_id", *names]
    ours, stock = (frame[columns].reset_index(drop=True).astype("float64") for frame in frames.values())
    assert len(ours) > 10
    assert ours["conv_rate"].notna().all()
    pd.testing.assert_frame_equal(ours, stock, rtol=0)


def test_feature_names_that_end_in_y_and_names_of_our_own_columns_are_names_like_others(
    store_of: Store, user: Entity, table_of: Rows, tmp_path: Path
) -> None:
    names = ("salary_y", "wanted", "_number", "_code", "key_0", "history")
    header = "  ".join(("user_id", "event_timestamp", *names))
    pq.write_table(table_of(f"{header}\n1  2024-05-01  1  2  3  4  5  6"), tmp_path / "pay.parquet")
    view = FeatureView(
        name="user_pay",
        entities=[user],
        schema=[Field(name="user_id", dtype=Int64), *(Field(name=name, dtype=Int64) for name in names)],
        source=FileSource(name="pay", path="pay.parquet", timestamp_field="event_timestamp"),
    )
    job = store_of(user, view).get_historical_features(spine((1, "2024-05-02")), [f"user_pay:{name}" for name in names])
    assert job.to_arrow().select(names).to_pylist() == [dict(zip(names, range(1, 7), strict=True))]


def test_naive_moments_are_utc_in_spine_and_files_alike(
    store_of: Store, user: Entity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    naive = pd.to_datetime(["2024-05-01 00:00", "2024-05-01 03:00"])
    pq.write_table(
        pa.table({"user_id": [1, 1], "event_timestamp": pa.array(naive, pa.timestamp("us")), "spent": [1.0, 2.0]}),
        tmp_path / "visits.parquet",
    )
    view = FeatureView(
        name="user_visits",
        entities=[user],
        schema=[Field(name="user_id", dtype=Int64), Field(name="spent", dtype=Float64)],
        source=FileSource(name="visits", path="visits.parquet", timestamp_field="event_timestamp"),
    )
    rows = pd.DataFrame({"user_id": [1, 1, 1], "event_timestamp": [pd.Timestamp("2024-04-30 23:59"), *naive]})
    frame = store_of(user, view).get_historical_features(rows, ["user_visits:spent"]).to_df()
    assert frame["spent"].fillna(-1).tolist() == [-1.0, 1.0, 2.0]
    assert frame["event_timestamp"].tolist() == rows["event_timestamp"].tolist()


def test_files_of_a_hive_partitioned_tree_may_lack_columns_and_hold_others_in_their_folders_names(
    store_of: Store, user: Entity, table_of: Rows, tmp_path: Path
) -> None:
    old = table_of("user_id  event_timestamp  spent\n1  2024-05-01  1", spent=pa.int32())
    new = table_of(
        "user_id  event_timestamp  spent  page\n1  2024-05-03  2.5  home", spent=pa.float64(), page=pa.string()
    )
    for country, table in (("de", old), ("us", new)):
        folder = tmp_path / "lake" / f"country={country}"
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "part.parquet")
    view = FeatureView(
        name="user_visits",
        entities=[user],
        schema=[
            Field(name="user_id", dtype=Int64),
            Field(name="spent", dtype=Float64),
            Field(name="page", dtype=String),
            Field(name="country", dtype=String),
        ],
        source=FileSource(name="lake", path="lake", timestamp_field="event_timestamp"),
    )
    names = ["spent", "page", "country"]
    rows = spine((1, "2024-05-02"), (1, "2024-05-09"))
    job = store_of(user, view).get_historical_features(rows, [f"user_visits:{name}" for name in names])
    expected = [{"spent": 1.0, "page": None, "country": "de"}, {"spent": 2.5, "page": "home", "country": "us"}]
    assert job.to_arrow().select(names).to_pylist() == expected


def test_a_retrieval_beyond_its_memory_spills_and_gives_the_same(
    store_of: Store, user: Entity, stored: Callable[..., FeatureView], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 20_000
    moments = pa.array([pd.Timestamp("2024-05-01", tz="UTC")] * count, pa.timestamp("us", tz="UTC"))
    table = pa.table({"user_id": list(range(count)), "event_timestamp": moments, "created_timestamp": moments})
    view = stored("user_visits", table.append_column("spent", pa.array([user / 2 for user in range(count)])))
    rows = pa.table({"user_id": list(reversed(range(count))), "event_timestamp": moments})
    kept: list[int] = []
    spilling = retrieval.spill_of

    def nothing_fits(connection: Any, share: float) -> Any:
        kept.append(1)
        return spilling(connection, share / 1e9)

    monkeypatch.setattr(retrieval, "spill_of", nothing_fits)
    spill = tmp_path / "spill"
    store = store_of(user, view, offline_store={"spill": str(spill)})
    found = store.get_historical_features(rows, ["user_visits:spent"]).to_arrow()
    assert len(kept) == 2
    assert found["spent"].to_pylist() == [user / 2 for user in reversed(range(count))]
    assert [path for path in spill.rglob("*") if path.is_file() and path.name != ".in-use"] == []
    shutil.rmtree(spill)

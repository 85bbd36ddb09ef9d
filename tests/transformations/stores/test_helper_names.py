"""Columns of others may be called like anything that our readers, or DuckDB, add to a table on the way."""

import ast
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureView
from feast.types import Int64
from redis import Redis

import transformations
import validation
from transformations.datasets.leakage import check_leakage
from transformations.stores.history.history import history_of
from transformations.stores.history.session_sql import Resources
from transformations.stores.history.stored import Stored
from transformations.stores.training.spine import spine_of
from validation.parity.rows import entities_of, held_at, histories_of

from .paths import LATER, WHEN, entity, everywhere, pulled, visits
from .training_rows import Store

DUCKDB = {"file_index", "file_row_number", "filename", "rowid", "file_size", "file_last_modified"}
FEAST = {"entity_row_id", "entity_df_event_timestamp", "row_number"}
READERS = [
    *Path(*transformations.__path__, "stores").glob("*.py"),
    *Path(*transformations.__path__, "stores", "training").glob("*.py"),
    *Path(*transformations.__path__, "stores", "history").glob("*.py"),
    *Path(*transformations.__path__, "stores", "base").glob("*.py"),
    *Path(*transformations.__path__, "stores", "loads").glob("*.py"),
    Path(*transformations.__path__, "engine", "base", "file_rows_sql.py"),
    Path(*transformations.__path__, "engine", "base", "duck.py"),
    Path(*transformations.__path__, "datasets", "leakage.py"),
    Path(*validation.__path__, "parity", "rows.py"),
]
OWN = {"user_id", "event_timestamp"}


def words_of(file: Path) -> Iterator[str]:
    """Every word in the texts of a module, its docstrings left out."""
    tree = ast.parse(file.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield from re.findall(r"\b[a-z_][a-z0-9_]*\b", node.value)


WORDS = sorted({word for file in READERS for word in words_of(file)} | DUCKDB | FEAST)
NAMES = sorted(
    ({word for word in WORDS if "_" in word} | DUCKDB | FEAST | {"found", "known", "newest", "wanted"}) - OWN
)
SPREAD = ["file_index", "file_row_number", "filename", "_happened", "_place", "_row", "_code", "key_0", "of_row"]


def test_the_names_are_found() -> None:
    assert set(SPREAD) - {"key_0"} <= set(WORDS)
    assert {"_happened", "_place", "_row", "_number", "_code", "key_", "spine_keys", "of_file", "of_row"} <= set(WORDS)


def test_features_may_have_any_name_that_our_code_uses(store_of: Store, redis: Redis, tmp_path: Path) -> None:
    features = [word for word in WORDS if word not in OWN and not word.startswith("__")]
    view = visits(tmp_path / "visits.parquet", dict.fromkeys(features, Int64))
    for half in (0, 2):  # in two files, of which the second holds the features the other way round
        values = {name: [100 * number + 10 * (half + row) for row in (1, 2)] for number, name in enumerate(features)}
        stamps = pa.array([WHEN] * 2, pa.timestamp("us", tz="UTC"))
        columns = list(values.items())[:: 1 - half]
        table = pa.table({"user_id": [half + 1, half + 2], "event_timestamp": stamps, **dict(columns)})
        (tmp_path / "visits.parquet").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "visits.parquet" / f"{half}.parquet")
    store = store_of(entity(), view)
    expected = {name: [100 * number + 10 * row for row in range(1, 5)] for number, name in enumerate(features)}
    assert everywhere(store, view, [1, 2, 3, 4]) == expected
    assert pulled(store, view, [1, 2, 3, 4]) == expected


def test_keys_and_timestamps_may_have_such_names_too(store_of: Store, redis: Redis, tmp_path: Path) -> None:
    views: list[FeatureView] = []
    for number, (key, timestamp) in enumerate(pairwise([*SPREAD, SPREAD[0]])):
        stamps = pa.array([WHEN, WHEN, WHEN - timedelta(hours=1)], pa.timestamp("us", tz="UTC"))
        table = pa.table({"n": [10, 20, 30], key: [1, 2, 1], timestamp: stamps})
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table, path)
        views.append(visits(path, {"n": Int64}, key=key, timestamp=timestamp, name=f"visits_{number}"))
    keys = dict.fromkeys(view.entity_columns[0].name for view in views)
    store = store_of(*map(entity, keys), *views)
    for view in views:
        assert everywhere(store, view, [1, 2, 3]) == {"n": [10, 20, None]}, view.batch_source
        assert pulled(store, view, [1, 2]) == {"n": [10, 20]}


def test_so_may_the_columns_of_a_spine(store_of: Store, tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"n": [10, 20], "user_id": [1, 2], "at": pa.array([WHEN] * 2, pa.timestamp("us", tz="UTC"))}),
        tmp_path / "visits.parquet",
    )
    view = visits(tmp_path / "visits.parquet", {"n": Int64}, timestamp="at")
    spine = pd.DataFrame({"user_id": [2, 1], "event_timestamp": [LATER] * 2, **{name: [name] * 2 for name in NAMES}})
    store = store_of(entity(), view)
    found = store.get_historical_features(spine, ["visits:n"]).to_df()
    pd.testing.assert_frame_equal(found.drop(columns="n"), spine)
    assert found["n"].tolist() == [20, 10]


@pytest.mark.parametrize(("key", "created"), [("_row", "_created"), ("key_0", "file_index"), ("place", "happened")])
def test_ranges_parity_and_the_leakage_check_meet_no_such_name_either(
    store_of: Store, tmp_path: Path, key: str, created: str
) -> None:
    names = sorted({"_row", "_event", "_rank", "_created", "place", "known", "line", "feature_0", *SPREAD})
    features = [name for name in names if name not in (key, created)]
    stamps = pa.array([WHEN] * 2, pa.timestamp("us", tz="UTC"))
    columns = {name: [100 + number, 200 + number] for number, name in enumerate(features)}
    table = pa.table({**columns, key: [1, 2], "event_timestamp": stamps, created: stamps})
    pq.write_table(table, tmp_path / "visits.parquet")
    view = visits(tmp_path / "visits.parquet", dict.fromkeys(features, Int64), key=key)
    view.batch_source.created_timestamp_column = created
    store = store_of(entity(key), view)
    refs = {f"visits:{name}": name for name in features}

    found = store.get_historical_features(None, [*refs], start_date=WHEN, end_date=LATER).to_arrow().sort_by(key)
    assert found.select(features).to_pydict() == columns
    history = history_of(view, tmp_path)
    entities = entities_of(view, [history], None, 1).sort_by(key)
    held = held_at(view, history, entities, LATER)
    assert {name: held.values[name].to_pylist() for name in features} == columns
    assert [row[0].values for row in histories_of(view, history, entities)] == table.select(features).to_pylist()
    checked = check_leakage(
        spine_of(found.select([key, "event_timestamp"])),
        found,
        [Stored(view, history, tuple(features))],
        refs,
        as_served=True,
        resources=Resources(),
    )
    assert [each.found for each in checked] == [2]

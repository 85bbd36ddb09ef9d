"""Appending to the files behind a plain view: `push` and `write_to_offline_store`, whatever the layout of the files."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource
from feast.data_format import DeltaFormat
from feast.data_source import PushMode
from feast.types import Float64, Int64

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.stores.training.append import append

TIMESTAMP = pa.timestamp("us", tz="UTC")
FIRST = "user_id  event_timestamp  spent\n1  2024-05-01  10\n2  2024-05-02  20"


def frame(**columns: list[Any]) -> pd.DataFrame:
    columns["event_timestamp"] = list(pd.to_datetime(columns["event_timestamp"], utc=True))
    return pd.DataFrame(columns)


NEWER = frame(user_id=[1, 3], event_timestamp=["2024-05-03", "2024-05-04"], spent=[30.5, None])


@pytest.fixture
def lake(tmp_path: Path, table_of: Callable[..., pa.Table], user: Entity) -> Callable[[str], FeatureView]:
    """A view over two rows, in a layout of files."""

    def make(layout: str, **more: Any) -> FeatureView:
        table = table_of(FIRST, spent=pa.float64())
        path = {"file": "lake.parquet", "glob": "lake/*.parquet", "hive": "lake/**/*.parquet"}.get(layout, "lake")
        if layout == "delta":
            write_deltalake(tmp_path / path, table)
        elif layout == "file":
            pq.write_table(table, tmp_path / path)
        else:
            for number in range(2):
                folder = tmp_path / "lake" / (f"region={'ab'[number]}" if layout == "hive" else "")
                folder.mkdir(parents=True, exist_ok=True)
                pq.write_table(table.slice(number, 1), folder / f"{number}.parquet")
        file_format = DeltaFormat() if layout == "delta" else None
        source = FileSource(name="lake", path=path, timestamp_field="event_timestamp", file_format=file_format, **more)
        return FeatureView(
            name="user_visits",
            entities=[user],
            schema=[
                Field(name="user_id", dtype=Int64),
                Field(name=source.field_mapping.get("spent", "spent"), dtype=Float64),
            ],
            source=source,
        )

    return make


def spent(store: FeatureStore, *users: int) -> list[float | None]:
    spine = frame(user_id=list(users), event_timestamp=["2024-06-01"] * len(users))
    found: list[float | None] = store.get_historical_features(spine, ["user_visits:spent"]).to_arrow()["spent"]
    return pa.chunked_array(found).to_pylist()


@pytest.mark.parametrize("layout", ["file", "folder", "glob", "hive", "delta"])
def test_appended_rows_are_joined_from_then_on(
    store_of: Callable[..., FeatureStore], user: Entity, lake: Callable[..., FeatureView], tmp_path: Path, layout: str
) -> None:
    store = store_of(user, lake(layout))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    rows = NEWER.assign(region=["b", "c"]) if layout == "hive" else NEWER
    store.write_to_offline_store("user_visits", rows)
    assert spent(store, 1, 2, 3) == [30.5, 20.0, None]
    if layout == "file":
        assert pq.ParquetFile(tmp_path / "lake.parquet").metadata.num_rows == 4
    else:
        assert all(path.read_bytes() == content for path, content in before.items())
    if layout == "hive":
        assert len(list((tmp_path / "lake" / "region=c").glob("*.parquet"))) == 1
    if layout == "delta":
        assert DeltaTable(tmp_path / "lake").version() == 1
    assert list(tmp_path.rglob("*unfinished*")) == []


def test_a_push_reaches_both_stores(
    store_of: Callable[..., FeatureStore], user: Entity, lake: Callable[..., FeatureView]
) -> None:
    view = lake("folder")
    view.stream_source = PushSource(name="visits_push", batch_source=view.batch_source)
    store = store_of(user, view)
    store.push("visits_push", NEWER.head(1), to=PushMode.ONLINE_AND_OFFLINE)
    assert spent(store, 1) == [30.5]
    answer = store.get_online_features(["user_visits:spent"], [{"user_id": 1}]).to_dict()
    assert answer["spent"] == [30.5]


def test_a_renamed_column_is_written_under_its_name_in_the_files(
    store_of: Callable[..., FeatureStore], user: Entity, lake: Callable[..., FeatureView], tmp_path: Path
) -> None:
    view = lake("folder", field_mapping={"spent": "amount"})
    appended = pa.table(
        {
            "amount": [5],
            "user_id": pa.array([2], pa.int32()),
            "event_timestamp": pa.array([pd.Timestamp("2024-05-09")]),
        }
    )
    append(view, appended, tmp_path, Settings(data=tmp_path / "data"))
    (file,) = (tmp_path / "lake").glob("appended-*.parquet")
    table = pq.read_table(file)
    assert table.schema.types == [pa.int64(), TIMESTAMP, pa.float64()]
    assert table.column_names == ["user_id", "event_timestamp", "spent"]
    assert table["spent"].to_pylist() == [5.0]


def test_writers_at_once_lose_no_row_of_a_single_file(
    user: Entity, lake: Callable[..., FeatureView], tmp_path: Path, table_of: Callable[..., pa.Table]
) -> None:
    view = lake("file")
    row = table_of("user_id  event_timestamp  spent\n7  2024-05-05  1", spent=pa.float64())
    writers = [threading.Thread(target=append, args=(view, row, tmp_path, Settings())) for _ in range(5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert pq.read_table(tmp_path / "lake.parquet").num_rows == 7


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"user_id": [1], "event_timestamp": [0]}, "lack spent and have nothing beyond the columns of its files"),
        ({"user_id": [1], "event_timestamp": [0], "spent": [1.0], "tip": [1]}, "lack nothing and have tip beyond"),
        (
            {"user_id": [1.5], "event_timestamp": [0], "spent": [1.0]},
            "column 'user_id' of the rows to append is double",
        ),
    ],
)
def test_rows_that_do_not_fit_the_files_are_refused(
    lake: Callable[..., FeatureView], tmp_path: Path, rows: dict[str, list[Any]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        append(lake("folder"), pa.table(rows), tmp_path, Settings())
    assert len(list((tmp_path / "lake").iterdir())) == 2


def test_a_pattern_that_would_not_find_an_appended_file_is_refused(
    lake: Callable[..., FeatureView], tmp_path: Path
) -> None:
    view = lake("glob")
    assert isinstance(view.batch_source, FileSource)
    view.batch_source.file_options.uri = "lake/[0-9].parquet"
    with pytest.raises(UsageError, match=r"those that match .*lake/\[0-9\]\.parquet, and an appended one"):
        append(view, pa.Table.from_pandas(NEWER), tmp_path, Settings())


def test_a_table_that_builds_write_takes_no_push_whatever_view_names_it(
    lake: Callable[..., FeatureView], tmp_path: Path, settings: Settings
) -> None:
    view = lake("folder")
    view.tags = {"definition_hash": "a"}
    with pytest.raises(UsageError, match="user_visits: its table is written by `features build` alone"):
        append(view, pa.Table.from_pandas(NEWER), tmp_path, settings)
    view.tags = {}
    assert isinstance(view.batch_source, FileSource)
    view.batch_source.file_options.uri = str(settings.offline_dir / "user_visits")
    with pytest.raises(UsageError, match="user_visits: its table is written by `features build` alone"):
        append(view, pa.Table.from_pandas(NEWER), tmp_path, settings)

"""Appending to the files behind a plain view: `push` and `write_to_offline_store`, whatever the layout of the files."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource
from feast.data_format import DeltaFormat
from feast.data_source import PushMode
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Float32, Float64, Int64

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.stores.online import PackedRedisOnlineStore
from transformations.stores.training.append import append

TIMESTAMP = pa.timestamp("us", tz="UTC")
BOTH = PushMode.ONLINE_AND_OFFLINE
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


def key_of(user: int) -> EntityKey:
    return EntityKey(join_keys=["user_id"], entity_values=[Value(int64_val=user)])


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


def test_rows_go_where_this_registry_says_though_another_had_its_content_at_the_same_address(
    store_of: Callable[..., FeatureStore], user: Entity, lake: Callable[..., FeatureView], tmp_path: Path
) -> None:
    store = store_of(user, lake("folder"))
    content = store.registry.cached_registry_proto
    store.registry.get_any_feature_view("user_visits", "test", allow_cache=True)  # Feast keeps it by the address
    (tmp_path / "lake").rename(tmp_path / "moved")
    content.feature_views[0].spec.batch_source.file_options.uri = "moved"
    store.write_to_offline_store("user_visits", NEWER)
    assert len(list((tmp_path / "moved").glob("*.parquet"))) == 3


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


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        (pd.Timestamp("2024-05-03 10:00"), "2024-05-03 10:00"),  # naive is UTC, as in a spine
        (pd.Timestamp("2024-05-03 10:00", tz=BERLIN), "2024-05-03 08:00"),
        ("2024-05-03T10:00:00", "2024-05-03 10:00"),
        ("2024-05-03T10:00:00+02:00", "2024-05-03 08:00"),
    ],
)
@pytest.mark.parametrize("stored", [pa.timestamp("us", tz="UTC"), pa.timestamp("us"), pa.timestamp("ns", tz=BERLIN)])
def test_a_moment_is_appended_as_it_is_pushed_online(
    store_of: Callable[..., FeatureStore],
    user: Entity,
    lake: Callable[..., FeatureView],
    tmp_path: Path,
    given: object,
    moment: str,
    stored: pa.DataType,
) -> None:
    view = lake("file")
    view.stream_source = PushSource(name="visits_push", batch_source=view.batch_source)
    (file,) = tmp_path.glob("*.parquet")
    table = pq.read_table(file)
    stamps = table["event_timestamp"].cast(pa.timestamp("us", tz="UTC")).cast(stored)
    pq.write_table(table.set_column(table.column_names.index("event_timestamp"), "event_timestamp", stamps), file)
    store = store_of(user, view)
    store.push("visits_push", pd.DataFrame({"user_id": [7], "event_timestamp": [given], "spent": [9.0]}), to=BOTH)
    at = pd.Timestamp(moment, tz="UTC")
    spine = pd.DataFrame({"user_id": [7, 7], "event_timestamp": [at, at - pd.Timedelta("1us")]})
    assert store.get_historical_features(spine, ["user_visits:spent"]).to_arrow()["spent"].to_pylist() == [9.0, None]
    (row,) = PackedRedisOnlineStore().online_read(store.config, view, [key_of(7)], ["spent"])
    assert pd.Timestamp(row[0]) == at


BAD: list[tuple[str, list[Any], str]] = [
    (
        "user_id",
        [2**70, 1],
        "join key 'user_id' is declared Int64, but row 0 holds 1180591620717411303424, which cannot",
    ),
    ("user_id", [1, 1.5], "join key 'user_id' is declared Int64, but row 1 holds 1.5, which cannot become Int64"),
    ("user_id", ["\ud800", 1], "join key 'user_id': row 0 holds '\\\\ud800', which is no Unicode text"),
    ("spent", [1.0, "x"], "feature 'spent' has values"),
    ("spent", ["1", "x"], "feature 'spent' is declared Float64, but holds string such as '1'"),
    ("spent", [2**70, 2**53 + 1], "feature 'spent' is declared Float64, but row 1 holds 9007199254740993"),
    ("event_timestamp", [None, pd.Timestamp("2024-05-01")], "column 'event_timestamp' is null at row 0"),
    (
        "event_timestamp",
        ["noon", "2024-05-01"],
        "column 'event_timestamp' is declared UnixTimestamp, but row 0 holds 'noon'",
    ),
    ("note", ["\ud800", "x"], "column 'note': row 0 holds '\\\\ud800', which is no Unicode text"),
    ("note", [2**70, 1], "column 'note' is declared Int64, but row 0 holds 1180591620717411303424"),
]


@pytest.mark.parametrize(("column", "values", "message"), BAD)
def test_a_value_that_cannot_be_appended_is_refused_by_its_row_as_an_online_push_would(
    store_of: Callable[..., FeatureStore],
    user: Entity,
    lake: Callable[..., FeatureView],
    tmp_path: Path,
    column: str,
    values: list[Any],
    message: str,
) -> None:
    view = lake("file")
    view.stream_source = PushSource(name="visits_push", batch_source=view.batch_source)
    (file,) = tmp_path.glob("*.parquet")
    table = pq.read_table(file)
    pq.write_table(table.append_column("note", pa.nulls(2, pa.string())), file)
    store = store_of(user, view)
    rows = pd.DataFrame({"user_id": [1, 2], "event_timestamp": [pd.Timestamp("2024-05-03")] * 2, "spent": [1.0, 2.0]})
    given = rows.assign(**{"note": ["a", "b"], column: pd.Series(values, dtype=object)})
    targets = [PushMode.OFFLINE] if column == "note" else [PushMode.OFFLINE, PushMode.ONLINE]
    for to in targets:
        with pytest.raises(DataError, match=message):
            store.push("visits_push", given, to=to)
    assert pq.ParquetFile(file).metadata.num_rows == 2


def test_columns_that_do_not_match_the_files_are_refused_by_our_error(
    store_of: Callable[..., FeatureStore], user: Entity, lake: Callable[..., FeatureView]
) -> None:
    store = store_of(user, lake("folder"))
    with pytest.raises(DataError, match=r"user_visits: the rows cannot be appended: .*extra_unexpected_columns.*tip"):
        store.write_to_offline_store("user_visits", NEWER.assign(tip=1))
    with pytest.raises(DataError, match="user_visits: feature 'spent': the rows have no 'spent'"):
        store.write_to_offline_store("user_visits", NEWER.drop(columns="spent"))


@pytest.mark.parametrize(
    ("stored", "given", "kept"),
    [
        (pa.float32(), 0.1, None),
        (pa.float32(), 0.5, 0.5),
        (pa.decimal128(10, 2), 0.35, 0.35),
        (pa.decimal128(10, 2), 0.355, None),
        (pa.int64(), 3.0, 3.0),
        (pa.int64(), 3.5, None),
        (pa.int32(), 2.0**40, None),
        (pa.float64(), float("nan"), None),
    ],
)
def test_a_number_that_the_files_would_round_is_refused(
    store_of: Callable[..., FeatureStore],
    user: Entity,
    lake: Callable[..., FeatureView],
    tmp_path: Path,
    stored: pa.DataType,
    given: float,
    kept: float | None,
) -> None:
    view = lake("file")
    (file,) = tmp_path.glob("*.parquet")
    table = pq.read_table(file)
    spent_as = table["spent"].cast(stored)
    pq.write_table(table.set_column(table.column_names.index("spent"), "spent", spent_as), file)
    store = store_of(user, view)
    rows = frame(user_id=[7], event_timestamp=["2024-05-03"], spent=[given])
    if kept is None and given == given:
        with pytest.raises(DataError, match="user_visits: column 'spent'"):
            store.write_to_offline_store("user_visits", rows)
    else:
        store.write_to_offline_store("user_visits", rows)
        assert spent(store, 7) == [kept]


@pytest.mark.parametrize("layout", ["file", "folder", "delta"])
@pytest.mark.parametrize(
    ("dtype", "stored", "given", "kept"),
    [
        (Float32, pa.float32(), 0.1, float(np.float32(0.1))),
        (Float32, pa.float64(), 0.1, float(np.float32(0.1))),
        (Float32, pa.float32(), 1e300, None),
        (Array(Float32), pa.list_(pa.float32()), [0.1, 0.5], [float(np.float32(0.1)), 0.5]),
        (Array(Float32), pa.list_(pa.float32()), [0.5, 1e300], None),
    ],
    ids=str,
)
def test_a_feature_declared_float32_is_rounded_to_it_offline_as_online(
    store_of: Callable[..., FeatureStore],
    user: Entity,
    tmp_path: Path,
    layout: str,
    dtype: Any,
    stored: pa.DataType,
    given: Any,
    kept: Any,
) -> None:
    rows = frame(user_id=[7], event_timestamp=["2024-05-03"], rate=[given])
    schema = pa.schema({"user_id": pa.int64(), "event_timestamp": TIMESTAMP, "rate": stored})
    nothing = schema.empty_table()
    if layout == "delta":
        write_deltalake(tmp_path / "lake", nothing)
    else:
        (tmp_path / "lake").mkdir()
        pq.write_table(nothing, tmp_path / "lake" / "0.parquet")
    source = FileSource(
        name="lake",
        path="lake/0.parquet" if layout == "file" else "lake",
        timestamp_field="event_timestamp",
        file_format=DeltaFormat() if layout == "delta" else None,
    )
    fields = [Field(name="user_id", dtype=Int64), Field(name="rate", dtype=dtype)]
    view = FeatureView(name="rates", entities=[user], schema=fields, source=source)
    store = store_of(user, view)
    if kept is None:
        with pytest.raises(DataError, match=r"rates: feature 'rate' is declared .*Float32.*, but row 0 holds"):
            store.write_to_offline_store("rates", rows)
        return
    store.write_to_online_store("rates", rows)
    store.write_to_offline_store("rates", rows)
    spine = frame(user_id=[7], event_timestamp=["2024-06-01"])
    assert store.get_historical_features(spine, ["rates:rate"]).to_arrow()["rate"].to_pylist() == [kept]
    assert store.get_online_features(["rates:rate"], [{"user_id": 7}]).to_dict()["rate"] == [kept]


def test_a_frame_names_a_renamed_column_as_the_files_do(
    store_of: Callable[..., FeatureStore], user: Entity, lake: Callable[..., FeatureView]
) -> None:
    store = store_of(user, lake("folder", field_mapping={"spent": "amount"}))
    store.write_to_offline_store("user_visits", NEWER)
    spine = frame(user_id=[1, 3], event_timestamp=["2024-06-01"] * 2)
    found = store.get_historical_features(spine, ["user_visits:amount"]).to_arrow()
    assert found["amount"].to_pylist() == [30.5, None]

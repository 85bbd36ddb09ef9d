"""The tasks of a retrieval on Spark, shuffled by hand: what they give together is what the local engine gives."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Int32, Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.worlds.literal_table import LiteralTable
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.launch.task_errors import original_error, told
from transformations.stores.history.history import History, history_of
from transformations.stores.history.session_sql import Resources
from transformations.stores.history.stored import Stored
from transformations.stores.spark import histories
from transformations.stores.spark.histories import Counted, Cutting, refuse_unfetched, rows_of, sources_of
from transformations.stores.spark.packets import SPINE, Packet, batch_of, packets_of
from transformations.stores.spark.stages import Stage, stages_of
from transformations.stores.spark.tasks import (
    dealing_task,
    history_task,
    matching_task,
    spine_task,
)
from transformations.stores.training.retrieval import Plan, features_of
from transformations.stores.training.spine import spine_of

START = datetime(2024, 5, 1, tzinfo=UTC)
TIMESTAMP = pa.timestamp("us", tz="UTC")
KEYS = {"visits": ("user_id",), "hits": ("user_id", "page"), "pages": ("page",), "market": ()}
ENTITIES = {
    "user_id": Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64),
    "page": Entity(name="page", join_keys=["page"], value_type=ValueType.STRING),
}
TYPES = {"user_id": pa.int64(), "page": pa.string()}
DTYPES = {"user_id": Int64, "page": String}

ticks = st.integers(0, 5)
spine_rows = st.tuples(st.sampled_from([1, 2, 9, None]), st.sampled_from(["home", "news", None]), ticks)
history_rows = st.tuples(
    st.sampled_from([1, 2]), st.sampled_from(["home", "news"]), ticks, st.none() | ticks, st.none() | ticks
)


def at(ticks: Iterable[int | None]) -> pa.Array:
    return pa.array([None if tick is None else START + timedelta(microseconds=tick) for tick in ticks], TIMESTAMP)


@pytest.fixture(scope="module")
def view_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Stored]:
    """Writes a view's files and pins them."""
    root = tmp_path_factory.mktemp("histories")

    def make(name: str, files: list[list[tuple[Any, ...]]], ttl: int) -> Stored:
        place = root / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for number, rows in enumerate(files):
            user, page, happened, created, seen = list(zip(*rows, strict=True)) or [[]] * 5
            keys = {"user_id": pa.array(user, pa.int64()), "page": pa.array(page, pa.string())}
            columns = {key: keys[key] for key in KEYS[name]}
            columns |= {"happened_at": at(happened), "created_at": at(created), "seen": pa.array(seen, pa.int64())}
            pq.write_table(pa.table(columns), place / f"{number}.parquet", row_group_size=2)
        view = FeatureView(
            name=name,
            entities=[ENTITIES[key] for key in KEYS[name]],
            ttl=timedelta(microseconds=ttl),
            schema=[*(Field(name=key, dtype=DTYPES[key]) for key in KEYS[name]), Field(name="seen", dtype=Int64)],
            source=FileSource(
                name=name,
                path=str(place),
                timestamp_field="happened_at",
                created_timestamp_column="created_at" if name != "market" else "",
                file_format=ParquetFormat(),
            ),
        )
        return Stored(view, history_of(view, None), ("seen",))

    return make


def shuffled(spine: pa.Table, plan: Plan, hashes: int, exchange: Path | None = None) -> pa.Table:
    """The result of the tasks, with the shuffles between them done here."""
    stages = stages_of(plan.stored)
    cuttings = [Cutting(stage, hashes, "event_timestamp", Resources(threads=1)) for stage in stages]
    batches = list(spine_task(cuttings[0])(spine.to_batches(max_chunksize=3)))
    for number, cutting in enumerate(cuttings):
        counted: dict[int, Counted] = {}
        for each in packets_of(batches):
            known = counted.get(each.bucket, Counted(0, each.first, each.last))
            counted[each.bucket] = Counted(
                known.rows + each.rows, min(known.first, each.first), max(known.last, each.last)
            )
        sources, units = sources_of(cutting, counted, 1)
        received = list(packets_of(dealing_task(sources.buckets)(batches)))
        if units:
            numbers = pa.record_batch({"id": pa.array(range(len(units)))})
            received += packets_of(history_task(units, sources, exchange)([numbers]))
        onward = cuttings[number + 1] if number + 1 < len(stages) else None
        task = matching_task(cutting.stage, plan, "event_timestamp", onward, None)
        batches = [batch for part in _parts(received, sources.buckets.total) for batch in task(batch_of(part))]
    return pa.Table.from_batches(batches) if batches else None


def read_whole(spine: pa.Table, plan: Plan, tasks: int) -> pa.Table:
    """The result where each task reads the histories whole."""
    stage = Stage((), plan.stored, is_read_whole=True)
    cutting = Cutting(stage, tasks, "event_timestamp", Resources(threads=1))
    packets = list(packets_of(spine_task(cutting)(spine.to_batches(max_chunksize=3))))
    task = matching_task(stage, plan, "event_timestamp", None, None)
    return pa.Table.from_batches([batch for part in _parts(packets, tasks) for batch in task(batch_of(part))])


def _parts(packets: list[Packet], total: int) -> Iterator[list[Packet]]:
    for part in range(total):
        own = [each for each in packets if each.bucket == part]
        yield sorted(own, key=lambda each: (each.kind, each.place))


@pytest.mark.proof
@given(
    files=st.fixed_dictionaries(
        {name: st.lists(st.lists(history_rows, max_size=8), min_size=1, max_size=3) for name in KEYS}
    ),
    ttls=st.tuples(*[st.integers(0, 3)] * 4),
    asked=st.lists(spine_rows, min_size=1, max_size=8),
    as_served=st.booleans(),
    hashes=st.integers(1, 5),
    wanted=st.sets(st.sampled_from(sorted(KEYS)), min_size=1),
    by_files=st.booleans(),
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_meets_its_histories_in_some_partition(
    view_of: Callable[..., Stored],
    tmp_path: Path,
    files: Any,
    ttls: Any,
    asked: Any,
    as_served: bool,
    hashes: int,
    wanted: set[str],
    by_files: bool,
) -> None:
    stored = [view_of(name, files[name], ttl) for name, ttl in zip(KEYS, ttls, strict=True) if name in wanted]
    user, page, moments = zip(*asked, strict=True)
    keys = {"user_id": pa.array(user, pa.int64()), "page": pa.array(page, pa.string())}
    spine = pa.table({"row": range(len(asked)), **keys, "event_timestamp": at(moments)})
    columns = {f"{each.view.name}__seen": f"{each.view.name}:seen" for each in stored}
    plan = Plan(
        stored=tuple(stored), on_demand=(), columns=columns, as_served=as_served, resources=Resources(threads=1)
    )
    expected = features_of(spine_of(spine), plan)
    for rows in (shuffled(spine, plan, hashes, tmp_path if by_files else None), read_whole(spine, plan, hashes)):
        found = rows.sort_by("row")
        assert found.select(spine.column_names).equals(spine)
        assert {name: found[name].to_pylist() for name in columns} == {
            name: column.to_pylist() for name, column in expected.items()
        }


@pytest.mark.parametrize("tasks", [1, 4])
def test_tasks_that_read_small_histories_whole_give_what_the_local_engine_gives(
    view_of: Callable[..., Stored], tasks: int
) -> None:
    rows = [(1, "home", 1, 1, 7), (2, "news", 2, 2, 8), (1, "news", 3, 4, 9)]
    stored = [view_of(name, [rows[:2], rows[2:]], 3) for name in KEYS]
    users, pages = [1, 2, 9, None, 1, 2, 1], ["home", "news", "home", "news", None, "home", "news"]
    keys = {"user_id": pa.array(users, pa.int64()), "page": pa.array(pages)}
    spine = pa.table({"row": range(7), **keys, "event_timestamp": at([0, 2, 3, 3, 4, 5, 5])})
    columns = {f"{each.view.name}__seen": f"{each.view.name}:seen" for each in stored}
    plan = Plan(stored=tuple(stored), on_demand=(), columns=columns, resources=Resources(threads=1))
    found, expected = read_whole(spine, plan, tasks).sort_by("row"), features_of(spine_of(spine), plan)
    assert [found[name].to_pylist() for name in columns] == [expected[name].to_pylist() for name in columns]
    assert found["visits__seen"].to_pylist() == [None, 8, None, None, 9, 8, 9]


def test_a_large_bucket_is_dealt_out_and_has_its_history_everywhere(
    view_of: Callable[..., Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histories, "FEWEST_LARGE_ROWS", 1)
    monkeypatch.setattr("transformations.stores.spark.tasks.ROWS_A_PACKET", 2)
    visits = view_of("visits", [[(1, "", 2, 2, 7), (2, "", 3, 3, 8)]], 0)
    users = [1] * 20 + [2, 9, 5, 6]
    spine = pa.table({"user_id": users, "event_timestamp": at([4] * 24)})
    plan = Plan(stored=(visits,), on_demand=(), columns={"seen": "visits:seen"}, resources=Resources(threads=1))
    found = shuffled(spine, plan, 3)
    assert sorted(zip(found["user_id"].to_pylist(), found["seen"].to_pylist(), strict=True), key=str) == sorted(
        [*[(1, 7)] * 20, (2, 8), (9, None), (5, None), (6, None)], key=str
    )
    batches = list(
        spine_task(Cutting(stages_of([visits])[0], 3, "event_timestamp", Resources(threads=1)))(spine.to_batches())
    )
    counted = {each.bucket: Counted(each.rows, each.first, each.last) for each in packets_of(batches)}
    sources, _ = sources_of(Cutting(stages_of([visits])[0], 3, "event_timestamp", Resources(threads=1)), counted, 1)
    largest = max(counted, key=lambda bucket: counted[bucket].rows)
    assert len(sources.buckets.parts[largest]) > 1
    assert sources.buckets.total == sum(map(len, sources.buckets.parts.values()))


def test_a_view_by_more_keys_meets_the_spine_where_it_is_parted_by_some_of_them(view_of: Callable[..., Stored]) -> None:
    stored = [view_of(name, [[]], 0) for name in KEYS]
    rounds = [([name for name, _ in each.keys], [one.view.name for one in each.stored]) for each in stages_of(stored)]
    assert rounds == [(["user_id"], ["visits", "hits", "market"]), (["page"], ["pages"])]


def test_keys_of_different_integers_are_one_key(view_of: Callable[..., Stored]) -> None:
    narrow = view_of("visits", [[]], 0)
    for column in narrow.view.entity_columns:
        column.dtype = Int32
    stages = stages_of([narrow, view_of("hits", [[]], 0)])
    assert [each.keys for each in stages] == [(("user_id", "BIGINT"),)]


def test_a_packet_beyond_what_a_batch_can_hold_is_cut_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformations.stores.spark.packets.LARGEST_PACKET", 400)
    table = pa.table({"n": range(500)})
    batches = list(batch_of([Packet(3, SPINE, 10, 500, 0, 0, table), Packet(4, 0, 7, 1, 0, 0, table.slice(0, 1))]))
    assert len(batches) > 5
    found = list(packets_of(batches))
    own = sorted((each for each in found if each.bucket == 3), key=lambda each: each.place)
    assert pa.concat_tables(each.table for each in own).equals(table)
    assert [each.place for each in own][:2] == [10, 10 + own[0].rows]
    assert [(each.kind, each.place, each.rows) for each in found if each.bucket == 4] == [(0, 7, 1)]


def test_an_error_of_ours_is_found_in_what_spark_says_of_it() -> None:
    with pytest.raises(RuntimeError) as caught, told():
        raise DataError('a "message"\nof two lines')
    error = original_error(f"Job aborted: Traceback … {caught.value} … at java.lang.Thread")
    assert isinstance(error, DataError)
    assert error.message == 'a "message"\nof two lines'
    assert original_error("Job aborted: ValueError") is None


def test_a_spine_s_row_without_its_moment_is_refused(view_of: Callable[..., Stored], tmp_path: Path) -> None:
    stage = stages_of([view_of("visits", [[]], 0)])[0]
    spine = pa.table({"user_id": [1, 2], "event_timestamp": at([1, None])})
    with pytest.raises(RuntimeError, match="'event_timestamp' is null in 1 rows"):
        list(spine_task(Cutting(stage, 2, "event_timestamp", replace(Resources(), threads=1)))(spine.to_batches()))


def test_histories_in_object_storage_are_described_without_being_fetched(
    at_machine: Callable[[str], Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = LiteralTable(at_machine("driver").offline_dir / "user_clicks")
    table.run("one", 1, 2)
    table.run("two", 3)
    cutting = Cutting(Stage((), (_clicks(table.newest().files),)), 1, "event_timestamp", Resources())
    counted = {0: Counted(1, 0, 1)}
    here, units = sources_of(cutting, counted, 1)

    monkeypatch.setenv("FEATURES_SPARK_MASTER", "spark://master:7077")
    elsewhere = _clicks(LiteralTable(at_machine("other").offline_dir / "user_clicks").newest().files)
    moved, same_units = sources_of(replace(cutting, stage=Stage((), (elsewhere,))), counted, 1)
    assert (moved.there, same_units) == (here.there, units)
    assert rows_of([elsewhere]) == 3
    (scanned,), (known,) = moved.scans, here.scans
    assert scanned is not None
    assert known is not None
    assert (scanned.types, scanned.files) == (known.types, elsewhere.history.files)
    assert not list((tmp_path / "other").rglob("*.parquet"))

    refuse_unfetched([elsewhere])
    with pytest.raises(UsageError, match="user_clicks, whose source no build has written, is read by tasks of Spark"):
        refuse_unfetched([replace(elsewhere, history=replace(elsewhere.history, is_built=False))])


def _clicks(files: tuple[str, ...]) -> Stored:
    view = FeatureView(
        name="user_clicks",
        entities=[ENTITIES["user_id"]],
        schema=[Field(name="user_id", dtype=Int64)],
        source=FileSource(name="user_clicks", path="unused", timestamp_field="event_timestamp"),
    )
    history = History(
        name="user_clicks", files=files, timestamp="event_timestamp", created=None, renamed={}, is_built=True
    )
    return Stored(view, history, ())

"""Pinned datasets: made from the tables of the moment, made again from their pins, never from anything newer."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from stat import S_IMODE
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureView, Field
from feast.lineage.registry_lineage import RegistryLineageGenerator
from feast.types import Float64

from tests.transformations.datasets.conftest import CONFIG, FUNCTION, QUERY, SPEND, World
from transformations.contracts import read_contract
from transformations.datasets.content.content_hash import content_hash
from transformations.datasets.create import rebuild, verify
from transformations.datasets.manifest import read_manifest
from transformations.engine.base import checksums
from transformations.engine.base.errors import DataError, DiskError, UsageError
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable
from transformations.engine.tables.pins import pinned
from transformations.engine.upkeep.integrity import examine_folder


def test_a_dataset_holds_spine_label_features_and_split_of_the_rows_whose_label_is_known(world: World) -> None:
    manifest = world.create()
    assert [(row["user_id"], row["price"], row["returns_2d"]) for row in world.rows("train")] == [
        (1, 1.5, True),
        (1, 2.5, False),
        (2, 3.5, False),
        (1, 4.5, False),
    ]
    assert [(row["spend"], row["price_ratio"], row["split"]) for row in world.rows("train")] == [
        (10.0, 0.15, "train"),
        (30.0, 2.5 / 30, "train"),
        (None, None, "train"),
        (30.0, 0.15, "train"),
    ]
    assert [(row["price"], row["returns_2d"]) for row in world.rows("test")] == [(6.5, True), (7.5, False)]
    assert manifest.counts == {
        "spine": 8,
        "outside the splits": 0,
        "without a label": 0,
        "label crosses a split boundary": 1,
        "label passes the data's end": 1,
    }
    assert manifest.data_end == datetime(2024, 5, 21, tzinfo=UTC)


def test_a_disk_that_fills_meanwhile_leaves_no_dataset_no_leftover_and_no_pin(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "test.parquet")

    with monkeypatch.context() as disk:
        disk.setattr(checksums, "record", full)  # the last that is written before the dataset is put into its place
        with pytest.raises(DiskError, match=r"^test.parquet: the disk is full"):
            world.create()
    assert [path.name for path in world.settings.datasets_dir.iterdir()] == [".visits_2024.lock"]
    assert pinned(world.table) == {}

    world.create()
    assert verify(*read_manifest(world.folder)) is None


def test_a_dataset_records_a_checksum_of_each_of_its_files(world: World) -> None:
    world.create()

    assert set(checksums.recorded(world.folder)) == {"manifest.json", "test.parquet", "train.parquet"}
    assert examine_folder("dataset", world.folder, checksums.recorded(world.folder)).faults == []


def test_a_manifest_pins_all_that_the_dataset_was_made_from_and_never_says_latest(world: World) -> None:
    manifest = world.create()
    (view,), (spine,) = manifest.views, manifest.spine_tables
    assert (view.zone, view.name, view.version, view.definition_hash) == ("offline", "user_spend", 0, "a1")
    assert [file.path for file in view.files] == ["$FEATURES_DATA/offline/user_spend/run-0.parquet"]
    assert (spine.zone, spine.name, spine.version) == ("raw", "visits", 0)
    assert spine.columns == ("user_id", "at", "page", "spent")
    assert list(manifest.functions) == ["user_now:price_ratio"]
    assert set(manifest.libraries) == {"feast", "duckdb", "pyarrow", "deltalake", "numpy", "pandas"}
    assert pinned(world.table) == {0: ("dataset visits_2024",)}
    text = (world.folder / "manifest.json").read_text()
    assert "latest" not in text.lower()
    assert str(world.settings.data) not in text
    train = manifest.splits[0]
    assert (train.rows, train.statistics["spend"]["nulls"], train.statistics["spend"]["max"]) == (4, 1, 30.0)
    assert train.statistics["returns_2d"] == {"nulls": 0, "true": 0.25}
    (check,) = manifest.leakage
    assert (check.rows, check.found, check.corrected_since, check.closest_seconds) == (6, 6, 0, 10 * 3600.0)


def test_a_rebuild_gives_the_same_bytes_after_late_data_corrections_and_deliveries(
    world: World, later: Callable[[], None]
) -> None:
    world.create()
    files = {path.name: path.read_bytes() for path in world.folder.glob("*")}
    later()
    assert world.rebuild() is False
    copy = world.settings.data / "copy.json"
    shutil.copyfile(world.folder / "manifest.json", copy)
    shutil.rmtree(world.folder)
    assert rebuild(*read_manifest(copy), world.store, world.settings) is True
    assert {path.name: path.read_bytes() for path in world.folder.glob("*")} == files
    world.create(name="visits_now")
    assert content_hash(pq.read_table(world.folder / "train.parquet")) != content_hash(
        pq.read_table(world.settings.datasets_dir / "visits_now" / "train.parquet")
    )
    assert pinned(world.table) == {0: ("dataset visits_2024",), 1: ("dataset visits_now",)}


def test_a_dataset_reads_unchanged_features_of_a_table_built_anew_and_not_yet_applied(
    world: World, table_of: Callable[..., pa.Table]
) -> None:
    rows = "user_id  event_timestamp  created_timestamp  spend\n1  2024-05-01  2024-05-01  10"
    world.view.tags = {"definition_hash": "a1", "feature_hashes": '{"spend": "one"}'}
    world.store.apply(world.view)
    build = partial(world.publish, world.view, table_of(rows, spend=pa.float64()), definition_hash="b2")
    build(feature_hashes={"spend": "one", "added": "two"})
    world.create()
    assert read_manifest(world.folder)[0].views[0].definition_hash == "b2"
    assert world.rebuild() is False

    build(feature_hashes={"spend": "another"})
    message = r"from definition b2, the applied view is of a1\. Not the same in both: spend; .* `feast apply` the code"
    with pytest.raises(DataError, match=message):
        world.create(name="visits_now")


def test_a_rebuild_needs_nothing_of_today_s_registry(world: World, later: Callable[[], None]) -> None:
    world.create()
    later()
    world.view.tags = {"definition_hash": "b2"}
    world.view.features[0].name = "renamed"
    world.store.apply(
        [],
        objects_to_delete=[*world.store.list_feature_services(), *world.store.list_on_demand_feature_views()],
        partial=False,
    )
    world.store.apply([world.view])
    assert world.rebuild() is False


def test_as_served_leaves_out_what_became_known_later(world: World, later: Callable[[], None]) -> None:
    later()
    corrected = world.create()
    assert [row["spend"] for row in world.rows("train")] == [10.0, 10.0, 999.0, 888.0, 888.0, 999.0]
    assert corrected.leakage[0].corrected_since == 6
    served = world.create(name="visits_served", as_served=True)
    table = pq.read_table(world.settings.datasets_dir / "visits_served" / "train.parquet").sort_by("event_timestamp")
    assert table["spend"].to_pylist() == [10.0, 10.0, 30.0, None, None, 30.0]
    assert served.leakage[0].corrected_since == 0


def test_feast_knows_the_dataset_with_its_splits_and_its_service(world: World) -> None:
    manifest = world.create()
    saved = world.store.get_saved_dataset("visits_2024")
    frame = saved.to_df()
    assert frame.groupby("split").size().to_dict() == {"test": 2, "train": 4}
    assert set(frame.columns) == {
        "user_id", "event_timestamp", "price", "returns_2d", "spend", "price_ratio", "split",
    }  # fmt: skip
    assert (saved.feature_service_name, saved.join_keys) == ("returning_v1", ["user_id"])
    assert saved.features == ["user_spend:spend", "user_now:price_ratio"]
    assert saved.tags["train.content_hash"] == manifest.splits[0].content_hash
    assert saved.tags["user_spend.version"] == "0"
    relations, _ = RegistryLineageGenerator().generate_lineage(world.store.registry.proto())
    assert "visits_2024" in {relation.target.name for relation in relations}


def test_where_no_day_is_complete_no_label_is_known(world: World) -> None:
    shutil.rmtree(world.settings.raw_dir / "visits")
    contract = read_contract("visits", world.settings.contracts)
    origin = Origin(file_name="nothing.parquet", content_hash="0", ingested_at=datetime(2024, 7, 1, tzinfo=UTC))
    RawTable(contract, world.settings.raw_dir).append(source_schema(contract).empty_table(), origin)
    with pytest.raises(DataError, match=r"no day of visits is complete, so of no row the label is known"):
        world.create()


def test_a_dataset_is_never_written_again(world: World) -> None:
    world.create()
    before = {path.name: path.stat().st_mtime_ns for path in world.folder.glob("*")}
    with pytest.raises(UsageError, match=r"visits_2024 exists, and a dataset is never overwritten\. Choose another"):
        world.create(seed=8)
    assert {path.name: path.stat().st_mtime_ns for path in world.folder.glob("*")} == before
    assert {path.stat().st_mode & 0o222 for path in world.folder.glob("*")} == {0}


def test_a_failure_leaves_neither_folder_nor_pin(world: World) -> None:
    with pytest.raises(DataError, match="split 'test' has no row"):
        world.create(split={"train": "2024-05-01", "test": "2024-06-10"})
    assert [path.name for path in world.settings.datasets_dir.iterdir()] == [".visits_2024.lock"]
    assert pinned(world.table) == {}


def test_a_killed_process_leaves_nothing_that_is_in_the_way(world: World) -> None:
    left = world.settings.datasets_dir / ".visits_2024-0123.unfinished"
    left.mkdir(parents=True)
    (left / "train.parquet").write_bytes(b"half")
    world.create()
    assert sorted(path.name for path in world.settings.datasets_dir.iterdir()) == [".visits_2024.lock", "visits_2024"]


def test_verify_names_what_is_not_as_it_was(world: World) -> None:
    verify(world.create(), world.folder)
    (world.folder / "test.parquet").unlink()
    table = pq.read_table(world.folder / "train.parquet")
    changed = table.set_column(4, "spend", pa.array([11.0] * 4))
    (world.folder / "train.parquet").unlink()
    pq.write_table(changed, world.folder / "train.parquet")
    pq.write_table(changed, world.folder / "extra.parquet")
    with pytest.raises(
        DataError, match=r"train.parquet differs in spend; test.parquet is missing; extra.parquet is no sp"
    ):
        verify(*read_manifest(world.folder))


def test_a_rebuild_that_differs_says_in_which_split_and_column(world: World) -> None:
    world.create()
    file = world.folder / "manifest.json"
    document = json.loads(file.read_text())
    document["splits"][0]["content_hash"] = "0" * 64
    document["splits"][0]["columns"]["spend"] = "0" * 64
    document["libraries"]["duckdb"] = "1.0.0"
    file.unlink()
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"split train differs in spend\. It was made by code .*duckdb 1\.0\.0 then, "):
        world.rebuild()


def test_a_pinned_version_whose_files_are_gone_or_whose_code_changed_is_named(
    world: World, module_of: Callable[[str, str], ModuleType]
) -> None:
    world.create()
    module_of("cart_functions", FUNCTION.replace("divide", "multiply"))
    with pytest.raises(DataError, match=r"user_now.*cart_functions:price_ratio"):
        world.rebuild()
    module_of("cart_functions", FUNCTION)
    (world.table.path / "run-0.parquet").unlink()
    with pytest.raises(DataError, match=r"run-0\.parquet is missing, yet a published version refers to it"):
        world.rebuild()


def test_a_spine_may_be_a_file_which_the_dataset_keeps(world: World, tmp_path: Path) -> None:
    moments = pd.to_datetime(["2024-05-02", "2024-05-12", "2024-05-02"], utc=True)
    spine = pd.DataFrame({"user_id": [1, 2, 1], "event_timestamp": moments, "price": 1.0, "returns_2d": True})
    spine.to_parquet(tmp_path / "spine.parquet")
    changes: dict[str, Any] = {"spine": {"file": "spine.parquet"}, "folder": tmp_path}
    with pytest.raises(UsageError, match=r"label\.known_until is missing: the spine is no query of a raw source"):
        world.create(**changes)
    label = {**CONFIG["label"], "known_until": "2024-06-01"}  # type: ignore[dict-item]
    manifest = world.create(**changes, label=label)
    assert {split.name: split.rows for split in manifest.splits} == {"train": 2, "test": 1}
    (tmp_path / "spine.parquet").unlink()
    assert world.rebuild() is False
    (world.folder / "spine" / "spine.parquet").unlink()
    with pytest.raises(DataError, match=r"spine\.parquet is not the spine's file of dataset visits_2024"):
        world.rebuild()


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"feature_service": "returning_v2"}, "knows no feature service 'returning_v2': did you mean 'returning_v1'"),
    ({"spine": {"query": "SELECT *, now() AS seen FROM raw.visits"}}, "spine.query: now() would give other rows"),
    ({"spine": {"query": f"SELECT *, 1 AS split FROM ({QUERY})"}}, "the spine has a column 'split', and so would"),
    ({"spine": {"file": "rows.json"}}, "rows.json is neither .parquet nor .csv"),
    ({"spine": {"file": "rows.csv"}}, "there is no file rows.csv. Its path counts from the configuration"),
]


def test_what_cannot_be_a_dataset_is_refused(world: World) -> None:
    for changes, message in UNFIT:
        with pytest.raises(UsageError, match=re.escape(message)):
            world.create(**changes)


def test_a_service_may_take_a_view_at_a_version(world: World, user: Entity) -> None:
    wider = world.view.__copy__()
    wider.features = [*world.view.features, Field(name="more", dtype=Float64)]
    world.store.registry.enable_online_versioning = True  # as the yaml has it under `registry`
    pinned = FeatureService(name="returning_v1", features=["user_spend@v0:spend"])
    world.store.apply([user, wider])
    world.store.apply([pinned])

    manifest = world.create(full_feature_names=True)
    (view,) = manifest.registry["feature_views"]
    assert [field["name"] for field in view["spec"]["features"]] == ["spend"]
    assert [row["user_spend@v0__spend"] for row in world.rows("train")][:2] == [10.0, 30.0]
    assert not world.rebuild()

    world.store.apply([FeatureService(name="returning_v1", features=["user_spend@v0:spend", "user_spend@v1:more"])])
    with pytest.raises(UsageError, match="returning_v1 takes user_spend at several versions"):
        world.create(name="both")
    on_demand = world.store.get_on_demand_feature_view("user_now")
    world.store.apply([FeatureService(name="returning_v1", features=[on_demand, "user_spend@v0:spend"])])
    with pytest.raises(UsageError, match="takes user_spend at a version, while its on-demand view user_now reads"):
        world.create(name="both")


def test_a_view_over_plain_files_is_pinned_by_their_content(
    world: World, stored: Callable[..., FeatureView], table_of: Callable[..., pa.Table], tmp_path: Path
) -> None:
    calls = stored("user_calls", table_of(SPEND, spend=pa.float64()), spend=Float64)
    world.store.apply([calls, FeatureService(name="returning_v1", features=[calls])])
    manifest = world.create()
    (pin,) = manifest.views
    assert (pin.zone, pin.version, [file.path for file in pin.files]) == ("file", None, ["user_calls.parquet"])
    pq.write_table(table_of(SPEND.replace("30", "31"), spend=pa.float64()), tmp_path / "user_calls.parquet")
    with pytest.raises(DataError, match=r"user_calls: 1 of its files are not those of the dataset, such as user_calls"):
        world.rebuild()


def test_the_package_loads_no_spark_and_no_duckdb() -> None:
    code = """
import sys
import transformations.datasets.config, transformations.datasets.manifest, transformations.cli.commands.data.dataset
print([name for name in ("pyspark", "duckdb", "deltalake", "great_expectations", "feast") if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_what_is_written_from_python_is_closed_to_others_whatever_the_umask(no_umask: None, world: World) -> None:
    world.create()

    files = [world.settings.data, *world.settings.data.rglob("*")]
    assert {"raw", "offline", "datasets", "pins.json", ".lock", "_delta_log"} <= {file.name for file in files}
    modes = {file: S_IMODE(file.stat().st_mode) for file in files}
    assert {file: oct(mode) for file, mode in modes.items() if mode & ~(0o750 if file.is_dir() else 0o640)} == {}

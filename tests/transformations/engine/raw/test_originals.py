"""Originals of merged files may go after a while: rows, drops and newest versions stay, and no reader misses them."""

import os
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.transformations.engine.raw.raw_tables import contract, current, events, origin
from tests.transformations.engine.raw.test_compaction import drop
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.raw.compaction import compact_source
from transformations.engine.raw.originals import GIVEN_UP, Readers, given_up, refuse_given_up
from transformations.engine.raw.zone import Drop, RawTable, read_current
from transformations.engine.upkeep.integrity import examine_table
from transformations.engine.upkeep.vacuum import vacuum_source

NOW = timedelta(0)


def merged_table(folder: Path, settings: Settings, steps: str = "nncn") -> RawTable:
    table = RawTable(contract(), folder)
    for number, step in enumerate(steps):
        drop(table, step, number)
    compact_source(table, settings)
    return table


def originals(table: RawTable) -> list[str]:
    return sorted(file.parent.name[:11] for file in table.folder.glob("drop-*/*.parquet"))


def give_up(table: RawTable, readers: Readers, kept_for: timedelta = NOW, *, dry_run: bool = False) -> int:
    return vacuum_source(table, NOW, keep_originals=kept_for, readers=lambda: readers, dry_run=dry_run).files


def test_they_stay_for_ever_by_default_and_for_as_long_as_they_are_kept(tmp_path: Path, settings: Settings) -> None:
    table = merged_table(tmp_path, settings)
    vacuum_source(table, NOW)
    give_up(table, Readers(), kept_for=timedelta(days=1))
    assert give_up(table, Readers(), dry_run=True) == 4
    assert len(originals(table)) == 4
    assert not (table.folder / GIVEN_UP).exists()


def test_once_they_are_gone_rows_drops_and_new_drops_are_as_with_them(tmp_path: Path, settings: Settings) -> None:
    plain, bare = (merged_table(tmp_path / name, settings) for name in ("plain", "bare"))
    assert give_up(bare, Readers(built=[4])) == 4
    assert originals(bare) == []
    for table in (plain, bare):
        for number, step in enumerate("ncr", 4):
            drop(table, step, number)
        assert table.append(events((11, 1.0, "2020-01-02T01:00:00")), origin("0.parquet")) is None  # is current already
    assert drops_of(plain) == drops_of(bare)
    assert current(RawTable(contract(), bare.folder.parent)) == current(plain)
    assert examine_table("raw", bare.folder).faults == []
    assert give_up(bare, Readers()) == 0  # nothing is given up twice


def drops_of(table: RawTable) -> list[Drop]:
    return [replace(drop_, version=0) for drop_ in table.snapshot().drops]


def rows_at(table: RawTable, version: int) -> pa.Table:
    return read_current(table.snapshot(version), table.contract)


def test_a_version_in_the_midst_of_a_merge_is_refused_and_later_ones_are_there(
    tmp_path: Path, settings: Settings
) -> None:
    table = merged_table(tmp_path, settings)
    rows = rows_at(table, 3)
    drop(table, "n", 4)
    give_up(table, Readers(built=[table.snapshot().version]))
    again = RawTable(contract(), tmp_path)
    assert rows_at(again, 3) == rows
    with pytest.raises(DataError, match=r"version 1 needs 2 files of drops that were merged and then given up"):
        again.snapshot(1)
    with pytest.raises(DataError, match="which has not read"):
        refuse_given_up("events", again.snapshot().files_since(1), "a view, which has not read all drops,")


@pytest.mark.parametrize(
    ("readers", "kept"),
    [
        (Readers(built=[3]), []),
        (Readers(built=[2]), [1, 2, 3, 4]),  # a table that has not read the last drop, and would read it by itself
        (Readers(built=[3, 0]), [1, 2, 3, 4]),
        (Readers(built=[3], pinned=[3]), [1, 2, 3, 4]),  # a query over the drops as they came
    ],
)
def test_what_somebody_reads_stays(tmp_path: Path, settings: Settings, readers: Readers, kept: list[int]) -> None:
    table = merged_table(tmp_path, settings)
    give_up(table, readers)
    assert [int(name[5:]) for name in originals(table)] == kept


def test_what_stands_in_their_place_is_merged_again_only_with_drops_that_all_have_read(
    tmp_path: Path, settings: Settings
) -> None:
    table = merged_table(tmp_path, settings, "nn")
    give_up(table, Readers(built=[1]))
    for number in (2, 3, 4):
        drop(table, "n", number)
    behind = Readers(built=[1])
    compact_source(table, settings, readers=lambda: behind)
    assert len(table.snapshot().files) == 2  # the first two drops, and the other three
    before = rows_at(table, 1)
    compact_source(table, settings, readers=lambda: Readers(built=[99]))
    assert len(table.snapshot().files) == 1
    assert before.num_rows == 4
    assert len(current(table)) == 10


def test_findings_about_a_drop_stay(tmp_path: Path, settings: Settings) -> None:
    table = merged_table(tmp_path, settings)
    folder = next(table.folder.glob("drop-000001-*"))
    (folder / "quality.json").write_text("{}")
    give_up(table, Readers())
    assert [file.name for file in folder.iterdir()] == ["quality.json"]


def test_in_object_storage_they_go_for_every_machine(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_LOCAL", str(tmp_path / "a"))
    table = merged_table(get_settings().raw_dir, get_settings())
    rows = current(table)
    for file in place.rglob("*.parquet"):
        os.utime(file, (time.time() - 10,) * 2)  # S3 tells the time in whole seconds
    drop(table, "n", 4)
    assert give_up(table, Readers(built=[table.snapshot().version])) == 4
    assert len([*place.glob("raw/events/drop-*/*.parquet")]) == 1  # of the newest drop

    monkeypatch.setenv("FEATURES_LOCAL", str(tmp_path / "b"))
    other = RawTable(contract(), get_settings().raw_dir)
    assert len(given_up(other.folder)) == 4
    assert examine_table("raw", other.folder).faults == []
    assert set(rows) < set(current(other))
    with pytest.raises(DataError, match=r"version 1 needs 2 files of drops that were merged and then given up"):
        other.snapshot(1)

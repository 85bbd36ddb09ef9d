"""Merged raw files: the same rows, drops and versions; new drops meet them as they meet the drops' own files."""

import signal
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from tests.transformations.engine.raw.raw_tables import contract, current, events, keys, origin
from tests.worlds.processes import start
from tests.worlds.samples import some_quick
from transformations.contracts import Column
from transformations.engine.base.errors import ConflictError
from transformations.engine.base.settings import Settings
from transformations.engine.raw import compaction
from transformations.engine.raw.compaction import compact_source
from transformations.engine.raw.zone import RawTable, read_current
from transformations.engine.upkeep.integrity import examine_table
from transformations.engine.upkeep.vacuum import vacuum_source


def drop(table: RawTable, step: str, number: int) -> None:
    """New rows of a day; a correction of the oldest row; a retraction of the newest but one."""
    day = date(2020, 1, 1) + timedelta(days=number)
    rows = [(10 * number + each, float(number), f"{day}T0{each}:00:00") for each in (1, 2)]
    match step:
        case "n":
            table.append(events(*rows), origin(f"{number}.parquet"), complete_through=day)
        case "c":
            table.append(events((1, 100.0 + number, "2020-01-01T01:00:00")), origin(f"{number}c"), correction=True)
        case "r":
            table.retract(keys(2), origin(f"{number}r"))


def test_a_table_that_drops_were_added_to_is_the_one_that_is_opened_anew(settings: Settings) -> None:
    table = RawTable(contract(), settings.raw_dir)
    for number, step in enumerate("nnmncnmrn"):
        if step == "m":
            compact_source(table, settings)
        else:
            drop(table, step, number)
        kept, anew = table.snapshot(), RawTable(contract(), settings.raw_dir).snapshot()
        assert kept == anew
        assert (kept.stored, kept.files, kept.supersedes) == (anew.stored, anew.files, anew.supersedes)
    assert (kept.supersedes, len(kept.merged)) == (True, 1)


@pytest.mark.parametrize("steps", some_quick(("".join(each) for each in product("ncr", repeat=2)), 1, 5))
def test_whenever_files_are_merged_rows_drops_and_versions_stay(tmp_path: Path, settings: Settings, steps: str) -> None:
    plain = RawTable(contract(), tmp_path / "plain")
    for number, step in enumerate(f"nn{steps}n"):
        drop(plain, step, number)
    for moment in (1, 3):
        merged = RawTable(contract(), tmp_path / f"merged after {moment}")
        for number, step in enumerate(f"nn{steps}n"):
            drop(merged, step, number)
            if number + 1 >= moment:
                compact_source(merged, settings)
        assert list(facts(merged)) == list(facts(plain))


def facts(table: RawTable) -> Iterator[object]:
    """What anybody can ask of a table, at each of its drops."""
    newest = table.snapshot()
    by_drop = [(each.number, each.file_name, each.content_hash, each.rows, each.supersedes) for each in newest.drops]
    yield by_drop
    yield current(table)
    for drop_ in newest.drops:
        snapshot = newest.at(drop_.version)
        since = [(part.drop, part.rows, part.first_day, part.last_day) for part in newest.parts_since(drop_.version)]
        yield (
            read_current(snapshot, table.contract).to_pylist(),
            snapshot.rows,
            snapshot.complete_through,
            sorted(since),
        )
        yield read_current(snapshot.as_delivered(), table.contract).to_pylist()


def test_many_files_become_one_and_the_drops_own_stay(tmp_path: Path, settings: Settings) -> None:
    table = RawTable(contract(), tmp_path)
    for number in range(5):
        drop(table, "n", number)
    before = table.snapshot()
    done = compact_source(table, settings)
    assert done is not None
    assert (done.files, done.rows) == ((5, 1), 10)
    after = table.snapshot()
    assert len(after.files) == 1
    assert after.version == before.version == 4
    assert after.as_delivered().files == before.files
    assert all(Path(file).exists() for file in before.files)
    assert compact_source(table, settings) is None
    assert DeltaTable(str(table.folder)).to_pyarrow_table().num_rows == 10
    assert RawTable(contract(), tmp_path).snapshot() == after
    assert examine_table("raw", table.folder).faults == []
    assert vacuum_source(table, timedelta(0)).files == 0


def test_merged_files_are_merged_again_until_they_are_full(tmp_path: Path, settings: Settings) -> None:
    table = RawTable(contract(), tmp_path)
    for number in range(3):
        drop(table, "n", number)
        compact_source(table, settings)
    assert len(table.snapshot().files) == 1
    assert [len(table.snapshot().at(version).files) for version in range(2)] == [1, 2]
    assert len(table.snapshot().parts) == 3
    assert vacuum_source(table, timedelta(hours=24)).files == 0  # a reader may still have opened it
    assert vacuum_source(table, timedelta(0)).files == 1  # the first merge's
    assert [len(current_at(table, version)) for version in (0, 1, 3)] == [2, 4, 6]
    assert examine_table("raw", table.folder).faults == []


def current_at(table: RawTable, version: int) -> list[object]:
    rows: list[object] = read_current(table.snapshot(version), table.contract).to_pylist()
    return rows


def test_a_days_rows_are_read_from_the_merged_file_alone(tmp_path: Path, settings: Settings) -> None:
    table = RawTable(contract(), tmp_path)
    for number in range(3):
        drop(table, "n", number)
    compact_source(table, settings)
    drop(table, "n", 20)
    snapshot = table.snapshot()
    day = snapshot.parts[0].first_day
    assert [file.rows for file in snapshot.parts_of([range(day, day + 1)])] == [6]
    assert len(snapshot.parts_of([range(day + 10, day + 11)])) == 0


def test_a_new_column_is_null_in_the_merged_rows_of_before(tmp_path: Path, settings: Settings) -> None:
    table = RawTable(contract(), tmp_path)
    drop(table, "n", 0)
    columns = (*contract().columns, Column("note", "String", True, "A note"))
    wider = RawTable(contract(columns=columns, version="1.1.0"), tmp_path)
    rows = events((50, 1.0, "2020-01-20T01:00:00"))
    wider.append(rows.append_column("note", pa.array(["hello"])), origin("wider"), complete_through=date(2020, 1, 20))
    assert compact_source(wider, settings) is not None
    assert current(wider, "id", "note") == [(1, None), (2, None), (50, "hello")]


def test_merging_beside_a_drop_keeps_both(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    table = RawTable(contract(), tmp_path)
    for number in range(2):
        drop(table, "n", number)
    compared = compaction.refuse_other_content

    def meanwhile(*given: object) -> None:
        compared(*given)  # type: ignore[arg-type]
        drop(RawTable(contract(), tmp_path), "n", 2)

    monkeypatch.setattr(compaction, "refuse_other_content", meanwhile)
    assert compact_source(table, settings) is not None
    assert len(table.snapshot().files) == 2
    assert len(current(table)) == 6


def test_of_two_merges_of_the_same_files_one_publishes(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = RawTable(contract(), tmp_path)
    for number in range(2):
        drop(table, "n", number)
    compared = compaction.refuse_other_content

    def meanwhile(*given: object) -> None:
        monkeypatch.setattr(compaction, "refuse_other_content", compared)
        assert compact_source(RawTable(contract(), tmp_path), settings) is not None

    monkeypatch.setattr(compaction, "refuse_other_content", meanwhile)
    with pytest.raises(ConflictError, match="another writer replaced it first"):
        compact_source(table, settings)
    assert len(current(table)) == 4
    assert len(list(table.folder.glob("merged-*"))) == 1


PROGRAM = """
import os, signal, sys
from pathlib import Path
from tests.transformations.engine.raw.raw_tables import contract
from transformations.engine.base.settings import get_settings
from transformations.engine.merging import replacing
from transformations.engine.raw import compaction
from transformations.engine.raw.zone import RawTable

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

{moment} = kill
compaction.compact_source(RawTable(contract(), Path(sys.argv[1])), get_settings())
"""


@pytest.mark.parametrize(
    "moment", ["compaction.refuse_other_content", "replacing.os.link", "replacing.storage.record_log"]
)
def test_killed_at_any_moment_it_leaves_every_row_once(tmp_path: Path, settings: Settings, moment: str) -> None:
    table = RawTable(contract(), tmp_path / "raw")
    for number in range(3):
        drop(table, "n", number)
    process = start(PROGRAM.format(moment=moment), str(tmp_path / "raw"), output=tmp_path / "output")
    assert process.wait() == (-signal.SIGKILL, "")

    again = RawTable(contract(), tmp_path / "raw")
    assert len(current(again)) == 6
    assert len(again.snapshot().files) == (1 if "record" in moment else 3)
    compact_source(again, settings)
    drop(again, "n", 3)
    assert len(current(again)) == 8
    vacuum_source(again, timedelta(0))
    assert len(current(again)) == 8
    assert examine_table("raw", again.folder).faults == []
    assert len(list(again.folder.glob("merged-*"))) == 1

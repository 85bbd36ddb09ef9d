"""Compaction: few sorted files with the same rows, readable by others, safe to kill and beside everything else."""

import json
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.worlds.literal_table import LiteralTable
from tests.worlds.processes import start
from transformations.engine.base.errors import ConflictError, DataError
from transformations.engine.base.settings import Settings
from transformations.engine.merging import merged_files
from transformations.engine.tables import compaction
from transformations.engine.tables.compaction import compact_table
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.upkeep.integrity import examine_table
from transformations.engine.upkeep.vacuum import vacuum_table


def test_files_become_one_that_is_sorted_and_any_reader_of_delta_finds_the_rows(
    literal_table: Any, settings: Settings
) -> None:
    for name, users in (("a", (3, 1)), ("b", (4,)), ("c", (2,))):
        literal_table.run(name, *users)
    done = compact_table(literal_table, settings)
    assert done is not None
    assert (done.version, done.files, done.rows) == (3, (3, 1), 4)
    (file,) = literal_table.newest().files
    assert pq.read_table(file)["user_id"].to_pylist() == [1, 2, 3, 4]

    elsewhere = DeltaTable(str(literal_table.path))
    assert elsewhere.version() == 3
    assert sorted(elsewhere.to_pyarrow_table()["user_id"].to_pylist()) == [1, 2, 3, 4]
    assert sorted(DeltaTable(str(literal_table.path), version=1).to_pyarrow_table()["user_id"].to_pylist()) == [1, 3, 4]
    lines = (literal_table.path / "_delta_log" / f"{3:020}.json").read_text().splitlines()
    kinds = [
        (kind, each["dataChange"]) for kind, each in (next(iter(json.loads(line).items())) for line in lines[1:-1])
    ]
    assert sorted(kinds) == [("add", False), *[("remove", False)] * 3]


def test_a_second_time_it_does_nothing(literal_table: Any, settings: Settings) -> None:
    literal_table.run("a", 1)
    assert compact_table(literal_table, settings) is None
    literal_table.run("b", 2)
    assert compact_table(literal_table, settings) is not None
    assert compact_table(literal_table, settings) is None
    assert literal_table.newest().version == 2


def test_unasked_it_waits_until_there_are_many(
    literal_table: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        literal_table.run(str(number), number)
        assert compact_table(literal_table, settings, only_many=True) is None
    monkeypatch.setattr(merged_files, "MANY", 4)
    assert compact_table(literal_table, settings, only_many=True) is not None


def test_runs_go_on_from_it_and_keep_their_numbers(literal_table: Any, settings: Settings) -> None:
    literal_table.run("a", 1)
    literal_table.run("b", 2)
    compact_table(literal_table, settings)
    assert literal_table.run("c", 3) == 3
    assert [run.version for run in literal_table.runs()] == [0, 1, 3]
    assert (literal_table.newest().rows, literal_table.users(3)) == (3, [1, 2, 3])
    assert examine_table("offline", literal_table.path).faults == []


def test_a_run_prepared_before_it_publishes_nothing(literal_table: Any, settings: Settings) -> None:
    literal_table.run("a", 1)
    literal_table.run("b", 2)
    before = literal_table.newest()
    compact_table(literal_table, settings)
    file = literal_table.write("late", 9)
    with pytest.raises(ConflictError, match="another writer published first"):
        literal_table.publish([file], literal_table.schema, before.run, after=before.version, replace_all=False)
    assert literal_table.users(2) == [1, 2]


def test_it_waits_for_a_run_that_publishes_and_merges_what_it_had_read(
    literal_table: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    literal_table.run("a", 1)
    literal_table.run("b", 2)
    written = compaction.refuse_other_content

    def meanwhile(*given: Any) -> None:
        written(*given)
        literal_table.run("c", 3)

    monkeypatch.setattr(compaction, "refuse_other_content", meanwhile)
    done = compact_table(literal_table, settings)
    assert done is not None
    assert (done.version, literal_table.users(3), len(literal_table.newest().files)) == (3, [1, 2, 3], 2)


def test_after_a_rebuild_meanwhile_it_publishes_nothing(
    literal_table: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    literal_table.run("a", 1)
    literal_table.run("b", 2)
    written = compaction.refuse_other_content

    def meanwhile(*given: Any) -> None:
        written(*given)
        literal_table.run("c", 3, kind="rebuild")

    monkeypatch.setattr(compaction, "refuse_other_content", meanwhile)
    with pytest.raises(ConflictError, match="another writer replaced it first"):
        compact_table(literal_table, settings)
    assert literal_table.users(2) == [3]
    assert not list(literal_table.path.glob("compacted=*"))


MOMENTS = {
    "before it has written": "compaction.write_rows",
    "before it compares": "compaction.refuse_other_content",
    "before it commits": "compaction.replace_files",
    "while it commits": "replacing.os.link",
    "before it sums up": "DeltaTable.create_checkpoint",
    "before it notes checksums": "replacing.storage.record_log",
}
PROGRAM = """
import os, signal, sys
from pathlib import Path
from deltalake import DeltaTable
from transformations.engine.base.settings import get_settings
from transformations.engine.merging import replacing
from transformations.engine.tables import compaction
from transformations.engine.tables.offline_tables import OfflineTable

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

{moment} = kill
compaction.compact_table(OfflineTable(Path(sys.argv[1])), get_settings())
"""


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_leaves_the_table_as_it_was_or_merged(
    literal_table: LiteralTable, settings: Settings, tmp_path: Path, moment: str
) -> None:
    literal_table.run("a", 1)
    literal_table.run("b", 2)
    process = start(PROGRAM.format(moment=MOMENTS[moment]), str(literal_table.path), output=tmp_path / "output")
    assert process.wait() == (-signal.SIGKILL, "")

    table = OfflineTable(literal_table.path)
    newest = table.newest().version
    assert newest == (2 if "sums" in moment or "notes" in moment else 1)
    assert (literal_table.users(newest), literal_table.users(0)) == ([1, 2], [1])
    compact_table(table, settings)
    literal_table.run("c", 3)
    assert literal_table.users(literal_table.newest().version) == [1, 2, 3]
    vacuum_table(literal_table, timedelta(0))
    assert examine_table("offline", literal_table.path).faults == []
    assert len(list(literal_table.path.glob("compacted=*"))) == 1


def test_damaged_files_are_not_merged(settings: Settings) -> None:
    literal_table = LiteralTable(settings.offline_dir / "user_clicks")
    literal_table.run("a", 1)
    literal_table.run("b", 2)
    file = Path(literal_table.newest().files[0])
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match="does not hold the bytes that were written"):
        compact_table(literal_table, settings)
    assert literal_table.newest().version == 1


def test_vacuum_of_one_version_leaves_the_merged_file_and_what_the_newest_run_carried(
    literal_table: Any, settings: Settings
) -> None:
    literal_table.run("a", 1)
    literal_table.run("b", 2)
    compact_table(literal_table, settings)
    done = vacuum_table(literal_table, timedelta(0), keep_versions=1)
    assert done.given_up == (0, 1)
    assert sorted(path.name for path in literal_table.path.glob("carry=*")) == ["carry=b"]
    assert literal_table.users(2) == [1, 2]

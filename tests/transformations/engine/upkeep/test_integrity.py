"""Every file that a table refers to is looked at whole: a flipped bit, a lost or shortened file is named."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.transformations.engine.raw.raw_tables import contract, events, origin
from transformations.engine.base import checksums, storage
from transformations.engine.base.commit_log import check_log_bytes
from transformations.engine.base.errors import DamagedError, DataError
from transformations.engine.raw.zone import RawTable
from transformations.engine.tables.pins import pin
from transformations.engine.upkeep.integrity import examine_artifacts, examine_folder, examine_table, examine_tables


@pytest.fixture
def table(literal_table: Any) -> Any:
    literal_table.run("a", 1, 2)
    literal_table.run("b", 3)
    return literal_table


def flip(file: Path, chosen: random.Random) -> None:
    """One bit of a file, anywhere in it."""
    content = bytearray(file.read_bytes())
    content[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
    file.chmod(0o600)
    file.write_bytes(content)


def test_a_table_as_it_was_written_has_no_fault(table: Any) -> None:
    found = examine_table("offline", table.path)

    assert (found.faults, found.unrecorded, found.given_up) == ([], 0, ())
    assert found.files == 6  # of each of two runs: its rows, what it carries over, its commit


@pytest.mark.parametrize("kind", ["run=a/*.parquet", "run=b/*.parquet", "carry=b/*.parquet", "_delta_log/*.json"])
def test_a_flipped_bit_is_found_wherever_it_is(table: Any, kind: str) -> None:
    chosen = random.Random(kind)
    file = max(table.path.glob(kind))
    whole = file.read_bytes()
    for _ in range(24):
        flip(file, chosen)
        faults = examine_table("offline", table.path).faults
        assert any(fault.startswith(str(file)) for fault in faults)
        file.write_bytes(whole)
    assert examine_table("offline", table.path).faults == []


@pytest.mark.parametrize("kind", ["drop-*/*.parquet", "_delta_log/*.json"])
def test_a_flipped_bit_of_the_raw_zone_is_found_wherever_it_is(tmp_path: Path, kind: str) -> None:
    raw = RawTable(contract(), tmp_path)
    for day in (3, 4):
        raw.append(events((day, 1.5, f"2020-01-0{day} 12:00")), origin(f"{day}.csv"))
    chosen = random.Random(kind)
    for file in sorted(raw.folder.glob(kind)):
        whole = file.read_bytes()
        for _ in range(24):
            flip(file, chosen)
            assert any(fault.startswith(str(file)) for fault in examine_table("raw", raw.folder).faults)
            file.write_bytes(whole)
    found = examine_table("raw", raw.folder)
    assert (found.faults, found.unrecorded, found.files) == ([], 0, 4)


def test_a_flipped_bit_of_a_checkpoint_is_found(table: Any) -> None:
    storage.open_table(table.path).create_checkpoint()
    (checkpoint,) = (table.path / "_delta_log").glob("*.checkpoint.parquet")
    checksums.record(table.path, [f"_delta_log/{checkpoint.name}"])
    flip(checkpoint, random.Random(1))

    (fault,) = examine_table("offline", table.path).faults
    assert fault == f"{checkpoint} does not hold the bytes that were written"


@pytest.mark.parametrize(
    "damage", [lambda file: flip(file, random.Random(3)), lambda file: file.write_bytes(file.read_bytes()[:-9])]
)
def test_a_damaged_checkpoint_is_named_and_the_table_reads_again_without_it(
    table: Any, damage: Callable[[Path], object]
) -> None:
    storage.open_table(table.path).create_checkpoint()
    (checkpoint,) = (table.path / "_delta_log").glob("*.checkpoint.parquet")
    checksums.record(table.path, [f"_delta_log/{checkpoint.name}"])
    damage(checkpoint)
    (fault,) = examine_table("offline", table.path).faults
    assert fault.startswith(str(checkpoint))
    with pytest.raises(DataError, match=f"^{checkpoint} is damaged: .*nothing is lost: move it away, and .*_last_ch"):
        check_log_bytes(table.path)

    checkpoint.unlink()
    (table.path / "_delta_log" / "_last_checkpoint").unlink()
    assert table.users(1) == [1, 2, 3]
    assert examine_table("offline", table.path).faults == []


def lose(checkpoint: Path, hint: Path) -> int:
    checkpoint.unlink()
    return json.loads(hint.read_text())["version"]


def mislead(_: Path, hint: Path) -> int:
    hint.write_text(json.dumps({**json.loads(hint.read_text()), "version": 999}))
    return 999


@pytest.mark.parametrize("damage", [lose, mislead])
def test_a_named_checkpoint_that_is_not_there_is_told_with_its_remedy(
    table: Any, damage: Callable[[Path, Path], int]
) -> None:
    storage.open_table(table.path).create_checkpoint()
    (checkpoint,) = (table.path / "_delta_log").glob("*.checkpoint.parquet")
    checksums.record(table.path, [f"_delta_log/{checkpoint.name}"])
    hint = checkpoint.with_name("_last_checkpoint")
    version = damage(checkpoint, hint)

    with pytest.raises(DamagedError) as caught:
        storage.open_table(table.path)
    assert str(caught.value) == (
        f"{hint} is damaged: it names the checkpoint of version {version}, which is not there. A checkpoint only sums "
        f"up the commits beside it, which are whole, so nothing is lost: move {hint} away and repeat the command."
    )
    assert examine_table("offline", table.path).faults == [str(caught.value)]

    hint.unlink()
    assert storage.open_table(table.path).version() == 1
    assert examine_table("offline", table.path).faults == []


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"version": "1"}', '{"version": -1}'])
def test_a_file_that_names_no_checkpoint_is_passed_over_as_delta_does(table: Any, content: str) -> None:
    (table.path / "_delta_log" / "_last_checkpoint").write_text(content)

    assert storage.open_table(table.path).version() == 1
    assert examine_table("offline", table.path).faults == []


def test_a_log_that_lost_its_commits_is_no_new_table(table: Any) -> None:
    storage.open_table(table.path).create_checkpoint()
    for commit in (table.path / "_delta_log").glob("*.json"):
        commit.unlink()

    first = f"{table.path}/_delta_log/{0:020}.json is damaged: it is missing"
    for read in (table.latest, table.runs, lambda: list(storage.contents(table.path))):
        with pytest.raises(DataError, match=first):
            read()
    assert examine_table("offline", table.path).faults[0].startswith(first)


def test_a_commit_that_is_other_json_is_named_where_the_table_cannot_be_opened(table: Any) -> None:
    first = min((table.path / "_delta_log").glob("*.json"))
    first.write_text(first.read_text().replace('"schemaString":"{', '"schemaStrinf":"{'))

    with pytest.raises(DataError, match=f"^{first} reads as a whole commit, but does not hold the bytes"):
        table.latest()


def test_a_damaged_checksum_of_a_commit_does_not_cost_the_commit(table: Any) -> None:
    sums, newest = table.path / "SHA256SUMS", max((table.path / "_delta_log").glob("*.json"))
    flipped = sums.read_text().replace(checksums.content_hash(newest), "0" * 64)
    assert flipped != sums.read_text()
    sums.write_text(flipped)

    with pytest.raises(DataError, match=f"^{newest} reads as a whole commit.*delete its lines from {sums}"):
        table.latest()
    sums.write_text("".join(line for line in flipped.splitlines(keepends=True) if not line.startswith("0" * 64)))
    assert table.newest().version == 1


def test_a_damaged_name_in_the_checksums_is_no_lost_commit(table: Any) -> None:
    sums = table.path / "SHA256SUMS"
    whole = sums.read_text()
    sums.write_text(whole.replace(f"{0:020}.json", f"{2 * 10**15:020}.json"))
    with pytest.raises(DataError, match=f"^{sums} is damaged: it names {2 * 10**15:020}.json, and not version 2"):
        table.latest()

    sums.write_text(whole.replace(f"{0:020}.json", f"{2:020}.json"))
    with pytest.raises(DataError, match=rf"0002.json is missing.*\({0:020}.json has no checksum.*{sums}"):
        table.latest()
    sums.write_text(whole.replace(f"  _delta_log/{0:020}.json", f"  _delta_log/{0:020}_json"))
    assert table.newest().version == 1


def test_a_commit_in_place_of_one_that_was_moved_away_is_checked_too(table: Any) -> None:
    newest = max((table.path / "_delta_log").glob("*.json"))
    newest.rename(newest.with_name(f"{newest.name}.damaged"))
    table.run("c", 3)
    assert table.newest().version == 1

    newest.write_text(newest.read_text().replace('"rows": 1', '"rows": 7').replace('rows\\": 1', 'rows\\": 7'))
    with pytest.raises(DataError, match=f"^{newest} reads as a whole commit, but does not hold the bytes"):
        table.newest()


def test_a_folder_in_place_of_the_newest_commit_is_no_commit(table: Any) -> None:
    newest = max((table.path / "_delta_log").glob("*.json"))
    newest.unlink()
    newest.mkdir()

    for read in (table.latest, table.runs, lambda: table.at(0)):
        with pytest.raises(DataError, match=f"^{newest} is missing, and it was published"):
            read()


def test_the_newest_commit_may_not_be_lost_without_a_word(table: Any) -> None:
    newest = max((table.path / "_delta_log").glob("*.json"))
    newest.unlink()

    for read in (table.latest, table.runs, lambda: table.at(0)):
        with pytest.raises(DataError, match=f"^{newest} is missing, and it was published.*touch {newest}.damaged"):
            read()
    assert examine_table("offline", table.path).faults[0].startswith(f"{newest} is missing")

    newest.with_name(f"{newest.name}.damaged").touch()
    assert table.newest().version == 0
    table.run("c", 3)
    assert table.newest().version == 1
    assert examine_table("offline", table.path).faults == []


def test_a_table_that_lost_its_log_is_no_table_to_be_built(table: Any) -> None:
    shutil.rmtree(table.path / "_delta_log")
    with pytest.raises(DataError, match=r"_delta_log/0{20}.json is missing, and it was published"):
        table.exists()
    (found,) = examine_tables(table.path.parent / "none", table.path.parent)
    assert "is missing, and it was published" in found.faults[0]


def test_no_flipped_bit_of_a_commit_changes_what_is_read(table: Any) -> None:
    newest = max((table.path / "_delta_log").glob("*.json"))
    whole, before = newest.read_bytes(), table.newest()
    for place in range(0, len(whole) * 8, 97):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        newest.write_bytes(flipped)
        os.utime(newest, (place, place))  # a file that was changed twice within a tick of its disk looks unchanged
        with pytest.raises(DataError, match=f"{newest} (is damaged|reads as a whole commit)"):
            table.newest()
    newest.write_bytes(whole)
    assert table.newest() == before


def test_a_folder_that_a_killed_first_run_left_has_no_fault(tmp_path: Path) -> None:
    (tmp_path / "_delta_log").mkdir()

    assert examine_table("offline", tmp_path).faults == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "bytes and was written with"),
        (lambda file: file.write_bytes(b""), "has 0 bytes and was written with"),
    ],
)
def test_a_lost_or_shortened_file_is_named(table: Any, damage: Callable[[Path], object], said: str) -> None:
    file = table.path / "run=b" / "1.parquet"
    damage(file)

    (fault,) = examine_table("offline", table.path).faults
    assert fault.startswith(str(file))
    assert said in fault


def test_what_a_run_carries_over_may_not_be_lost_either(table: Any) -> None:
    (table.path / "carry=b" / "bucket-00000.parquet").unlink()

    assert examine_table("offline", table.path).faults == [f"{table.path}/carry=b/bucket-00000.parquet is missing"]


def test_files_without_a_recorded_checksum_are_counted_and_read_whole(table: Any) -> None:
    (table.path / checksums.FILE).unlink()
    found = examine_table("offline", table.path)
    assert (found.faults, found.unrecorded) == ([], found.files)

    file = table.path / "run=a" / "1.parquet"
    content = bytearray(file.read_bytes())
    content[-6] ^= 255  # in the length of the footer
    file.write_bytes(content)
    (fault,) = examine_table("offline", table.path).faults
    assert fault.startswith(f"{file} cannot be read: ")


def test_a_version_that_was_given_up_is_no_fault_but_a_pinned_one_is(table: Any) -> None:
    table.run("c", 4, kind="rebuild")
    (table.path / "run=a" / "1.parquet").unlink()
    found = examine_table("offline", table.path)
    assert (found.faults, found.given_up) == ([], (0, 1))

    (table.path / "run=a").rename(table.path / "away=a")
    (table.path / "pins.json").write_text('{"versions": {"1": ["dataset early"]}}')
    assert examine_table("offline", table.path).faults == [f"{table.path}/run=a/1.parquet is missing"]


def test_a_pins_file_that_is_cut_short_or_names_no_version_is_a_fault(table: Any) -> None:
    pin(table, 1, "dataset early")
    pins = table.path / "pins.json"
    whole = pins.read_text()
    pins.write_text(whole[: len(whole) // 2])
    assert examine_table("offline", table.path).faults[0].startswith(f"{pins} is damaged")

    pins.write_text('{"versions": {"7": ["dataset early"]}}')
    assert examine_table("offline", table.path).faults == [f"{pins} pins version 7, which is not there"]


def test_the_checksums_are_those_that_sha256sum_checks(table: Any) -> None:
    lines = (table.path / checksums.FILE).read_text().splitlines()
    known = {line.split("  ")[1]: line.split("  ")[0] for line in lines}

    file = table.path / "run=a" / "1.parquet"
    assert known["run=a/1.parquet"] == checksums.content_hash(file)
    assert {name for name in known if "log" in name} == {f"_delta_log/{version:020}.json" for version in (0, 1)}


def test_a_killed_writers_half_line_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / checksums.FILE).write_text("0123456789abcdef")
    checksums.record(tmp_path, ["a"])

    assert checksums.recorded(tmp_path) == {"a": checksums.content_hash(tmp_path / "a")}
    assert examine_folder("dataset", tmp_path, ["a"]).faults == []


def test_a_source_that_a_table_was_computed_from_may_not_be_lost(table: Any, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    log = raw / "sales" / "_delta_log"
    (found,) = examine_tables(raw, table.path.parent)
    assert found.faults == []  # the runs of this table say of no source

    table.run("c", 4, sources={"sales": 1})
    (found,) = examine_tables(raw, table.path.parent)
    assert found.faults[0].startswith(f"it was computed from version 1 of sales, and {raw}/sales is gone. Bring it ")
    log.mkdir(parents=True)
    (log / f"{0:020}.json").touch()
    assert any(
        "sales has version 0. Bring it back" in each.faults[0] for each in examine_tables(raw, table.path.parent)
    )


def test_a_model_s_version_is_examined_by_its_checksums(tmp_path: Path) -> None:
    folder = tmp_path / "churn" / "run1"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    checksums.record(folder, ["model.json"])
    (found,) = examine_artifacts(tmp_path)
    assert (found.zone, found.name, found.files, found.faults) == ("model", "churn/run1", 1, [])

    (folder / "model.json").write_text("[]")
    (found,) = examine_artifacts(tmp_path)
    assert found.faults == [f"{folder}/model.json does not hold the bytes that were written"]

"""A log of years is read from its summary and the commits since; where a summary is not whole, from its commits."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transformations.engine.raw.raw_tables import contract, events, origin
from transformations.engine.base import checksums, commit_log
from transformations.engine.base.commit_log import (
    COMMITS_A_SUMMARY,
    logged_commits,
    newest_record,
    newest_records,
    sum_up,
)
from transformations.engine.base.errors import DamagedError
from transformations.engine.base.logs import summary
from transformations.engine.base.logs.summary import FILE as SUMMARY
from transformations.engine.base.logs.summary import LoggedCommit
from transformations.engine.raw.zone import RawTable
from transformations.engine.tables.offline_tables import OfflineTable

RECORD = "features.run"


def forget() -> None:
    """Let the next call read the log as a new process does."""
    for cached in (*vars(commit_log).values(), *vars(checksums).values(), *vars(summary).values()):
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


@contextmanager
def counted_opens() -> Iterator[list[str]]:
    """The names of the files that are opened meanwhile."""
    names: list[str] = []
    opened = Path.open

    def noting(self: Path, *given: Any, **named: Any) -> Any:
        names.append(self.name)
        return opened(self, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", noting)
        yield names


def write_log(folder: Path, commits: int, first: int = 0) -> None:
    """A log of so many runs, of which nothing but the log is there; written from a first one on."""
    (folder / "_delta_log").mkdir(parents=True, exist_ok=True)
    for version in range(first, commits):
        run = {"rows": version, "lineage": {"a": ["b.c"] * 5}, "kind": "first load" if version == 0 else "incremental"}
        lines = [{"commitInfo": {"timestamp": version, RECORD: json.dumps(run)}}, {"txn": {"version": version}}]
        text = "\n".join(map(json.dumps, lines)) + "\n"
        (folder / "_delta_log" / f"{version:020}.json").write_text(text)
    checksums.record(folder, [f"_delta_log/{version:020}.json" for version in range(first, commits)])
    forget()


@pytest.mark.parametrize("commits", [50, pytest.param(5_000, marks=pytest.mark.proof)])
def test_a_log_is_read_from_as_few_files_however_long_it_is(tmp_path: Path, commits: int) -> None:
    write_log(tmp_path, commits)
    plain = logged_commits(tmp_path)
    sum_up(tmp_path)
    forget()
    with counted_opens() as names:
        found = logged_commits(tmp_path)
    assert [each.records for each in found] == [each.records for each in plain]
    assert sorted({*names}) == [f"{commits - 1:020}.json", "SHA256SUMS", SUMMARY]


@pytest.mark.parametrize("damage", ["none", "flipped", "short", "empty", "gone"])
def test_the_newest_record_is_read_from_the_head_of_the_summary_and_the_commits_since(
    tmp_path: Path, damage: str
) -> None:
    write_log(tmp_path, 8)
    sum_up(tmp_path)
    write_log(tmp_path, 10, first=8)
    plain = [commit.record(RECORD) for commit in logged_commits(tmp_path, from_summary=False)]
    DAMAGES.get(damage, Path.exists)(tmp_path / SUMMARY)
    forget()
    with counted_opens() as names:
        assert newest_record(tmp_path, RECORD, 9) == plain[9]
    assert newest_record(tmp_path, RECORD, 7) == plain[7]
    assert newest_record(tmp_path, RECORD, 3) == plain[3]
    assert newest_record(tmp_path, "features.drop", 9) is None
    if damage == "none":
        assert sorted({*names}) == [*(f"{version:020}.json" for version in (7, 8, 9)), "SHA256SUMS", SUMMARY]


def test_a_record_that_only_an_early_commit_has_is_the_newest_of_its_kind(tmp_path: Path) -> None:
    write_log(tmp_path, 5)
    entry = tmp_path / "_delta_log" / f"{2:020}.json"
    entry.write_text(entry.read_text().replace(RECORD, "features.merged"))
    (tmp_path / "SHA256SUMS").unlink()
    sum_up(tmp_path)
    forget()
    assert newest_record(tmp_path, "features.merged", 4) == logged_commits(tmp_path)[2].record("features.merged")
    entry.rename(f"{entry}.damaged")  # and nothing in its place
    forget()
    with pytest.raises(DamagedError, match="it is missing"):
        newest_record(tmp_path, "features.merged", 4)


def test_a_long_record_is_not_in_the_head_of_the_summary_and_is_found_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path, 8)
    monkeypatch.setattr(summary, "LONGEST_IN_HEAD", 20)
    sum_up(tmp_path)
    write_log(tmp_path, 10, first=8)
    assert len((tmp_path / SUMMARY).read_text().splitlines()[1]) < 250
    plain = [commit.record(RECORD) for commit in logged_commits(tmp_path, from_summary=False)]
    assert newest_records(tmp_path, RECORD, 9) == dict(enumerate(plain[7:], 7))
    assert newest_record(tmp_path, RECORD, 7) == plain[7]


def test_commits_that_were_lost_behind_the_newest_are_missed(tmp_path: Path) -> None:
    write_log(tmp_path, 10)
    sum_up(tmp_path)
    for version in (8, 9):
        (tmp_path / "_delta_log" / f"{version:020}.json").unlink()
    forget()
    with pytest.raises(DamagedError, match="it was published"):
        newest_record(tmp_path, RECORD, 7)


def test_a_table_of_many_versions_opens_as_few_files_as_one_of_few(literal_table: Any) -> None:
    literal_table.run("first", 1)
    before = literal_table.newest()
    for number in range(COMMITS_A_SUMMARY + 10):
        literal_table.publish([], literal_table.schema, before.run, after=number, replace_all=False)
    forget()
    with counted_opens() as names:
        latest = OfflineTable(literal_table.path).latest()
    assert latest is not None
    assert (latest.version, latest.rows) == (COMMITS_A_SUMMARY + 10, before.rows)
    commits_since, last, head = 11, 1, 1
    assert len({name for name in names if name.endswith(".json")}) == commits_since + last + head
    assert len(literal_table.runs()) == COMMITS_A_SUMMARY + 11


VALUES = st.one_of(st.none(), st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
RECORDS = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3)


@given(st.lists(st.tuples(RECORDS, st.dictionaries(st.sampled_from([RECORD, "features.drop"]), RECORDS)), max_size=6))
def test_a_summary_tells_what_every_commit_noted(noted: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    commits = [
        LoggedCommit({**info, **{key: json.dumps(record) for key, record in records.items()}}, records)
        for info, records in noted
    ]
    again = list(summary.from_differences(json.loads(json.dumps(summary.differences(commits)))))
    assert [each.records for each in again] == [each.records for each in commits]
    assert [each.info for each in again] == [info for info, _ in noted]
    for key in (RECORD, "features.drop", "a"):
        if key != "a":
            assert [each.record(key) for each in again] == [each.record(key) for each in commits]


DAMAGES = {
    "flipped": lambda file: file.write_bytes(file.read_bytes()[:-9] + b"9" + file.read_bytes()[-8:]),
    "short": lambda file: file.write_bytes(file.read_bytes()[:100]),
    "empty": lambda file: file.write_bytes(b""),
    "of another log": lambda file: file.write_text(file.read_text().replace('"last": "', '"last": "0')),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_whole_summary_the_commits_themselves_are_read(tmp_path: Path, damage: str) -> None:
    write_log(tmp_path, 5)
    plain = logged_commits(tmp_path)
    sum_up(tmp_path)
    DAMAGES[damage](tmp_path / SUMMARY)
    forget()
    assert [each.records for each in logged_commits(tmp_path)] == [each.records for each in plain]


def test_a_commit_that_was_moved_away_and_written_anew_is_read_itself(tmp_path: Path) -> None:
    write_log(tmp_path, 5)
    sum_up(tmp_path)
    entry = tmp_path / "_delta_log" / f"{4:020}.json"
    entry.rename(f"{entry}.damaged")
    forget()
    assert len(logged_commits(tmp_path)) == 4
    entry.write_text(Path(f"{entry}.damaged").read_text().replace('\\"rows\\": 4', '\\"rows\\": 44'))
    forget()
    assert logged_commits(tmp_path)[4].records[RECORD]["rows"] == 44


def test_another_log_in_its_place_is_read_itself(tmp_path: Path) -> None:
    write_log(tmp_path / "a", 5)
    write_log(tmp_path / "b", 6)
    sum_up(tmp_path / "a")
    (tmp_path / "a" / SUMMARY).replace(tmp_path / "b" / SUMMARY)
    entry = tmp_path / "b" / "_delta_log" / f"{4:020}.json"
    entry.write_text(entry.read_text().replace('\\"rows\\": 4', '\\"rows\\": 44'))
    (tmp_path / "b" / "SHA256SUMS").unlink()
    forget()
    assert logged_commits(tmp_path / "b")[4].records[RECORD]["rows"] == 44


def test_a_lost_commit_is_missed_and_an_older_version_found_beside_a_summary(tmp_path: Path) -> None:
    write_log(tmp_path, 6)
    sum_up(tmp_path)
    forget()
    assert len(logged_commits(tmp_path, until=3)) == 4
    (tmp_path / "_delta_log" / f"{2:020}.json").unlink()
    forget()
    with pytest.raises(DamagedError, match="it is missing"):
        logged_commits(tmp_path)


def test_the_summary_of_a_raw_table_is_written_by_its_drops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformations.engine.base.commit_log.COMMITS_A_SUMMARY", 3)
    table = RawTable(contract(), tmp_path)
    for number in range(4):
        moment = datetime(2020, 1, 1, 12, tzinfo=UTC) + timedelta(days=number)
        table.append(events((number, 1.0, moment.isoformat()[:19])), origin(str(number)))
    assert (table.folder / SUMMARY).stat().st_mode & 0o777 == 0o640
    forget()
    assert RawTable(contract(), tmp_path).snapshot().drops == table.snapshot().drops
    assert len(table.snapshot().drops) == 4

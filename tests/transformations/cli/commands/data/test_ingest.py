"""`features ingest`: what it prints, its JSON, its exit codes."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from transformations.cli.commands.data.ingest import ingest, parse_moment
from transformations.cli.main import run
from transformations.engine.base.settings import get_settings

CLICKS = """
apiVersion: v3.1.0
kind: DataContract
id: clicks
version: 1.0.0
team: { name: tests }
schema:
  - name: clicks
    description: One click
    customProperties:
      - { property: eventTime, value: at }
      - { property: timestampZone, value: UTC }
      - { property: businessDayZone, value: America/New_York }
      - { property: delivery, value: append }
    properties:
      - { name: id, logicalType: integer, description: The click, required: true, primaryKey: true }
      - { name: at, logicalType: timestamp, description: When, required: true }
"""


@pytest.fixture(autouse=True)
def contracts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "clicks.yaml").write_text(CLICKS)
    monkeypatch.setenv("FEATURES_CONTRACTS", str(tmp_path / "contracts"))
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FEATURES_CLOCK", "2020-02-01T12:00:00Z")
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()


def write(name: str, ids: list[int], days: list[int]) -> None:
    at = pa.array([datetime(2020, 1, day, 12) for day in days], pa.timestamp("us"))
    pq.write_table(pa.table({"id": ids, "at": at}), name)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(ingest, list(arguments), catch_exceptions=False)


def test_a_drop_is_told_in_rows_days_version_and_completeness() -> None:
    write("jan.parquet", [1, 2], [3, 5])
    result = invoke("clicks", "jan.parquet")
    (line,) = result.stdout.splitlines()
    assert line.startswith("clicks: 2 rows written from 2020-01-03 to 2020-01-05, ")
    assert line.endswith("; now version 0, complete through 2020-01-04")
    assert (
        "2020-01-05 may still be filling. Once it is whole: "
        "features ingest clicks jan.parquet --complete-through 2020-01-05\n"
    ) in result.stderr


def test_the_command_it_names_records_completeness_and_then_has_nothing_to_do() -> None:
    write("jan.parquet", [1], [5])
    invoke("clicks", "jan.parquet")
    said = invoke("clicks", "jan.parquet", "--complete-through", "2020-01-05")
    assert said.stdout == "clicks: no new row, now version 1, complete through 2020-01-05\n"
    assert "may still be filling" not in said.stderr
    again = invoke("clicks", "jan.parquet", "--complete-through", "2020-01-05")
    assert again.stdout == (
        "clicks: nothing to do for jan.parquet, it is there already (version 1, complete through 2020-01-05)\n"
    )


def test_overlaps_and_corrections_are_counted() -> None:
    write("first.parquet", [1, 2], [3, 4])
    write("second.parquet", [1, 2], [3, 5])
    invoke("clicks", "first.parquet")
    lines = invoke("clicks", "second.parquet", "--correction").stdout.splitlines()
    assert lines[0].startswith("clicks: 1 row written of 2020-01-05, ")
    assert lines[1:] == [
        "  left out as current already: 1 row of second.parquet",
        "  superseded: 1 row of earlier drops",
    ]


def test_a_file_that_replaces_rows_unasked_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write("first.parquet", [1, 2], [3, 4])
    write("second.parquet", [1, 2], [13, 14])
    invoke("clicks", "first.parquet")
    assert run(["ingest", "clicks", "second.parquet"]) == 3
    assert "2 of them by rows of another business day" in capsys.readouterr().err


def test_completeness_is_declared_and_taken_back_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    write("jan.parquet", [1], [5])
    invoke("clicks", "jan.parquet")
    said = invoke("clicks", "--complete-through", "2020-01-20")
    assert said.stdout == "clicks: no new row, now version 1, complete through 2020-01-20\n"
    assert run(["ingest", "clicks", "--complete-through", "2020-01-10"]) == 2
    assert "add --correction" in capsys.readouterr().err
    taken = invoke("clicks", "--complete-through", "2020-01-10", "--correction")
    assert taken.stdout.splitlines() == [
        "clicks: no new row, now version 2, complete through 2020-01-10",
        "  no longer complete through 2020-01-20: `features build` takes back what was computed of the days since",
    ]


def test_a_retraction_is_told_as_such() -> None:
    write("jan.parquet", [1, 2], [3, 5])
    invoke("clicks", "jan.parquet")
    Path("bogus.csv").write_text("id\n1\n77\n")
    assert invoke("clicks", "bogus.csv", "--retract").stdout.startswith("clicks: 1 row retracted of 2020-01-03, ")
    Path("unknown.csv").write_text("id\n77\n")
    told = invoke("clicks", "unknown.csv", "--retract").stdout
    assert "nothing to do for unknown.csv, no current row has one of its keys (version 1" in told


def test_json_is_one_document() -> None:
    write("jan.parquet", [1, 2], [3, 5])
    document = json.loads(invoke("clicks", "jan.parquet", "--complete-through", "2020-01-10", "--json").stdout)
    assert document.pop("seconds") > 0
    assert document == {
        "source": "clicks",
        "file": "jan.parquet",
        "verdict": "taken",
        "changed": True,
        "version": 0,
        "rows_delivered": 2,
        "rows_written": 2,
        "rows_unchanged": 0,
        "rows_retracted": 0,
        "rows_quarantined": 0,
        "rows_superseded": 0,
        "first_day": "2020-01-03",
        "last_day": "2020-01-05",
        "complete_through": "2020-01-10",
        "violations": [],
        "refusal": None,
        "rules": [],
        "set_aside": {},
        "notes": [],
    }


def test_a_refused_delivery_is_one_document_with_counts_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    write("twice.parquet", [1, 1, 2], [3, 5, 6])
    assert run(["ingest", "clicks", "twice.parquet", "--json"]) == 3
    said = capsys.readouterr()
    document = json.loads(said.out)
    (violation,) = document.pop("violations")
    assert (violation["rule"], violation["columns"], violation["count"]) == ("unique key", ["id"], 1)
    assert violation["examples"] == [{"row": "2", "value": "1"}]
    assert violation["message"] in said.err
    assert document == {
        "source": "clicks",
        "file": "twice.parquet",
        "verdict": "refused",
        "changed": False,
        "rows_delivered": 3,
        "rows_written": 0,
        "refusal": None,
        "rules": [],
        "set_aside": {},
        "notes": [],
    }


def test_what_the_raw_zone_refuses_and_what_cannot_be_read_are_documents_and_pages_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("first.parquet", [1, 2], [3, 4])
    write("moved.parquet", [1, 2, 3], [13, 14, 15])
    invoke("clicks", "first.parquet")
    assert run(["ingest", "clicks", "moved.parquet", "--json", "--report", "moved.html"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["rows_delivered"]) == ("refused", 3)
    assert "2 of them by rows of another business day" in document["refusal"]
    assert "Refused: nothing was written" in Path("moved.html").read_text()
    Path("cut.parquet").write_bytes(Path("first.parquet").read_bytes()[:-9])
    assert run(["ingest", "clicks", "cut.parquet", "--json", "--report", "cut.html"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["rows_delivered"]) == ("refused", None)
    assert document["refusal"].startswith("cut.parquet cannot be read")
    assert "cut.parquet cannot be read" in Path("cut.html").read_text()


@pytest.fixture
def dropped(tmp_path: Path) -> Path:
    """The folder in which the contract says that files of clicks come in."""
    server = f"servers: [{{ server: drop, type: local, path: '{tmp_path}/drop/clicks-*.parquet' }}]\nschema:"
    (tmp_path / "contracts" / "clicks.yaml").write_text(CLICKS.replace("schema:", server, 1))
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


def test_without_a_file_each_new_one_is_taken_where_the_contract_says(dropped: Path) -> None:
    write(str(dropped / "clicks-1.parquet"), [1, 2], [3, 4])
    write(str(dropped / "clicks-2.parquet"), [3], [5])
    write(str(dropped / "other.parquet"), [9], [5])
    lines = invoke("clicks").stdout.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "clicks: 2 rows written from 2020-01-03 to 2020-01-04",
        "clicks: 1 row written of 2020-01-05",
    ]
    assert invoke("clicks").stdout == "clicks: nothing to do, no new file where the contract says that they come in\n"
    write(str(dropped / "clicks-3.parquet"), [2, 3], [4, 5])  # its rows are all stored
    assert invoke("clicks").stdout.startswith("clicks: nothing to do for clicks-3.parquet, it is there already")
    write(str(dropped / "clicks-4.parquet"), [4], [6])
    (document,) = json.loads(invoke("clicks", "--json").stdout)
    assert (document["file"], document["verdict"]) == ("clicks-4.parquet", "taken")
    assert json.loads(invoke("clicks", "--json").stdout) == []
    assert invoke("clicks", "--complete-through", "2020-01-09").stdout.startswith("clicks: no new row, now version 3")


def test_new_files_are_taken_up_to_the_first_that_is_refused(dropped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ingest", "clicks"]) == 3
    assert "clicks.yaml: no file is at" in capsys.readouterr().err
    for number, ids in enumerate(([1], [2, 2], [3])):
        write(str(dropped / f"clicks-{number}.parquet"), ids, [3] * len(ids))
    assert run(["ingest", "clicks", "--retract"]) == 2
    assert run(["ingest", "clicks", "--report", "page.html"]) == 2
    assert "3 deliveries are new, and a report is about one" in capsys.readouterr().err
    assert run(["ingest", "clicks", "--json"]) == 3
    documents = json.loads(capsys.readouterr().out)
    assert [(each["file"], each["verdict"]) for each in documents] == [
        ("clicks-0.parquet", "taken"),
        ("clicks-1.parquet", "refused"),
    ]


def test_exit_codes_tell_usage_from_data(capsys: pytest.CaptureFixture[str]) -> None:
    write("jan.parquet", [1, 1], [3, 5])
    assert run(["ingest", "clicks", "jan.parquet"]) == 3
    assert "Error: clicks.yaml: key id is repeated by 1 row in 2 rows (50.00 %)" in capsys.readouterr().err
    assert run(["ingest", "clicks", "missing.parquet"]) == 2
    assert run(["ingest", "clicks", "jan.parquet", "--complete-through", "yesterday"]) == 2
    assert "'yesterday' is no day. Write it as 2020-01-31." in capsys.readouterr().err
    assert run(["ingest", "clicks", "jan.parquet", "--valid-from", "noon"]) == 2
    assert "'noon' is no point in time with its offset. Write it as 2020-01-31T00:00:00" in capsys.readouterr().err
    assert run(["ingest", "clicks", "jan.parquet", "--complete-through", "9999-12-31"]) == 2
    assert "'9999-12-31' is no day." in capsys.readouterr().err
    assert run(["ingest", "clicks", "jan.parquet", "--valid-from", "0001-01-01T00:00:00+05:00"]) == 2
    assert "'0001-01-01T00:00:00+05:00' is no point in time with its offset." in capsys.readouterr().err
    assert run(["ingest", "cliks", "jan.parquet"]) == 2
    assert "did you mean 'clicks'?" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["2020-01-31", "2020-01-31T09:00"])
def test_a_moment_without_an_offset_is_refused_as_nobody_says_whose_clock_it_is(text: str) -> None:
    context = click.Context(ingest)
    (option,) = (each for each in ingest.params if each.name == "valid_from")
    with pytest.raises(click.BadParameter, match="with its offset"):
        parse_moment(context, option, text)
    assert parse_moment(context, option, "2020-01-31T00:00-05:00") == datetime(2020, 1, 31, 5, tzinfo=UTC)
    assert parse_moment(context, option, "2020-01-31T00:00:00-05:00") == datetime(2020, 1, 31, 5, tzinfo=UTC)


def test_sources_are_completed_from_the_contracts() -> None:
    (argument,) = (each for each in ingest.params if each.name == "source")
    found = argument.shell_complete(ingest.make_context("ingest", [], resilient_parsing=True), "cl")
    assert [item.value for item in found] == ["clicks"]


def test_the_help_shows_examples() -> None:
    text = invoke("--help").stdout
    assert "features ingest clicks clicks-2020-01.parquet --complete-through 2020-01-31" in text
    assert "--retract" in text


def test_a_page_is_written_about_a_delivery_taken_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write("jan.parquet", [1, 2], [3, 5])
    invoke("clicks", "jan.parquet", "--report", "jan.html")
    assert "Taken as drop 1" in Path("jan.html").read_text()
    write("twice.parquet", [3, 3], [6, 6])
    assert run(["ingest", "clicks", "twice.parquet", "--report", "twice.html"]) == 3
    assert run(["contract", "check", "clicks", "twice.parquet", "--report", "check.html"]) == 3
    assert "key id is repeated by 1 row" in Path("twice.html").read_text()
    assert "It would be refused" in Path("check.html").read_text()
    capsys.readouterr()


def test_a_page_is_written_nowhere_else_and_then_nothing_is_ingested(capsys: pytest.CaptureFixture[str]) -> None:
    write("jan.parquet", [1], [5])
    Path("notes.txt").write_text("mine")
    for page, said in (("no/jan.html", "there is no folder"), ("notes.txt", "is no page of ours, so it is left")):
        assert run(["ingest", "clicks", "jan.parquet", "--report", page]) == 2
        assert run(["contract", "check", "clicks", "jan.parquet", "--report", page]) == 2
        assert said in capsys.readouterr().err
    assert not Path("data", "raw").exists()
    assert Path("notes.txt").read_text() == "mine"
    for _ in range(2):
        assert run(["ingest", "clicks", "jan.parquet", "--report", "jan.html"]) == 0
    assert "Nothing to do" in Path("jan.html").read_text()
    capsys.readouterr()


def test_rows_set_aside_are_told_listed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    allowed = "{ property: delivery, value: append }\n      - { property: quarantineAllowed, value: 0.5 }"
    text = CLICKS.replace("{ property: delivery, value: append }", allowed)
    (tmp_path / "contracts" / "clicks.yaml").write_text(text)
    Path("jan.jsonl").write_text('{"id": 1, "at": "2020-01-03 12:00"}\n{"id": "2", "at": "2020-01-04 12:00"}\n')
    lines = invoke("clicks", "jan.jsonl", "--quarantine").stdout.splitlines()
    assert lines[1:] == ["  1 row is set aside: 1 by exact of id"]
    assert run(["quarantine", "clicks", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["drop"], listed["file"], listed["rows"]) == (1, "jan.jsonl", 1)
    assert run(["quarantine", "clicks", "--drop", "1"]) == 0
    assert '2    exact of id  "2"  "2020-01-04 12:00"' in capsys.readouterr().out
    assert run(["quarantine", "clicks", "--drop", "1", "--to", "bad.parquet"]) == 0
    assert pq.read_table("bad.parquet").to_pylist() == [
        {"id": '"2"', "at": '"2020-01-04 12:00"', "_place": "2", "_rules": ["exact of id"]}
    ]
    assert run(["quarantine", "clicks", "--drop", "2"]) == 2

"""`features contract`: drafting, trying, listing and showing contracts."""

import json
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from transformations.cli.commands.data.contract import contract
from transformations.cli.main import run
from transformations.engine.base.settings import get_settings

WATERMARK = "customProperties: [{ property: watermark, value: at }, { property: overlap, value: PT90M }]"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    monkeypatch.setenv("FEATURES_CONTRACTS", str(contracts))
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    at = pa.array([datetime(2020, 1, day, 12) for day in (3, 5)], pa.timestamp("us"))
    pq.write_table(pa.table({"id": [1, 2], "price": [0.5, 2.5], "at": at}), "clicks.parquet")
    return contracts


@pytest.fixture
def filled_in(folder: Path) -> Path:
    """The draft of clicks, written and filled in."""
    invoke("draft", "clicks.parquet", "--write")
    path = folder / "clicks.yaml"
    text = path.read_text().replace("primaryKey: FILL IN", "primaryKey: true").replace("value: FILL IN", "value: UTC")
    text = text.replace("# logicalTypeOptions: { minimum: 0.5, maximum: 2.5 }", "logicalTypeOptions: { minimum: 0 }")
    path.write_text(text.replace("FILL IN", "something"))
    return path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(contract, list(arguments), catch_exceptions=False)


def test_a_draft_goes_to_stdout(folder: Path) -> None:
    assert "# First version, drafted from 2 rows of clicks.parquet." in invoke("draft", "clicks.parquet").stdout
    assert list(folder.iterdir()) == []


def test_a_draft_is_written_once_with_the_number_of_marks_left(folder: Path) -> None:
    result = invoke("draft", "clicks.parquet", "--name", "taps", "--write")
    path = folder / "taps.yaml"
    marks = sum("FILL IN" in line for line in path.read_text().splitlines() if not line.startswith("#"))
    assert result.stdout == (
        f"{path} is written. Fill in its {marks} marks, then: features contract check taps clicks.parquet\n"
    )
    assert run(["contract", "draft", "clicks.parquet", "--name", "taps", "--write"]) == 2


def test_a_file_that_keeps_its_contract_is_told_so(filled_in: Path) -> None:
    assert invoke("check", "clicks", "clicks.parquet").stdout == "clicks.parquet keeps the contract of clicks: 2 rows\n"
    assert json.loads(invoke("check", "clicks", "clicks.parquet", "--json").stdout) == {
        "rows": 2,
        "violations": [],
        "refusal": None,
        "rules": [],
        "set_aside": {},
        "notes": [],
    }


def test_a_file_that_breaks_it_ends_with_code_3(filled_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pq.read_table("clicks.parquet").set_column(1, "price", pa.array([-0.5, 1.0]))
    pq.write_table(rows, "bad.parquet")
    assert run(["contract", "check", "clicks", "bad.parquet"]) == 3
    assert "Error: clicks.yaml: column 'price' has 1 value below 0 in 2 rows (50.00 %)" in capsys.readouterr().err

    assert run(["contract", "check", "clicks", "bad.parquet", "--json"]) == 3
    (violation,) = json.loads(capsys.readouterr().out)["violations"]
    assert (violation["rule"], violation["columns"], violation["count"]) == ("range", ["price"], 1)
    assert violation["examples"] == [{"row": "1", "value": "-0.5"}]
    assert violation["message"].startswith("clicks.yaml: column 'price'")


def test_a_file_that_cannot_be_read_is_told_in_json_and_on_a_page(
    filled_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("cut.parquet").write_bytes(Path("clicks.parquet").read_bytes()[:-9])
    assert run(["contract", "check", "clicks", "cut.parquet", "--json", "--report", "cut.html"]) == 3
    assert "cut.parquet" in json.loads(capsys.readouterr().out)["refusal"]
    assert "It would be refused" in Path("cut.html").read_text()


def test_a_file_that_ingest_would_refuse_ends_with_code_3(
    filled_in: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_CLOCK", "2020-02-01T12:00:00Z")
    get_settings.cache_clear()
    assert run(["ingest", "clicks", "clicks.parquet"]) == 0
    later = pa.table({"id": [3], "price": [1.0], "at": pa.array([datetime(2020, 1, 30, 12)], pa.timestamp("us"))})
    pq.write_table(later, "later.parquet")
    capsys.readouterr()
    assert run(["contract", "check", "clicks", "later.parquet"]) == 3
    assert "Error: clicks: of 24 days between 2020-01-05 and 2020-01-30 there is no row" in capsys.readouterr().err
    assert run(["contract", "check", "clicks", "later.parquet", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["refusal"].startswith("clicks: of 24 days")
    assert run(["contract", "check", "clicks", "later.parquet", "--complete-through", "2020-01-29"]) == 0


def test_contracts_are_listed(filled_in: Path) -> None:
    lines = invoke("list").stdout.splitlines()
    assert lines[0].split() == ["Source", "Delivery", "Event", "time", "Key"]
    assert lines[1].split() == ["clicks", "append", "at", "id"]
    assert [each["source"] for each in json.loads(invoke("list", "--json").stdout)] == ["clicks"]


def test_a_draft_beside_other_contracts_hides_none_of_them(filled_in: Path) -> None:
    invoke("draft", "clicks.parquet", "--name", "taps", "--write")
    text = invoke("list").stdout
    assert text.splitlines()[1].split() == ["clicks", "append", "at", "id"]
    assert "not usable yet: contracts/taps.yaml: " in text
    assert "marks still say 'FILL IN'. Fill them in:\n" in text
    assert [each["source"] for each in json.loads(invoke("list", "--json").stdout)] == ["clicks", "taps"]


def test_a_check_lists_every_open_mark_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    invoke("draft", "clicks.parquet", "--write")
    assert run(["contract", "check", "clicks", "clicks.parquet"]) == 2
    listed = capsys.readouterr().err.splitlines()
    marks = sum("FILL IN  #" in line for line in (folder / "clicks.yaml").read_text().splitlines())
    assert listed[0] == f"Error: contracts/clicks.yaml: {marks} marks still say 'FILL IN'. Fill them in:"
    assert len(listed) == marks + 1


def test_an_empty_folder_says_how_to_begin(folder: Path) -> None:
    assert invoke("list").stdout == (
        f"No contract in {folder}. Draft the first: features contract draft FILE --write\n"
    )


def test_a_contract_is_shown_with_its_promises(filled_in: Path) -> None:
    text = invoke("show", "clicks").stdout
    assert text.startswith(
        "clicks 0.1.0, owned by something: something\n  key: id\n  event time: at (naive times are UTC)\n"
    )
    assert "  business day: UTC\n" in text
    (price,) = (line for line in text.splitlines() if line.startswith("price"))
    assert price.split() == ["price", "Float64", "≥", "0", "something"]
    document = json.loads(invoke("show", "clicks", "--json").stdout)
    assert document["columns"][0]["name"] == "id"
    assert (document["servers"], document["file"]) == ([], str(filled_in))


def test_a_contract_is_shown_with_what_it_promises_and_allows(filled_in: Path) -> None:
    own = (
        "- { property: expectedDays, value: { weekdays: [monday, friday], except: ['2020-12-25'] } }\n"
        "      - { property: futureAllowed, value: PT2H }\n      - { property: quarantineAllowed, value: 0.015 }"
    )
    text = filled_in.read_text().replace("customProperties:\n", f"customProperties:\n      {own}\n", 1)
    sla = "slaProperties: [{ property: frequency, value: 1, unit: d }, { property: latency, value: 12, unit: h }]"
    filled_in.write_text(text.replace("\nschema:", f"\n{sla}\nschema:"))
    for line in (
        "rows expected on: Monday, Friday, but for 1 day",
        "promised: a further whole day within 36 h 0 min of the last one's end",
        "rows after the clock: up to 2 h 0 min",
        "rows set aside where --quarantine asks for it: up to 1.50%",
    ):
        assert f"\n  {line}\n" in invoke("show", "clicks").stdout


@pytest.mark.parametrize(
    ("servers", "line", "document"),
    [
        (
            "{ server: drops, type: local, path: in/clicks-*.csv }",
            "files: in/clicks-*.csv, each is a drop",
            {"type": "files", "path": "in/clicks-*.csv", "one_drop": False},
        ),
        (
            "{ server: drops, type: local, path: in, customProperties: [{ property: drop, value: all }] }",
            "files: in, all of them are one drop",
            {"type": "files", "path": "in", "one_drop": True},
        ),
        (
            f"{{ server: app, type: duckdb, database: app.duckdb, schema: main, {WATERMARK} }}",
            "table: main.clicks of the DuckDB file app.duckdb, rows from 1 h 30 min before the last at on",
            {"kind": "duckdb", "place": "app.duckdb", "table": "clicks", "schema": "main", "watermark": "at"},
        ),
        (
            "{ server: app, type: custom, customProperties: [{ property: urlVariable, value: APP_URL }] }",
            "table: clicks of the database whose URL is in APP_URL, all rows at each pull",
            {"kind": "sqlalchemy", "place": "APP_URL", "watermark": None, "overlap": 0},
        ),
    ],
)
def test_a_contract_is_shown_with_where_it_comes_from(
    filled_in: Path, servers: str, line: str, document: dict[str, object]
) -> None:
    filled_in.write_text(filled_in.read_text().replace("\nschema:", f"\nservers: [{servers}]\nschema:"))
    assert f"\n  {line}\n" in invoke("show", "clicks").stdout
    (server,) = json.loads(invoke("show", "clicks", "--json").stdout)["servers"]
    assert document.items() <= server.items()


def test_a_contract_is_shown_with_its_checks_and_the_suite_that_it_makes(filled_in: Path) -> None:
    rule = "quality: [{ metric: nullValues, mustBeLessOrEqualTo: 1, unit: percent, severity: warning }]"
    text = filled_in.read_text().replace("logicalTypeOptions: { minimum: 0 }", f"{rule}")
    filled_in.write_text(text)
    shown = " ".join(invoke("show", "clicks").stdout.split())
    assert "unique key id" in shown
    assert "price_null_values nulls of price: at most 1 % warning expect_column_values_to_be_between(" in shown
    document = json.loads(invoke("show", "clicks", "--json").stdout)
    assert document["rules"][0]["check"] == "nulls of price: at most 1 %"
    (expectation,) = document["suite"]["expectations"]
    assert expectation["kwargs"] == {"column": "price_null_values", "max_value": 1}
    dtypes = {each["columns"][0]: each["dtype"] for each in document["checks"] if each["rule"] == "dtype"}
    assert dtypes["price"] == "Float64"

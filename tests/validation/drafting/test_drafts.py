"""Contract drafts: what the data shows is written, what it cannot show is marked, and the rest can be filled in."""

import json
from datetime import date, datetime

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from transformations.contracts import ContractError, read_contract
from transformations.contracts.model import CsvDialect
from transformations.contracts.texts import hidden_character
from transformations.engine.base.duck import session
from transformations.engine.base.errors import DataError, UsageError
from validation.delivery.check_specs import compile_checks
from validation.delivery.checks import run_checks
from validation.drafting import drafts
from validation.drafting.drafts import draft_contract, source_name, write_draft
from validation.files.drop_files import open_drop

CLICKS = pa.table(
    {
        "user_id": pa.array([1, 1, 2], pa.int32()),
        "page": ["home", "cart", "home"],
        "clicked_at": pa.array([datetime(2020, 1, day, 12) for day in (1, 2, 3)], pa.timestamp("us")),
        "day": pa.array([date(2020, 1, 1)] * 3),
        "price": [0.5, None, 2.5],
        "is_paid": [True, False, True],
        "note": pa.array([None] * 3, pa.null()),
    }
)


@pytest.fixture
def clicks(tmp_path):
    path = tmp_path / "clicks.parquet"
    pq.write_table(CLICKS, path)
    return path


def columns_of(text: str) -> dict[str, dict[str, object]]:
    return {column["name"]: column for column in yaml.safe_load(text)["schema"][0]["properties"]}


def filled_in(text: str) -> str:
    """A draft whose author says yes to the key, UTC to the zones, and something to the rest."""
    text = text.replace("primaryKey: FILL IN", "primaryKey: true")
    return text.replace("value: FILL IN", "value: UTC").replace("FILL IN", "something")


def test_a_draft_is_a_valid_open_data_contract_once_it_is_filled_in(clicks):
    document = yaml.safe_load(filled_in(draft_contract(clicks)))
    jsonschema.validate(document, json.loads(OpenDataContractStandard.json_schema()))


def test_a_contract_is_drafted_from_one_file_and_a_folder_is_called_a_folder(tmp_path):
    with pytest.raises(UsageError, match=r"is a folder, and one file is needed here\. Give one of its files"):
        draft_contract(tmp_path)


def test_columns_types_and_nulls_are_read_from_the_data(clicks):
    columns = columns_of(draft_contract(clicks))
    assert {name: (column["logicalType"], column["required"]) for name, column in columns.items()} == {
        "user_id": ("integer", True),
        "page": ("string", True),
        "clicked_at": ("timestamp", True),
        "day": ("date", True),
        "price": ("number", False),
        "is_paid": ("boolean", True),
        "note": ("string", False),
    }


def test_what_was_seen_stands_beside_each_column(clicks):
    text = draft_contract(clicks)
    assert "description: FILL IN  # seen: cart, home\n" in text
    assert "description: FILL IN  # seen: nothing but null\n" in text
    assert "required: false  # null in 1 of 3 rows\n" in text


def test_the_key_is_a_mark_with_what_was_tried_and_never_a_fact(clicks):
    text = draft_contract(clicks)
    assert "# key: a guess: (clicked_at) is unique in this file; no narrower set is. Tried: all sets of the\n" in text
    assert (
        "# key: 5 columns without nulls, the event time (clicked_at) first (not those with nulls: price, note)." in text
    )
    keyed = {name: column.get("primaryKey") for name, column in columns_of(text).items()}
    assert keyed == {name: "FILL IN" if name == "clicked_at" else None for name in keyed}


def test_the_key_of_a_source_of_events_holds_the_event_time(clicks):
    """On one day, user and page are unique; as a key, they would let the next day's rows supersede this day's."""
    rows = {"user_id": [1, 1, 2], "page": ["a", "b", "a"], "at": [datetime(2020, 1, 1, hour) for hour in (1, 1, 1)]}
    pq.write_table(pa.table(rows), clicks)
    positions = {
        name: column["primaryKeyPosition"]
        for name, column in columns_of(draft_contract(clicks)).items()
        if "primaryKey" in column
    }
    assert positions == {"at": 1, "user_id": 2, "page": 3}


def test_rows_that_repeat_another_in_all_columns_are_said_to_have_no_key(clicks):
    pq.write_table(pa.table({"a": [1, 2, 1], "b": ["x", "x", "x"]}), clicks)
    assert "# key: no set of columns is unique: 1 row repeats another one in all 2 columns" in draft_contract(clicks)


def test_the_event_time_is_proposed_and_zones_are_left_to_the_author(clicks):
    properties = {
        entry["property"]: entry["value"]
        for entry in yaml.safe_load(draft_contract(clicks))["schema"][0]["customProperties"]
    }
    assert properties == {
        "eventTime": "clicked_at",
        "timestampZone": "FILL IN",
        "businessDayZone": "FILL IN",
        "delivery": "append",
    }


def test_without_a_time_a_snapshot_with_a_moment_is_proposed(clicks):
    pq.write_table(CLICKS.select(["user_id", "page"]), clicks)
    properties = yaml.safe_load(draft_contract(clicks))["schema"][0]["customProperties"]
    assert [entry["property"] for entry in properties] == ["businessDayZone", "validFrom", "delivery"]
    assert properties[-1]["value"] == "snapshot"


def test_csv_columns_get_the_narrowest_type_that_holds_all_their_values(tmp_path):
    path = tmp_path / "mixed.csv"
    path.write_text("a,b,c,d,e,f\n1,1.5,2020-01-01,2020-01-01 12:00,true,1\n2,2,2020-01-02,2020-01-02 00:00,false,x\n")
    types = {name: column["logicalType"] for name, column in columns_of(draft_contract(path)).items()}
    assert types == {"a": "integer", "b": "number", "c": "date", "d": "timestamp", "e": "boolean", "f": "string"}


def test_a_name_that_no_contract_takes_is_renamed_and_strange_values_do_not_break_the_yaml(tmp_path):
    path = tmp_path / "strange.parquet"
    pq.write_table(pa.table({"Dep Time: 1": ['x\n"y"', "# z"], "größe": ["l" * 500, "m" * 500], "ok": [1, 2]}), path)
    columns = columns_of(draft_contract(path))
    assert {name: column.get("physicalName") for name, column in columns.items()} == {
        "dep_time_1": "Dep Time: 1",
        "groe": "größe",
        "ok": None,
    }


def test_ranges_are_proposed_as_measured_and_units_are_left_alone(clicks):
    text = draft_contract(clicks)
    assert "        # logicalTypeOptions: { minimum: 0.5, maximum: 2.5 }  # as measured" in text
    assert "USD" not in text


def test_null_tokens_are_written_down_with_the_cells_that_they_empty(tmp_path):
    path = tmp_path / "flights.csv"
    path.write_text("delay,tail\n5,N1\nNA,NA\n,N2\n")
    text = draft_contract(path)
    assert 'value: ["NA"]  # cells with it: delay 1, tail 1\n' in text
    types = {name: (column["logicalType"], column["required"]) for name, column in columns_of(text).items()}
    assert types == {"delay": ("integer", False), "tail": ("string", False)}


def test_a_text_that_could_be_a_null_token_stays_text_where_no_other_column_says_so(tmp_path):
    """NA is Namibia, too."""
    path = tmp_path / "countries.csv"
    path.write_text("country,n\nNA,1\nDE,2\n")
    text = draft_contract(path)
    assert "nullTokens" not in text
    assert columns_of(text)["country"]["required"] is True


def test_the_dialect_is_written_down(tmp_path):
    path = tmp_path / "semicolons.csv"
    path.write_text("id;price\n1;0,5\n2;1,5\n")
    text = draft_contract(path)
    properties = {each["property"]: each["value"] for each in yaml.safe_load(text)["schema"][0]["customProperties"]}
    assert properties["csv"]["delimiter"] == ";"
    assert "logicalType: string  # perhaps numbers: then write logicalType: number with decimalSeparator ','" in text


def test_a_quote_that_never_ends_leaves_the_dialect_to_the_author(tmp_path):
    (tmp_path / "clicks.csv").write_text('id,page\n1,"home\n2,cart\n')
    text = draft_contract(tmp_path / "clicks.csv")
    assert '"quote": "FILL IN", "header"' in text
    assert 'double quotes do not fit every line; no quote at all ("") does' in text


@pytest.mark.parametrize(
    ("content", "doubted"),
    [
        ("1,home\n2,cart\n", "1"),
        ("alice,home\nbob,cart\ncarol,home\n", "home"),
        ("country,2019,2020\nDE,1,2\n", "2019, 2020"),
    ],
)
def test_a_first_line_that_may_be_a_row_leaves_the_header_to_the_author(tmp_path, content, doubted):
    (tmp_path / "clicks.csv").write_text(content)
    text = draft_contract(tmp_path / "clicks.csv")
    assert '"header": "FILL IN"' in text
    assert f"# does its first line name the columns (true)? {doubted} may be its first row (false)" in text


def test_hives_null_is_one_in_a_column_of_texts_too_and_other_backslashes_are_pointed_out(tmp_path):
    path = tmp_path / "dump.tsv"
    path.write_text("id\tpage\n1\thome\n2\t\\N\n")
    text = draft_contract(path)
    assert 'value: ["\\\\N"]  # cells with it: page 1' in text
    assert "has backslashes" not in text
    path.write_text("id\tpage\n1\tc:\\\\dir\n2\t\\N\n")
    assert r"# Beside \N, page has backslashes. In dumps of MySQL" in draft_contract(path)


def test_a_column_with_a_value_that_no_dtype_holds_is_left_out_with_that_value(tmp_path):
    table = pa.table({"id": ["a", "b"], "price": [1.5, float("inf")], "tags": [["x"], ["y"]]})
    pq.write_table(table, tmp_path / "clicks.parquet")
    text = draft_contract(tmp_path / "clicks.parquet")
    assert 'value: ["price", "tags"]' in text
    assert "price is DOUBLE with values such as inf, tags is VARCHAR[]" in text


def test_control_characters_make_no_draft_unreadable(tmp_path):
    (tmp_path / "clicks.csv").write_bytes("id\x01,page\x7f\n1,ho\x02me\x85\n2,\x1b\n".encode())
    columns = columns_of(draft_contract(tmp_path / "clicks.csv"))
    assert [column["physicalName"] for column in columns.values()] == ["id\x01", "page\x7f"]


def test_a_draft_holds_no_character_that_its_reader_refuses(tmp_path):
    names = ["id\u202e", "page\u3164", "tag\U000e0041"]
    (tmp_path / "clicks.csv").write_text(f"{','.join(names)}\n1,ho\u200bme\u3164,\u2066x\n2,b,c\n")
    text = draft_contract(tmp_path / "clicks.csv")
    assert hidden_character(text) is None
    assert [column["physicalName"] for column in columns_of(text).values()] == names


def test_bytes_that_are_no_utf_8_leave_the_encoding_to_the_author(tmp_path, monkeypatch):
    path = tmp_path / "latin.csv"
    path.write_text("id,name\n1,Zoe\n")
    monkeypatch.setattr(drafts, "find_dialect", lambda path: CsvDialect(encoding="latin-1"))
    text = draft_contract(path)
    assert '"encoding": "FILL IN"' in text
    assert "its bytes are no UTF-8; latin-1 is likely" in text


def test_every_naive_column_needs_the_zone_not_only_the_event_time(tmp_path):
    path = tmp_path / "two.csv"
    path.write_text("a,b\n2020-01-01T10:00:00Z,2020-01-01 10:00\n2020-01-02T10:00:00Z,2020-01-02 10:00\n")
    assert "value: FILL IN  # the zone that the clock of b shows, or UTC" in draft_contract(path)
    path.write_text("a\n2020-01-01T10:00:00Z\n2020-01-02T10:00:00+01:00\n")
    assert "timestampZone" not in draft_contract(path)


def test_a_draft_is_refused_until_it_is_filled_in_and_then_holds_on_its_file(clicks, tmp_path):
    text = draft_contract(clicks)
    write_draft(text, source_name(text), tmp_path)
    with pytest.raises(ContractError, match=r"clicks.yaml: 13 marks still say 'FILL IN'"):
        read_contract("clicks", tmp_path)

    (tmp_path / "clicks.yaml").write_text(filled_in(text))
    contract = read_contract("clicks", tmp_path)
    with session() as connection:
        report = run_checks(
            connection, contract, open_drop(connection, clicks), specs=compile_checks(contract), sources={}
        )
    assert report.violations == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("flights.csv", "Dep Time;delay;when\n5;NA;31/01/2024 01:30 PM\nNA;-7;01/02/2024 12:15 AM\n"),
        (
            "flights.parquet",
            {"Dep Time": [5.0, None], "ids": [[1], [2]], "when": ["2024-01-31 13:30:00", "2024-02-01 00:15:00"]},
        ),
    ],
)
def test_a_filled_in_draft_reads_its_own_file_renamed_and_cast(tmp_path, name, content):
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    else:
        pq.write_table(pa.table(content), path)
    (tmp_path / "flights.yaml").write_text(filled_in(draft_contract(path)))
    contract = read_contract("flights", tmp_path)
    assert contract.column("dep_time").dtype == "Int64"
    assert contract.column("when").dtype == "UnixTimestamp"
    with session() as connection:
        report = run_checks(
            connection, contract, open_drop(connection, path, contract), specs=compile_checks(contract), sources={}
        )
    assert (report.rows, report.violations) == (2, ())


def test_a_folder_that_git_did_not_keep_is_made(clicks, tmp_path):
    path = write_draft(draft_contract(clicks), "clicks", tmp_path / "validation" / "contracts")
    assert path.read_text().startswith("# First version, drafted from")


def test_a_contract_that_exists_is_never_overwritten(clicks, tmp_path):
    (tmp_path / "clicks.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"clicks.yaml exists and is left as it is"):
        write_draft(draft_contract(clicks), "clicks", tmp_path)
    assert (tmp_path / "clicks.yaml").read_text() == "mine"


def test_a_source_is_named_after_its_file_or_as_asked(clicks, tmp_path):
    assert source_name(draft_contract(clicks)) == "clicks"
    assert source_name(draft_contract(clicks, "taps")) == "taps"
    dated = clicks.rename(tmp_path / "2020-01-31.parquet")
    with pytest.raises(UsageError, match=r"'2020_01_31' cannot name a source. .*--name"):
        draft_contract(dated)


def test_nothing_can_be_drafted_from_nothing(tmp_path):
    pq.write_table(CLICKS.slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(DataError, match=r"empty.parquet has no rows"):
        draft_contract(tmp_path / "empty.parquet")
    pq.write_table(pa.table({"a": [[1]]}), tmp_path / "lists.parquet")
    with pytest.raises(DataError, match=r"column 'a' is BIGINT\[\], which no dtype of ours holds"):
        draft_contract(tmp_path / "lists.parquet")


def test_columns_that_no_dtype_holds_are_left_out_and_named(tmp_path):
    pq.write_table(pa.table({"a": [[1]], "b": [1]}), tmp_path / "lists.parquet")
    text = draft_contract(tmp_path / "lists.parquet")
    assert "- property: ignoredColumns\n" in text
    assert 'value: ["a"]  # no dtype of ours holds them: a is BIGINT[]\n' in text
    assert list(columns_of(text)) == ["b"]


def test_what_was_seen_of_a_time_whose_form_is_open_says_how_it_was_read(tmp_path):
    (tmp_path / "days.csv").write_text("day\n05/06/2024\n")
    text = draft_contract(tmp_path / "days.csv")
    assert "# seen, if read by %d/%m/%Y: 2024-06-05\n" in text
    assert 'value: FILL IN  # "%d/%m/%Y" and "%m/%d/%Y" fit every value; which is meant?' in text


def test_where_every_column_has_nulls_no_key_is_guessed(tmp_path):
    pq.write_table(pa.table({"a": [1, None]}), tmp_path / "nulls.parquet")
    assert "# key: no guess, since the only column has nulls" in draft_contract(tmp_path / "nulls.parquet")

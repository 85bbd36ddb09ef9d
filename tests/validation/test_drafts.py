"""Contract drafts: what the data shows is written, what it cannot show is marked, and the rest can be filled in."""

import json
from datetime import date, datetime

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from transformations.engine.duck import session
from transformations.engine.errors import DataError, UsageError
from validation import drafts
from validation.checks import compile_checks, run_checks
from validation.contracts import ContractError, read_contract
from validation.drafts import draft_contract, source_name, write_draft
from validation.drop_files import open_drop

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


def test_a_draft_is_a_valid_open_data_contract(clicks):
    document = yaml.safe_load(draft_contract(clicks))
    jsonschema.validate(document, json.loads(OpenDataContractStandard.json_schema()))


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


def test_the_narrowest_unique_columns_are_the_key_and_others_are_named(clicks):
    text = draft_contract(clicks)
    assert "# key: (clicked_at) is unique in this file. Is it always?" in text
    assert [name for name, column in columns_of(text).items() if column.get("primaryKey")] == ["clicked_at"]

    pq.write_table(CLICKS.select(["user_id", "page", "day", "price"]), clicks)
    keyed = columns_of(draft_contract(clicks))
    positions = {name: column["primaryKeyPosition"] for name, column in keyed.items() if column.get("primaryKey")}
    assert positions == {"user_id": 1, "page": 2}


def test_a_key_that_holds_in_the_sample_alone_is_no_key(clicks, monkeypatch):
    monkeypatch.setattr(drafts, "SAMPLE_ROWS", 2)
    pq.write_table(pa.table({"a": [1, 2, 1], "b": ["x", "x", "y"]}), clicks)
    assert "# key: (a, b) is unique" in draft_contract(clicks)
    pq.write_table(pa.table({"a": [1, 2, 1], "b": ["x", "x", "x"]}), clicks)
    assert "no set of columns was unique" in draft_contract(clicks)


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
    path.write_text("a,b,c,d,e,f\n1,1.5,2020-01-01,2020-01-01 12:00,true,1\n2,2,2020-01-02,2020-01-02,false,x\n")
    types = {name: column["logicalType"] for name, column in columns_of(draft_contract(path)).items()}
    assert types == {"a": "integer", "b": "number", "c": "date", "d": "timestamp", "e": "boolean", "f": "string"}


def test_strange_values_and_names_do_not_break_the_yaml(tmp_path):
    path = tmp_path / "strange.parquet"
    pq.write_table(pa.table({"a: b": ['x\n"y"', "# z"], "c": ["l" * 500, "m" * 500]}), path)
    assert set(columns_of(draft_contract(path))) == {"a: b", "c"}


def test_a_draft_is_refused_until_it_is_filled_in_and_then_holds_on_its_file(clicks, tmp_path):
    text = draft_contract(clicks)
    write_draft(text, source_name(text), tmp_path)
    with pytest.raises(ContractError, match=r"clicks.yaml: 12 marks still say 'FILL IN'"):
        read_contract("clicks", tmp_path)

    filled = text.replace("value: FILL IN", "value: UTC").replace("FILL IN", "something")
    (tmp_path / "clicks.yaml").write_text(filled)
    contract = read_contract("clicks", tmp_path)
    with session() as connection:
        report = run_checks(connection, contract, open_drop(connection, clicks), compile_checks(contract), {})
    assert report.violations == ()


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

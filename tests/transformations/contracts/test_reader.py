"""The contract reader: what it reads, and that each mistake is named with file, key and remedy."""

import os
from datetime import UTC, datetime

import pytest
import yaml

from transformations.contracts import Column, ContractError, Reference, contract_names, read_contract

from .clicks import SOURCE, change, complaint

LISTED = [{"metric": "invalidValues", "arguments": {"validValues": ["a\x1fb"]}, "mustBe": 0}]


def test_a_contract_says_what_a_source_is(folder):
    clicks = read_contract("clicks", folder)
    assert (clicks.name, clicks.version, clicks.owner) == ("clicks", "1.0.0", "web")
    assert clicks.description == "One click of a user"
    assert clicks.key == ("user_id", "page")
    assert (clicks.event_time, clicks.timestamp_zone) == ("clicked_at", "Europe/Berlin")
    assert (clicks.business_day_zone, clicks.valid_from, clicks.delivery) == ("America/New_York", None, "append")
    assert clicks.path == folder / "clicks.yaml"
    assert not clicks.has_date_only_event_time


def test_columns_carry_dtype_nullability_unit_range_and_allowed_values(folder):
    clicks = read_contract("clicks", folder)
    assert clicks.column_names == ("page", "user_id", "clicked_at", "price", "kind")
    assert clicks.column("clicked_at") == Column("clicked_at", "UnixTimestamp", False, "When")
    assert clicks.column("price") == Column(
        "price", "Float64", True, "What the click cost", unit="EUR", minimum=0, maximum=9.5
    )
    assert clicks.column("kind") == Column("kind", "String", True, "Which kind", allowed=("left", "right"))


def test_references_name_the_other_source_and_how_many_values_it_may_lack(folder):
    assert read_contract("clicks", folder).references == (
        Reference(("user_id",), "users", ("id",), missing_allowed=17),
        Reference(("user_id", "page"), "pages", ("user_id", "name"), missing_allowed=0),
    )


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\ufeff", "\u00ad", "\x85", "\u3164", "\U000e0041"])
def test_a_character_that_nobody_sees_is_refused_at_its_line_or_key(folder, hidden):
    text = (folder / "clicks.yaml").read_text()
    (folder / "clicks.yaml").write_text(text.replace("When", f"When{hidden}ever"), encoding="utf-8")
    line = text[: text.index("When")].count("\n") + 1
    said = complaint(folder)
    assert f"clicks.yaml: line {line}: holds U+{ord(hidden):04X}" in said
    assert hidden not in said

    escaped = f"\\U{ord(hidden):08x}"
    (folder / "clicks.yaml").write_text(text.replace("description: When", f'description: "When{escaped}ever"'))
    assert f"description holds U+{ord(hidden):04X}" in complaint(folder)


def test_texts_of_every_script_and_data_that_needs_a_hidden_character_are_read(folder):
    text = (folder / "clicks.yaml").read_text()
    meaning = "\u06a9\u0644\u06cc\u06a9\u200c\u0647\u0627 \U0001f469\u200d\U0001f4bb caf\u00e9"
    (folder / "clicks.yaml").write_text("\ufeff" + text.replace("description: When", f"description: {meaning}"))
    assert read_contract("clicks", folder).column("clicked_at").description == meaning
    change(folder, "schema", 0, "properties", 4, "quality", value=LISTED)
    assert read_contract("clicks", folder).column("kind").allowed == ("a\x1fb",)


def test_an_unknown_column_is_answered_with_the_nearest(folder):
    with pytest.raises(
        ContractError, match=r"clicks.yaml: there is no column 'prise'; did you mean 'price'\? Known: clicked_at"
    ):
        read_contract("clicks", folder).column("prise")


def test_an_unknown_source_is_answered_with_the_nearest(folder):
    assert contract_names(folder) == ("clicks",)
    with pytest.raises(ContractError, match=r"no contract for a source 'click'; did you mean 'clicks'.*contract draft"):
        read_contract("click", folder)


def test_a_contract_is_read_again_when_its_file_has_changed(folder):
    first = read_contract("clicks", folder)
    assert read_contract("clicks", folder) is first
    change(folder, "version", value="1.0.1")
    os.utime(folder / "clicks.yaml", ns=(1, 1))
    assert read_contract("clicks", folder).version == "1.0.1"


def test_a_source_without_event_time_holds_from_a_moment(folder):
    properties = [{"property": "validFrom", "value": "2016-12-31T00:00:00-05:00"}]
    properties += [{"property": "businessDayZone", "value": "UTC"}, {"property": "delivery", "value": "snapshot"}]
    change(folder, "schema", 0, "customProperties", value=properties)
    clicks = read_contract("clicks", folder)
    assert not clicks.declares_zone
    assert clicks.valid_from == datetime(2016, 12, 31, 5, tzinfo=UTC)
    assert (clicks.event_time, clicks.delivery, clicks.timestamp_zone) == (None, "snapshot", "UTC")


def test_a_date_only_event_time_is_known_as_such(folder):
    change(folder, "schema", 0, "properties", 2, "logicalType", value="date")
    assert read_contract("clicks", folder).has_date_only_event_time


COLUMN = ("schema", 0, "properties", 3)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("kind",), "Contract", "clicks.yaml: kind is 'Contract'. Write kind: DataContract."),
        (("apiVersion",), "v2.2.2", "apiVersion is 'v2.2.2'. Write apiVersion: v3.1.0."),
        (
            ("version",),
            1.0,
            'version is 1.0, not a text. Write the contract\'s own version, such as 1.0.0, in quotes: "1.0".',
        ),
        (("team",), None, "team is missing. Write the team that answers for the source"),
        (("schema",), [], "schema holds 0 objects. Write one source a file."),
        (
            ("schema", 0, "name"),
            "taps",
            "schema[0].name is 'taps' in a file called clicks.yaml. Give both the same name.",
        ),
        (("schema", 0, "properties"), [], "schema[0].properties is empty. List the source's columns."),
        ((*COLUMN, "name"), "my price", "schema[0].properties[3].name is 'my price'. Use letters, digits and _"),
        ((*COLUMN, "name"), "Page", "schema[0].properties name 'page' more than once (case does not count)"),
        (
            (*COLUMN, "logicalType"),
            "numer",
            "logicalType of 'price' is 'numer'; did you mean 'number'? Known: boolean,",
        ),
        ((*COLUMN, "description"), None, "properties[3].description is missing. Write what 'price' means."),
        ((*COLUMN, "required"), "yes", "required is 'yes'. Write true or false."),
        ((*COLUMN, "primaryKeyPosition"), 3, "properties[3].primaryKeyPosition stands without primaryKey: true."),
        ((*COLUMN, "unique"), True, "unique of 'price' is not checked on its own. Make it the key"),
        (
            (*COLUMN, "logicalTypeOptions"),
            {"pattern": "x"},
            "logicalTypeOptions.pattern of 'price' would not be checked",
        ),
        ((*COLUMN, "logicalTypeOptions"), {"minimum": "0"}, "logicalTypeOptions.minimum is '0'. Write a number."),
        ((*COLUMN, "logicalTypeOptions"), {"minimum": float("nan")}, "logicalTypeOptions.minimum is nan, which bounds"),
        ((*COLUMN, "logicalTypeOptions"), {"maximum": float("inf")}, "logicalTypeOptions.maximum is inf, which bounds"),
        (
            (*COLUMN, "logicalTypeOptions", "minimum"),
            10,
            "minimum of 'price' is 10, above the maximum 9.5. No value can pass.",
        ),
        ((*COLUMN, "logicalType"), "string", "logicalTypeOptions of 'price': only integers and numbers have a range."),
        (
            (*COLUMN, "quality"),
            [{"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": []}}],
            "quality[0].arguments.validValues of 'price' is no list of values.",
        ),
        (
            (*COLUMN, "quality"),
            [{"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["1"]}}],
            "validValues of 'price' holds '1', which is no Float64. Mind the quotes.",
        ),
        (
            ("schema", 0, "properties", 0, "required"),
            False,
            "required of 'page' is not true, yet it is part of the key.",
        ),
        (
            ("schema", 0, "properties", 0, "primaryKeyPosition"),
            1,
            "primaryKeyPosition of 'user_id' is 1. Number the key columns 1 to 2.",
        ),
        (
            (*SOURCE, 0, "value"),
            "clicked",
            "customProperties.eventTime is 'clicked', no column; did you mean 'clicked_at'?",
        ),
        ((*SOURCE, 0, "value"), "page", "eventTime is 'page', a String. Give it logicalType timestamp or date."),
        (("schema", 0, "properties", 2, "required"), False, "eventTime is 'clicked_at', which may be null."),
        (
            (*SOURCE, 1, "value"),
            "Berlin",
            "timestampZone is 'Berlin', no time zone. Write a zone such as",
        ),
        ((*SOURCE, 1, "value"), "localtime", "timestampZone is 'localtime', a name for no place's time."),
        ((*SOURCE, 1, "value"), "right/UTC", "timestampZone is 'right/UTC', a name for no place's time."),
        ((*SOURCE, 2, "property"), "businesDayZone", "'businesDayZone' is not known; did you mean 'businessDayZone'?"),
        ((*SOURCE, 2), {"property": "elsewhere", "value": 1}, "customProperties.businessDayZone is missing."),
        ((*SOURCE, 3, "value"), "daily", "delivery is 'daily'. Write append, upsert, replace-partition or snapshot."),
        ((*SOURCE, 3, "value"), "snapshot", "delivery is snapshot, yet its rows are events."),
        ((*SOURCE, 1), {"property": "validFrom", "value": "2020-01-01"}, "validFrom makes no sense beside eventTime"),
        ((*SOURCE, 0), {"property": "validFrom", "value": "soon"}, "validFrom is 'soon'. Write it as"),
        (
            (*SOURCE, 0),
            {"property": "validFrom", "value": "2020-01-01"},
            "validFrom is '2020-01-01', without an offset.",
        ),
        (
            (*SOURCE, 0),
            {"property": "validFrom", "value": "0001-01-01T00:00:00+05:00"},
            "validFrom is '0001-01-01T00:00:00+05:00'. Write a moment of the years 1900 to 2199.",
        ),
        ((*SOURCE, 0), {"property": "delivery", "value": "append"}, "'delivery' stands twice. Keep one."),
        (
            ("customProperties",),
            [{"property": "delivery", "value": "append"}],
            "customProperties[0].property 'delivery' belongs to schema[0].customProperties.",
        ),
        (
            ("schema", 0, "relationships", 0, "to"),
            ["pages.user_id"],
            "relationships[0].to names 1 for the 2 columns of from.",
        ),
        (("schema", 0, "relationships", 0, "from", 0), "clicks.usr_id", "from names 'usr_id', no column; did you mean"),
        (("schema", 0, "properties", 1, "relationships", 0, "to"), "users", "to is 'users'. Write source.column"),
        (("schema", 0, "properties", 1, "relationships", 0, "to"), "clicks.page", "to refers to 'clicks' itself"),
        (
            ("schema", 0, "properties", 1, "relationships", 0, "customProperties", 0, "value"),
            -1,
            "missingAllowed is -1. Write 0 or more.",
        ),
    ],
)
def test_a_mistake_is_named_with_file_key_and_remedy(folder, path, value, expected):
    change(folder, *path, value=value)
    text = complaint(folder)
    assert text.startswith(f"{folder}/clicks.yaml: ")
    assert expected in text


@pytest.mark.parametrize("delivery", ["upsert", "replace-partition"])
@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"validFrom": "2020-01-01T00:00:00+00:00"}, "yet rows have no eventTime. Write append or snapshot"),
        ({"eventTime": "clicked_at"}, "yet nothing identifies a row. Mark its key"),
    ],
)
def test_rows_that_replace_others_need_a_key_and_a_time(folder, delivery, properties, expected):
    names = {"businessDayZone": "UTC", "timestampZone": "UTC", "delivery": delivery} | properties
    document = yaml.safe_load((folder / "clicks.yaml").read_text())
    for column in document["schema"][0]["properties"]:
        column.pop("primaryKey", None)
        column.pop("primaryKeyPosition", None)
    document["schema"][0]["customProperties"] = [{"property": name, "value": value} for name, value in names.items()]
    (folder / "clicks.yaml").write_text(yaml.safe_dump(document))
    assert expected in complaint(folder)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ([{"name": "id", "logicalType": "integer", "description": "x"}], "yet nothing identifies a row"),
        (
            [{"name": "id", "logicalType": "integer", "description": "x", "required": True, "primaryKey": True}],
            "yet every column is part of the key",
        ),
    ],
)
def test_a_snapshot_needs_a_key_and_something_beside_it(folder, properties, expected):
    change(folder, "schema", 0, "properties", value=properties)
    document = yaml.safe_load((folder / "clicks.yaml").read_text())
    names = {"validFrom": "2020-01-01T00:00:00+00:00", "businessDayZone": "UTC", "delivery": "snapshot"}
    document["schema"][0]["customProperties"] = [{"property": name, "value": value} for name, value in names.items()]
    del document["schema"][0]["relationships"]
    (folder / "clicks.yaml").write_text(yaml.safe_dump(document))
    assert expected in complaint(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", "clicks.yaml: line 1, column"),
        ("- 1", "clicks.yaml: is no YAML mapping."),
        ("a: 1\nb: 2020-02-30", "clicks.yaml: line 2, column 4: day is out of range for month. Correct"),
        ("a: 1\nb: 010", "clicks.yaml: line 2, column 4: 010 would be read as 8: put a text in quotes"),
        ("a: 1:30", "clicks.yaml: line 1, column 4: 1:30 would be read as 90: put a text"),
        ("a: [-007.5]", "clicks.yaml: line 1, column 5: -007.5 would be read as -7.5: put a text"),
        ("? [a]\n: b", "clicks.yaml: line 1, column 3: this key is no text. Correct"),
        ("[" * 2_000, "clicks.yaml: is nested too deeply."),
        ("kind: DataContract\nkind: DataContract", "clicks.yaml: line 2, column 1: the key 'kind' stands twice."),
    ],
)
def test_a_file_that_is_no_contract_says_where(folder, text, expected):
    (folder / "clicks.yaml").write_text(text)
    assert expected in complaint(folder)


def test_a_contract_that_is_damaged_or_a_folder_is_named(folder):
    file = folder / "clicks.yaml"
    file.write_bytes(b"kind: \xff\xfe")
    assert f"{file} is no UTF-8 text: byte 6 is 0xff." in complaint(folder)
    file.write_bytes(b"kind: \x00\x00\x00")
    assert "clicks.yaml: line 1: holds U+0000 (a control character), which nobody sees" in complaint(folder)
    file.unlink()
    file.mkdir()
    assert f"{file} cannot be read: Is a directory." in complaint(folder)

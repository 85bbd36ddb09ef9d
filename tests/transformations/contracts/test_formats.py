"""How a column's values are written in files: what a contract may say of it, and what it must."""

import pytest

from transformations.contracts import read_contract
from transformations.contracts.model import ColumnFormat

from .clicks import SOURCE, change, complaint

PRICE, CLICKED_AT = 3, 2


def declare(folder, column: int, **properties: object) -> None:
    """Give a column these customProperties."""
    entries = [{"property": name, "value": value} for name, value in properties.items()]
    change(folder, "schema", 0, "properties", column, "customProperties", value=entries)


def test_a_column_says_how_the_file_writes_it(folder):
    declare(folder, PRICE, decimalSeparator=",", thousandsSeparator=".")
    declare(folder, CLICKED_AT, strptime=["%d/%m/%Y %I:%M %p", "%d.%m.%Y %H:%M"])
    change(folder, "schema", 0, "properties", PRICE, "physicalType", value="VARCHAR(20)")
    clicks = read_contract("clicks", folder)
    assert clicks.column("price").format == ColumnFormat(decimal=",", thousands=".", stored_as="text")
    assert clicks.column("clicked_at").format == ColumnFormat(strptime=("%d/%m/%Y %I:%M %p", "%d.%m.%Y %H:%M"))
    assert clicks.column("page").format == ColumnFormat()


@pytest.mark.parametrize(
    ("physical", "stored_as"),
    [
        ("varchar", "text"),
        ("STRING", "text"),
        ("double precision", "number"),
        ("NUMERIC(38, 0)", "number"),
        ("TIMESTAMP_NTZ(6)", "naive time"),
        ("timestamp without time zone", "naive time"),
        ("TIMESTAMP", None),
        ("BIGINT", None),
    ],
)
def test_a_physical_type_permits_a_cast_or_tells_a_local_time(folder, physical, stored_as):
    change(folder, "schema", 0, "properties", CLICKED_AT, "physicalType", value=physical)
    assert read_contract("clicks", folder).column("clicked_at").format.stored_as == stored_as


@pytest.mark.parametrize(
    ("column", "properties", "expected"),
    [
        (PRICE, {"decimalSeparator": ";"}, "decimalSeparator of 'price' is ';'. Write one of '.' ','."),
        (PRICE, {"thousandsSeparator": "."}, "thousandsSeparator of 'price' is the decimal separator, too."),
        (PRICE, {"strptime": "%d/%m/%Y"}, "strptime of 'price': only timestamps and dates"),
        (CLICKED_AT, {"decimalSeparator": ","}, "decimalSeparator of 'clicked_at': only numbers have one."),
        (CLICKED_AT, {"thousandsSeparator": ","}, "of 'clicked_at': only integers and numbers have one."),
        (CLICKED_AT, {"strptime": "%d/%m"}, "strptime '%d/%m' of 'clicked_at' names no whole date."),
        (CLICKED_AT, {"strptime": ["%d/%m/%Y", 1]}, "Write a form such as '%d/%m/%Y %H:%M', or a list."),
        (CLICKED_AT, {"strptime": []}, "Write a form such as '%d/%m/%Y %H:%M', or a list."),
        (CLICKED_AT, {"strpftime": "%d/%m/%Y"}, "'strpftime' is not known; did you mean 'strptime'?"),
    ],
)
def test_a_form_that_cannot_be_is_refused(folder, column, properties, expected):
    declare(folder, column, **properties)
    assert expected in complaint(folder)


def without_zone(folder) -> None:
    properties = {"eventTime": "clicked_at", "businessDayZone": "UTC", "delivery": "append"}
    entries = [{"property": name, "value": value} for name, value in properties.items()]
    change(folder, *SOURCE, value=entries)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("customProperties", [{"property": "strptime", "value": "%d/%m/%Y %H:%M"}], "its form '%d/%m/%Y %H:%M'"),
        ("physicalType", "TIMESTAMP_NTZ", "its physicalType"),
    ],
)
def test_a_contract_of_local_times_says_of_which_zone(folder, key, value, why):
    without_zone(folder)
    change(folder, "schema", 0, "properties", CLICKED_AT, key, value=value)
    assert f"timestampZone is missing, yet 'clicked_at' holds times without an offset by {why}. Write" in complaint(
        folder
    )


def test_a_form_with_an_offset_needs_no_zone(folder):
    without_zone(folder)
    declare(folder, CLICKED_AT, strptime="%d/%m/%Y %H:%M %z")
    assert read_contract("clicks", folder).column("clicked_at").format.strptime == ("%d/%m/%Y %H:%M %z",)

"""What a request may hold, by the type of each field, and how soon too much is refused."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from transformations.models.scoring.shape import Given, Shape
from transformations.models.serving.refusals import InvalidError
from transformations.models.serving.requests import Form

KINDS = {
    "whole": "INT64",
    "small": "INT32",
    "wide": "DOUBLE",
    "narrow": "FLOAT",
    "is_so": "BOOL",
    "word": "STRING",
    "at": "UNIX_TIMESTAMP",
}
ROW = {"user": "x", "whole": 1, "small": 1, "wide": 1.0, "narrow": 1.0, "is_so": True, "word": "x"} | {
    "at": "2024-05-01T08:30:00Z"
}
FORM = Form(
    "returns",
    Shape(
        keys=(Given("user", "STRING"),),
        request=tuple(Given(name, kind) for name, kind in KINDS.items()),
        task="binary_classification",
        decides=True,
    ),
    most_rows=1_000,
)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("user", '"😀, a=b"', "😀, a=b"),
        ("whole", "9223372036854775807", 2**63 - 1),
        ("whole", "42.0", 42),
        ("whole", "4e3", 4_000),
        ("whole", "9007199254740991.0", 2**53 - 1),
        ("wide", "5", 5.0),
        ("wide", "1e308", 1e308),
        ("narrow", "3.4e38", 3.4e38),
        ("at", '"2024-05-01T10:30:00+02:00"', datetime(2024, 5, 1, 8, 30, tzinfo=UTC)),
        ("at", '"1700-01-01 00:00:00Z"', datetime(1700, 1, 1, tzinfo=UTC)),
        ("word", "null", None),
    ],
)
def test_what_json_can_say_of_a_field_is_taken_as_it_was_meant(name: str, text: str, value: Any) -> None:
    body = json.dumps({"rows": [ROW | {name: "here"}]}).replace('"here"', text)
    assert FORM.read(json.loads(body)).columns[name] == [value]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("user", r'"\ud800"', "rows.0.user: should be a valid string"),
        ("user", "null", "rows.0.user: should be a valid string"),
        ("whole", "9007199254740993.0", "rows.0.whole: should be a valid integer"),  # which Python reads as …992.0
        ("whole", "9223372036854775808", "rows.0.whole: should be less than"),
        ("whole", "true", "rows.0.whole: should be a valid integer"),
        ("whole", "NaN", "rows.0.whole: should be a valid integer"),
        ("small", "2147483648", "rows.0.small: should be less than"),
        ("wide", "NaN", "rows.0.wide: should be a finite number"),
        ("wide", "1e999", "rows.0.wide: should be a finite number"),
        ("wide", "9" * 400, "rows.0.wide: should be a valid number"),
        ("narrow", "1e39", "rows.0.narrow: should be less than or equal to 34028"),  # infinite in 32 bits
        ("is_so", "1", "rows.0.is_so: should be a valid boolean"),
        ("at", "1714552200", "rows.0.at: should be a moment in ISO 8601"),  # or are these milliseconds?
        ("at", '"1714552200"', "rows.0.at: should be a moment in ISO 8601"),
        ("at", '"2024-05-01"', "rows.0.at: should be a moment in ISO 8601"),
        ("at", '"2024-05-01T08:30:00"', "rows.0.at: should have timezone info"),
        ("at", '"0001-01-01T00:00:00+14:00"', "rows.0.at: should be within the years 1 to 9999 in UTC"),
    ],
)
def test_what_a_field_cannot_hold_is_refused(name: str, text: str, words: str) -> None:
    body = json.dumps({"rows": [ROW | {name: "here"}]}).replace('"here"', text)
    with pytest.raises(InvalidError) as refused:
        FORM.read(json.loads(body))
    assert words in str(refused.value)


def test_of_many_faults_the_first_are_told_with_their_places_and_the_rest_counted() -> None:
    rows = [ROW] * 3 + [{"user": "x", "other": 1}] * 100
    with pytest.raises(InvalidError) as refused:
        FORM.read({"rows": rows})
    said = str(refused.value).split("; ")
    assert said[0] == "rows.3.whole is missing"
    assert said[-1] == "and 795 more"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"rows": [ROW], "id": "a"}, "{0} is no field of this model"),
        ({"rows": [ROW, {}]}, "rows.1.{0} is no field of this model"),
    ],
)
def test_fields_without_end_are_refused_about_as_soon_as_they_are_read(body: dict[str, Any], words: str) -> None:
    strangers = {f"{number}\udcff": 0 for number in range(200_000)}
    if len(body["rows"]) == 1:
        body = body | strangers
    else:
        body["rows"][1] = strangers
    text = json.dumps(body)
    began = time.process_time()
    given = json.loads(text)
    read = time.process_time()
    with pytest.raises(InvalidError) as refused:
        FORM.read(given)
    assert time.process_time() - read < 3 * (read - began)
    assert str(refused.value).startswith(words.format("0?"))
    assert str(refused.value).endswith("and 199,995 more")

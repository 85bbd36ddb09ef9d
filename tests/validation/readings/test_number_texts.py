"""Numbers given as text: the value that was written, or none."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transformations.contracts.model import ColumnFormat
from transformations.engine.base.duck import literal, session
from validation.readings.number_texts import floating_text, integer_text

GERMAN = ColumnFormat(decimal=",", thousands=".")
PLAIN = ColumnFormat()


@pytest.fixture(scope="module")
def read():
    """What a text is as a Float64, or as an Int64; `inexact` where it is a number that the dtype does not hold."""
    with session() as connection:

        def of(text: str, written: ColumnFormat = PLAIN, whole: bool = False) -> object:
            found = (integer_text if whole else floating_text)("text", written)
            query = (
                f"SELECT {found.value}, {found.is_no_number}, {found.is_inexact} FROM (SELECT {literal(text)} AS text)"
            )
            value, is_none, is_inexact = connection.execute(query).fetchall()[0]
            assert is_none == (value is None)
            return "inexact" if is_inexact else value

        yield of


NO_NUMBERS = ["", "1_000", "1,000", "1 000", "0x1F", "1e", "e5", ".", "--1", "+-1", "1.5.5", "1d", "inf", "infinity"]
NO_NUMBERS += [
    "true",
    "½",
    "\u0661\u0662",
    "\uff11\uff12",
    "1e5.5",
    "$1",
    "1%",
    "(1)",
    "1-",
    "- 1",
    "NULL",
    "NA",
    "-nan",
]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_not_wholly_a_number_is_none(read, text):
    assert read(text) is None
    assert read(text, whole=True) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.10", 1.1),
        ("+1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("007", 7.0),
        ("1E+2", 100.0),
        ("9007199254740992", 2.0**53),
        ("9007199254740993", "inexact"),
        ("-9007199254740993", "inexact"),
        ("9007199254740993.00", "inexact"),
        ("0009007199254740993", "inexact"),
        ("9007199254740994", 2.0**53 + 2),
        ("9007199254740993.5", 9007199254740994.0),
        ("9007199254740993e0", "inexact"),
        ("9007199254740992e0", 2.0**53),
        ("9.007199254740993e15", "inexact"),
        ("90071992547409930e-1", "inexact"),
        ("9007199254740993.5e0", 9007199254740994.0),
        ("123456789012345678e5", "inexact"),
        ("1.0000000000000001e23", 1.0000000000000001e23),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("100000000000000000000", 1e20),
        ("1" + "0" * 22, 1e22),
        ("1" + "0" * 23, "inexact"),
        ("1" * 40, "inexact"),
        ("1e400", float("inf")),
        ("2.4703282292062327e-324", "inexact"),
        ("2.4703282292062328e-324", 5e-324),
    ],
)
def test_a_number_is_the_nearest_double_and_an_integer_is_itself(read, text, number):
    assert read(text) == number


@pytest.mark.parametrize("text", ["nan", "NaN", "NAN"])
def test_nan_is_a_number_of_its_own(read, text):
    assert read(text) != read(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_comes_back_from_its_text(read, number):
    assert read(repr(number)) == number


@given(st.integers(-(10**30), 10**30), st.integers(-5, 5))
@example(10**28 + 6, -1)  # more digits than Decimal keeps by default
@example(10**28 + 1, 0)
def test_an_integer_with_an_exponent_is_exact_or_the_one_a_double_is_written_as(read, digits, exponent):
    with localcontext(prec=40):
        text, number = f"{digits}e{exponent}", Decimal(digits).scaleb(exponent)
    is_kept = Decimal(float(number)) == number or Decimal(repr(float(number))) == number
    if number == number.to_integral_value() and read(text) != "inexact":
        assert is_kept
        assert read(text) == float(number)
    if Decimal(repr(float(number))) == number or number != number.to_integral_value():
        assert read(text) == float(number)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-(10**12), max_value=10**12))
def test_every_decimal_is_the_double_nearest_to_it(read, number):
    assert read(str(number)) == float(number)


@given(st.integers(-(10**30), 10**30))
def test_an_integer_is_read_exactly_or_not_at_all(read, number):
    assert read(str(number)) == (float(number) if float(number) == number else "inexact")
    assert read(str(number), whole=True) == (number if -(2**63) <= number < 2**63 else None)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.234.567,89", 1234567.89),
        ("1234567,89", 1234567.89),
        ("1.234", 1234.0),
        ("-0,5", -0.5),
        (",5", 0.5),
        ("1,5e3", 1500.0),
        ("1234.567,89", None),
        ("1.23", None),
        ("1.2345", None),
        (".234", None),
        ("1,234.5", None),
        ("1.5", None),
        ("9.007.199.254.740.993", "inexact"),
    ],
)
def test_declared_separators_are_the_only_ones(read, text, number):
    assert read(text, GERMAN) == number


@pytest.mark.parametrize(
    ("separator", "text", "number"),
    [
        (",", "1,234,567", 1234567),
        ("'", "1'234", 1234),
        (" ", "1 234", 1234),
        (",", "12,34", None),
        (",", "1234", 1234),
    ],
)
def test_thousands_of_an_integer_stand_in_groups_of_three(read, separator, text, number):
    assert read(text, ColumnFormat(thousands=separator), whole=True) == number


@pytest.mark.parametrize(("text", "number"), [("0.123", None), ("007.123", None), ("-0.5", None), ("10.123", 10123.0)])
def test_no_thousands_are_made_of_a_number_that_begins_with_zero(read, text, number):
    assert read(text, GERMAN) == number
    assert read(text, ColumnFormat(thousands="."), whole=True) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("517.0", 517),
        ("-517.00", -517),
        ("517", 517),
        ("517.", 517),
        ("517.5", None),
        ("5e2", None),
        ("9007199254740991.0", 2**53 - 1),
        ("9007199254740992.0", "inexact"),
        ("-9007199254740991.0", 1 - 2**53),
        ("-9223372036854775808", "inexact"),
    ],
)
def test_whole_numbers_written_as_floating_ones_are_integers_where_the_contract_says_so(read, text, number):
    assert read(text, ColumnFormat(stored_as="number"), whole=True) == number
    assert (read(text, whole=True) is None) == ("." in text or number is None)


def test_a_decimal_comma_takes_no_point(read):
    assert read("1,5", ColumnFormat(decimal=",")) == 1.5
    assert read("1.5", ColumnFormat(decimal=",")) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-400", "inexact"),
        ("-1e-400", "inexact"),
        ("2e-324", "inexact"),
        ("0." + "0" * 400 + "1", "inexact"),
        ("0e-400", 0.0),
        ("0.000000000000000000", 0.0),
        ("5e-324", 5e-324),
        ("2.5e-310", 2.5e-310),
        ("1e400", float("inf")),
    ],
)
def test_a_number_too_small_for_a_double_is_not_zero(read, text, number):
    assert read(text) == number


def test_a_small_number_with_a_comma_is_not_zero_either(read):
    assert read("0,001e-400", GERMAN) == "inexact"

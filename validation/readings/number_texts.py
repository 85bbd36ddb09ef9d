"""Numbers given as text, as SQL: which texts are numbers at all, and which of them a dtype holds.

Digits are 0 to 9; hexadecimal, `1_000`, `1,000` and the like are no numbers unless the contract declares separators.
"""

from dataclasses import dataclass

from transformations.contracts.model import ColumnFormat
from transformations.engine.base.duck import literal


@dataclass(frozen=True)
class NumberText:
    """SQL of a number's value, and of whether a text that is not null is something else or would lose a digit."""

    value: str
    is_no_number: str
    is_inexact: str = "FALSE"


def integer_text(text: str, written: ColumnFormat) -> NumberText:
    """A text (SQL) as a BIGINT; `517.0`, too, where the contract says that floating numbers were written.

    Such a one is inexact from 2^53 on, where its writer may have rounded it.
    """
    is_floating = written.stored_as == "number"
    point = _escape_pattern(written.decimal)
    whole, plain = f"[+-]?{_whole_pattern(written)}", _plain_number(text, written)
    if is_floating:
        whole, plain = f"{whole}(?:{point}0*)?", rf"regexp_replace({plain}, '\.0*$', '')"
    is_usual = f"CAST(TRY_CAST({text} AS BIGINT) AS VARCHAR) = {text}"  # cheaper than the pattern
    is_whole = f"({is_usual} OR regexp_full_match({text}, {literal(whole)}))"
    value = f"CASE WHEN {is_whole} THEN TRY_CAST({plain} AS BIGINT) END"
    rounded = f"{value} NOT BETWEEN {1 - 2**53} AND {2**53 - 1}" if is_floating else "FALSE"
    return NumberText(value, f"{value} IS NULL", rounded)


def floating_text(text: str, written: ColumnFormat) -> NumberText:
    """A text (SQL) as a DOUBLE: the one nearest to a decimal fraction, but never another integer than was written.

    `nan` in any case is NaN. What is too great for a DOUBLE is infinite; what is too small for one, and would be 0, is
    inexact. (Between the two lie numbers of few digits, such as 5e-324: a DOUBLE that was written so is read again.)
    """
    point = _escape_pattern(written.decimal)
    whole = rf"[+-]?{_whole_pattern(written)}"
    pattern = rf"(?:{whole}(?:{point}\d*)?|[+-]?{point}\d+)(?:[eE][+-]?\d+)?|[nN][aA][nN]"
    plain = _plain_number(text, written)
    value = _case_when(text, pattern, f"TRY_CAST({plain} AS DOUBLE)")
    is_rounded = f"CASE WHEN length({text}) > 15 THEN {_is_another_integer(plain, value)} ELSE FALSE END"
    is_lost = f"CASE WHEN length({text}) > 5 AND {value} = 0 THEN regexp_matches({text}, '^[^eE]*[1-9]') ELSE FALSE END"
    inexact = f"({is_rounded} OR {is_lost})"
    return NumberText(value, f"{value} IS NULL", inexact)


def _is_another_integer(plain: str, value: str) -> str:
    """Whether a text is an integer and its double another one.

    With an exponent, the integer that a double is written as may be meant: 1e23 is one, though its digits are others.

        text                   integer                 double
        9007199254740993       …993                    …992: another
        9007199254740993e0     …993                    …992, written 9007199254740992.0: another
        1e23                   1 and 23 zeros          99999999999999991611392, written 1e+23: the one meant
        9007199254740993.5     none                    the nearest
    """
    whole = rf"regexp_extract({plain}, '^([+-]?\d+)(?:\.0*)?$', 1)"  # null where the number has further parts
    another = f"coalesce(TRY_CAST({value} AS HUGEINT) <> TRY_CAST({whole} AS HUGEINT), TRUE)"
    given, written = _digits_of(plain), _digits_of(f"CAST({value} AS VARCHAR)")
    exponent = f"TRY_CAST(regexp_extract({plain}, '[eE](.*)$', 1) AS INTEGER)"
    decimals = rf"length(regexp_extract({plain}, '\.(\d*)', 1))"
    is_integer = f"coalesce(length(rtrim({given}, '0')) <= length({given}) - {decimals} + {exponent}, TRUE)"
    another_by_exponent = (
        f"isfinite({value}) AND abs({value}) >= {2**53} AND {is_integer} AND trim({given}, '0') <> trim({written}, '0')"
    )
    return (
        f"CASE WHEN regexp_matches({plain}, '[eE]') THEN {another_by_exponent} "
        f"ELSE length({whole}) > 15 AND {another} END"
    )


def _digits_of(number: str) -> str:
    """The digits of a number before its exponent, without sign and point."""
    return rf"regexp_replace(regexp_extract({number}, '^[+-]?([\d.]*)', 1), '\.', '')"


def _whole_pattern(written: ColumnFormat) -> str:
    """The pattern of an integer's digits, in groups of three or without any; `0.123` is no group of thousands."""
    return rf"(?:[1-9]\d{{0,2}}(?:{_escape_pattern(written.thousands)}\d{{3}})+|\d+)" if written.thousands else r"\d+"


def _plain_number(text: str, written: ColumnFormat) -> str:
    """The number as SQL writes it."""
    if written.thousands:
        text = f"replace({text}, {literal(written.thousands)}, '')"
    return text if written.decimal == "." else f"replace({text}, {literal(written.decimal)}, '.')"


def _case_when(text: str, pattern: str, value: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, {literal(pattern)}) THEN {value} END"


def _escape_pattern(separator: str) -> str:
    return f"[{separator}]"

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
    """A text (SQL) as a BIGINT."""
    value = _when(text, f"[+-]?{_whole(written)}", f"TRY_CAST({_plain(text, written)} AS BIGINT)")
    return NumberText(value, f"{value} IS NULL")


def floating_text(text: str, written: ColumnFormat) -> NumberText:
    """A text (SQL) as a DOUBLE: the one nearest to a decimal fraction, but never another integer than was written.

    `nan` in any case is NaN. What is too great for a DOUBLE is infinite.
    """
    point = _escaped(written.decimal)
    whole = rf"[+-]?{_whole(written)}"
    pattern = rf"(?:{whole}(?:{point}\d*)?|[+-]?{point}\d+)(?:[eE][+-]?\d+)?|[nN][aA][nN]"
    plain = _plain(text, written)
    value = _when(text, pattern, f"TRY_CAST({plain} AS DOUBLE)")
    digits = rf"regexp_extract({plain}, '^([+-]?\d+)(?:\.0*)?$', 1)"  # no text where there is more to the number
    another = f"coalesce(TRY_CAST({value} AS HUGEINT) <> TRY_CAST({digits} AS HUGEINT), TRUE)"
    return NumberText(value, f"{value} IS NULL", f"(length({digits}) > 15 AND {another})")


def _whole(written: ColumnFormat) -> str:
    """The pattern of an integer's digits, in groups of three or without any."""
    return rf"(?:\d{{1,3}}(?:{_escaped(written.thousands)}\d{{3}})+|\d+)" if written.thousands else r"\d+"


def _plain(text: str, written: ColumnFormat) -> str:
    """The number as SQL writes it."""
    if written.thousands:
        text = f"replace({text}, {literal(written.thousands)}, '')"
    return text if written.decimal == "." else f"replace({text}, {literal(written.decimal)}, '.')"


def _when(text: str, pattern: str, value: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, {literal(pattern)}) THEN {value} END"


def _escaped(separator: str) -> str:
    return f"[{separator}]"

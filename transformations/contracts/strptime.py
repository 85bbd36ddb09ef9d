"""Declared forms of times, as in `strptime: "%d/%m/%Y %I:%M %p"`: the valid forms, and the texts that match one.

DuckDB's own strptime accepts more than a contract may: it skips blanks, reads `24` as the year 24, and takes words
such as `epoch` for any form. So the whole text has to match the form's pattern first.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

DATE = r"\d{4}-\d{2}-\d{2}"
CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6}0*)?)?"
OFFSET = r"(?:Z|z| ?UTC| ?[+-](?:0\d|1[0-5])(?::?[0-5]\d)?)"
"""What a text in ISO 8601 is made of, as it is taken without a declared form: whole microseconds, no 24:00."""

_DIGITS = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%H": 2, "%I": 2, "%M": 2, "%S": 2, "%f": 6}
_ZONE = r"(?:Z|UTC|GMT|[+-](?:0\d|1[0-5]):?[0-5]\d)"
_WORDS = {
    "%b": "[A-Za-z]{3}",
    "%B": "[A-Za-z]+",
    "%a": "[A-Za-z]{3}",
    "%A": "[A-Za-z]+",
    "%p": "[AaPp][Mm]",
    "%z": _ZONE,
    "%Z": _ZONE,
}
_ZONES = ("%z", "%Z")
_WEEKDAYS = ("%a", "%A")
_TIMES = ("%H", "%I", "%M", "%S", "%f", "%p")
_ONE_OF = (("%Y", "%y"), ("%m", "%b", "%B"), ("%H", "%I"), _WEEKDAYS, _ZONES)


@dataclass(frozen=True)
class TimeForm:
    """A form of times: literal texts and directives, in order.

    %m, %d and the parts of the clock may have one digit where no digit stands beside them; %Y has four. %y follows
    POSIX: 69 is 1969, 68 is 2068. %z and %Z are Z, UTC, GMT or an offset such as +02:00; names of zones are none.
    """

    tokens: tuple[str, ...]

    @property
    def zone(self) -> str | None:
        """The directive of the offset, if there is one; without one the times are local."""
        return next((token for token in self.tokens if token in _ZONES), None)

    @property
    def weekday(self) -> str | None:
        """The directive of the day's name, if there is one."""
        return next((token for token in self.tokens if token in _WEEKDAYS), None)

    def text(self, zone: str | None = None) -> str:
        """The form as strptime takes it; `zone` stands for its directive of the offset."""
        return "".join(zone if zone is not None and token in _ZONES else token for token in self.tokens)

    def pattern(self, group: str | None = None) -> str:
        """The regular expression (RE2) of the texts that have this form; `group` is the directive to capture."""
        parts = (self._part(place) for place in range(len(self.tokens)))
        return "".join(f"({part})" if token == group else part for token, part in zip(self.tokens, parts, strict=True))

    def around_zone(self) -> str:
        """The pattern with two groups: all before the offset, and all after it."""
        before, after = self.pattern(group=self.zone).split(f"({_ZONE})")
        return f"({before}){_ZONE}({after})"

    def _part(self, place: int) -> str:
        token = self.tokens[place]
        if token in _WORDS:
            return _WORDS[token]
        if token not in _DIGITS:
            return re.escape(token.replace("%%", "%"))
        digits = _DIGITS[token]
        before, after = self.tokens[place - 1] if place else "", "".join(self.tokens[place + 1 : place + 2])
        is_fixed = token in _ONE_OF[0] or _ends_in_digit(before) or _begins_with_digit(after)
        return rf"\d{{{digits}}}" if is_fixed else rf"\d{{1,{digits}}}"


def time_form(text: str) -> TimeForm:
    """The form of a declared text; `form_fault` says whether it is valid."""
    return TimeForm(tuple(re.findall(r"%[^%]|(?:[^%]|%%)+|%$", text)))


def form_fault(text: str, dtype: str) -> str | None:
    """What is wrong with a declared form for a column of the dtype, and the remedy; None for a good one."""
    form = time_form(text)
    counts = Counter(token for token in form.tokens if _is_directive(token))
    known = _DIGITS.keys() | _WORDS.keys()
    if unknown := sorted(counts.keys() - known):
        return f"uses {unknown[0]}. Use {', '.join(_DIGITS | _WORDS)}, and %% for a percent sign."
    if repeated := [token for token, count in counts.items() if count > 1]:
        return f"says {repeated[0]} twice. Say it once."
    if rivals := next((group for group in _ONE_OF if len(counts.keys() & set(group)) > 1), None):
        return f"says more than one of {', '.join(rivals)}. Keep one."
    if not all(counts.keys() & set(group) for group in (*_ONE_OF[:2], ("%d",))):
        return "names no whole date. Say the year (%Y), the month (%m) and the day (%d)."
    if ("%I" in counts) != ("%p" in counts):
        return "says only one of %I and %p, which need each other. Use both, or %H for the hours 0 to 23."
    return _clock_fault(form, counts, dtype)


def _clock_fault(form: TimeForm, counts: Counter[str], dtype: str) -> str | None:
    clock = [token for token in ("%H" if "%H" in counts else "%I", "%M", "%S", "%f") if token in counts]
    if clock != (["%H" if "%H" in counts else "%I", "%M", "%S", "%f"])[: len(clock)]:
        return "leaves out a part of the clock before a smaller one. Say the hour, then %M, %S and %f as needed."
    if dtype == "Date" and form.zone:
        return f"says {form.zone}, but a date has no offset. Leave it out."
    if form.zone and not clock:
        return f"says {form.zone} without a time of day. Say the hour (%H), or leave it out."
    literals = "".join(" " if _is_directive(token) else token for token in form.tokens)
    if dtype != "Date" and form.zone is None and re.search(r"Z\s*$|\b(?:UTC|GMT)\b|[+-]\d\d:?\d\d\s*$", literals):
        return "writes its offset out as text, which would be skipped. Write %z in its place."
    return None


def _is_directive(token: str) -> bool:
    return token.startswith("%") and not token.startswith("%%")


def _begins_with_digit(token: str) -> bool:
    return token in _DIGITS or token[:1].isdigit()


def _ends_in_digit(token: str) -> bool:
    return token in _DIGITS or token[-1:].isdigit()

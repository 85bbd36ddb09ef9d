"""Times given as text, as SQL: a text is matched as a whole, by ISO 8601 or the contract's own forms, or it is no time.

DuckDB's casts read what they know and skip the rest: 01:30:00 PM is half past one at night to them, `epoch` is 1970,
the zone in `10:00 America/New_York` is nothing. So they see only texts that a pattern has passed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transformations.contracts.strptime import CLOCK, DATE, OFFSET, TimeForm, time_form
from transformations.engine.base.duck import literal

_MIDNIGHT = r"[ T]00:00(?::00(?:\.0+)?)?"


@dataclass(frozen=True)
class TimeText:
    """SQL over a text: the instant, where it carries an offset; else the local time, of the contract's zone.

    At most one of both is there, and neither where the text is no time. is_ambiguous: several of the declared forms
    fit, and disagree.
    """

    instant: str
    local: str
    is_ambiguous: str = "FALSE"


def time_text(text: str, forms: Sequence[str]) -> TimeText:
    """A text (SQL, without blanks around) as a time: in ISO 8601, a bare date at midnight, or in the declared forms."""
    if forms:
        return _of_forms(text, [time_form(form) for form in forms])
    local = _case_when(text, f"{DATE}(?:[ T]{CLOCK})?", f"TRY_CAST({text} AS TIMESTAMP)")
    compact = f"upper(replace(replace({text}, ' +', '+'), ' -', '-'))"
    instant = _case_when(text, f"{DATE}[ T]{CLOCK}{OFFSET}", f"TRY_CAST({compact} AS TIMESTAMPTZ)")
    return TimeText(instant, local)


def date_text(text: str, forms: Sequence[str]) -> TimeText:
    """A text (SQL, without blanks around) as a date, the `local`: alone or at midnight; what has a time is no date."""
    if not forms:
        return TimeText("NULL", _case_when(text, f"{DATE}(?:{_MIDNIGHT})?", f"TRY_CAST({text} AS DATE)"))
    found = _of_forms(text, [time_form(form) for form in forms])
    midnight = f"CASE WHEN {found.local} = CAST({found.local} AS DATE) THEN CAST({found.local} AS DATE) END"
    return TimeText("NULL", midnight, found.is_ambiguous)


def _of_forms(text: str, forms: Sequence[TimeForm]) -> TimeText:
    instants = [_instant_of_form(text, form) for form in forms if form.zone]
    local = [_local_of_form(text, form) for form in forms if not form.zone]
    disagree = [f"len(list_distinct([{', '.join(found)}])) > 1" for found in (instants, local) if len(found) > 1]
    return TimeText(
        _first_of(instants, "TIMESTAMPTZ"), _first_of(local, "TIMESTAMP"), f"({' OR '.join(disagree) or 'FALSE'})"
    )


def _first_of(found: Sequence[str], kind: str) -> str:
    return f"coalesce({', '.join(found)})" if found else f"CAST(NULL AS {kind})"


def _local_of_form(text: str, form: TimeForm) -> str:
    return _parse_local_time(text, form, text, form.text())


def _instant_of_form(text: str, form: TimeForm) -> str:
    bare = f"regexp_replace({text}, {literal(f'^{form.around_zone()}$')}, '\\1~\\2')"
    local = _parse_local_time(text, form, bare, form.text(zone="~"))
    zone = f"regexp_extract({text}, {literal(f'^{form.pattern(group=form.zone)}$')}, 1)"
    minutes = f"(60 * TRY_CAST({zone}[2:3] AS INTEGER) + TRY_CAST(right({zone}, 2) AS INTEGER))"
    offset = f"CASE left({zone}, 1) WHEN '+' THEN {minutes} WHEN '-' THEN -{minutes} ELSE 0 END"
    return f"timezone('UTC', {local} - to_minutes({offset}))"


def _parse_local_time(text: str, form: TimeForm, bare: str, bare_form: str) -> str:
    """The local time of a text that has the form, and whose weekday, if it says one, is the right one."""
    value = _case_when(text, form.pattern(), f"try_strptime({bare}, {literal(bare_form)})")
    if form.weekday is None:
        return value
    said = f"regexp_extract({text}, {literal(f'^{form.pattern(group=form.weekday)}$')}, 1)"
    return f"CASE WHEN lower(strftime({value}, {literal(form.weekday)})) = lower({said}) THEN {value} END"


def _case_when(text: str, pattern: str, value: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, {literal(pattern)}) THEN {value} END"

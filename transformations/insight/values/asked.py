"""What the KEY and `--at` of a command ask for: an entity, a row as-of a day or one servable at a moment.

Also what `--request` gives: the fields that a request would carry.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings

if TYPE_CHECKING:
    from transformations.engine.vocabulary.dtypes import Dtype
    from transformations.engine.vocabulary.resolution import Resolved


_Day = TypeVar("_Day", date, datetime)


def parse_key(text: str, join_keys: Mapping[str, Dtype], view: str) -> dict[str, object]:
    """An entity as typed: the bare value of a single join key, or `column=value` for each, separated by commas."""
    if "=" not in text and len(join_keys) == 1:
        given = {next(iter(join_keys)): text}
    else:
        given = dict(part.partition("=")[::2] for part in text.split(","))
        given = {name.strip(): value.strip() for name, value in given.items()}
    if set(given) != set(join_keys):
        example = ",".join(f"{name}=…" for name in join_keys)
        raise UsageError(f"{text!r} is no key of {view}, which is keyed by {', '.join(join_keys)}. Write {example}.")
    return {name: _parse_key_value(name, given[name], dtype) for name, dtype in join_keys.items()}


def parse_request(text: str) -> dict[str, object]:
    """The values of request fields as typed, a JSON object; by name."""
    from transformations.stores.base.values import object_of_pairs

    try:
        fields = json.loads(text, object_pairs_hook=object_of_pairs)
    except ValueError as error:
        raise UsageError(
            f"--request {text!r} is no JSON: {error}. Write an object, such as '{{\"price\": 1.5}}'."
        ) from None
    if not isinstance(fields, dict):
        raise UsageError(f"--request {text!r} is no object. Write one, such as '{{\"price\": 1.5}}'.")
    return fields


def asked_moment(at: str | None, settings: Settings, zones: Iterable[str]) -> datetime | date:
    """The instant (UTC) or day asked for; now without one.

    zones: that the sources declare. A moment without an offset is of theirs, or else UTC. UsageError where they differ,
    and for a text that is neither a day nor a moment.
    """
    if at is None:
        return settings.now()
    with contextlib.suppress(ValueError):
        return day_of_text(at)
    known = sorted(set(zones)) or ["UTC"]
    with contextlib.suppress(ValueError):
        if len(known) == 1 or _has_offset(at):
            return moment_of_text(at, known[0])
        raise UsageError(
            f"--at {at!r} has no offset, and the sources behind this have times of several zones: {', '.join(known)}. "
            f"Write the moment with one, such as 2020-02-01T09:30:00Z."
        )
    raise UsageError(
        f"--at {at!r} is neither a day (2020-02-01) nor a moment (2020-02-01T09:30:00Z) of the years 1900 to 2199."
    )


def day_of_text(text: str) -> date:
    """A calendar day as ISO 8601; ValueError for another text, or a year in which no event can be."""
    return _check_year(date.fromisoformat(text))


def _has_offset(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


def moment_of_text(text: str, zone: str | None) -> datetime:
    """A moment as ISO 8601, in UTC; without an offset it is of the zone, and of two at once the earlier.

    ValueError as for a day, without offset and zone, and for what is finer than a microsecond or was skipped by the
    zone's clocks.
    """
    if re.search(r"\.\d{6}0*[1-9]", text):
        raise ValueError(f"{text!r} has a part below one microsecond")
    moment = _check_year(datetime.fromisoformat(text))
    if moment.tzinfo:
        return moment.astimezone(UTC)
    if zone is None:
        raise ValueError(f"{text!r} has no offset")
    instant = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    if instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != moment:
        raise ValueError(f"clocks in {zone} never showed {text!r}")
    return instant


def _check_year(day: _Day) -> _Day:
    from transformations.contracts import EVENT_YEARS

    if not EVENT_YEARS[0] <= day.year <= EVENT_YEARS[1]:
        raise ValueError(f"{day} lies outside the years {EVENT_YEARS[0]} to {EVENT_YEARS[1]}")
    return day


def as_of_day(asked: datetime | date, resolved: Resolved) -> date:
    """The day asked for, or the newest one whose row can be served at the moment asked for."""
    from transformations.engine.base.business_days import day_of_instant

    if isinstance(asked, datetime):
        return day_of_instant(asked - resolved.definition.available_after, resolved.zone)
    return asked


def _parse_key_value(name: str, text: str, dtype: Dtype) -> object:
    if dtype.name == "String":
        return text
    if re.fullmatch(r"-?[0-9]+", text) and -(2**63) <= int(text) < 2**63:
        return int(text)
    raise UsageError(f"{name}={text!r}: {name} is {dtype}. Write a whole number of at most 64 bits, in digits alone.")

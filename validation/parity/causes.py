"""Why an online value differs from training: it is late, was corrected since, or is skewed by a fault that is named."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from transformations.engine.base.moments import moment_text, value_text
from validation.parity.rows import NOT_FOUND, OUTSIDE_MAX_AGE, Held, Settled, Written
from validation.parity.values import same_value

Reason: TypeAlias = tuple["Kind", "Cause", str]


class Kind(StrEnum):
    """What a difference is. Only skew is a fault: the other two end with the next materialization."""

    LATE = "late"
    CORRECTED = "corrected since"
    SKEW = "skew"


class Cause(StrEnum):
    """Where a difference comes from."""

    NOT_MATERIALIZED = "not materialized"
    TTL = "ttl"
    SCHEMA = "schema"
    CHANGED_FUNCTION = "changed function"
    PUSH = "push to online only"
    LOST_ROW = "lost row"
    STALE_ROW = "stale row"
    DROPPED_CORRECTION = "dropped correction"
    EARLY = "early availability"
    FLOAT32 = "float32 rounding"
    OTHER_VALUE = "other value"
    RETRIEVAL = "training retrieval"
    STATUS = "status"


@dataclass(frozen=True)
class Load:
    """The table version and END that a view was last materialized from; both None if it never was.

    newest: the table's version now. was_rebuilt: the table has been rebuilt under another definition since.
    """

    version: int | None
    end: datetime | None
    newest: int | None
    was_rebuilt: bool = False

    def behind(self, zone: str) -> str:
        """Since when nothing was loaded, in words; moments in the zone."""
        if self.end is None:
            return "never materialized into this Redis"
        if self.was_rebuilt:
            return (
                f"not materialized since version {self.version}: rebuilt under another definition (now {self.newest})"
            )
        if self.version != self.newest:
            return f"not materialized since version {self.version} (now {self.newest})"
        return f"not materialized since END {moment_text(self.end, zone)}"


@dataclass(frozen=True)
class Served:
    """One looked-up value with its status. event: the row's event timestamp; None without a row."""

    value: object
    status: str
    event: datetime | None

    def is_as(self, owed: Settled) -> bool:
        """Whether value and status are as owed."""
        return same_value(self.value, owed.value) and self.status == owed.status


@dataclass(frozen=True, kw_only=True)
class Case:
    """One value on which the paths differ, beside what the table holds.

    promised: what the materialized version held at its END. held: what the newest version holds at the moment.
    has_row: whether the online store has a row of the entity. history: all rows of the entity in the table. zone: in
    which moments are told.
    """

    feature: str
    row: int
    moment: datetime
    served: Served
    training: object
    promised: Held
    held: Held
    has_row: bool
    history: Sequence[Written]
    load: Load
    zone: str

    def text(self, value: object) -> str:
        """A value as the reason tells it."""
        return value_text(value, self.zone, quoted=True)

    def when(self, moment: datetime | None) -> str:
        """A moment as the reason tells it."""
        return "an unknown time" if moment is None else moment_text(moment, self.zone)


def reason_of(case: Case) -> Reason:
    """A difference's kind, its cause, and the cause in words."""
    promised = case.promised.settled(case.feature, case.row, case.moment)
    held = case.held.settled(case.feature, case.row, case.moment)
    if not same_value(case.training, held.value):
        words = (
            f"training has {case.text(case.training)}, version {case.load.newest} of the table holds "
            f"{case.text(held.value)}"
        )
        cause = Cause.TTL if held.status == OUTSIDE_MAX_AGE or _is_expired_in_training(case) else Cause.RETRIEVAL
        return Kind.SKEW, cause, words
    if case.load.was_rebuilt or case.served.is_as(promised):
        before, after = case.promised.event[case.row], case.held.event[case.row]
        kind = Kind.CORRECTED if before == after and before is not None else Kind.LATE
        return kind, Cause.NOT_MATERIALIZED, case.load.behind(case.zone)
    cause, words = _fault_text(case, promised)
    return Kind.SKEW, cause, words


def remedy_of(cause: Cause, moment: datetime) -> str:
    """What ends differences with this cause, found at this moment (UTC)."""
    match cause:
        case Cause.PUSH:
            return (
                "Write the pushed row to the source, too (`push(…, to=PushMode.ONLINE_AND_OFFLINE)`): online it stays "
                "while it is the newest"
            )
        case Cause.CHANGED_FUNCTION:
            return "Apply the code that serves (`feast -c feature_repo apply`), or restart servers with applied code"
        case Cause.RETRIEVAL | Cause.TTL:
            return "Redis is not to blame: compare the view's declaration with the table"
    end = f"{moment + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}"
    return (
        "A full load replaces every row that should not be there: "
        f"`feast -c feature_repo materialize 1970-01-01T00:00:00 {end}`"
    )


def _fault_text(case: Case, owed: Settled) -> tuple[Cause, str]:
    """What is wrong with a served value that is not the materialized one."""
    served, expected = case.served, case.promised.event[case.row]
    if served.status == NOT_FOUND and case.has_row:
        return Cause.SCHEMA, "the online row was written under an older schema, without this feature"
    if served.event is None:
        if expected is not None:
            return Cause.LOST_ROW, f"the table holds a row of {case.when(expected)}, Redis none: evicted, or deleted"
        return Cause.STATUS, f"without a row the status is {owed.status}, not {served.status}"
    if served.event > case.moment:
        return Cause.EARLY, f"the online row is of {case.when(served.event)}, which is not available yet"
    own = [row for row in case.history if row.event == served.event]
    if not own:
        return Cause.PUSH, f"the table has no row of {case.when(served.event)}: pushed to the online store only"
    if expected is None or served.event < expected:
        then = "none that was available" if expected is None else f"one of {case.when(expected)}"
        return (
            Cause.STALE_ROW,
            f"the online row is of {case.when(served.event)}, version {case.load.version} holds {then}",
        )
    if case.load.end is not None and served.event > max(case.load.end, expected):
        return (
            Cause.EARLY,
            f"the online row is of {case.when(served.event)}, after END {case.when(case.load.end)}",
        )
    if OUTSIDE_MAX_AGE in (served.status, owed.status):
        age = case.moment - served.event
        verb = "withheld" if served.status == OUTSIDE_MAX_AGE else "served"
        return Cause.TTL, f"{verb} at an age of {age}, with a ttl of {case.promised.view.ttl}"
    return _other_value(case, owed, own)


def _other_value(case: Case, owed: Settled, own: Sequence[Written]) -> tuple[Cause, str]:
    """The event timestamp is right, the value is not."""
    served = case.served
    for row in own[:-1]:
        if same_value(row.values[case.feature], served.value) and not same_value(served.value, owed.value):
            old, new = case.when(row.created), case.when(own[-1].created)
            return Cause.DROPPED_CORRECTION, f"online is the row created {old}, which that created {new} corrects"
    if isinstance(owed.value, float) and same_value(served.value, _as_float32(owed.value)):
        return Cause.FLOAT32, f"{owed.value!r} was rounded to float32: {served.value!r}"
    if same_value(served.value, owed.value):
        return Cause.STATUS, f"the status is {served.status}, not {owed.status}"
    return Cause.OTHER_VALUE, f"of the row of {case.when(served.event)} the table holds {case.text(owed.value)}"


def _is_expired_in_training(case: Case) -> bool:
    """Whether training withheld a value that is within its ttl."""
    return case.training is None and bool(case.held.view.ttl) and case.held.event[case.row] is not None


def _as_float32(value: float) -> float | None:
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return None
    return rounded

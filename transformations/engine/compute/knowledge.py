"""What was known when: the law of knowledge time, and the drops of a view's sources in the order of their ingestion.

The law. Number the drops of all sources of a view 1, 2, … by their knowledge time k: the time of ingestion, at least
one microsecond after that of the drop before. Let f(d) be the drop from which on business day d is complete and every
source has been ingested. After drop i, day d holds, with the attributes looked up at that time,

    X(d, i) = the rows of day d in the raw zone after drop max(i, f(d)).

Everything that arrived before a day was complete counts as on time, whenever it arrived. Whatever changes the day
afterwards (a late row, a correction, a retraction, a changed record of a looked-up source) counts from its own drop on.
The value as-of day D that is served at a moment t, not before D's availability e(D), is the definition's value over

    X(d, i) for all d < D, where i is the newest drop with k ≤ t.

So a table holds, for each key, the values as-of D as known at e(D), with created = event_timestamp = e(D). For each
later drop that changes them, it holds the rows that are no longer true once more, with created = max(e(D), k), or a
microsecond after the row they replace if that is later (when a drop comes between a day's completion and its
availability).
None of this depends on when, how often or under which earlier definitions a table was built. A first load, a rebuild, a
backfill of earlier days and a build after each drop give the same readings: as corrected (the newest created wins) and
as served at any moment (among the rows created by then). The exceptions are restores, and days that were declared
complete by mistake: the table still says what it served.

            day 1   day 2   day 3       drop 1 brings day 1, with a sale of 10; drop 2 brings day 2 and a late sale of
    drop 1    10                        5 for day 1; drop 3 corrects the 10 to 7, and brings day 3.
    drop 2    +5      0                 The lifetime's sum: as-of 2 (10, on time), (15, from k2), (12, from k3);
    drop 3    →7      0       0         as-of 3 (15 if k2 ≤ e(3), else 10 on time and 15 from k2), (12, from k3); …
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from transformations.contracts import Contract
from transformations.engine.base.business_days import (
    day_number,
    day_of_number,
    days_of_instants,
    start_of_day,
    starts_of_days,
)
from transformations.engine.base.moments import instant_to_micros, micros_to_instant
from transformations.engine.raw.zone import Drop, RawSnapshot
from transformations.engine.vocabulary.resolution import Resolved

Int64s = npt.NDArray[np.int64]

SINCE, UNTIL = "_since", "_until"
"""The columns of events with the drop since which a version of an event is known, and until which (exclusive)."""
ALWAYS = 0
FOREVER = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The drops of a view's sources, numbered from 1 by knowledge time.

    known: the knowledge time of each, microseconds UTC, ascending. numbers: by source and drop number, the drop's
    number here. late: drops that may change a day that was complete before them. through, completing: ascending days,
    and the drop that completed all days up to each. is_endless: every day is complete once it has ended. begins: the
    first drop after which every source had been ingested.
    """

    resolved: Resolved
    known: Int64s
    numbers: Mapping[str, Mapping[int, int]]
    late: frozenset[int]
    through: Int64s
    completing: Int64s
    begins: int
    is_endless: bool

    def completed_by(self, days: Int64s) -> Int64s:
        """f(d) of business days (numbers); `FOREVER` where a day is not complete yet."""
        if self.is_endless:
            if not days.size:
                return days
            first, last = int(days.min()), int(days.max())
            ends = starts_of_days(first + 1, last + 1, self.resolved.zone)
            by = np.searchsorted(self.known, ends, side="left")[days - first]
            return np.maximum(by, self.begins)
        drops = np.append(self.completing, FOREVER)
        by = drops[np.searchsorted(self.through, days, side="left")]
        return np.maximum(by, self.begins, dtype=np.int64)

    def births(self, first: int, last: int) -> Int64s:
        """For each as-of day `first`..`last`: the newest drop that its on-time row may include. Ascending."""
        delay = int(self.resolved.definition.available_after.total_seconds() * 1_000_000)
        available = starts_of_days(first, last, self.resolved.zone) + delay
        seen = np.searchsorted(self.known, available, side="right")
        return np.minimum(seen, self.completed_by(np.arange(first - 1, last, dtype=np.int64)))

    def moments(self, drops: Int64s) -> Int64s:
        """Knowledge times of drops; that of `ALWAYS` is before all others."""
        return np.append(np.iinfo(np.int64).min, self.known)[drops]

    def first_unknown_to(self, versions: Mapping[str, int], snapshots: Mapping[str, RawSnapshot]) -> int:
        """The first drop after these versions of the sources; `FOREVER` if there is none.

        If the clock went back between two sources, drops that the table already includes may follow it; these are
        replayed again.
        """
        new = (
            self.numbers[name][drop.number]
            for name, snapshot in snapshots.items()
            for drop in snapshot.drops_since(versions[name])
        )
        return min(new, default=FOREVER)

    def first_stage(self, first_day: int, new_from: int) -> int:
        """The first drop that a run has to replay: one that the table does not include yet, or that must not be part
        of an on-time row as-of the run's first day.
        """
        return min(new_from, int(self.births(first_day, first_day)[0]) + 1)

    def replays(self, first_day: int | None, new_from: int = FOREVER) -> bool:
        """Whether a run that begins as-of that day has anything to replay."""
        begin = ALWAYS if first_day is None else self.first_stage(first_day, new_from)
        return any(number >= begin for number in self.late)

    def last_complete_before_late(self) -> int:
        """The last business day that was complete before any late drop came."""
        newest = max(self.late)
        if self.is_endless:
            return int(days_of_instants(self.known[newest - 1 : newest], self.resolved.zone)[0])
        before = int(np.searchsorted(self.completing, newest, side="left"))
        return int(self.through[before - 1]) if before else -FOREVER

    def versions_before(self, number: int, snapshots: Mapping[str, RawSnapshot]) -> dict[str, int]:
        """The version of each source after all drops before this one, its first at least."""
        return {
            name: max(
                (drop.version for drop in snapshot.drops if self.numbers[name][drop.number] < number),
                default=snapshot.drops[0].version,
            )
            for name, snapshot in snapshots.items()
        }

    def since(self, source: str) -> list[tuple[int, int]]:
        """A source's drops with their numbers here; `ALWAYS` for a looked-up source's drop that changed no complete
        day.
        """
        is_own = source == self.resolved.contract.name
        return [
            (drop, number if is_own or number in self.late else ALWAYS) for drop, number in self.numbers[source].items()
        ]


def comes_in_order(resolved: Resolved, snapshots: Mapping[str, RawSnapshot]) -> bool:
    """Whether no drop of a view's one source can be late, as the newest one says of all: its timeline has none then."""
    if resolved.lookups or resolved.contract.event_time is None:
        return False
    return snapshots[resolved.contract.name].comes_in_order


def timeline(resolved: Resolved, snapshots: Mapping[str, RawSnapshot]) -> Timeline:
    """The drops of the view's sources as these snapshots have them."""
    drops = sorted(
        ((known, name, drop) for name, snapshot in snapshots.items() for known, drop in _known_drops(snapshot)),
        key=lambda each: each[:2],
    )
    numbers: dict[str, dict[int, int]] = {name: {} for name in snapshots}
    complete: list[tuple[int, int]] = []
    for number, (_, name, drop) in enumerate(drops, 1):
        numbers[name][drop.number] = number
        if name == resolved.contract.name:
            _complete(complete, drop, number)
    found = Timeline(
        resolved=resolved,
        known=_strictly_ascending([known for known, _, _ in drops]),
        numbers=numbers,
        late=frozenset(),
        through=np.array([day for day, _ in complete], dtype=np.int64),
        completing=np.array([number for _, number in complete], dtype=np.int64),
        begins=max(min(of_source.values()) for of_source in numbers.values()),
        is_endless=resolved.contract.event_time is None,
    )
    return replace(found, late=frozenset(_late_drops(found, snapshots)))


def _known_drops(snapshot: RawSnapshot) -> Iterator[tuple[int, Drop]]:
    """Each drop with the time of its ingestion, which never goes back within a source."""
    newest = np.iinfo(np.int64).min
    for drop in snapshot.drops:
        newest = max(instant_to_micros(drop.ingested_at), newest + 1)
        yield newest, drop


def _strictly_ascending(ascending: list[int]) -> Int64s:
    """The same numbers, raised where needed so that each exceeds the one before."""
    places = np.arange(len(ascending), dtype=np.int64)
    later: Int64s = np.maximum.accumulate(np.array(ascending, dtype=np.int64) - places) + places
    return later


def _complete(complete: list[tuple[int, int]], drop: Drop, number: int) -> None:
    """Record what a drop says about completeness: that more days are complete, or that some no longer are."""
    day = -FOREVER if drop.complete_through is None else day_number(drop.complete_through)
    by = number
    while complete and complete[-1][0] > day:
        _, by = complete.pop()
    if drop.complete_through is not None and (not complete or complete[-1][0] < day):
        complete.append((day, by))


def _late_drops(found: Timeline, snapshots: Mapping[str, RawSnapshot]) -> Iterator[int]:
    """The drops that may change a day that was complete before them, judged by the days of their files."""
    resolved = found.resolved
    for name, snapshot in snapshots.items():
        is_own = name == resolved.contract.name
        contract = resolved.contract if is_own else resolved.lookups[name]
        first_days = _first_days(snapshot)
        for drop in snapshot.drops:
            number = found.numbers[name][drop.number]
            if number <= found.begins or drop.number not in first_days:
                continue
            since = _changes_from(drop, contract, first_days[drop.number])
            if (drop.supersedes and is_own) or since < _complete_until(found, number):
                yield number


def _first_days(snapshot: RawSnapshot) -> dict[int, int]:
    days: dict[int, int] = {}
    for part in snapshot.parts:
        days[part.drop] = min(part.first_day, days.get(part.drop, part.first_day))
    return days


def _changes_from(drop: Drop, contract: Contract, first_day: int) -> datetime:
    """The moment before which the drop changes no event, superseded rows of the source itself aside."""
    started = start_of_day(day_of_number(first_day), contract.business_day_zone)
    return started if drop.valid_from is None or drop.retracts else max(drop.valid_from, started)


def _complete_until(found: Timeline, number: int) -> datetime:
    """The end of the last business day that was complete before a drop."""
    zone = found.resolved.zone
    if found.is_endless:
        return micros_to_instant(int(found.known[number - 1]))
    before = int(np.searchsorted(found.completing, number, side="left"))
    if before == 0:
        return datetime.min.replace(tzinfo=UTC)
    return start_of_day(day_of_number(int(found.through[before - 1]) + 1), zone)

"""What is computed from what, as plain values: things, and arrows from what is read to what reads it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a thing is, in the order of the data's way."""

    COLUMN = "source column"
    REQUEST_FIELD = "request field"
    FEATURE = "feature"
    SERVICE = "feature service"
    DATASET = "dataset"
    MODEL = "model"

    @property
    def place(self) -> int:
        """Its place on the data's way."""
        return list(Kind).index(self)


class Role(StrEnum):
    """What a thing is read for."""

    VALUE = "value"
    KEY = "key"
    TIME = "event time"
    SPINE = "spine"
    FEATURES = "features"
    ROWS = "rows"
    METRIC = "business metric"


@dataclass(frozen=True, order=True)
class Thing:
    """One named thing: `source.column`, `view:feature`, or the name of a service, dataset or model.

    owner: of what holds it.
    """

    kind: Kind
    name: str
    owner: str = ""

    @property
    def container(self) -> str:
        """The source or view that holds it; itself, where nothing does."""
        separator = "." if self.kind is Kind.COLUMN else ":"
        return self.name.partition(separator)[0]

    @property
    def short_name(self) -> str:
        """The name without its source or view."""
        return self.name.rpartition("." if self.kind is Kind.COLUMN else ":")[2]


@dataclass(frozen=True, order=True)
class Arrow:
    """`reader` is computed from `origin`."""

    origin: Thing
    reader: Thing
    role: Role


@dataclass(frozen=True)
class Reached:
    """A thing on the way, how many arrows away, and what the last of these arrows reads it for."""

    thing: Thing
    distance: int
    role: Role


class Lineage:
    """The graph: arrows lead from columns and request fields to models, without circles.

    unread: what the graph lacks because its file cannot be read, by place (`dataset reading`), with what is wrong.
    """

    def __init__(
        self, things: Iterable[Thing], arrows: Iterable[Arrow], unread: Mapping[str, str] | None = None
    ) -> None:
        self.unread = dict(unread or {})
        self.things = sorted(set(things))
        self.arrows = sorted(set(arrows))
        self._after: dict[Thing, list[Arrow]] = {}
        self._before: dict[Thing, list[Arrow]] = {}
        for arrow in self.arrows:
            self._after.setdefault(arrow.origin, []).append(arrow)
            self._before.setdefault(arrow.reader, []).append(arrow)

    def find(self, word: str) -> list[Thing]:
        """Things of this name, full or short, whatever its case; all columns of a source, all features of a view."""
        wanted = word.casefold()
        full = [thing for thing in self.things if wanted == thing.name.casefold()]
        held = [thing for thing in self.things if wanted == thing.container.casefold()]
        short = [thing for thing in self.things if wanted == thing.short_name.casefold()]
        return full or held or short

    def gaps(self) -> list[str]:
        """A sentence for each dataset or model that the graph lacks, with the first line of what is wrong with it."""
        return [
            f"left out: {place}, which cannot be read: {said.splitlines()[0]}" for place, said in self.unread.items()
        ]

    def names(self) -> set[str]:
        """Every name that `find` knows."""
        return {name for thing in self.things for name in (thing.name, thing.container, thing.short_name)}

    def upstream(self, things: Sequence[Thing]) -> list[Reached]:
        """What these things are computed from, nearest first."""
        return list(_walk(things, self._before, lambda arrow: arrow.origin))

    def downstream(self, things: Sequence[Thing]) -> list[Reached]:
        """What is computed from these things, nearest first."""
        return list(_walk(things, self._after, lambda arrow: arrow.reader))

    def read_by(self, thing: Thing) -> list[Arrow]:
        """The arrows that lead to a thing."""
        return self._before.get(thing, [])


def _walk(
    start: Sequence[Thing], arrows: Mapping[Thing, Sequence[Arrow]], other_end: Callable[[Arrow], Thing]
) -> Iterator[Reached]:
    seen = set(start)
    open_things = deque((thing, 0) for thing in start)
    while open_things:
        thing, distance = open_things.popleft()
        for arrow in arrows.get(thing, ()):
            reached = other_end(arrow)
            if reached not in seen:
                seen.add(reached)
                open_things.append((reached, distance + 1))
                yield Reached(reached, distance + 1, arrow.role)

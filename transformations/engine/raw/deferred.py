"""Sequences of which the end is known, and the rest read when somebody asks for it.

A day's run needs the newest drops alone. Those of the years before are in the log, and stay there until somebody goes
through them, as whoever looks for an earlier file does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar, overload

Each = TypeVar("Each")


class Deferred(Sequence[Each]):
    """What `read` finds, which is called when it is needed, and an end that is known. by: orders all of it."""

    def __init__(
        self,
        read: Callable[[], Sequence[Each]],
        end: Iterable[Each] = (),
        by: Callable[[Each], Any] | None = None,
    ) -> None:
        self._read, self._end, self._by = read, tuple(end), by

    def and_then(self, more: Iterable[Each]) -> Deferred[Each]:
        """The same with more at its end."""
        return Deferred(self._read, (*self._end, *more), self._by)

    @cached_property
    def _all(self) -> tuple[Each, ...]:
        found = (*self._read(), *self._end)
        return found if self._by is None else tuple(sorted(found, key=self._by))

    @overload
    def __getitem__(self, place: int) -> Each: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Each, ...]: ...
    def __getitem__(self, place: int | slice) -> Each | tuple[Each, ...]:
        if isinstance(place, int) and self._by is None and -len(self._end) <= place < 0:
            return self._end[place]
        return self._all[place]

    def __len__(self) -> int:
        return len(self._all)

    def __bool__(self) -> bool:
        return bool(self._end or self._all)

    def __iter__(self) -> Iterator[Each]:
        return iter(self._all)

    def __reversed__(self) -> Iterator[Each]:
        """From the end on, so that whoever finds it there has nothing read."""
        if self._by is None:
            yield from reversed(self._end)
            yield from reversed(self._all[: len(self._all) - len(self._end)])
        else:
            yield from reversed(self._all)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(self._all)


def joined(before: Sequence[Each], more: Iterable[Each]) -> Sequence[Each]:
    """A sequence with more at its end, which reads nothing of one that is deferred."""
    return before.and_then(more) if isinstance(before, Deferred) else (*before, *more)

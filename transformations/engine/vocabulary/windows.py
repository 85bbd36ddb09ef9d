"""Windows of aggregation and delays of availability, as an author writes them: `days(28)`, `LIFETIME`, `hours(2)`."""

from dataclasses import dataclass
from datetime import timedelta

from transformations.engine.base.errors import DefinitionError


@dataclass(frozen=True)
class Window:
    """The business days that a feature looks back over: `[D - days, D)` as-of D, or all of them where days is None."""

    days: int | None

    @property
    def suffix(self) -> str:
        """The end of a feature's name: `7d` or `lifetime`."""
        return "lifetime" if self.days is None else f"{self.days}d"

    def __str__(self) -> str:
        return self.suffix


LIFETIME = Window(None)


def days(count: int) -> Window:
    """A window of `count` business days, of which one has 23 or 25 hours where the zone changes its clocks."""
    if count < 1:
        raise DefinitionError(
            f"days({count}): a window has at least one business day. Write days(1) or more, or LIFETIME."
        )
    return Window(count)


def hours(count: float) -> timedelta:
    """An exact delay for `available_after`. Not a window: windows are business days, `days(n)`, or LIFETIME."""
    if count < 0:
        raise DefinitionError(f"hours({count}): a delay cannot be negative.")
    return timedelta(hours=count)

"""The range a feature's values are expected in: data that validation and documentation read, written beside the
feature.
"""

from dataclasses import dataclass

from transformations.engine.base.errors import DefinitionError


@dataclass(frozen=True)
class Expectation:
    """An inclusive range (either end may be open) or a closed set of values; null is always allowed."""

    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.values:
            return "one of " + ", ".join(self.values)
        if self.minimum is None and self.maximum is None:
            return "anything"
        if self.maximum is None:
            return f">= {self.minimum:g}"
        if self.minimum is None:
            return f"<= {self.maximum:g}"
        return f"{self.minimum:g} to {self.maximum:g}"


ANYTHING = Expectation()


def at_least(minimum: float) -> Expectation:
    """Values of `minimum` or more."""
    return Expectation(minimum=minimum)


def at_most(maximum: float) -> Expectation:
    """Values of `maximum` or less."""
    return Expectation(maximum=maximum)


def between(minimum: float, maximum: float) -> Expectation:
    """Values from `minimum` to `maximum`, both included."""
    if minimum > maximum:
        raise DefinitionError(f"between({minimum}, {maximum}): the lower bound is above the upper one.")
    return Expectation(minimum=minimum, maximum=maximum)


def one_of(*values: str) -> Expectation:
    """One of these strings."""
    return Expectation(values=values)

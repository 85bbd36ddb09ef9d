"""What a feature author declares: windowed features, plain features and lookups. Data only; no engine is imported.

What can be checked without a source's contract is checked here, at import; the rest when the definition is resolved
(`transformations.engine.vocabulary.resolution`), which happens at plan, test and build.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TypeAlias

from transformations.engine.base.errors import DefinitionError, nearest, refuse_hidden
from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from transformations.engine.vocabulary.aggregations import Aggregation, Latest, Share
from transformations.engine.vocabulary.column_name import EachValue
from transformations.engine.vocabulary.column_name import column as condition_on
from transformations.engine.vocabulary.conditions import Condition
from transformations.engine.vocabulary.expectations import Expectation
from transformations.engine.vocabulary.functions import RowFunction
from transformations.engine.vocabulary.windows import LIFETIME, Window

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Lookup:
    """Attributes of another source, as of each event: `Lookup("topic", source="pages", on="page_id")`.

    The source's contract key must be `on`. Of several records of one key, the last whose time is not after the event
    counts; where there is none, the attributes are null, and the build counts such events.
    """

    columns: tuple[str, ...]
    source: str
    on: tuple[str, ...]

    def __init__(self, *columns: str, source: str, on: str | Sequence[str]) -> None:
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "on", (on,) if isinstance(on, str) else tuple(on))


@dataclass(frozen=True)
class Attribute:
    """A column of a source, taken over as a feature as it stands."""

    column: str
    _: KW_ONLY
    description: str
    unit: str
    name: str = ""
    expect: Expectation | None = None


@dataclass(frozen=True, eq=False)
class DeclaredFeature:
    """One feature of a definition: its name, and the aggregation and window that give its value."""

    name: str
    aggregation: Aggregation
    window: Window
    expect: Expectation | None

    @property
    def description(self) -> str:
        """The measure's description with its window: `Amount paid, 28 business days`."""
        if isinstance(self.aggregation, Latest):
            return self.aggregation.description
        days = self.window.days
        span = "lifetime" if days is None else "1 business day" if days == 1 else f"{days} business days"
        return f"{self.aggregation.description}, {span}"


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowedFeatures:
    """Aggregations of one source's events per entity, over windows of business days, as-of the start of every business
    day.

    name: the view, `<entity>_<subject>`. join_key: the entity's column or columns. source: the contract's name.
    windows: for every feature that names none of its own. available_after: from the start of day D until serving can
    have the row as-of D. lookups: attributes of other sources. derived: further columns by row functions.
    """

    name: str
    join_key: str | Sequence[str]
    source: str
    features: Sequence[Aggregation]
    description: str
    windows: Sequence[Window] = (LIFETIME,)
    available_after: timedelta = timedelta(0)
    lookups: Sequence[Lookup] = ()
    derived: Sequence[RowFunction] = field(default=())

    def __post_init__(self) -> None:
        _check_definition(self)

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The entity's columns."""
        return _columns_of(self.join_key)

    @cached_property
    def declared(self) -> tuple[DeclaredFeature, ...]:
        """Every feature, in order of declaration, `per` values and windows spelled out."""
        return tuple(self._spelled_out())

    def _spelled_out(self) -> Iterator[DeclaredFeature]:
        for measure in self.features:
            for label, aggregation in _per_value(measure):
                for window in measure.windows or self.windows:
                    name = "_".join([measure.name, *label, measure.suffix, window.suffix])
                    yield DeclaredFeature(name, aggregation, window, self._expectation_of(measure, window))

    def _expectation_of(self, measure: Aggregation, window: Window) -> Expectation | None:
        if not isinstance(measure.expect, Mapping):
            return measure.expect
        if window not in measure.expect:
            raise DefinitionError(
                f"{self.name}: {measure.name} declares no expectation for window {window}. Add it to expect={{…}}; "
                f"declared are {', '.join(map(str, measure.expect))}."
            )
        return measure.expect[window]


@dataclass(frozen=True, eq=False, kw_only=True)
class PlainFeatures:
    """Attributes straight from a source: as-of D, each key's last record strictly before D. No windows, the same
    rules.
    """

    name: str
    join_key: str | Sequence[str]
    source: str
    features: Sequence[Attribute]
    description: str
    available_after: timedelta = timedelta(0)
    lookups: Sequence[Lookup] = field(default=(), init=False)
    derived: Sequence[RowFunction] = field(default=(), init=False)
    windows: Sequence[Window] = field(default=(LIFETIME,), init=False)

    def __post_init__(self) -> None:
        _check_definition(self)

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The entity's columns."""
        return _columns_of(self.join_key)

    @cached_property
    def declared(self) -> tuple[DeclaredFeature, ...]:
        """One feature an attribute."""
        return tuple(
            DeclaredFeature(
                attribute.name or attribute.column,
                Latest(
                    attribute.column,
                    name=attribute.name or attribute.column,
                    description=attribute.description,
                    unit=attribute.unit,
                ),
                LIFETIME,
                attribute.expect,
            )
            for attribute in self.features
        )


Definition: TypeAlias = WindowedFeatures | PlainFeatures


def _per_value(measure: Aggregation) -> Iterator[tuple[list[str], Aggregation]]:
    if measure.per is None:
        yield [], measure
        return
    for value in measure.per.values:
        yield [_words_of_name(value)], measure.narrowed(condition_on(measure.per.column) == value)


def _words_of_name(value: object) -> str:
    return re.sub(r"[^a-z0-9]+", "_", str(value).lower()).strip("_")


def _columns_of(join_key: str | Sequence[str]) -> tuple[str, ...]:
    return (join_key,) if isinstance(join_key, str) else tuple(join_key)


def _check_definition(definition: Definition) -> None:
    name = definition.name
    if not _NAME.fullmatch(name):
        raise DefinitionError(
            f"view {name!r}: names are lower case letters, digits and _. Rename it `<entity>_<subject>`."
        )
    if not definition.description:
        raise DefinitionError(f"{name} has no description. Say in one line what it says about which entity.")
    refuse_hidden(name, description=definition.description)
    if not definition.join_keys:
        raise DefinitionError(f"{name} has no join key. Name the column or columns of its entity.")
    if not definition.features:
        raise DefinitionError(f"{name} declares no features. Add one, or remove the definition.")
    for window in definition.windows:
        _check_window(name, window)
    if isinstance(definition, WindowedFeatures):
        for measure in definition.features:
            _check_measure(name, measure)
    else:
        for attribute in definition.features:
            refuse_hidden(f"{name}: {attribute.column}", description=attribute.description, unit=attribute.unit)
    _check_names(definition)


def _check_measure(view: str, measure: Aggregation) -> None:
    kind = type(measure).__name__
    if not measure.name or not _NAME.fullmatch(measure.name):
        raise DefinitionError(
            f"{view}: a {kind} has the name {measure.name!r}. Give it name=… in lower case letters, digits, _."
        )
    for fact in ("description", "unit"):
        if not getattr(measure, fact):
            raise DefinitionError(f"{view}: {measure.name} ({kind}) has no {fact}. Write {fact}=….")
    refuse_hidden(f"{view}: {measure.name}", description=measure.description, unit=measure.unit)
    _check_conditions(f"{view}: {measure.name}", measure)
    for side in measure.made_of():
        _check_side(f"{view}: {measure.name}", side)
    for window in measure.windows or ():
        _check_window(f"{view}: {measure.name}", window)
    size = getattr(measure, "k", 1)
    if size < 1:
        raise DefinitionError(f"{view}: {measure.name} asks for k={size} values. Ask for at least 1.")


def _check_conditions(place: str, measure: Aggregation) -> None:
    """Refuse what is no condition: a comparison of two Python values, say, is just True or False."""
    given = {"where": measure.where} if measure.where is not None else {}
    if isinstance(measure, Share):
        given["condition"] = measure.condition
    for what, condition in given.items():
        if not isinstance(condition, Condition):
            raise DefinitionError(
                f'{place}: {what}={condition!r} is no condition. Compare a column: {what}=column("kind") == "link".'
            )
    if measure.per is not None and not isinstance(measure.per, EachValue):
        raise DefinitionError(
            f'{place}: per={measure.per!r} names no values. Write per=column("kind").each("link", "button").'
        )
    if not isinstance(measure.measured, str | None):
        raise DefinitionError(
            f"{place} aggregates {measure.measured!r}, which is no column's name. Give the name as text."
        )


def _check_side(place: str, side: Aggregation) -> None:
    """Refuse what a side of a quotient cannot have, and would lose silently."""
    kind = type(side).__name__
    for fact in ("windows", "per", "unseen"):
        if getattr(side, fact) is not None:
            raise DefinitionError(
                f"{place}: its {kind} says {fact}=…, which only the whole measure can. Move it there; a quotient of "
                f"two windows is an @on_demand function of two features."
            )
    _check_conditions(f"{place}: its {kind}", side)


def _check_window(place: str, window: object) -> None:
    if not isinstance(window, Window):
        raise DefinitionError(
            f"{place}: {window!r} is no window. Tiles are business days, so windows are days(n) or LIFETIME; "
            f"hours(n) is for available_after."
        )


def _check_names(definition: Definition) -> None:
    seen: set[str] = set()
    reserved = {EVENT_TIMESTAMP, CREATED_TIMESTAMP, *definition.join_keys}
    for feature in definition.declared:
        if feature.name in seen:
            raise DefinitionError(f"{definition.name} declares {feature.name} twice. Rename one of the two measures.")
        if feature.name in reserved:
            raise DefinitionError(
                f"{definition.name}: feature {feature.name} has the name of a key or time column. Rename it."
            )
        seen.add(feature.name)


def declared_feature(definition: Definition, name: str) -> DeclaredFeature:
    """The feature of that name; DefinitionError naming the nearest otherwise."""
    for feature in definition.declared:
        if feature.name == name:
            return feature
    known = [feature.name for feature in definition.declared]
    raise DefinitionError(f"{definition.name} has no feature {name!r}: {nearest(name, known)}")

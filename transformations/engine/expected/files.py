"""The reviewed file of a view's expectations, `<view>.yaml`: read strictly, written in one order, a rule a line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

import yaml

from transformations.contracts import ContractError
from transformations.contracts.document import line_of, read_yaml, text_of
from transformations.contracts.texts import hidden_character
from transformations.engine.base.errors import DiskError, UsageError, nearest
from transformations.engine.base.storage import replace_text
from transformations.engine.base.words import plural
from transformations.engine.expected.model import (
    OTHERS,
    QUANTILE_GROUP,
    QUANTILES,
    SHARE_GROUP,
    SINGLE,
    Band,
    ExpectedFeature,
    ExpectedView,
    Growth,
    Rule,
    Statistic,
    number,
)

_REQUIRED = ("measured", "features")
_TOP = (*_REQUIRED, "entities")
_OF_FEATURE = (*SINGLE, QUANTILE_GROUP, SHARE_GROUP, OTHERS, "warn")
_OF_GROWTH = ("was", "a_day", "within")
_Place = tuple[str, ...]
Read = TypeVar("Read")
_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"


def path_of(view: str, folder: Path) -> Path:
    """Where a view's expectations are written."""
    return folder / f"{view}.yaml"


def read_expected(view: str, folder: Path) -> ExpectedView | None:
    """The expectations of a view; None where none are written.

    UsageError with a line for each fault: file, line, key and remedy. DiskError where the folder is a file.
    """
    path = path_of(view, folder)
    if folder.is_file():
        raise DiskError.not_a_folder(folder)
    if not path.exists():
        return None
    try:
        text, document = text_of(path), read_yaml(path)
    except ContractError as error:
        raise UsageError(str(error)) from None
    reader = _Reader(path, text)
    expected = reader.view(view, document)
    if reader.faults or expected is None:
        raise UsageError("\n".join(reader.faults))
    return expected


def written_text(expected: ExpectedView, notes: Mapping[str, str]) -> str:
    """The file of a view's expectations. notes: by feature, its meaning, as a comment."""
    return "\n".join([*_lines(expected, notes), ""])


def write_expected(expected: ExpectedView, notes: Mapping[str, str], folder: Path) -> Path:
    """Write a view's file in place of an earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(expected.view, folder)
    replace_text(path, written_text(expected, notes))
    path.chmod(0o644)  # a file to be reviewed and committed, as the contracts are
    return path


def _lines(expected: ExpectedView, notes: Mapping[str, str]) -> Iterator[str]:
    yield f"# What the values of {expected.view} look like as-of a day, over all its entities: [least, most] of each"
    yield "# statistic. Measured by `features expect`, with room to move; correct by hand what you know better. A build"
    yield "# whose values break a rule is not published. `warn: [null_share, 95%]` lets rules of that name only warn."
    yield f"measured: {{from: {expected.first}, to: {expected.last}}}"
    if expected.entities is not None:
        yield f"entities: {_rule_text(expected.entities)}  # how many have a row"
    yield "features:"
    for name, feature in expected.features.items():
        note = notes.get(name)
        yield f"  {name}:" + (f"  # {note}" if note else "")
        yield from _lines_of_feature(feature)


def _lines_of_feature(feature: ExpectedFeature) -> Iterator[str]:
    if feature.warns:
        yield f"    warn: [{', '.join(map(_key, sorted(feature.warns)))}]"
    group = ""
    for statistic, rule in feature.rules.items():
        if statistic.group != group and statistic.group:
            yield f"    {statistic.group}:"
        group = statistic.group
        yield f"    {'  ' if group else ''}{_key(statistic.name)}: {_rule_text(rule)}"


def _rule_text(rule: Rule) -> str:
    if isinstance(rule, Band):
        return f"[{number(rule.low)}, {number(rule.high)}]"
    return f"{{was: {number(rule.was)}, a_day: {_rule_text(rule.a_day)}, within: {number(rule.within)}}}"


def _key(name: str) -> str:
    """A text as a YAML key: in quotes wherever YAML might read something else than this text."""
    plain = name in QUANTILES or (name and set(name) <= set(_PLAIN) and isinstance(yaml.safe_load(name), str))
    if plain:
        return name
    as_it_is = hidden_character(name) is None  # what nobody sees is read as an escape alone
    return yaml.safe_dump(name, default_style='"', allow_unicode=as_it_is, width=float("inf")).rstrip()


class _FaultError(Exception):
    """Something in the file that cannot be meant; it is noted, and reading goes on behind it."""


class _Reader:
    """Reads one file. faults: what is wrong with it, with file and line."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self.faults: list[str] = []

    def view(self, name: str, document: object) -> ExpectedView | None:
        """None, with faults, where the file says too little to go on."""
        top = self._noted(lambda: self._mapping((), document, _TOP, required=_REQUIRED))
        if top is None:
            return None
        measured = self._noted(lambda: self._measured(top["measured"]))
        entities = self._noted(lambda: self._rule(("entities",), top["entities"])) if "entities" in top else None
        features = top["features"] if top["features"] is not None else {}
        named = self._noted(lambda: self._mapping(("features",), features, None)) or {}
        found = {each: self._feature(each, rules) for each, rules in named.items()}
        if measured is None:
            return None
        return ExpectedView(view=name, first=measured[0], last=measured[1], entities=entities, features=found)

    def _noted(self, read: Callable[[], Read]) -> Read | None:
        """What was read; None with a fault noted."""
        try:
            return read()
        except _FaultError as fault:
            self.faults.append(str(fault))
            return None

    def _measured(self, content: object) -> tuple[date, date]:
        given = self._mapping(("measured",), content, ("from", "to"), required=("from", "to"))
        first, last = (self._day(("measured", key), given[key]) for key in ("from", "to"))
        if first > last:
            raise self._fault(("measured",), f"{first} is after {last}", "Swap them")
        return first, last

    def _feature(self, name: str, document: object) -> ExpectedFeature:
        place = ("features", name)
        given = self._noted(lambda: self._mapping(place, document, _OF_FEATURE)) or {}
        rules: dict[Statistic, Rule] = {}
        read: list[tuple[Statistic, _Place, object]]
        for key, content in given.items():
            if key in (QUANTILE_GROUP, SHARE_GROUP):
                known = tuple(QUANTILES) if key == QUANTILE_GROUP else None
                group = self._noted(partial(self._mapping, (*place, key), content, known)) or {}
                read = [(Statistic(key, each), (*place, key, each), rule) for each, rule in group.items()]
            else:
                read = [(Statistic("", key), (*place, key), content)] if key != "warn" else []
            for statistic, where, rule in read:
                found = self._noted(partial(self._rule, where, rule))
                if found is not None:
                    rules[statistic] = found
        warns = self._noted(lambda: self._warns(place, given.get("warn"), rules))
        return ExpectedFeature(rules=rules, warns=warns or frozenset())

    def _warns(self, feature: _Place, content: object, rules: Mapping[Statistic, Rule]) -> frozenset[str]:
        place = (*feature, "warn")
        if content is None:
            return frozenset()
        if not isinstance(content, list):
            raise self._fault(place, "is no list", "Write the names of rules, such as [null_share, 95%]")
        names = [_text_of_key(each) for each in content]
        known = {each.name for each in rules} | {each.group for each in rules if each.group}
        for each in names:
            if each not in known:
                raise self._fault(place, f"names {each!r}, which is no rule of it", nearest(each, known))
        return frozenset(names)

    def _rule(self, place: _Place, content: object) -> Rule:
        if isinstance(content, list):
            return self._band(place, content)
        if isinstance(content, Mapping):
            given = self._mapping(place, content, _OF_GROWTH, required=_OF_GROWTH)
            a_day = given["a_day"]
            if not isinstance(a_day, list):
                raise self._fault((*place, "a_day"), "is no pair", "Write [least, most]")
            within = self._number((*place, "within"), given["within"])
            if within < 0:
                raise self._fault((*place, "within"), "is negative", "Write how far a value may be off")
            was = self._number((*place, "was"), given["was"])
            return Growth(was=was, a_day=self._band((*place, "a_day"), a_day), within=within)
        raise self._fault(place, f"is {content!r}", "Write [least, most], or {was: …, a_day: [least, most], within: …}")

    def _band(self, place: _Place, content: Sequence[object]) -> Band:
        if len(content) != 2:
            raise self._fault(place, f"has {plural(len(content), 'number')}", "Write [least, most]")
        low, high = (self._number(place, each) for each in content)
        if low > high:
            raise self._fault(place, f"begins at {number(low)}, above its end {number(high)}", "Swap them")
        return Band(low, high)

    def _number(self, place: _Place, content: object) -> float:
        if isinstance(content, bool) or not isinstance(content, int | float) or not math.isfinite(content):
            raise self._fault(place, f"holds {content!r}", "Write a number")
        return float(content)

    def _day(self, place: _Place, content: object) -> date:
        if type(content) is not date:
            raise self._fault(place, f"is {content!r}", "Write a day, such as 2024-05-01")
        return content

    def _mapping(
        self, place: _Place, content: object, known: tuple[str, ...] | None, required: tuple[str, ...] = ()
    ) -> dict[str, object]:
        if not isinstance(content, Mapping):
            raise self._fault(place, "holds no keys", f"Write {', '.join(required or known or ('its values',))}")
        found = self._named(place, content)
        for key in found:
            if known is not None and key not in known:
                raise self._fault(place, f"has a key {key!r}", nearest(key, known), at=(*place, key))
        for key in required:
            if key not in found:
                raise self._fault(place, f"has no {key}", f"Write {key}: …")
        return found

    def _named(self, place: _Place, content: Mapping[object, object]) -> dict[str, object]:
        """The content by its keys as texts: YAML reads `true` and `1` for what a feature may hold as texts."""
        found: dict[str, object] = {}
        for key, each in content.items():
            name = _text_of_key(key)
            if name in found:
                raise self._fault(place, f"has two keys {name!r}", "Keep one")
            found[name] = each
        return found

    def _fault(self, place: _Place, fault: str, remedy: str, at: _Place = ()) -> _FaultError:
        """at: where to look, if not at the place itself."""
        where = f"{self._path}:{line_of(self._text, at or place)}"
        return _FaultError(f"{where}: {'.'.join(place) or 'the file'} {fault}. {remedy.rstrip('.')}.")


def _text_of_key(key: object) -> str:
    """A key as the text that a value is compared with: booleans as DuckDB writes them."""
    return str(key).lower() if isinstance(key, bool) else str(key)

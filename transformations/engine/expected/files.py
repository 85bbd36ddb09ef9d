"""The reviewed file of a view's expectations, `<view>.yaml`: read strictly, written in one order, a rule a line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import yaml

from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.storage import replace_text
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

_TOP = ("measured", "features")
_OF_FEATURE = (*SINGLE, QUANTILE_GROUP, SHARE_GROUP, OTHERS, "warn")
_OF_GROWTH = ("was", "a_day", "within")
_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"


def path_of(view: str, folder: Path) -> Path:
    """Where a view's expectations are written."""
    return folder / f"{view}.yaml"


def read_expected(view: str, folder: Path) -> ExpectedView | None:
    """The expectations of a view; None where none are written. UsageError that names the file, the key, the remedy."""
    path = path_of(view, folder)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no YAML: {error}") from None
    return _Reader(path).view(view, document)


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
    return name if plain else yaml.safe_dump(name, default_style='"', allow_unicode=True, width=float("inf")).rstrip()


class _Reader:
    """Reads one file; every complaint names it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def view(self, name: str, document: object) -> ExpectedView:
        top = self._mapping("the file", document, _TOP, required=_TOP)
        measured = self._mapping("measured", top["measured"], ("from", "to"), required=("from", "to"))
        first, last = (self._day(f"measured.{key}", measured[key]) for key in ("from", "to"))
        if first > last:
            raise self._error("measured", f"{first} is after {last}", "Swap them")
        features = top["features"] or {}
        if not isinstance(features, Mapping):
            raise self._error("features", "is no mapping", "Write a feature's name, and its rules below it")
        found = {str(each): self._feature(str(each), rules) for each, rules in features.items()}
        return ExpectedView(view=name, first=first, last=last, features=found)

    def _feature(self, name: str, document: object) -> ExpectedFeature:
        given = self._mapping(f"features.{name}", document, _OF_FEATURE)
        rules: dict[Statistic, Rule] = {}
        for key, content in given.items():
            place = f"features.{name}.{key}"
            if key == QUANTILE_GROUP:
                for each, rule in self._mapping(place, content, tuple(QUANTILES)).items():
                    rules[Statistic(key, each)] = self._rule(f"{place}.{each}", rule)
            elif key == SHARE_GROUP:
                for each, rule in self._mapping(place, content, None).items():
                    rules[Statistic(key, each)] = self._rule(f"{place}.{each}", rule)
            elif key != "warn":
                rules[Statistic("", key)] = self._rule(place, content)
        return ExpectedFeature(rules=rules, warns=self._warns(name, given.get("warn"), rules))

    def _warns(self, feature: str, content: object, rules: Mapping[Statistic, Rule]) -> frozenset[str]:
        place = f"features.{feature}.warn"
        if content is None:
            return frozenset()
        if not isinstance(content, list):
            raise self._error(place, "is no list", "Write the names of rules, such as [null_share, 95%]")
        known = {each.name for each in rules} | {each.group for each in rules if each.group}
        for each in content:
            if str(each) not in known:
                raise self._error(place, f"names {each!r}, which is no rule of it", nearest(str(each), known))
        return frozenset(map(str, content))

    def _rule(self, place: str, content: object) -> Rule:
        if isinstance(content, list):
            if len(content) != 2:
                raise self._error(place, f"has {len(content)} numbers", "Write [least, most]")
            low, high = (self._number(place, each) for each in content)
            if low > high:
                raise self._error(place, f"begins at {number(low)}, above its end {number(high)}", "Swap them")
            return Band(low, high)
        if isinstance(content, Mapping):
            given = self._mapping(place, content, _OF_GROWTH, required=_OF_GROWTH)
            a_day = self._rule(f"{place}.a_day", given["a_day"])
            if not isinstance(a_day, Band):
                raise self._error(f"{place}.a_day", "is no pair", "Write [least, most]")
            within = self._number(f"{place}.within", given["within"])
            if within < 0:
                raise self._error(f"{place}.within", "is negative", "Write how far a value may be off")
            return Growth(was=self._number(f"{place}.was", given["was"]), a_day=a_day, within=within)
        raise self._error(place, f"is {content!r}", "Write [least, most], or {was: …, a_day: [least, most], within: …}")

    def _number(self, place: str, content: object) -> float:
        if isinstance(content, bool) or not isinstance(content, int | float) or not math.isfinite(content):
            raise self._error(place, f"holds {content!r}", "Write a number")
        return float(content)

    def _day(self, place: str, content: object) -> date:
        if type(content) is not date:
            raise self._error(place, f"is {content!r}", "Write a day, such as 2024-05-01")
        return content

    def _mapping(
        self, place: str, content: object, known: tuple[str, ...] | None, required: tuple[str, ...] = ()
    ) -> dict[str, object]:
        if not isinstance(content, Mapping):
            raise self._error(place, "holds no keys", f"Write {', '.join(required or known or ())}")
        found = {str(key): each for key, each in content.items()}
        for key in found:
            if known is not None and key not in known:
                raise self._error(place, f"has a key {key!r}", nearest(key, known))
        for key in required:
            if key not in found:
                raise self._error(place, f"has no {key}", f"Write {key}: …")
        return found

    def _error(self, place: str, fault: str, remedy: str) -> UsageError:
        return UsageError(f"{self._path}: {place} {fault}. {remedy.rstrip('.')}.")

"""Rules that can never be judged: of features that the view lacks, or of statistics that a feature has not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.expected.files import path_of
from transformations.engine.expected.measured_sql import Form, form_of
from transformations.engine.expected.model import OTHERS, OUTSIDE_RANGE, SHARE_GROUP, ExpectedView, Statistic
from transformations.engine.vocabulary.resolution import Feature, Resolved


@dataclass(frozen=True)
class Unfit:
    """A rule, or all rules of a feature, and why they cannot be judged."""

    feature: str
    rule: str
    why: str

    def __str__(self) -> str:
        return f"features.{self.feature}.{self.rule} cannot be judged: {self.why}"


def unfit_rules(resolved: Resolved, expected: ExpectedView) -> Iterator[Unfit]:
    """The rules that do not fit their feature; a feature that the view lacks is another matter."""
    for feature in resolved.features:
        if feature.name in expected.features:
            rules = expected.features[feature.name].rules
            found = {each.group or each.name: _reason(feature, each) for each in rules}
            if Statistic("", OTHERS) in rules and not any(each.group == SHARE_GROUP for each in rules):
                found[OTHERS] = "no value has a share of its own"
            yield from (Unfit(feature.name, rule, why) for rule, why in found.items() if why)


def refuse_unfit_rules(resolved: Resolved, expected: ExpectedView | None, folder: Path) -> None:
    """UsageError that names every rule of a view which no values could break or keep."""
    found = list(unfit_rules(resolved, expected)) if expected is not None else []
    if found:
        path = path_of(resolved.name, folder)
        raise UsageError("\n".join(f"{path}: {each}. Remove the rule." for each in found))


def unknown_features(resolved: Resolved, expected: ExpectedView) -> dict[str, str]:
    """The features that have rules and that the view lacks, each with the nearest names that it has."""
    known = {feature.name for feature in resolved.features}
    return {name: nearest(name, known) for name in expected.features if name not in known}


def _reason(feature: Feature, statistic: Statistic) -> str:
    """Why a statistic cannot be of a feature; empty where it can."""
    is_text = form_of(feature.dtype) is Form.TEXTS
    if statistic.is_quantile:
        return f"{feature.dtype.name} has shares of its values, no quantiles" if is_text else ""
    if statistic.group == SHARE_GROUP or statistic.name == OTHERS:
        return "" if is_text else f"{feature.dtype.name} has quantiles, no shares of its values"
    if statistic.name == OUTSIDE_RANGE and feature.declared.expect is None:
        return "the definition declares no range (expect=…)"
    return ""

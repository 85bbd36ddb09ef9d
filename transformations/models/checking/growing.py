"""Features that move by construction: recognised from their definitions, which the dataset's manifest holds.

A count over a lifetime only goes up and an age goes up with the clock, so that their values in a month are others than
in training whatever the world does. A model that takes one raw meets values that it never saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transformations.datasets.manifest import Manifest
from transformations.engine.vocabulary.functions import REQUEST_TIMESTAMP
from transformations.stores.base.views import ADDS_UP, AGES, EXTENDS, OVER_TIME, SETTLES

Movement = Literal["adds up", "extends", "settles", "ages"]
_WORDS: Mapping[Movement, str] = {
    "adds up": "a count or sum over a lifetime, which only adds up",
    "extends": "an extreme over a lifetime, which only goes one way",
    "settles": "a mean or share over a lifetime, which varies less the longer that is",
    "ages": "an age, which grows with the clock",
}


@dataclass(frozen=True)
class Growing:
    """A column of a dataset that moves by construction. view: of its stored feature."""

    column: str
    movement: Movement
    view: str

    @property
    def words(self) -> str:
        """What it is, in words."""
        return _WORDS[self.movement]


def growing(manifest: Manifest) -> dict[str, Growing]:
    """The columns of a dataset that move by construction.

    A stored feature says so by its tag `over_time`. An on-demand feature is an age where it reads the moment of the
    request and a stored moment that stays where it is, such as the first visit; days since the last visit are none.
    """
    stored = _tags(manifest.registry)
    return {each.column: each for each in _found(manifest, stored)}


def warnings_of(manifest: Manifest, inputs: Sequence[str]) -> list[str]:
    """A warning for each column that a model takes raw though its values leave the range of training by construction.

    What settles is no such column: its values stay where they were.
    """
    found = {name: each for name, each in growing(manifest).items() if each.movement != SETTLES}
    return [
        f"{name} is {found[name].words}: later rows have values that training never saw. Leave it out, or learn from a "
        f"rate or a window instead."
        for name in inputs
        if name in found
    ]


def _found(manifest: Manifest, stored: Mapping[str, Movement]) -> Iterator[Growing]:
    on_demand = {
        each["spec"]["name"]: each["spec"].get("tags", {})
        for each in manifest.registry.get("on_demand_feature_views", ())
    }
    (service,) = manifest.registry["feature_services"]
    for projection in service["spec"].get("features", ()):
        view = projection["feature_view_name"]
        called = projection.get("feature_view_name_alias") or view
        for feature in projection.get("feature_columns", ()):
            name = feature["name"]
            column = f"{called}__{name}" if manifest.config.full_feature_names else name
            movement = stored.get(f"{view}:{name}")
            inputs = on_demand.get(view, {}).get(f"{name}.inputs", "").split(", ")
            aging = [each for each in inputs if stored.get(each) == AGES]
            if movement in (ADDS_UP, EXTENDS, SETTLES):
                yield Growing(column, movement, view)
            elif REQUEST_TIMESTAMP in inputs and aging:
                yield Growing(column, "ages", aging[0].partition(":")[0])


def _tags(registry: Mapping[str, Any]) -> dict[str, Movement]:
    """By `view:feature` how a stored feature moves."""
    return {
        f"{view['spec']['name']}:{feature['name']}": feature["tags"][OVER_TIME]
        for view in registry.get("feature_views", ())
        for feature in view["spec"].get("features", ())
        if OVER_TIME in feature.get("tags", {})
    }

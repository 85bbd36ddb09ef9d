"""How an on-demand view is wired, as Feast stores it: which function gives each feature, from which inputs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter

from feast import OnDemandFeatureView
from feast.base_feature_view import BaseFeatureView

from transformations.engine.errors import DataError, DefinitionError
from transformations.engine.functions import RowFunction


@dataclass(frozen=True)
class Call:
    """A function with what each parameter means: `view:feature`, a field, another function, `request_timestamp`."""

    function: RowFunction
    inputs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The feature that it gives."""
        return self.function.name

    @property
    def path(self) -> str:
        """Where the function is: `module:name`."""
        return f"{self.function.function.__module__}:{self.function.name}"


def tags_of(calls: Sequence[Call]) -> dict[str, str]:
    """The view's tags: wiring and documentation of every feature; Feast drops the descriptions of its fields."""
    tags: dict[str, str] = {}
    for call in calls:
        tags |= _wiring(call)
        facts = {
            "description": call.function.description,
            "unit": call.function.unit,
            "expect": str(call.function.expect),
        }
        tags |= {f"{call.name}.{fact}": value for fact, value in facts.items()}
    return tags


def text_of(view: str, owner: str, description: str, calls: Sequence[Call]) -> str:
    """The source text of the function that Feast stores, executes and compares.

    Feast compares on-demand views by this text alone, so all that should count as a change stands in it: the hash of
    the functions' code, and the documentation. It imports in its body because Feast executes it in a namespace of its
    own.
    """
    lines = [f"def {view}(inputs):", f"    # {_one_line(description)} (owner: {_one_line(owner)})"]
    for call in calls:
        function = call.function
        facts = f"{function.returns}, {function.unit}, {function.expect}"
        lines.append(f"    # {call.name} ({_one_line(facts)}): {_one_line(function.description)}")
    lines += ["    from transformations.stores.on_demand import evaluate_lists", "", "    wiring = {"]
    for call in calls:
        lines.append(f"        {call.name!r}: {{")
        lines += [f"            {key!r}: {value!r}," for key, value in _wiring(call).items()]
        lines.append("        },")
    lines += ["    }", f"    return evaluate_lists({view!r}, wiring, inputs)", ""]
    return "\n".join(lines)


def is_wired(view: OnDemandFeatureView) -> bool:
    """Whether a view was made by `on_demand_view`."""
    return all(f"{feature.name}.function" in view.tags for feature in view.features)


@lru_cache(maxsize=256)
def calls_of(view: str, tags: tuple[tuple[str, str], ...]) -> tuple[Call, ...]:
    """The calls that a view's tags tell of, each after those whose outputs it reads.

    DataError where the code of a function is not the code that was applied: the view would mean something else here
    than where it was applied.
    """
    facts = dict(tags)
    names = sorted(key.removesuffix(".function") for key in facts if key.endswith(".function"))
    return tuple(in_order(view, [_call(view, name, facts) for name in names]))


def in_order(view: str, calls: Sequence[Call]) -> list[Call]:
    """The calls, each after those whose outputs it reads; DefinitionError naming the circle where there is one."""
    by_name = {call.name: call for call in calls}
    needs = {call.name: [name for name in call.inputs if name in by_name] for call in calls}
    try:
        return [by_name[name] for name in TopologicalSorter(needs).static_order()]
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise DefinitionError(
            f"on-demand view {view}: its functions need each other: {circle}. Break the circle."
        ) from None


def reference_of(view: BaseFeatureView) -> str:
    """How feature references name a view as it was requested: its alias, if any, with its version, if pinned."""
    name: str = view.projection.name_to_use()  # type: ignore[no-untyped-call]
    return name


def _wiring(call: Call) -> dict[str, str]:
    return {
        f"{call.name}.function": call.path,
        f"{call.name}.hash": call.function.content_hash,
        f"{call.name}.inputs": ", ".join(call.inputs),
    }


def _call(view: str, name: str, facts: Mapping[str, str]) -> Call:
    path, applied = facts[f"{name}.function"], facts[f"{name}.hash"]
    module, _, attribute = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise DataError(
            f"on-demand view {view}: its function {path} cannot be imported here: {error}. Install the version of the "
            f"transformations that was applied, or run `feast apply` from this one."
        ) from error
    if function.content_hash != applied:
        raise DataError(
            f"on-demand view {view}: {path} was applied with code {applied}, but its code here is "
            f"{function.content_hash}. Run `feast apply` from this version, or install the one that was applied."
        )
    return Call(function, tuple(facts[f"{name}.inputs"].split(", ")))


def _one_line(text: str) -> str:
    return " ".join(text.split())

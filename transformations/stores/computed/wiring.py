"""An on-demand view's wiring as Feast stores it: the function behind each feature, and the function's inputs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from feast import OnDemandFeatureView
from feast.base_feature_view import BaseFeatureView

from transformations.engine.base.errors import DataError, DefinitionError
from transformations.engine.vocabulary.functions import RowFunction

NOT_SERVED = "not_served"
"""The tag, never applied, that names the features of a view that this process's code cannot compute (rollout.py)."""

CHECK = ":check"
"""A name that no column can have: the inputs are Feast's synthetic row, not a request."""


class Code(StrEnum):
    """Whether this process has a view's functions: with the applied code, with other code, or none of them."""

    SAME = "same"
    OTHER = "other"
    ABSENT = "absent"


@dataclass(frozen=True)
class Call:
    """A function and its inputs in order: `view:feature`, a field, another function or `request_timestamp`."""

    function: RowFunction
    inputs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the feature it computes."""
        return self.function.name

    @property
    def path(self) -> str:
        """The function's place, `module:name`."""
        return f"{self.function.function.__module__}:{self.function.name}"


def tags_of(calls: Sequence[Call]) -> dict[str, str]:
    """The view's tags: wiring and documentation of every feature; Feast drops the descriptions of its fields."""
    tags: dict[str, str] = {}
    for call in calls:
        tags |= _wiring_tags(call)
        facts = {
            "description": call.function.description,
            "unit": call.function.unit,
            "expect": str(call.function.expect),
        }
        tags |= {f"{call.name}.{fact}": value for fact, value in facts.items()}
    return tags


def text_of(view: str, owner: str, description: str, calls: Sequence[Call]) -> str:
    """The source text of the function that Feast stores, executes and compares.

    Feast compares on-demand views by this text alone, so it holds everything that counts as a change: the hashes of the
    functions' code, and the documentation. It imports inside its body because Feast executes it in another namespace.
    """
    lines = [f"def {view}(inputs):", f"    # {_join_lines(description)} (owner: {_join_lines(owner)})"]
    for call in calls:
        function = call.function
        facts = f"{function.returns}, {function.unit}, {function.expect}"
        lines.append(f"    # {call.name} ({_join_lines(facts)}): {_join_lines(function.description)}")
    lines += ["    from transformations.stores.on_demand import evaluate_lists", "", "    wiring = {"]
    for call in calls:
        lines.append(f"        {call.name!r}: {{")
        lines += [f"            {key!r}: {value!r}," for key, value in _wiring_tags(call).items()]
        lines.append("        },")
    lines += ["    }", f"    return evaluate_lists({view!r}, wiring, inputs)", ""]
    return "\n".join(lines)


def is_wired(view: OnDemandFeatureView) -> bool:
    """Whether a view was made by `on_demand_view`."""
    return NOT_SERVED in view.tags or all(f"{feature.name}.function" in view.tags for feature in view.features)


def look_for_code_in(repository: Path | str | None) -> None:
    """Let modules of a feature repository be found, after all others, as Feast's own commands do."""
    if repository is not None and str(repository) not in sys.path:
        sys.path.append(str(repository))


def not_served(view: OnDemandFeatureView) -> frozenset[str]:
    """Features of the applied version that the served one lacks: null with status NOT_FOUND online."""
    return frozenset(filter(None, view.tags.get(NOT_SERVED, "").split(", ")))


def hashes_of(view: OnDemandFeatureView) -> dict[str, tuple[str, str | None]]:
    """Per function of an applied view, by path: the applied hash and the hash of the code here.

    The latter is None if there is no such function here. DataError if its module exists but cannot be imported.
    """
    paths = {key.removesuffix(".function"): path for key, path in view.tags.items() if key.endswith(".function")}
    return {path: (view.tags[f"{name}.hash"], _hash_here(view.name, path)) for name, path in sorted(paths.items())}


def code_of(view: OnDemandFeatureView) -> Code:
    """Whether this process has the code that a view was applied with."""
    hashes = hashes_of(view).values()
    if all(here is None for _, here in hashes):
        return Code.ABSENT
    return Code.SAME if all(applied == here for applied, here in hashes) else Code.OTHER


@lru_cache(maxsize=256)
def calls_of(view: str, tags: tuple[tuple[str, str], ...]) -> tuple[Call, ...]:
    """The calls that a view's tags describe, each after those whose outputs it reads.

    DataError if a function's code differs from the applied code: the view would compute something else here.
    """
    facts = dict(tags)
    names = sorted(key.removesuffix(".function") for key in facts if key.endswith(".function"))
    return tuple(order_calls(view, [_call_of(view, name, facts) for name in names]))


def order_calls(view: str, calls: Sequence[Call]) -> list[Call]:
    """The calls, each after those whose outputs it reads. DefinitionError, naming it, for a circle."""
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
    """A requested view's name in feature references: its alias, if any, with its version, if pinned."""
    name: str = view.projection.name_to_use()  # type: ignore[no-untyped-call]
    return name


def _wiring_tags(call: Call) -> dict[str, str]:
    return {
        f"{call.name}.function": call.path,
        f"{call.name}.hash": call.function.content_hash,
        f"{call.name}.inputs": ", ".join(call.inputs),
    }


def _call_of(view: str, name: str, facts: Mapping[str, str]) -> Call:
    path, applied = facts[f"{name}.function"], facts[f"{name}.hash"]
    function = _function_at(view, path)
    if function is None:
        raise DataError(
            f"on-demand view {view}: its function {path} is not in this version of the code. Install the version of "
            f"the transformations that was applied, or run `feast apply` from this one."
        )
    if function.content_hash != applied:
        raise DataError(
            f"on-demand view {view}: {path} was applied with code {applied}, but its code here is "
            f"{function.content_hash}. Run `feast apply` from this version, or install the one that was applied."
        )
    return Call(function, tuple(facts[f"{name}.inputs"].split(", ")))


def _hash_here(view: str, path: str) -> str | None:
    function = _function_at(view, path)
    return None if function is None else function.content_hash


def _function_at(view: str, path: str) -> RowFunction | None:
    """The function at `module:name`, or None if there is none: code newer than this package may have it.

    DataError if its module cannot be imported, or its whole package is not to be found.
    """
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            if "." in error.name:
                return None
            raise DataError(
                f"the code of view {view} is not importable here: there is no module {error.name!r}, which has its "
                f"function {path}. Put the folder of {error.name} on PYTHONPATH, or install it."
            ) from error
        raise DataError(
            f"the code of view {view} is not importable here: the module of its function {path} cannot be imported "
            f"here: {error}. Install what it needs."
        ) from error
    return found if isinstance(found, RowFunction) else None


def _join_lines(text: str) -> str:
    return " ".join(text.split())

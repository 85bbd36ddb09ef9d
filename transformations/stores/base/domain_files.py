"""The domain files, `transformations/<domain>.py`, and the definitions in them, found without Feast."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

import transformations
from transformations.engine.vocabulary.definitions import Definition, PlainFeatures, WindowedFeatures


def domain_modules() -> Iterator[ModuleType]:
    """Every domain file, imported, in alphabetical order."""
    for name in _domain_names():
        yield importlib.import_module(name)


def place_of(definition: Definition) -> str | None:
    """Where a definition is, as `module:attribute`; None if no domain file has it as an attribute.

    Imports nothing: the file that made the definition has been imported, and a mistake in another is not its own.
    """
    for module in filter(None, map(sys.modules.get, _domain_names())):
        for attribute in sorted(vars(module)):
            if vars(module)[attribute] is definition:
                return f"{module.__name__}:{attribute}"
    return None


def definitions() -> dict[str, Definition]:
    """Every definition that a domain file has as an attribute, by its view's name."""
    return {
        value.name: value
        for module in domain_modules()
        for value in vars(module).values()
        if isinstance(value, WindowedFeatures | PlainFeatures)
    }


def _domain_names() -> Iterator[str]:
    for info in pkgutil.iter_modules(transformations.__path__, "transformations."):
        if not info.ispkg:
            yield info.name

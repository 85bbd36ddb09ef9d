"""The domain files, `transformations/<domain>.py`, and the definitions in them, found without Feast."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import transformations
from transformations.engine.vocabulary.definitions import Definition, PlainFeatures, WindowedFeatures


def domain_modules() -> Iterator[ModuleType]:
    """Every domain file, imported, in alphabetical order."""
    for info in pkgutil.iter_modules(transformations.__path__, "transformations."):
        if not info.ispkg:
            yield importlib.import_module(info.name)


def definitions() -> dict[str, Definition]:
    """Every definition that a domain file has as an attribute, by its view's name."""
    return {
        value.name: value
        for module in domain_modules()
        for value in vars(module).values()
        if isinstance(value, WindowedFeatures | PlainFeatures)
    }

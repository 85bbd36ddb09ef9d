"""The definitions in `transformations/<domain>.py`, without Feast: what can be previewed and completed in no time."""

from __future__ import annotations

import importlib
import pkgutil

import transformations
from transformations.engine.vocabulary.definitions import Definition, PlainFeatures, WindowedFeatures


def definitions() -> dict[str, Definition]:
    """Every definition that a domain file has as an attribute, by its view's name."""
    found: dict[str, Definition] = {}
    for info in pkgutil.iter_modules(transformations.__path__, "transformations."):
        if not info.ispkg:
            for value in vars(importlib.import_module(info.name)).values():
                if isinstance(value, WindowedFeatures | PlainFeatures):
                    found[value.name] = value
    return found

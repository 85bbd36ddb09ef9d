"""Import Feast in a third of the time, in our own processes. Whoever imports Feast without asking gets it unchanged."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable
from typing import Any


def quicken_feast() -> None:
    """Call before the first import of Feast; later calls do nothing.

    Feast decorates its classes with typeguard, which rewrites their source at each import: 3.2 of 5.5 seconds (feast
    0.67.0, typeguard 4). Another half second went into looking for garbage among millions of objects that all stay.
    """
    if "feast" in sys.modules:
        return
    import typeguard

    typeguard.typechecked = _unchecked
    gc.set_threshold(50_000, 20, 100)
    atexit.register(gc.disable)  # the interpreter's end takes everything apart anyway


def _unchecked(target: Any = None, **_options: object) -> Any:
    if target is not None:
        return target
    decorate: Callable[[Any], Any] = _unchecked
    return decorate

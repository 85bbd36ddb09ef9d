"""What a `feast` command starts with: a quicker Feast where no definition file runs, and a word to the author where one
fails.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

# These run definition files: Feast's own checks of what it is given stay.
CHECKED_COMMANDS = frozenset({"apply", "plan"})


def quicken_command() -> None:
    """What `quick_feast.pth`, which is installed into the environment, calls at the start of a `feast` command."""
    sys.excepthook = _tell_author
    if CHECKED_COMMANDS.isdisjoint(sys.argv[1:]):
        quicken_feast()


def quicken_feast() -> None:
    """Call before the first import of Feast; later calls do nothing.

    Feast decorates its classes with typeguard, which rewrites their source at each import: 3.2 of 5.5 seconds (feast
    0.67.0, typeguard 4). Another half second went into looking for garbage among objects that all stay.
    """
    if "feast" in sys.modules:
        return
    import typeguard

    typeguard.typechecked = _unchecked
    gc.set_threshold(50_000, 20, 100)
    atexit.register(gc.disable)  # the interpreter's end takes everything apart anyway


def _tell_author(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """An error in an author's file is told by its line, as our own commands do; any other by its trace, as ever."""
    from transformations.engine.base.authored import place_of, said

    place = None if os.environ.get("FEATURES_DEBUG") else place_of(error)
    if place is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        sys.stderr.write(f"Error: {said(error, place)}\n")


def _unchecked(target: Any = None, **_options: object) -> Any:
    if target is not None:
        return target
    decorate: Callable[[Any], Any] = _unchecked
    return decorate

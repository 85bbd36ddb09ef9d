"""Folders through which tasks of one machine hand rows to each other, so that these do not pass through Java.

Spark keeps the packets of a shuffle for as long as a data frame that may need them is reachable in Java, and so must be
what they name: a folder goes when Java has forgotten the frame that it was made for, and all that were made from it.
"""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformations.engine.base.files.scratch import Scratch, make_scratch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass
class _Exchange:
    """process: that opened it. plan: Java's weak reference to the plan of the frame that it is for, once known."""

    scratch: Scratch
    process: int
    plan: Any = None


_OPEN: dict[Path, _Exchange] = {}


def open_exchange(place: Path) -> Path:
    """A new folder in a place that all tasks can read; those that are no longer needed go."""
    _sweep()
    scratch = make_scratch("exchange-", place)
    _OPEN[scratch.path] = _Exchange(scratch, os.getpid())
    return scratch.path


def keep_for(frame: DataFrame, folder: Path) -> None:
    """Keep a folder as long as Java knows the frame, or one that was made from it.

    PySpark has no public way to ask Java. Should its names change, the folder stays until this process ends.
    """
    with suppress(AttributeError):
        jvm: Any = frame.sparkSession._jvm
        plan: Any = frame._jdf.logicalPlan()  # which the plans of frames that are made from this one hold
        _OPEN[folder].plan = jvm.java.lang.ref.WeakReference(plan)


def _sweep() -> None:
    for folder, opened in list(_OPEN.items()):
        with suppress(Exception):  # of a Java that has ended
            if opened.plan is not None and opened.plan.get() is None:
                _OPEN.pop(folder).scratch.remove()


@atexit.register
def _end() -> None:
    for opened in _OPEN.values():
        if opened.process == os.getpid():  # a forked process leaves its parent's alone
            opened.scratch.remove()

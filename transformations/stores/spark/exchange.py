"""Folders through which tasks of one machine hand rows to each other, so that these do not pass through Java.

Spark keeps the packets of a shuffle for as long as a data frame that may need them is reachable in Java, and so must be
what they name: a folder goes when Java has forgotten the frame that it was made for, and all that were made from it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.storage import make_folder

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PREFIX = "exchange-"
_LEFT_SECONDS = 7 * 86_400
"""A folder that nobody has touched for so long was left by a killed process."""


@dataclass
class _Exchange:
    """process: that opened it. plan: Java's weak reference to the plan of the frame that it is for, once known."""

    process: int
    plan: Any = None


_OPEN: dict[Path, _Exchange] = {}


def open_exchange(place: Path) -> Path:
    """A new folder in a place that all tasks can read; those that are no longer needed go."""
    _sweep(place)
    folder = place / f"{_PREFIX}{uuid4().hex}"
    make_folder(folder)
    _OPEN[folder] = _Exchange(os.getpid())
    return folder


def keep_for(frame: DataFrame, folder: Path) -> None:
    """Keep a folder as long as Java knows the frame, or one that was made from it.

    PySpark has no public way to ask Java. Should its names change, the folder stays until this process ends.
    """
    with suppress(AttributeError):
        jvm: Any = frame.sparkSession._jvm
        plan: Any = frame._jdf.logicalPlan()  # which the plans of frames that are made from this one hold
        _OPEN[folder].plan = jvm.java.lang.ref.WeakReference(plan)


def _sweep(place: Path) -> None:
    for folder, opened in list(_OPEN.items()):
        with suppress(Exception):  # of a Java that has ended
            if opened.plan is not None and opened.plan.get() is None:
                shutil.rmtree(folder, ignore_errors=True)
                del _OPEN[folder]
    for folder in paths_in(place, f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_mtime < time.time() - _LEFT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


@atexit.register
def _end() -> None:
    for folder, opened in _OPEN.items():
        if opened.process == os.getpid():  # a forked process leaves its parent's alone
            shutil.rmtree(folder, ignore_errors=True)

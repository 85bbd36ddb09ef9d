"""What takes seconds to make is made once for all processes of a run, by the first that needs it."""

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The path that `make` is called with by the first process that asks; the others wait for it. Only to be copied.

    make: fills the path, whose folder is there. It is asked again where it failed.
    """
    base = factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "once" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            make(folder / "made")
            (folder / "done").touch()
    return folder / "made"

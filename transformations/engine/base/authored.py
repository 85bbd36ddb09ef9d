"""Authors' mistakes: the line of a domain or repository file that caused an error, and the nearest known word."""

from __future__ import annotations

import builtins
import inspect
import linecache
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

_KEYWORD = re.compile(r"([\w.]+)\(\) got an unexpected keyword argument '(\w+)'")
_IMPORTED = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A line of an author's file. is_deepest: no code of the platform was running below it when the error occurred."""

    file: Path
    line: int
    text: str
    is_deepest: bool = True
    frame: FrameType | None = None

    def __str__(self) -> str:
        where = self.file.relative_to(Path.cwd()) if self.file.is_relative_to(Path.cwd()) else self.file
        if len(where.parts) == 1:  # Feast works in the repository's folder
            where = Path(self.file.parent.name) / where
        return f"{where}, line {self.line}" + (f": {self.text}" if self.text else "")


def is_feast_command() -> bool:
    """Whether this process is a `feast` command, as it is or quickly started."""
    return Path(sys.argv[0]).name in ("feast", "quick_feast.py")


def tell_authors_in_feast() -> None:
    """Let a `feast` command report authors' mistakes as our own commands do; other processes are left alone."""
    if is_feast_command() and sys.excepthook is sys.__excepthook__:
        sys.excepthook = tell_author


def tell_author(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Report an error in an author's file by its line, a fault of the disk by its path, any other by its trace."""
    from transformations.engine.base.disk_faults import known_fault

    is_traced = bool(os.environ.get("FEATURES_DEBUG"))
    if not is_traced and isinstance(error, Exception) and (fault := known_fault(error)):
        sys.stderr.write(f"Error: {fault.message}\n")
        raise SystemExit(int(fault.exit_code))
    place = None if is_traced else place_of(error)
    if place is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        sys.stderr.write(f"Error: {explanation(error, place)}\n")


def place_of(error: BaseException) -> Place | None:
    """The author's line that caused an error; None where no author's file is in its trace."""
    if isinstance(error, SyntaxError) and error.filename and _is_authored(Path(error.filename)):
        line = error.lineno or 1
        text = error.text or linecache.getline(error.filename, line)
        return Place(file=Path(error.filename), line=line, text=text.strip())
    found: Place | None = None
    for frame, line in _frames(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if _is_authored(file):
            found = Place(file=file, line=line, text=linecache.getline(str(file), line).strip(), frame=frame)
        elif found is not None and _is_ours(file):
            found = replace(found, is_deepest=False)
    return found


def explanation(error: BaseException, place: Place) -> str:
    """What is wrong in the author's file, where, and the nearest name known there."""
    kind = type(error).__name__
    what = (error.msg if isinstance(error, SyntaxError) else str(error)) or kind
    lines = [f"{place}", f"{kind}: {what}{_hint_text(error, place)}"]
    if not place.is_deepest:
        lines.append("If that line is right, FEATURES_DEBUG=1 before the same command shows what was called from it.")
    return "\n".join(lines)


def _hint_text(error: BaseException, place: Place) -> str:
    wrong, known = _missing_and_known_names(error, place)
    guesses = get_close_matches(wrong, sorted(known), n=1) if wrong else []
    return f". Did you mean {guesses[0]!r}?" if guesses else ""


def _missing_and_known_names(error: BaseException, place: Place) -> tuple[str | None, Iterable[str]]:
    """The name that was not found, and the names that could have been meant."""
    frame = place.frame
    here = {**vars(builtins), **frame.f_globals, **frame.f_locals} if frame else {}
    if isinstance(error, NameError):
        return error.name, [name for name in here if name != error.name]
    if isinstance(error, AttributeError):
        return error.name, dir(error.obj) if error.obj is not None else ()
    if isinstance(error, ModuleNotFoundError) and error.name:
        package, _, name = error.name.rpartition(".")
        return name, _modules_of(package, place)
    if isinstance(error, ImportError) and (imported := _IMPORTED.search(str(error))):
        return imported[1], [*dir(sys.modules.get(imported[2])), *_modules_of(imported[2], place)]
    if isinstance(error, TypeError) and (called := _KEYWORD.search(str(error))):
        return called[2], _parameter_names(here.get(called[1].removesuffix(".__init__").rpartition(".")[2]))
    return None, ()


def _parameter_names(called: Any) -> Iterable[str]:
    try:
        return inspect.signature(called).parameters
    except (TypeError, ValueError):
        return ()


def _modules_of(package: str, place: Place) -> Iterable[str]:
    """The modules of a package, or those beside the author's file."""
    folders = getattr(sys.modules.get(package), "__path__", [str(place.file.parent)])
    return [file.stem for folder in folders for file in Path(folder).glob("*") if file.suffix in (".py", "")]


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _is_authored(file: Path) -> bool:
    """Whether authors write this file: a domain file, or one of a feature repository."""
    if file.suffix != ".py" or "site-packages" in file.parts:
        return False
    if file.parent in _homes():
        return file.name != "__init__.py"
    with suppress(PermissionError):  # of folders above it that this user may not search
        return any((folder / "feature_store.yaml").is_file() for folder in list(file.parents)[:4])
    return False


def _is_ours(file: Path) -> bool:
    return any(file.is_relative_to(home) for home in _homes())


def _homes() -> list[Path]:
    """The folders of the package that holds domain files and the platform."""
    return [Path(home) for home in sys.modules[__name__.partition(".")[0]].__path__]

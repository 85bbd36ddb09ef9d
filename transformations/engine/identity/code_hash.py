"""A hash of what a function computes, stable across processes: its code and all code and values of ours it reaches.

Feast identifies a transformation by the text of its wrapper alone, so a change in a shared helper is invisible to
`feast plan`. This hash, written into the wrapper's text, makes it visible.

What counts: the syntax tree of the function and of every function and class of ours that it names (through modules,
closures, containers, partial applications, instances, imports in its body), defaults, and the values of constants.
What does not: comments, layout, docstrings, annotations, decorators (what they made of the function is what is
reached). An installed library's code counts by its name: the library is pinned by its version. The platform's own code
counts by its name and the vocabulary's version, wherever it lives: a moved or faster `quotient` changes no definition.
What is reached only by a computed name (`getattr(module, text)`) is not seen.
"""

from __future__ import annotations

import copyreg
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from transformations.engine.identity.code_source import definition_of, known_to, names_in, text_of

LIBRARIES = tuple(Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "purelib", "platlib"))
# Ours also where they are installed: a serving image must find the hash that the repository's checkout has.
_PLATFORM = frozenset({"transformations", "validation"})
# The files of `transformations/` are authors'; these folders of it are the platform's (a test holds the list).
PLATFORM_ROOMS = frozenset(
    {"cli", "contracts", "datasets", "engine", "insight", "local", "models", "monitoring", "orchestration", "stores"}
)
VOCABULARY_VERSION = 1
"""To be raised when a platform function that definitions call starts to give other values: tables are then rebuilt."""
VOCABULARY = f"vocabulary {VOCABULARY_VERSION}"


def hash_of_function(function: Callable[..., object], *facts: str) -> str:
    """The first 16 hex digits of SHA-256 over everything the function computes with, and these facts about it.

    Raises DefinitionError where a function's source is missing, or is not the source it was compiled from.
    """
    plain = _plain_function(function)
    return _digest_of([*facts, *_Reached.by(plain, str(plain.__module__))])[:16]


class _Reached:
    """Everything reached so far, in an order that depends only on the code."""

    def __init__(self, home: str) -> None:
        self.parts: list[str] = []
        self._home = home  # the module of the function that is asked about
        self._code: dict[int, object] = {}  # functions and classes met; kept, or an id could become another object's
        self._open: set[int] = set()  # values that are being taken apart: one may hold itself

    @classmethod
    def by(cls, value: object, home: str) -> list[str]:
        """Everything that a value reaches from a module."""
        reached = cls(home)
        reached.add(value)
        return reached.parts

    def add(self, value: object) -> None:
        """Note a value: a function or class once, a constant every time (equal ones may or may not be one object)."""
        value = _plain_function(value)
        if isinstance(value, FunctionType | type):
            if id(value) not in self._code:
                self._code[id(value)] = value
                if isinstance(value, type):
                    self._add_class(value)
                else:
                    self._add_function(value)
        elif id(value) in self._open:
            self._note_name("itself")
        else:
            self._open.add(id(value))
            self._add_value(value)
            self._open.remove(id(value))

    def _add_value(self, value: object) -> None:
        if isinstance(value, Enum):
            self._add_all(f"{self._name_of(type(value))}.{value.name}", (type(value), value.value))
        elif value is None or value is Ellipsis or isinstance(value, int | float | complex | str | bytes):
            self._note_name(f"{type(value).__name__} {value!r}")
        elif isinstance(value, ModuleType):
            self._note_name("the platform" if self._is_platform(value.__name__) else f"module {value.__name__}")
        elif isinstance(value, set | frozenset):
            self._add_all(type(value).__name__, sorted(_digest_of(_Reached.by(each, self._home)) for each in value))
        else:
            self._add_object(value)

    def _add_object(self, value: Any) -> None:
        if isinstance(value, BuiltinFunctionType):
            of_value = not isinstance(value.__self__, ModuleType | type | None)
            self._add_all(f"{value.__module__}.{value.__qualname__}", (value.__self__,) if of_value else ())
        elif isinstance(value, MethodType):
            self._add_all("method", (value.__func__, value.__self__))
        elif isinstance(value, staticmethod | classmethod):
            self._add_all(type(value).__name__, (value.__func__,))
        elif isinstance(value, property):
            self._add_all("property", (value.fget, value.fset))
        elif hasattr(value, "__wrapped__"):  # functools.lru_cache and its like
            self._add_all(self._name_of(type(value)), (value.__wrapped__,))
        elif isinstance(value, tuple | list):
            self._add_all(self._name_of(type(value)), value)
        elif isinstance(value, dict):
            self._add_all(self._name_of(type(value)), _flatten(value.items()))
        elif hasattr(value, "to_pylist") and hasattr(value, "type"):  # Arrow's: buffers may differ in their padding
            self._add_all(f"{self._name_of(type(value))} {value.type}", value.to_pylist())
        elif hasattr(value, "tolist") and hasattr(value, "dtype"):
            self._add_all(f"{self._name_of(type(value))} {value.dtype}", (value.tolist(),))
        else:
            self._add_state(value)

    def _add_function(self, function: FunctionType) -> None:
        module = function.__globals__.get("__name__", "")  # a wrapper's __module__ is that of what it wraps
        if self._is_library(module):
            wrapped = getattr(function, "__wrapped__", None)
            self._add_all(f"{module}.{function.__code__.co_name}", () if wrapped is None else (wrapped,))
            return
        if self._is_platform(module):
            self._note_name(f"{VOCABULARY}.{function.__qualname__}")
            return
        node = definition_of(function)
        self._note_name(text_of(node))
        self._add_all("defaults", function.__defaults__ or ())
        self._add_all("defaults", _flatten(sorted((function.__kwdefaults__ or {}).items())))
        known = known_to(function, self._is_library)
        for root, attributes in sorted(set(names_in(node))):
            if root in known:
                self._follow_name(known[root], root, attributes)

    def _follow_name(self, value: object, path: str, attributes: tuple[str, ...]) -> None:
        """Note what a dotted name means: its first part that is not one of our modules."""
        for attribute in attributes:
            if not isinstance(value, ModuleType):
                break
            path = f"{path}.{attribute}"
            if self._is_library(value.__name__):
                self._note_name(f"{path} = {value.__name__}.{attribute}")
                return
            if not hasattr(value, attribute):
                break
            value = getattr(value, attribute)
        self._note_name(path)
        self.add(value)

    def _add_class(self, kind: type) -> None:
        self._note_name(self._name_of(kind))
        if self._is_library(kind.__module__) or self._is_platform(kind.__module__):
            return
        self._add_all("bases", kind.__bases__)
        if is_enum := issubclass(kind, Enum):
            self._add_all("members", _flatten((name, member.value) for name, member in kind.__members__.items()))
        for name, value in sorted(vars(kind).items()):
            if name == "__dataclass_fields__":
                fields = [(field.name, field.default, field.default_factory) for field in value.values()]
                self._add_all(name, _flatten(fields))
            elif isinstance(value, FunctionType):
                if not (_is_generated(value) or name.startswith("__annotate")):
                    self._add_all(name, (value,))
            elif not (is_enum or name.startswith(("__", "_abc_"))):
                self._add_all(name, (value,))

    def _add_state(self, value: object) -> None:
        """Any other object, taken apart as pickle would."""
        try:
            reducer = copyreg.dispatch_table.get(type(value))
            reduced = reducer(value) if reducer else value.__reduce_ex__(2)
        except Exception:  # open files, locks, clients: nothing that a value is computed from
            self._add_all("object", (type(value),))
            return
        if isinstance(reduced, str):
            self._note_name(f"{self._name_of(type(value))} {reduced}")
            return
        made_by, arguments, *rest = reduced
        self._add_all(self._name_of(type(value)), (type(value), made_by, *arguments))
        self._add_all("state", (list(each) if isinstance(each, Iterator) else each for each in rest))

    def _add_all(self, what: str, values: Iterable[object]) -> None:
        listed = list(values)
        self._note_name(f"{what} {len(listed)}")
        for each in listed:
            self.add(each)

    def _note_name(self, part: str) -> None:
        self.parts.append(part)

    def _name_of(self, kind: type) -> str:
        home = VOCABULARY if self._is_platform(kind.__module__) else kind.__module__
        return f"{home}.{kind.__qualname__}"

    def _is_library(self, module: str) -> bool:
        top = module.partition(".")[0]
        return top not in _PLATFORM and top != self._home.partition(".")[0] and is_installed(top)

    def _is_platform(self, module: str) -> bool:
        top, _, rest = module.partition(".")
        is_in_a_room = top == "validation" or (top == "transformations" and rest.partition(".")[0] in PLATFORM_ROOMS)
        return is_in_a_room and module != self._home


def _digest_of(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _flatten(items: Iterable[Iterable[object]]) -> list[object]:
    return [each for item in items for each in item]


def _plain_function(value: Any) -> Any:
    """A declared row function stands for the plain one."""
    function = getattr(value, "function", None) if not isinstance(value, type | ModuleType) else None
    return function if isinstance(function, FunctionType) else value


def _is_generated(function: FunctionType) -> bool:
    """Whether dataclass or NamedTuple wrote a method, from the fields."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and code.co_filename.startswith("<")


@cache
def is_installed(package: str) -> bool:
    """Whether a top-level package is Python's own or an installed one."""
    if package in sys.stdlib_module_names:
        return True
    module = sys.modules.get(package)
    spec = getattr(module, "__spec__", None) if module or not package else importlib.util.find_spec(package)
    if spec is None:
        return False
    places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.origin else [])]
    return any(Path(place).resolve().is_relative_to(library) for place in places for library in LIBRARIES)

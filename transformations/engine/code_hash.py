"""A hash of what a function computes, stable across processes: its code and all code and constants of ours it reaches.

Feast identifies a transformation by the text of its wrapper alone, so a change in a shared helper is invisible to
`feast plan`. This hash, written into the wrapper's text, makes it visible.
"""

import ast
import hashlib
import inspect
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

_LIBRARIES = tuple(Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "purelib", "platlib"))


def hash_of_function(function: Callable[..., object]) -> str:
    """The first 16 hex digits of SHA-256 over the function's code, docstring and decorators left out."""
    parts: list[str] = []
    plain = getattr(function, "function", function)
    _collect(plain, parts, set(), str(plain.__module__).partition(".")[0])
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _collect(value: object, parts: list[str], seen: set[int], ours: str) -> None:
    function = getattr(value, "function", value)  # a declared row function stands for the plain one
    if isinstance(function, FunctionType):
        if id(function) in seen:
            return
        seen.add(id(function))
        if _is_library(function.__module__, inspect.getsourcefile(function), ours):
            parts.append(f"{function.__module__}.{function.__qualname__}")
            return
        parts.append(_computation(function))
        parts.append(repr((function.__defaults__, function.__kwdefaults__)))
        for name, reached in sorted(_reached(function, ours).items()):
            parts.append(name)
            _collect(reached, parts, seen, ours)
    elif isinstance(value, type):
        parts.append(f"{value.__module__}.{value.__qualname__}")
    elif isinstance(value, ModuleType | BuiltinFunctionType):
        parts.append(value.__name__)
    elif isinstance(value, str | int | float | bool | bytes | tuple | frozenset | dict | list | None):
        parts.append(repr(value))
    else:
        parts.append(f"{type(value).__module__}.{type(value).__qualname__}:{getattr(value, '__name__', '')}")


def _computation(function: FunctionType) -> str:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    if isinstance(definition, ast.FunctionDef):
        definition.decorator_list = []
        if ast.get_docstring(definition) is not None:
            definition.body = definition.body[1:]
    return _text(tree)


def _text(node: object) -> str:
    """A syntax tree as text that every Python version writes alike: `ast.dump` names empty fields in some of them."""
    if isinstance(node, ast.AST):
        fields = [f"{name}={_text(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])]
        return f"{type(node).__name__}({', '.join(fields)})"
    return f"[{', '.join(map(_text, node))}]" if isinstance(node, list) else repr(node)


def _reached(function: FunctionType, ours: str) -> dict[str, object]:
    """Globals and closure values that the function's code names, attributes of our own modules included."""
    names = _names(function.__code__)
    reached = {name: function.__globals__[name] for name in names if name in function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        reached[name] = cell.cell_contents
    for module in [value for value in reached.values() if isinstance(value, ModuleType)]:
        if not _is_library(module.__name__, getattr(module, "__file__", None), ours):
            reached |= {f"{module.__name__}.{name}": getattr(module, name) for name in names if hasattr(module, name)}
    return reached


def _names(code: CodeType) -> set[str]:
    nested = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*(_names(inner) for inner in nested))


def _is_library(module: str, file: str | None, ours: str) -> bool:
    """Whether code comes from an installed package other than the function's own: pinned by its version, not hashed."""
    if file is None:
        return True
    if module.partition(".")[0] == ours:
        return False
    path = Path(file).resolve()
    return any(path.is_relative_to(library) for library in _LIBRARIES)

"""The source of running functions as syntax trees: the parts that compute, and what their names mean."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import linecache
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from transformations.engine.base.errors import DefinitionError

_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_HAS_DOCSTRING = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definition_of(function: FunctionType) -> ast.AST:
    """The part of the file that a function was compiled from.

    A file can change after its import. Its text is then not that of the running code, which must not get its hash.
    """
    code = function.__code__
    linecache.checkcache(code.co_filename)
    source = "".join(linecache.getlines(code.co_filename, function.__globals__))
    if not source:
        raise DefinitionError(
            f"function {function.__qualname__} has no source ({code.co_filename}), so its code cannot be identified. "
            f"Define it in a module's file."
        )
    definitions, compiled = _parse_file(source, code.co_filename)
    named = definitions.get((code.co_firstlineno, code.co_name), [])
    if not named or code not in compiled:
        raise DefinitionError(
            f"{code.co_filename} has changed since {function.__qualname__} was imported from it, so the code that runs "
            f"cannot be identified. Restart the process."
        )
    # Several lambdas may begin on one line; which is which does not matter to what they compute together.
    return named[0] if len(named) == 1 else ast.Tuple(elts=[node for node in named if isinstance(node, ast.expr)])


@lru_cache(maxsize=256)
def _parse_file(source: str, file: str) -> tuple[dict[tuple[int, str], list[Any]], frozenset[CodeType]]:
    """A file's functions by first line and name, and all code that it compiles to."""
    definitions: dict[tuple[int, str], list[Any]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _FUNCTION):
            definitions.setdefault((_first_line(node), getattr(node, "name", "<lambda>")), []).append(node)
    return definitions, frozenset(_code_objects(compile(source, file, "exec", dont_inherit=True)))


def _code_objects(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_objects(constant)


def _first_line(node: Any) -> int:
    lines: list[int] = [node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))]
    return min(lines)


def text_of(node: object) -> str:
    """A syntax tree as text that every Python version writes alike: `ast.dump` names empty fields in some of them."""
    if isinstance(node, list):
        return f"[{', '.join(map(text_of, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [f"{name}={text_of(value)}" for name, value in _computing_fields(node) if value not in (None, [])]
    return f"{type(node).__name__}({', '.join(fields)})"


def _computing_fields(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """A node's fields without those that compute nothing: docstrings, decorators of functions, annotations, `kind`."""
    for name, value in ast.iter_fields(node):
        if isinstance(node, _FUNCTION | ast.arg) and name in ("decorator_list", "annotation", "returns"):
            continue
        if isinstance(node, ast.Constant) and name == "kind":
            continue
        if isinstance(node, _HAS_DOCSTRING) and name == "body" and ast.get_docstring(node, clean=False) is not None:
            yield name, value[1:]
        else:
            yield name, value


def _child_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for _, value in _computing_fields(node):
        yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, ast.AST))


def names_in(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every name that the code reads, with the attributes that follow it: `a.b.c` is a, (b, c)."""
    attributes: list[str] = []
    inner = node
    while isinstance(inner, ast.Attribute):
        attributes.insert(0, inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        yield inner.id, tuple(attributes)
        return
    for child in _child_nodes(inner):
        yield from names_in(child)


def known_to(function: FunctionType, is_library: Callable[[str], bool]) -> dict[str, object]:
    """What the names of a function mean outside of it: globals, closure values, and imports in its body."""
    codes = list(_code_objects(function.__code__))
    used = {name for code in codes for name in code.co_names}
    known: dict[str, object] = {name: value for name, value in function.__globals__.items() if name in used}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            known[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for node in ast.walk(definition_of(function)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            known |= _imported_names(node, function.__globals__, is_library)
    return known


def _imported_names(
    node: ast.Import | ast.ImportFrom, names: dict[str, Any], is_library: Callable[[str], bool]
) -> dict[str, object]:
    """What an import of our modules binds in a function's body; for a library's, the text is enough."""
    bound: dict[str, object] = {}
    if isinstance(node, ast.Import):
        for alias in node.names:
            if not is_library(alias.name):
                module = importlib.import_module(alias.name)
                top = alias.name.partition(".")[0]
                bound[alias.asname or top] = module if alias.asname else sys.modules[top]
        return bound
    origin = importlib.util.resolve_name("." * node.level + (node.module or ""), names.get("__package__"))
    if not is_library(origin):
        module = importlib.import_module(origin)
        for alias in node.names:
            if not hasattr(module, alias.name):
                importlib.import_module(f"{origin}.{alias.name}")
            bound[alias.asname or alias.name] = getattr(module, alias.name)
    return bound

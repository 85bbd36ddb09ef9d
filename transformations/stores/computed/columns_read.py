"""Tells from a function's text which columns of its frame or lists it can see, where that is plain.

A function that only ever writes `inputs["name"]` sees no other column, so none need be made for it.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator

_PLAIN_ATTRIBUTES = {"index", "shape"}
_REACHING = {"locals", "vars", "eval", "exec", "globals"}  # by which a function could reach its argument unnamed


def columns_read(text: str, *, is_of_frame: bool = True) -> frozenset[str] | None:
    """The columns that a function of one frame names; None where it may see others. is_of_frame: not of lists by name.

    df["ratio"] = inputs["spent"] / inputs["visits"]       {"spent", "visits"}
    df = inputs.copy()                                     None
    """
    try:
        (function,) = (each for each in ast.parse(textwrap.dedent(text)).body if isinstance(each, ast.FunctionDef))
        (argument,) = function.args.args
    except (SyntaxError, ValueError):
        return None
    nodes = [node for statement in function.body for node in ast.walk(statement)]
    parents = {child: node for node in nodes for child in ast.iter_child_nodes(node)}
    found: set[str] = set()
    for node in nodes:
        if not isinstance(node, ast.Name):
            continue
        if node.id in _REACHING:
            return None
        if node.id != argument.arg:
            continue
        names = _names_in(parents[node], node, is_of_frame=is_of_frame)
        if names is None:
            return None
        found.update(names)
    return frozenset(found)


def _names_in(parent: ast.AST, frame: ast.Name, *, is_of_frame: bool) -> list[str] | None:
    """The columns that one use of the frame names; None where it hands the frame on."""
    match parent:
        case ast.Subscript(value=value, slice=key) if value is frame:
            parts = list(_constants(key))
            return None if None in parts else [part for part in parts if part is not None]
        case ast.Attribute(attr=name) if is_of_frame and name in _PLAIN_ATTRIBUTES:
            return []
        case ast.Call(func=ast.Name(id="len")) if is_of_frame:
            return []
    return None


def _constants(key: ast.expr) -> Iterator[str | None]:
    """The names in a subscript; None for whatever is no name."""
    for part in key.elts if isinstance(key, ast.List) else [key]:
        yield part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else None

"""The code of a function that Feast stores: the names of its module that it uses, the columns that it writes out."""

from __future__ import annotations

import builtins
import dis
from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any

import dill

from transformations.engine.base.errors import DataError, nearest
from transformations.stores.base.feast_seams import udf_body


def completed(view: str, function: Any) -> Any:
    """The function with the names of its module that it uses.

    Feast executes a function's source text alone (udf_rehydrate.py), so that every import and helper outside of its
    body is gone, and keeps the pickled function, which has them, beside.
    """
    if not isinstance(function, FunctionType) or not (missing := _undefined_names(function)):
        return function
    body = udf_body(function)
    if body is None:
        return function
    try:
        known = dill.loads(body).__globals__
    except Exception as error:
        raise DataError(
            f"the code of view {view} is not importable here: its function uses {', '.join(sorted(missing))} of its "
            f"module, which cannot be loaded: {error}. Put the feature repository's folder on PYTHONPATH, or import "
            f"inside the function."
        ) from error
    function.__globals__.update({name: known[name] for name in missing if name in known})
    return function


def _undefined_names(function: FunctionType) -> set[str]:
    known = function.__globals__.keys() | vars(builtins).keys()
    return {name for name in _global_names(function.__code__) if name not in known}


def _global_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


def explain_unknown_input(view: str, function: object, error: str, known: Sequence[str]) -> str | None:
    """Why a function's KeyError is that it reads a column that it is not given; None where it is another.

    error: its text. known: the columns that it is given.
    """
    code = getattr(function, "__code__", None)
    written = _texts(code) if isinstance(code, CodeType) else ()
    name = next((text for text in written if repr(text) in error and text not in known), None)
    return name and (
        f"on-demand view {view}: its function reads {name!r}, which is none of its inputs: {nearest(name, known)}. "
        f"Read one of these, or declare {name!r} in a RequestSource among the view's sources; join keys, the event "
        f"timestamp and features of other views are no inputs."
    )


def _texts(code: CodeType) -> Iterator[str]:
    """The texts that stand in a function's code."""
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from (each for each in constant if isinstance(each, str))
        elif isinstance(constant, CodeType):
            yield from _texts(constant)

"""Rules in plain words: `trips_7d == 0 and not (age_days > 30 or city in ('a', 'b'))`.

Comparisons of a column with a number, a text, true, false or another column; `in` with a list of values; `is none` and
`is not none`; joined by `and`, `or`, `not`. Three-valued as all conditions here: what compares with a null is unknown,
and a row is selected where the rule is true.
"""

from __future__ import annotations

import ast
from functools import reduce
from itertools import pairwise

from transformations.engine.base.errors import DefinitionError
from transformations.engine.vocabulary.conditions import (
    Both,
    Comparison,
    Condition,
    Either,
    IsNull,
    Literal,
    Not,
    OneOf,
    OtherColumn,
)

_SYMBOLS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_CONSTANTS = {"true": True, "false": False}


def parse_rule(text: str) -> Condition:
    """The condition that a rule states; DefinitionError that says which part cannot be read."""
    try:
        return _condition(ast.parse(text.strip(), mode="eval").body, text)
    except SyntaxError:
        raise DefinitionError(f"rule {text!r} cannot be read. {_HOW}") from None


_HOW = "Write such as: visits_28d == 0 and (age_days > 30 or city in ('a', 'b'))"


def _condition(node: ast.expr, rule: str) -> Condition:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return reduce(Both, [_condition(part, rule) for part in parts])
        case ast.BoolOp(op=ast.Or(), values=parts):
            return reduce(Either, [_condition(part, rule) for part in parts])
        case ast.UnaryOp(op=ast.Not(), operand=negated):
            return Not(_condition(negated, rule))
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = pairwise([left, *others])
            return reduce(
                Both, [_comparison(one, op, other, rule) for op, (one, other) in zip(ops, sides, strict=True)]
            )
    raise _unreadable(node, rule)


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, rule: str) -> Condition:
    if isinstance(op, ast.Is | ast.IsNot) and _is_null(right):
        found = IsNull(_column(left, rule))
        return found if isinstance(op, ast.Is) else Not(found)
    if isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.Tuple | ast.List) and right.elts:
        chosen = OneOf(_column(left, rule), tuple(_literal(each, rule) for each in right.elts))
        return chosen if isinstance(op, ast.In) else Not(chosen)
    symbol = _SYMBOLS.get(type(op))
    if symbol is None:
        raise _unreadable(right, rule)
    if _is_column(left):
        value = OtherColumn(_column(right, rule)) if _is_column(right) else _literal(right, rule)
        return Comparison(_column(left, rule), symbol, value)
    return Comparison(_column(right, rule), _MIRRORED.get(symbol, symbol), _literal(left, rule))


def _is_null(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=None) | ast.Name(id="none" | "null"):
            return True
    return False


def _is_column(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id not in _CONSTANTS and not _is_null(node)


def _column(node: ast.expr, rule: str) -> str:
    if isinstance(node, ast.Name) and _is_column(node):
        return node.id
    raise _unreadable(node, rule)


def _literal(node: ast.expr, rule: str) -> Literal:
    match node:
        case ast.Name(id="true" | "false" as name):
            return _CONSTANTS[name]
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise _unreadable(node, rule)


def _unreadable(node: ast.expr, rule: str) -> DefinitionError:
    part = ast.get_source_segment(rule.strip(), node) or rule
    return DefinitionError(f"rule {rule!r}: {part!r} is no comparison of a column. {_HOW}")

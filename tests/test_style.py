"""What every module's code looks like, read from its syntax: fields by name, types in place of assertions."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_POSITIONAL_FIELDS = 4


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the project by its path, parsed."""
    files = [file for top in ("transformations", "validation", "feature_repo") for file in (ROOT / top).rglob("*.py")]
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text()) for file in sorted(files)}


def places(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of a kind, with its module and line."""
    for name, module in modules().items():
        yield from ((f"{name}:{node.lineno}", node) for node in ast.walk(module) if isinstance(node, kind))


def positional_fields(cls: ast.ClassDef) -> int:
    """How many fields of a dataclass its constructor takes by position: none where the decorator says kw_only."""
    decorators = [ast.unparse(each) for each in cls.decorator_list if ast.unparse(each).startswith("dataclass")]
    if not decorators or "kw_only=True" in decorators[0]:
        return 0
    count = 0
    for each in cls.body:
        if isinstance(each, ast.AnnAssign):
            if ast.unparse(each.annotation) == "KW_ONLY":
                break
            by_name = each.value is not None and "kw_only=True" in ast.unparse(each.value)
            count += not by_name and not ast.unparse(each.annotation).startswith("ClassVar")
    return count


def test_a_dataclass_of_five_fields_or_more_takes_them_by_name() -> None:
    wide = [
        f"{place} {cls.name}"
        for place, cls in places(ast.ClassDef)
        if isinstance(cls, ast.ClassDef) and positional_fields(cls) > MOST_POSITIONAL_FIELDS
    ]
    assert wide == []


def test_no_assertion_stands_in_for_a_type_that_cannot_be_none() -> None:
    found = [place for place, node in places(ast.Assert) if "is not None" in ast.unparse(node)]
    assert found == []

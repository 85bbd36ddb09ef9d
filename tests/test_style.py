"""What every module's code looks like, read from its syntax: fields, queries, late imports, assertions."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_POSITIONAL_FIELDS = 4
MOST_POSITIONAL_ARGUMENTS = 6
QUERY = re.compile(r"\s*\(?(SELECT|COPY|CREATE|INSERT|WITH|DESCRIBE|SUMMARIZE|PIVOT|ATTACH)\b")
"""How a query's text begins; an expression such as `CASE WHEN …`, or a session's `SET`, is none."""


@cache
def modules() -> dict[str, list[ast.AST]]:
    """Every node of every module of the project, by the module's path."""
    files = [file for top in ("transformations", "validation", "feature_repo") for file in (ROOT / top).rglob("*.py")]
    return {str(file.relative_to(ROOT)): list(ast.walk(ast.parse(file.read_text()))) for file in sorted(files)}


def places(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of a kind, with its module and line."""
    for name, nodes in modules().items():
        yield from ((f"{name}:{node.lineno}", node) for node in nodes if isinstance(node, kind))


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


def test_a_function_takes_at_most_six_arguments_by_position() -> None:
    """But commands, whose arguments click gives by name, and the methods of Feast's interface, which Feast calls."""
    wide = []
    for place, node in places(ast.FunctionDef):
        assert isinstance(node, ast.FunctionDef)
        names = [each.arg for each in (*node.args.posonlyargs, *node.args.args) if each.arg not in ("self", "cls")]
        decorators = [ast.unparse(each) for each in node.decorator_list]
        is_command = any(part in each for each in decorators for part in (".option", ".argument", "command"))
        is_feasts = place.startswith(("transformations/stores/offline.py", "transformations/stores/online.py"))
        if len(names) > MOST_POSITIONAL_ARGUMENTS and not (is_command or is_feasts):
            wide.append(f"{place} {node.name}({', '.join(names)})")
    assert wide == []


def test_no_assertion_stands_in_for_a_type_that_cannot_be_none() -> None:
    found = [place for place, node in places(ast.Assert) if "is not None" in ast.unparse(node)]
    assert found == []


def test_queries_stand_in_modules_of_sql() -> None:
    elsewhere = [place for place, text in texts() if QUERY.match(text) and "_sql.py:" not in place]
    assert elsewhere == []


def texts() -> Iterator[tuple[str, str]]:
    """Every text of the code with its place; of a formatted one, the words before its first value."""
    for name, nodes in modules().items():
        parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
            is_part = first is node and id(node) in parts
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and not is_part:
                yield f"{name}:{first.lineno}", first.value


def test_a_function_imports_late_from_one_place_at_most() -> None:
    """A late import spares a start what only this function needs: one library, or one module of ours that brings it."""
    several = []
    for name, nodes in modules().items():
        for function in (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            sources = {source for node in own_nodes(function) for source in imported_from(node)}
            if len(sources) > 1:
                several.append(f"{name}:{function.lineno} {function.name}: {', '.join(sorted(sources))}")
    assert several == []


def own_nodes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """What a function's body holds, without the functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(ast.iter_child_nodes(node))


def imported_from(node: ast.AST) -> Iterator[str]:
    """Where an import takes its names from: another's library, or a module of ours."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    else:
        return
    yield from (
        name if name.startswith(("transformations", "validation")) else name.partition(".")[0] for name in names
    )


def test_the_tests_use_public_names_of_ours() -> None:
    """What a test must set or ask has a name for it: a private one may go with any change."""
    used = [
        f"{file.relative_to(ROOT)}:{line} {name}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        for line, name in private_names_of_ours(ast.parse(file.read_text()))
    ]
    assert used == []


def private_names_of_ours(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Private names that are imported from our modules, read from one, or named in a text to set one."""
    ours: set[str] = set()
    nodes = list(ast.walk(module))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("transformations", "validation")):
            ours |= {alias.asname or alias.name for alias in node.names}
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.startswith("_"))
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours:
            if re.match(r"_[a-zA-Z]", node.attr):
                yield node.lineno, f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "getattr", "delattr")):
            owner, name = ([*map(ast.unparse, node.args), "", ""])[:2]
            if owner.partition(".")[0] in ours and re.match(r"'_[a-zA-Z]", name):
                yield node.lineno, f"{owner} {name}"
            elif re.match(r"'(transformations|validation)\..*\._[a-zA-Z]", owner):
                yield node.lineno, owner

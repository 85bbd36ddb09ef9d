"""The file and line that declare the thing which a broken rule names."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import yaml

from transformations.engine.base.settings import Settings
from transformations.insight.repository import repository_folder


class Places:
    """Finds by name what a repository, its domain files, contracts, datasets and models declare.

    Places are the words of `Problem.place`: "view user_visits", "feature user_visits:visits_count_7d", "source clicks".
    """

    def __init__(self, settings: Settings, domains: Sequence[Path]) -> None:
        self._project = settings.project_root
        self._repository = repository_folder(settings)
        self._contracts = settings.contracts
        self._expectations = settings.expectations
        self._domains = domains

    def of(self, place: str, at: int | None = None) -> str | None:
        """`file:line`, relative to the project; None for what no file here declares. at: the line, if known."""
        kind, _, name = place.rpartition(" ")
        found = next(self._lines_declaring(kind, name), None)
        if found is None:
            return None
        path, line = found
        shown = path.relative_to(self._project) if path.is_relative_to(self._project) else path
        return f"{shown}:{at or line}"

    def _lines_declaring(self, kind: str, name: str) -> Iterator[tuple[Path, int]]:
        declared = sorted(self._repository.rglob("*.py"))
        holder, _, inner = name.partition(":")
        match kind:
            case "source":
                yield from _first_line_of(self._contracts / f"{name}.yaml")
            case "column":
                source, _, column = name.partition(".")
                yield from _line_of_column(self._contracts / f"{source}.yaml", column)
            case "dataset" | "model":
                yield from _first_line_of(self._repository / f"{kind}s" / f"{name}.yaml")
            case "feature":
                yield from _lines_of_feature(self._domains, holder, inner)
                yield from _lines_of_name(declared, inner)
            case "function":
                yield from _lines_of_function(self._domains, name)
            case "measure":
                yield from _lines_of_feature(self._domains, *name.split(".", 1))
            case "expectations":
                yield from _first_line_of(self._expectations / f"{name}.yaml")
            case "expected distribution":
                yield from _line_of_key(self._expectations / f"{holder}.yaml", inner)
            case "request field":
                yield from _lines_of_name(declared, inner)
            case _:
                yield from _lines_of_name(declared, name)
                yield from _lines_of_name(self._domains, name)  # a view has its definition's name


def _first_line_of(path: Path) -> Iterator[tuple[Path, int]]:
    if path.is_file():
        yield path, 1


def _line_of_column(path: Path, column: str) -> Iterator[tuple[Path, int]]:
    if not path.is_file():
        return
    for node in _yaml_mappings(yaml.compose(path.read_text(encoding="utf-8"))):
        for key, value in node.value:
            if key.value == "name" and value.value == column:
                yield path, key.start_mark.line + 1


def _line_of_key(path: Path, name: str) -> Iterator[tuple[Path, int]]:
    """The line of a key, wherever in a YAML file it stands."""
    document = yaml.compose(path.read_text(encoding="utf-8")) if path.is_file() else None
    for node in _yaml_mappings(document):
        yield from ((path, key.start_mark.line + 1) for key, _ in node.value if key.value == name)


def _yaml_mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _yaml_mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _yaml_mappings(value)


def _lines_of_feature(files: Sequence[Path], view: str, feature: str) -> Iterator[tuple[Path, int]]:
    """A function of that name; else the measure within the view's definition whose name the feature's begins with."""
    yield from _lines_of_function(files, feature)
    words = feature.split("_")
    for path in files:
        for call in _calls_named(_syntax_tree(path), view):
            for length in range(len(words), 0, -1):
                yield from ((path, each.lineno) for each in _calls_named(call, "_".join(words[:length])))


def _lines_of_function(files: Sequence[Path], name: str) -> Iterator[tuple[Path, int]]:
    for path in files:
        for node in ast.walk(_syntax_tree(path)):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                yield path, node.lineno


def _lines_of_name(files: Sequence[Path], name: str) -> Iterator[tuple[Path, int]]:
    """An assignment to that name, else a call that gives it."""
    for path in files:
        for node in ast.walk(_syntax_tree(path)):
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
                yield path, node.lineno
    for path in files:
        yield from ((path, call.lineno) for call in _calls_named(_syntax_tree(path), name))


def _calls_named(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """Calls with `name="…"`, then those whose first argument is that text."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        if any(keyword.arg == "name" and _is_text(keyword.value, name) for keyword in call.keywords):
            yield call
    for call in calls:
        if call.args and _is_text(call.args[0], name) and not any(each.arg == "name" for each in call.keywords):
            yield call


def _is_text(node: ast.AST, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def _syntax_tree(path: Path) -> ast.Module:
    return _parse(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _parse(path: Path, _modified: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))

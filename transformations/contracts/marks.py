"""Find the marks that a drafted contract leaves to its author, all of them, each with its line."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from transformations.contracts.document import FILL_IN, shown_path, text_of
from transformations.contracts.model import ContractError


def refuse_open_marks(path: Path) -> None:
    """ContractError that lists every value which still says FILL IN; a comment that says so is none."""
    text = text_of(path)
    if FILL_IN not in text or (top := yaml.compose(text, Loader=yaml.SafeLoader)) is None:
        return
    lines = text.splitlines()
    marks = [f"  line {line}: {place}{_question_beside(lines[line - 1])}" for line, place in _marked_places(top, "")]
    if len(marks) == 1:
        raise ContractError(f"{shown_path(path)}: one mark still says {FILL_IN!r}. Fill it in:\n{marks[0]}")
    if marks:
        listed = "\n".join(marks)
        raise ContractError(f"{shown_path(path)}: {len(marks)} marks still say {FILL_IN!r}. Fill them in:\n{listed}")


def _marked_places(node: yaml.Node, place: str) -> Iterator[tuple[int, str]]:
    """The line and key path of each mark, in the order of the file."""
    if isinstance(node, yaml.ScalarNode):
        if FILL_IN in node.value:
            yield node.start_mark.line + 1, place
    elif isinstance(node, yaml.SequenceNode):
        for number, entry in enumerate(node.value):
            yield from _marked_places(entry, f"{place}[{_entry_name(entry) or number}]")
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _marked_places(value, f"{place}.{key.value}" if place else str(key.value))


def _entry_name(entry: yaml.Node) -> str | None:
    """What an entry of a list is called: a column's name, a property's."""
    if not isinstance(entry, yaml.MappingNode):
        return None
    named = {key.value: value.value for key, value in entry.value if isinstance(value, yaml.ScalarNode)}
    name = named.get("name", named.get("property"))
    return None if name is None or FILL_IN in name else str(name)


def _question_beside(line: str) -> str:
    """What the comment beside the mark asks for."""
    return f"  ({line.rpartition('# ')[2].strip()})" if "# " in line else ""

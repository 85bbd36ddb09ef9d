"""A YAML document whose parts know their own place, so that every error can name file, key and remedy."""

import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import yaml

from transformations.contracts.model import ContractError
from transformations.contracts.texts import fault_of_hidden

FILL_IN = "FILL IN"  # what a drafted contract leaves to its author

Value = TypeVar("Value")


@dataclass(frozen=True)
class Node:
    """A mapping of the document, with the key path that leads to it."""

    file: str
    place: str
    values: Mapping[str, object]

    def error(self, key: str, problem: str) -> ContractError:
        """`events.yaml: schema[0].properties[2].logicalType 'int' …`; the caller's `problem` ends with the remedy."""
        return ContractError(f"{self.file}: {self.at(key)} {problem}")

    def at(self, key: str) -> str:
        """The key's path from the top of the document."""
        return f"{self.place}.{key}" if self.place else key

    def text(self, key: str, meaning: str) -> str:
        """A required text; `meaning` says what belongs there, for an author who left it out."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            found = "is missing" if value is None else f"is {value!r}, not a text"
            raise self.error(key, f"{found}. Write {meaning}{_quote_hint(value)}.")
        if (hidden := fault_of_hidden(value)) is not None:
            raise self.error(key, f"{hidden}. Leave it out.")
        return " ".join(value.split())

    def optional(self, key: str, kind: type[Value], meaning: str) -> Value | None:
        """A value of that kind, or None where the key is absent."""
        value = self.values.get(key)
        if value is None or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
            return value
        raise self.error(key, f"is {value!r}. Write {meaning}.")

    def number(self, key: str) -> float | None:
        """A finite number, or None where the key is absent: nothing is below NaN, and nothing above infinity."""
        value = self.values.get(key)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(key, f"is {value}, which bounds nothing. Write a finite number, or leave it out.")
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        raise self.error(key, f"is {value!r}. Write a number.")

    def children(self, key: str) -> Iterator["Node"]:
        """The mappings of a list under `key`; none where it is absent."""
        entries = self.values.get(key)
        if entries is None:
            return
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self.error(key, "is no list of mappings. Write one entry per `- ` line.")
        for number, entry in enumerate(entries):
            yield Node(self.file, f"{self.at(key)}[{number}]", entry)

    def child(self, key: str, meaning: str) -> "Node":
        """The required mapping under `key`."""
        entry = self.values.get(key)
        if not isinstance(entry, dict):
            raise self.error(key, f"is missing. Write {meaning}.")
        return Node(self.file, self.at(key), entry)

    def custom(self, known: tuple[str, ...]) -> "Node":
        """The customProperties as one mapping.

        The standard leaves their names free, so others are another tool's. One that is nearly ours is a mistake, except
        where its entry names the vendor.
        """
        found: dict[str, object] = {}
        for entry in self.children("customProperties"):
            name = entry.text("property", "the property's name")
            if name not in known and "vendor" not in entry.values and (meant := _nearest_key(name, known)):
                raise entry.error(
                    "property",
                    f"{name!r} is not known; did you mean {meant!r}? Correct it, or name its tool (vendor: …).",
                )
            if "value" not in entry.values:
                raise entry.error("value", f"of {name!r} is missing. Write it, or leave the property out.")
            if name in found:
                raise entry.error("property", f"{name!r} stands twice. Keep one.")
            found[name] = entry.values.get("value")
        return Node(self.file, self.at("customProperties"), found)


def _nearest_key(name: str, known: tuple[str, ...]) -> str | None:
    """The one of our names that was probably meant: case, - and _ do not count."""
    plain = {re.sub(r"[\W_]", "", each).lower(): each for each in known}
    guess = get_close_matches(re.sub(r"[\W_]", "", name).lower(), plain, n=1, cutoff=0.7)
    return plain[guess[0]] if guess else None


def shown_path(path: Path) -> str:
    """A path as messages name it: from the working folder where the file is below it, else whole."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def text_of(path: Path) -> str:
    """The text of a contract's file; ContractError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ContractError(
            f"{path} cannot be read: {error.strerror}. It must be a file that this user may read."
        ) from None
    except UnicodeDecodeError as error:
        raise ContractError(
            f"{path} is no UTF-8 text: byte {error.start:,} is 0x{error.object[error.start]:02x}. Save it as UTF-8, or "
            f"bring it back from a copy."
        ) from None


def read_document(path: Path) -> Node:
    """The document's top mapping; ContractError where the file is no YAML mapping or says one key twice."""
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise ContractError(
            f"{shown_path(path)}: is no YAML mapping. Write a contract with `features contract draft FILE "
            f"--name {path.stem}`."
        )
    return Node(shown_path(path), "", document)


def read_yaml(path: Path) -> object:
    """What a YAML file says; ContractError where it cannot be read, is no YAML, says one key twice, or holds a hidden
    character.
    """
    text = text_of(path)
    _refuse_hidden(path, text)
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ContractError(f"{shown_path(path)}: {place}{error.problem or error}. Correct the YAML there.") from None
    except RecursionError:
        raise ContractError(f"{shown_path(path)}: is nested too deeply. Correct the YAML.") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise ContractError(f"{shown_path(path)}: {' '.join(str(error).split())}. Correct the YAML there.") from None


def _refuse_hidden(path: Path, text: str) -> None:
    """ContractError for a character that is not seen: what is read there would be something else than what one sees.

    A value of the data, such as a delimiter, is written as its escape.
    """
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if (fault := fault_of_hidden(line.removesuffix("\r"))) is not None:
            raise ContractError(
                f"{shown_path(path)}: line {number}: {fault}. Leave it out; a value of the data that needs it has it "
                f'as an escape in double quotes, as in "\\u001F".'
            )


def line_of(text: str, place: Sequence[str | int]) -> int:
    """The line of the value at a place, of its key where it is a mapping's; of the nearest part above, if need be."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = 1
    for step in place:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                continue  # a part of the form's own, such as the member of a union
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses what plain YAML accepts: repeated keys, and numbers that are not what they look like.

    Of a repeated key the last value would silently win; 010 would be eight, and 1:30 ninety. A value that Python cannot
    hold, such as 31 April, is a fault of the document at its line.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        """The value of a node."""
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Build the mapping of a node whose keys are all different."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="this key is no text", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: yaml.ScalarNode) -> object:
        """A number, where YAML reads what is written."""
        is_float = node.tag == "tag:yaml.org,2002:float"
        number: object = self.construct_yaml_float(node) if is_float else self.construct_yaml_int(node)
        if re.match(r"[+-]?0[0-9_]", node.value) or ":" in node.value:
            raise yaml.MarkedYAMLError(
                problem=f"{node.value} would be read as {number}: put a text in quotes, and no zeros before a number",
                problem_mark=node.start_mark,
            )
        return number


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def _quote_hint(value: object) -> str:
    return f', in quotes: "{value}"' if isinstance(value, int | float) else ""

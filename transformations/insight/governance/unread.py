"""Files that cannot be read, as broken rules at the lines that their errors name."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from transformations.contracts import ContractError, contract_names, read_contract
from transformations.contracts.document import line_of, text_of
from transformations.engine.base.settings import Settings
from validation.feature_rules import Problem

_AT_LINE = re.compile(r"[^:]+\.yaml:(?: line )?(\d+)(?:, column \d+)?: (.*)")
_OF_CONTRACT = re.compile(r".*?\.yaml: (?:(?P<key>[A-Za-z]\w*(?:\[\d+\]|\.[\w-]+)*) )?(?P<rest>.*)", re.DOTALL)


def unread_contracts(settings: Settings) -> Iterator[Problem]:
    """A problem for each contract that cannot be read, at the line of the key that is wrong."""
    for name in contract_names(settings.contracts):
        try:
            read_contract(name, settings.contracts)
        except ContractError as error:
            yield from _problem_of_contract(name, str(error), settings)


def _problem_of_contract(name: str, said: str, settings: Settings) -> Iterator[Problem]:
    found = None if _AT_LINE.fullmatch(said) else _OF_CONTRACT.fullmatch(said)
    if found is None or found["key"] is None:
        yield from unread_problems(f"source {name}", said)
        return
    steps = [int(step) if step.isdecimal() else step for step in re.findall(r"[\w-]+", found["key"])]
    try:
        line = line_of(text_of(settings.contracts / f"{name}.yaml"), steps)
    except (ContractError, yaml.YAMLError):
        line = 1
    yield _unread(f"source {name}", f"{found['key']} {found['rest']}", line)


def unread_problems(place: str, fault: str) -> Iterator[Problem]:
    """A problem for each line of what is wrong with a file, at the line that it names.

    place: of the file, such as `dataset reading`; fault: the message of the error that reading it raised.
    """
    for said in fault.splitlines():
        found = _AT_LINE.fullmatch(said)
        line, text = (int(found[1]), found[2]) if found else (None, said)
        yield _unread(place, text, line)


def _unread(place: str, text: str, line: int | None) -> Problem:
    """text: the fault, and behind it, where there is one, the sentence of the remedy."""
    fault, _, remedy = text.rstrip(".").partition(". ")
    return Problem(place, f"cannot be read: {fault}", remedy or "Mend it", line)

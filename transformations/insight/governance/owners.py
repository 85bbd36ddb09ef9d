"""`owners.yaml` of the feature repository: who answers for what, and the tags that may be given."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transformations.contracts import ContractError
from transformations.contracts.document import line_of, read_yaml, shown_path, text_of
from transformations.engine.base.errors import UsageError, nearest

FILE = "owners.yaml"
ANY = "any"
_NEW = """\
# Who answers for what is offered here, and which tags it may carry. `features check` holds everything to it.
owners:

tags: {}
"""


class Owner(BaseModel):
    """A team, and where it is reached."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    team: str = Field(min_length=1)
    contact: str = Field(min_length=1)


class Ownership(BaseModel):
    """Owners by the name under which contracts, views, services and datasets call them; tags with their values.

    tags: the keys that views, services and entities may carry, each with its values, or `any`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    owners: Mapping[str, Owner]
    tags: Mapping[str, tuple[str, ...] | Literal["any"]] = {}


def read_ownership(folder: Path) -> Ownership | None:
    """The ownership that a feature repository declares; None where it has no such file.

    UsageError that names the file, the key and the remedy.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        text, document = text_of(path), read_yaml(path)
    except ContractError as error:
        raise UsageError(str(error)) from None
    if not isinstance(document, Mapping):
        raise UsageError(f"{path} holds no keys. Write owners: {{ NAME: {{ team: …, contact: … }} }}.")
    try:
        return Ownership.model_validate(document)
    except ValidationError as error:
        said = dict.fromkeys(
            _complaint(path, text, problem["type"], problem["loc"], problem["msg"]) for problem in error.errors()
        )
        raise UsageError("\n".join(said)) from None


def add_owner(folder: Path, owner: str) -> bool:
    """Write an owner that nothing resolves yet into the repository's file, for the author to say how it is reached.

    False where it stands there already. What else stands in the file stays as it is.
    """
    known = read_ownership(folder)
    if known is not None and owner in known.owners:
        return False
    path = folder / FILE
    name = json.dumps(owner, ensure_ascii=False)
    entry = f"owners:\n  {name}:\n    team: {name}\n    contact: {name}\n"
    text = path.read_text(encoding="utf-8") if known is not None else _NEW
    path.write_text(re.sub(r"(?m)^owners:.*\n", lambda _: entry, text, count=1), encoding="utf-8")
    return True


def _complaint(path: Path, text: str, fault: str, place: Sequence[str | int], said: str) -> str:
    where, key = f"{shown_path(path)}:{line_of(text, place)}", ".".join(map(str, place))
    if fault == "extra_forbidden":
        known = Owner.model_fields if place[0] == "owners" else Ownership.model_fields
        return f"{where}: there is no key {key}; {nearest(str(place[-1]), known)}."
    if fault == "missing":
        return f"{where}: {key} is missing. Each owner has a team and a contact."
    if place[0] == "tags":
        return f"{where}: {'.'.join(map(str, place[:2]))} is neither a list of texts nor `{ANY}`."
    return f"{where}: {key}: {said}."

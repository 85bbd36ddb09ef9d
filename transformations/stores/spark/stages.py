"""Which views are matched together: those whose rows meet where the spine is partitioned by the same keys.

A view by user and page meets the spine where that is partitioned by user alone, too, so that it needs no shuffle of its
own. A view without an entity, or one whose keys are of a type without one form, meets it in every partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformations.stores.history.stored import Stored, sql_type_of_key


@dataclass(frozen=True)
class Stage:
    """Views that are matched in one round. keys: the spine's columns that decide the partition, with their SQL types;
    none if all rows of the histories are needed everywhere. is_read_whole: each task reads the histories' own files.
    """

    keys: tuple[tuple[str, str], ...]
    stored: tuple[Stored, ...]
    is_read_whole: bool = False


def stages_of(stored: Sequence[Stored]) -> list[Stage]:
    """The rounds of a retrieval, as few as there are different keys; at least one."""
    found: dict[tuple[tuple[str, str], ...], list[Stored]] = {}
    everywhere: list[Stored] = []
    for each in sorted(stored, key=lambda each: len(_keys_of(each))):
        keys = _keys_of(each)
        if not keys:
            everywhere.append(each)
            continue
        meeting = next((known for known in found if set(known) <= set(keys)), keys)
        found.setdefault(meeting, []).append(each)
    first, *others = found or {(): []}
    in_first = [*found.get(first, []), *everywhere]
    return [Stage(first, tuple(in_first)), *(Stage(keys, tuple(found[keys])) for keys in others)]


def _keys_of(stored: Stored) -> tuple[tuple[str, str], ...]:
    """The spine's columns that a view is matched by, with the SQL types of those that have one form."""
    typed = {stored.spine_column(key): sql_type_of_key(dtype) for key, dtype in stored.keys.items()}
    return tuple(sorted((name, sql_type) for name, sql_type in typed.items() if sql_type is not None))

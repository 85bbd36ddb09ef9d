"""Compaction of several tables and sources, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from transformations.contracts import Contract
from transformations.engine.base.errors import ConflictError
from transformations.engine.base.settings import Settings
from transformations.engine.merging.merged_files import Merged
from transformations.engine.raw.compaction import compact_source
from transformations.engine.raw.zone import RawTable
from transformations.engine.tables.compaction import compact_table
from transformations.engine.tables.offline_tables import OfflineTable


def compact_all(
    views: Iterable[str], sources: Iterable[Contract], settings: Settings, *, only_many: bool = False
) -> tuple[list[Merged], list[ConflictError]]:
    """Merge the small files of these tables and sources; what was merged, and what another process kept from being.

    only_many: as of `compact_table`.
    """
    steps: list[Callable[[], Merged | None]] = [
        partial(compact_table, OfflineTable(settings.offline_dir / view), settings, only_many=only_many)
        for view in views
    ]
    steps += [
        partial(compact_source, RawTable(contract, settings.raw_dir), settings, only_many=only_many)
        for contract in sources
    ]
    found: list[Merged] = []
    busy: list[ConflictError] = []
    for step in steps:
        try:
            merged = step()
        except ConflictError as error:
            busy.append(error)
        else:
            found += [merged] if merged is not None else []
    return found, busy

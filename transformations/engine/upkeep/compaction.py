"""Compaction of several tables and sources, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial

from transformations.contracts import Contract
from transformations.engine.base.disk_faults import folders_in
from transformations.engine.base.errors import ConflictError
from transformations.engine.base.settings import Settings
from transformations.engine.merging.merged_files import Merged
from transformations.engine.raw.compaction import compact_source
from transformations.engine.raw.originals import Readers
from transformations.engine.raw.zone import RawTable
from transformations.engine.tables.compaction import compact_table
from transformations.engine.tables.offline_tables import OfflineTable


def compact_all(
    views: Iterable[str],
    sources: Iterable[Contract],
    settings: Settings,
    *,
    only_many: bool = False,
    pinned: Callable[[str], Collection[int]] = lambda _: (),
) -> tuple[list[Merged], list[ConflictError]]:
    """Merge the small files of these tables and sources; what was merged, and what another process kept from being.

    only_many: as of `compact_table`. pinned: the versions of a source that datasets' queries are made of.
    """
    steps: list[Callable[[], Merged | None]] = [
        partial(compact_table, OfflineTable(settings.offline_dir / view), settings, only_many=only_many)
        for view in views
    ]
    steps += [
        partial(
            compact_source,
            RawTable(contract, settings.raw_dir),
            settings,
            only_many=only_many,
            readers=partial(readers_of, contract.name, settings, pinned),
        )
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


def readers_of(source: str, settings: Settings, pinned: Callable[[str], Collection[int]]) -> Readers:
    """Who reads a source: every table that is there, offered or not, and those that have pinned versions of it."""
    tables = [latest for folder in folders_in(settings.offline_dir) if (latest := OfflineTable(folder).latest())]
    built = [table.run.sources[source] for table in tables if source in table.run.sources]
    return Readers(built=built, pinned=pinned(source))

"""Compaction of tables and sources that datasets are made of: what their queries read of a source stays readable."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from transformations.contracts import Contract
from transformations.datasets.deletion import sources_pinned
from transformations.engine.base.errors import ConflictError
from transformations.engine.base.settings import Settings
from transformations.engine.merging.merged_files import Merged
from transformations.engine.upkeep.compaction import compact_all


def compact(
    views: Iterable[str], sources: Iterable[Contract], settings: Settings, *, only_many: bool = False
) -> tuple[list[Merged], list[ConflictError]]:
    """As `compact_all`, with what datasets have pinned."""
    return compact_all(views, sources, settings, only_many=only_many, pinned=partial(sources_pinned, settings))

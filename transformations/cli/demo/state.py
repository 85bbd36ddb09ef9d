"""The state of the demo: the steps that are done, which a second run skips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.cli.output import remark
from transformations.contracts import read_contract
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import content_hash
from transformations.engine.raw.zone import RawTable
from transformations.insight.repository import read_repository

if TYPE_CHECKING:
    from transformations.insight.freshness import ViewFreshness


@dataclass(frozen=True)
class DemoState:
    """How the demo stands. moment: when the newest rows of all views can be served, once all are built."""

    views: Mapping[str, ViewFreshness]
    moment: datetime | None
    changes: int

    @property
    def is_built(self) -> bool:
        """Whether every table is of its definition, and as complete as its sources."""
        from transformations.insight.freshness import State

        unbuilt = (State.SOURCE_MISSING, State.SOURCE_INCOMPLETE, State.NOT_BUILT, State.REDEFINED, State.BEHIND)
        return all(view.state not in unbuilt for view in self.views.values())

    @property
    def is_loaded(self) -> bool:
        """Whether the online store has the newest rows of every view."""
        from transformations.insight.freshness import State

        return all(view.state in (State.UP_TO_DATE, State.SOURCE_LATE) for view in self.views.values())


def is_ingested(source: str, file: Path, complete_through: date | None, settings: Settings) -> bool:
    """Whether the source's newest drop is this very file, complete through that day; as `features ingest` sees it."""
    table = RawTable(read_contract(source, settings.contracts), settings.raw_dir)
    if not table.exists():
        return False
    snapshot = table.snapshot()
    is_complete = complete_through is None or (snapshot.complete_through or date.min) >= complete_through
    return is_complete and snapshot.drops[-1].content_hash == content_hash(file)


def demo_state(settings: Settings) -> DemoState:
    """Look at raw zone, tables, registry and online store; as `features status` and `features diff` do."""
    from transformations.insight.standing import freshness_of, read_changes, servable_from

    chosen = read_repository(settings).select([])
    views = freshness_of(chosen, settings, remark)
    changes = len(read_changes(settings).changes)
    return DemoState({view.view: view for view in views}, servable_from(chosen, views), changes)

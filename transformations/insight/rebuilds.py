"""What building the views that changed would cost, by the plans that `features build` would make now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from transformations.engine.base.errors import DamagedError, DataError
from transformations.engine.base.settings import Settings
from transformations.engine.compute.build import built_table, source_snapshots
from transformations.engine.compute.plan import FirstLoad, estimate_cost, plan_build
from transformations.engine.compute.plan import Rebuild as RebuildPlan
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.vocabulary.resolution import Resolved


@dataclass(frozen=True, kw_only=True)
class Rebuild:
    """A table that the definition in feature_repo/ makes obsolete, or that does not exist yet.

    rows: those it holds. events, seconds: the plan's estimate; None where a source was never ingested, and seconds also
    without a full run to go by.
    """

    view: str
    rows: int | None
    events: int | None = None
    seconds: float | None = None


def rebuild_costs(views: Iterable[Resolved], settings: Settings) -> list[Rebuild]:
    """What building these views costs; a view whose table was built by its definition is left out."""
    return [cost for resolved in views for cost in _cost_of(resolved, settings)]


def _cost_of(resolved: Resolved, settings: Settings) -> Iterator[Rebuild]:
    table = OfflineTable(settings.offline_dir / resolved.name)
    built = built_table(table)
    if built is not None and built.version.run.definition_hash == resolved.hash:
        return
    rows = None if built is None else built.version.rows
    try:
        plan = plan_build(resolved, source_snapshots(resolved, settings), built, settings.now())
    except DamagedError:
        raise
    except DataError:  # a source was never ingested
        plan = None
    if isinstance(plan, FirstLoad | RebuildPlan):
        estimate = estimate_cost(plan, table.runs())
        yield Rebuild(view=resolved.name, rows=rows, events=estimate.events, seconds=estimate.seconds)
    else:
        yield Rebuild(view=resolved.name, rows=rows)

"""What stored tables were computed from, as each build recorded it, beside what is declared today."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformations.engine.base.settings import Settings
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.insight.lineage.graph import Kind, Lineage, Role, Thing


@dataclass(frozen=True, kw_only=True)
class StoredLineage:
    """A feature as a table holds it. stored, declared: the source columns of its values, sorted.

    declared is None for a feature that is no longer declared; stored is None for one that the table does not hold yet.
    """

    feature: str
    version: int
    stored: tuple[str, ...] | None
    declared: tuple[str, ...] | None

    @property
    def differs(self) -> bool:
        """Whether the table was computed from something else than is declared."""
        return self.stored != self.declared

    def __str__(self) -> str:
        before = f"computed from {', '.join(self.stored)}" if self.stored is not None else "not stored yet"
        now = f"declared from {', '.join(self.declared)}" if self.declared is not None else "no longer declared"
        return f"{self.feature}: {before} (version {self.version}), {now}"


def stored_lineage(things: Sequence[Thing], lineage: Lineage, settings: Settings) -> list[StoredLineage]:
    """Of the features among these things, what the newest versions of their tables were computed from.

    Views that are not built, and versions from before builds recorded it, are left out. Where all features of a view
    are asked for, those that its table alone still has are among them.
    """
    features = [thing for thing in things if thing.kind is Kind.FEATURE]
    views = dict.fromkeys(thing.name.partition(":")[0] for thing in features)
    return [each for view in views for each in _of_view(view, features, lineage, settings)]


def _of_view(view: str, features: Sequence[Thing], lineage: Lineage, settings: Settings) -> Iterator[StoredLineage]:
    table = OfflineTable(settings.offline_dir / view)
    latest = table.latest()
    if latest is None or not latest.run.lineage:
        return
    declared = {thing.name: _columns(thing, lineage) for thing in features if thing.name.startswith(f"{view}:")}
    known = {thing.name for thing in lineage.things if thing.name.startswith(f"{view}:")}
    gone = [f"{view}:{name}" for name in latest.run.lineage if f"{view}:{name}" not in known]
    for name in [*declared, *(gone if len(declared) == len(known) else ())]:
        stored = latest.run.lineage.get(name.partition(":")[2])
        yield StoredLineage(feature=name, version=latest.version, stored=stored, declared=declared.get(name))


def _columns(thing: Thing, lineage: Lineage) -> tuple[str, ...]:
    values = (arrow.origin.name for arrow in lineage.read_by(thing) if arrow.role is Role.VALUE)
    return tuple(sorted(values))

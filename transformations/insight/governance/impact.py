"""What a change would touch, and who must be asked before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformations.engine.base.settings import Settings
from transformations.insight.governance.owners import Ownership
from transformations.insight.lineage.graph import Kind, Lineage, Reached, Thing
from transformations.insight.lineage.stored import StoredLineage, stored_lineage
from transformations.insight.lineage.trained import TrainedVersion, trained_versions


@dataclass(frozen=True)
class Asked:
    """An owner, how one reaches it, and what of its would change."""

    owner: str
    team: str
    contact: str
    things: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Impact:
    """touched: what is computed from the changed things, as declared today. ask: the owners of all that is concerned.

    stored: features whose tables were computed otherwise than is declared. trained: the versions in use of models that
    are touched, or that were trained on a dataset that is.
    """

    touched: Sequence[Reached]
    ask: Sequence[Asked]
    stored: Sequence[StoredLineage]
    trained: Sequence[TrainedVersion]


def impact_of(changed: Sequence[Thing], lineage: Lineage, ownership: Ownership | None, settings: Settings) -> Impact:
    """The impact of a change of these things."""
    touched = lineage.downstream(changed)
    concerned = {each.name for each in (*changed, *(each.thing for each in touched))}
    models = [thing for thing in lineage.things if thing.kind is Kind.MODEL]
    trained = [
        each
        for each in trained_versions(models, lineage, settings)
        if concerned.intersection((each.model, each.trained_on))
    ]
    stored = [
        each
        for each in stored_lineage(lineage.things, lineage, settings)
        if each.differs and concerned.intersection((each.feature, *(each.stored or ())))
    ]
    further = {*(each.model for each in trained), *(each.feature for each in stored)}
    asked = [*(each.thing for each in touched), *(thing for thing in lineage.things if thing.name in further)]
    return Impact(touched=touched, ask=_asked(asked, ownership), stored=stored, trained=trained)


def _asked(things: Sequence[Thing], ownership: Ownership | None) -> list[Asked]:
    owned: dict[str, dict[str, None]] = {}
    for thing in things:
        owned.setdefault(thing.owner or "nobody", {})[thing.container] = None
    known = ownership.owners if ownership else {}
    return [
        Asked(
            owner,
            known[owner].team if owner in known else "",
            known[owner].contact if owner in known else "",
            tuple(names),
        )
        for owner, names in sorted(owned.items())
    ]

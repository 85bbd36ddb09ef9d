"""What a change would touch, and who must be asked before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformations.contracts import contract_names, read_contract
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


@dataclass(frozen=True)
class Referring:
    """A source's column, such as `visits.page`, whose values must stand in a changed one (`to`)."""

    column: Thing
    to: str

    def __str__(self) -> str:
        """`visits.page must be in pages.page`."""
        return f"{self.column.name} must be in {self.to}"


@dataclass(frozen=True, kw_only=True)
class Impact:
    """touched: what is computed from the changed things, as declared today. ask: the owners of all that is concerned.

    referring: the columns that refer to a changed one by a contract's foreign key.
    stored: features whose tables were computed otherwise than is declared. trained: the versions in use of models that
    are touched, or that were trained on a dataset that is.
    """

    touched: Sequence[Reached]
    ask: Sequence[Asked]
    referring: Sequence[Referring]
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
    referring = _referring(changed, settings)
    asked = [
        *(each.thing for each in touched),
        *(each.column for each in referring),
        *(thing for thing in lineage.things if thing.name in further),
    ]
    return Impact(touched=touched, ask=_asked(asked, ownership), referring=referring, stored=stored, trained=trained)


def _referring(changed: Sequence[Thing], settings: Settings) -> list[Referring]:
    names = {thing.name for thing in changed if thing.kind is Kind.COLUMN}
    found = []
    for contract in (read_contract(name, settings.contracts) for name in contract_names(settings.contracts)):
        for reference in contract.references:
            for column, theirs in zip(reference.columns, reference.source_columns, strict=True):
                if (to := f"{reference.source}.{theirs}") in names:
                    own = Thing(Kind.COLUMN, f"{contract.name}.{column}", contract.owner)
                    found.append(Referring(own, to))
    return found


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

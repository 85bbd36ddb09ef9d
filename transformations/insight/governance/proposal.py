"""What applying the feature repository would change, whom that touches, and what it would cost: `features diff`."""

from __future__ import annotations

from dataclasses import dataclass

from transformations.engine.base.settings import Settings
from transformations.insight.changes import Changes
from transformations.insight.governance.contract_versions import ChangedContract, changed_contracts, touched_by
from transformations.insight.governance.held_definitions import held_definitions
from transformations.insight.governance.house_rules import problems_of_repository
from transformations.insight.lineage.graph import Lineage
from transformations.insight.lineage.reading import read_lineage
from transformations.insight.rebuilds import Rebuild, rebuild_costs
from transformations.insight.repository import read_contents, read_repository
from transformations.insight.standing import read_changes
from transformations.models.holding.guard import REMEDY


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The repository against what is applied and stored.

    touched: for each of the changed contracts what reads what has changed, in words. rules: the house rules that the
    repository breaks, in words. held: the versions of models that applying it would break.
    """

    changes: Changes
    rebuilds: tuple[Rebuild, ...]
    contracts: tuple[ChangedContract, ...]
    touched: tuple[tuple[str, ...], ...]
    rules: tuple[str, ...]
    held: tuple[str, ...]

    @property
    def remedy(self) -> str:
        """What to do about definitions that models use."""
        return REMEDY

    @property
    def is_refused(self) -> bool:
        """Whether somebody's request, or a model's, would fail or mean something else, or a contract hides it."""
        return self.changes.is_destructive or bool(self.held) or any(each.is_unannounced for each in self.contracts)


def read_proposal(settings: Settings) -> Proposal:
    """Compare the repository with Feast's registry, the tables and the stored contracts."""
    changes, contents = read_changes(settings), read_contents(settings)
    views = read_repository(settings).views
    rebuilt = (views[name].resolved for name in changes.computed if name in views)
    contracts = tuple(changed_contracts(settings))
    lineage = read_lineage(settings) if contracts else Lineage((), ())
    return Proposal(
        changes=changes,
        rebuilds=tuple(rebuild_costs(rebuilt, settings)),
        contracts=contracts,
        touched=tuple(tuple(touched_by(each, lineage)) for each in contracts),
        rules=tuple(str(problem) for problem in problems_of_repository(contents, settings)),
        held=tuple(held_definitions(contents, settings)),
    )

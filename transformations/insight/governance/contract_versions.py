"""Contracts that differ from before: from what rows were stored under, and from a revision in git."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformations.contracts import Contract, contract_names, read_contract
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.raw.contract_terms import TermChange, changes_between, needs_version, terms_of
from transformations.engine.raw.zone import RawTable
from transformations.engine.vocabulary.resolution import Resolved
from transformations.insight.governance.held_definitions import refuse_held_views
from transformations.insight.lineage.graph import Kind, Lineage
from transformations.insight.lineage.reading import read_lineage
from transformations.insight.standing import require_sources
from validation.feature_rules import Problem

_MOST_NAMED = 6


@dataclass(frozen=True, kw_only=True)
class ChangedContract:
    """A contract whose terms have changed. fault: what is wrong with its version; None where nothing is."""

    contract: Contract
    changes: tuple[TermChange, ...]
    fault: str | None

    @property
    def incompatible(self) -> tuple[TermChange, ...]:
        """The changes that stored rows or readers may not survive."""
        return tuple(change for change in self.changes if not change.is_compatible)

    @property
    def is_unannounced(self) -> bool:
        """Whether something incompatible hides behind the version."""
        return self.fault is not None and bool(self.incompatible)


def changed_contracts(settings: Settings, sources: Sequence[str] | None = None) -> list[ChangedContract]:
    """The contracts that differ from those under which the newest rows of their sources were stored."""
    found = []
    for name in contract_names(settings.contracts) if sources is None else sources:
        contract = read_contract(name, settings.contracts)
        changes, fault = RawTable(contract, settings.raw_dir).contract_changes()
        if changes:
            found.append(ChangedContract(contract=contract, changes=tuple(changes), fault=fault))
    return found


def contracts_changed_since(revision: str, settings: Settings) -> list[ChangedContract]:
    """The contracts that differ from what git has of them at a revision; those that are new do not."""
    found = []
    for name in contract_names(settings.contracts):
        contract = read_contract(name, settings.contracts)
        before = _at_revision(contract, revision, settings)
        if before is not None:
            changes = changes_between(name, terms_of(before), terms_of(contract))
            fault = needs_version(changes, before.version, contract.version)
            if changes:
                found.append(ChangedContract(contract=contract, changes=tuple(changes), fault=fault))
    return found


def version_problems(changed: Sequence[ChangedContract], lineage: Lineage) -> Iterator[Problem]:
    """A rule broken for each contract whose version does not announce its changes, with whom these touch."""
    for each in changed:
        if each.fault is not None:
            said = "; ".join([*map(str, each.incompatible or each.changes), *touched_by(each, lineage)])
            remedy = "Raise the major version" if each.incompatible else "Raise the version"
            yield Problem(f"source {each.contract.name}", f"has changed, and its {each.fault}: {said}", remedy)


def problems_since(revision: str, settings: Settings) -> Iterator[Problem]:
    """The same of the contracts that differ from what git has of them at a revision."""
    return version_problems(contracts_changed_since(revision, settings), read_lineage(settings))


def touched_by(changed: ChangedContract, lineage: Lineage) -> list[str]:
    """What reads what has changed incompatibly, by kind and owner: `touches feature clicks:n of web@x.org`.

    Also names the datasets and models of which that is unknown, because their files cannot be read.
    """
    places = {change.place for change in changed.incompatible}
    columns = [thing for thing in lineage.things if thing.kind is Kind.COLUMN]
    found = [thing for thing in columns if places & {thing.name, thing.container}]
    owned: dict[tuple[Kind, str], list[str]] = {}
    for reached in sorted(lineage.downstream(found), key=lambda each: each.thing.kind.place):
        thing = reached.thing
        owned.setdefault((thing.kind, thing.owner or "nobody"), []).append(thing.name)
    touched = [f"touches {_named(kind, names)} of {owner}" for (kind, owner), names in owned.items()]
    return [*touched, *lineage.gaps()]


def _named(kind: Kind, names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return f"{kind}{'s' if len(names) > 1 else ''} {', '.join(names[:_MOST_NAMED])}{more}"


def require_buildable(views: Sequence[Resolved], settings: Settings) -> None:
    """DataError unless the sources of these views are ingested, their contracts say what has changed in them, and no
    model uses what would be computed otherwise.
    """
    require_sources(views, settings)
    refuse_changed_contracts(views, settings)
    refuse_held_views([resolved.name for resolved in views], settings)


def refuse_changed_contracts(views: Iterable[Resolved], settings: Settings) -> None:
    """DataError for the contracts behind these views that changed incompatibly under a version that does not say so,
    with what the changes touch and whose that is.
    """
    sources = list(dict.fromkeys(name for resolved in views for name in resolved.source_names))
    hidden = [each for each in changed_contracts(settings, sources) if each.is_unannounced]
    if not hidden:
        return
    lineage = read_lineage(settings)
    lines = []
    for each in hidden:
        lines.append(f"{each.contract.file_name}: {each.fault}, yet stored rows or their readers would break:")
        lines += [f"  {change}" for change in each.incompatible]
        lines += [f"  {touched}" for touched in touched_by(each, lineage)]
    raise DataError("\n".join([*lines, "Raise the major version and tell the owners, or take the changes back."]))


def _at_revision(contract: Contract, revision: str, settings: Settings) -> Contract | None:
    """The contract as git has it at a revision; None where it is not there. UsageError without git or revision."""
    file = settings.contracts / contract.file_name
    git = ["git", "-C", str(file.parent)]
    try:
        commit = [*git, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]
        if subprocess.run(commit, capture_output=True, check=False).returncode:
            raise UsageError(f"git knows no revision {revision!r} here. Name a commit, branch or tag, such as main.")
        shown = subprocess.run([*git, "show", f"{revision}:./{file.name}"], capture_output=True, check=False)
    except FileNotFoundError:
        raise UsageError("--against compares with git, which is not installed here.") from None
    if shown.returncode:
        return None
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / file.name).write_bytes(shown.stdout)
        return read_contract(contract.name, Path(folder))

"""`features diff`: what `feast apply` would change, whom that affects, and what a rebuild costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from transformations.cli.options import json_option
from transformations.cli.output import print_json, remark_broken_rules, say
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import human_duration, plural

if TYPE_CHECKING:
    from transformations.insight.changes import Change, Changes
    from transformations.insight.governance.contract_versions import ChangedContract
    from transformations.insight.rebuilds import Rebuild

_DESTRUCTIVE = 3
_MARKS = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}


@click.command(
    epilog="""\b
Examples:
  features diff
  features diff --json | jq -r '.changes[] | select(.is_destructive) | .name'
  features diff && feast -c feature_repo apply

\b
Exit code 3: a feature, view or service is removed, or a dtype or key changes, so that somebody's request would fail or
mean something else; a definition changes that a model in production, in a rollout, or next in a rollback uses; or a
contract changes incompatibly under a version that does not say so. It is 0 for everything
else, also where there is nothing to apply.
"""
)
@json_option
@click.pass_context
def diff(ctx: click.Context, as_json: bool) -> None:
    """Show what `feast apply` would change: features added, changed and removed, and what that means.

    Compares feature_repo/ with Feast's registry by Feast's own plan, which it replaces for reading. Refuses a
    service in which two values would have one name, as `feast plan` and `feast apply` do. Names the house rules that
    are broken, which `make test` refuses.
    """
    from transformations.insight.governance.proposal import read_proposal

    settings = get_settings()
    found = read_proposal(settings)
    if as_json:
        facts = {
            "rebuilt": [asdict(rebuild) for rebuild in found.rebuilds],
            "is_destructive": found.changes.is_destructive,
            "broken_rules": list(found.rules),
            "held_by_models": list(found.held),
            "contracts": [
                _document_of_contract(each, touched)
                for each, touched in zip(found.contracts, found.touched, strict=True)
            ],
        }
        print_json(asdict(found.changes) | facts)
    else:
        _print_changes(found.changes, found.rebuilds)
        if found.contracts:
            _print_contracts(found.contracts, found.touched)
        for line in found.held:
            say(click.style(f"refused: {line}", fg="red"))
        if found.held:
            say(found.remedy)
        remark_broken_rules(found.rules)
    ctx.exit(_DESTRUCTIVE if found.is_refused else 0)


def _print_changes(changes: Changes, rebuilds: Sequence[Rebuild]) -> None:
    if not changes.changes:
        say("nothing to apply: the registry has what feature_repo/ declares")
        return
    for change in changes.changes:
        _print_change(change)
    counts = [f"{sum(change.action == action for change in changes.changes)} {action}" for action in _MARKS]
    say("\n" + ", ".join(counts))
    for label, names in (("services touched", changes.touched_services), ("owners", changes.owners)):
        if names:
            say(f"{label}: {', '.join(names)}")
    for service, features in changes.widened.items():
        say(_widening_in_words(service, features))
    for rebuild in rebuilds:
        say(_cost_in_words(rebuild))
    if changes.is_destructive:
        say(click.style("destructive: somebody who reads it now would fail or read something else", fg="red"))
    say("apply with: feast -c feature_repo apply")


def _print_contracts(contracts: Sequence[ChangedContract], touched: Sequence[Sequence[str]]) -> None:
    """How contracts differ from what rows were stored under, and whom that touches."""
    for each, lines in zip(contracts, touched, strict=True):
        say(click.style(f"~ contract {each.contract.name} {each.contract.version}", fg="yellow"))
        for change in each.changes:
            say(f"    {change}" + ("" if change.is_compatible else "  INCOMPATIBLE"))
        for line in lines:
            say(f"    {line}")
        if each.fault is not None:
            say(f"    its {each.fault}")


def _document_of_contract(changed: ChangedContract, touched: Sequence[str]) -> dict[str, object]:
    return {
        "source": changed.contract.name,
        "version": changed.contract.version,
        "changes": [
            {"place": each.place, "change": str(each), "is_compatible": each.is_compatible} for each in changed.changes
        ],
        "touches": list(touched),
        "fault": changed.fault,
    }


def _print_change(change: Change) -> None:
    mark, color = _MARKS[change.action]
    destructive = "  DESTRUCTIVE" if change.is_destructive else ""
    say(click.style(f"{mark} {change.kind} {change.name}", fg=color, bold=change.is_destructive) + destructive)
    for detail in change.details:
        say(f"    {detail}")


def _widening_in_words(service: str, features: Sequence[str]) -> str:
    return (
        f"widened: {service} lists whole views and so gets {', '.join(features)} as well; a model of it would be "
        f"handed inputs that it was not trained on. Name the features of the version in use, VIEW[[…]], and give the "
        f"wider list to a version of its own"
    )


def _cost_in_words(rebuild: Rebuild) -> str:
    action = "build" if rebuild.rows is None else "rebuild"
    held = ", for the first time" if rebuild.rows is None else f", {plural(rebuild.rows, 'row')}"
    if rebuild.events is None:
        return f"to {action}: {rebuild.view}{held}"
    took = "" if rebuild.seconds is None else f", about {human_duration(rebuild.seconds)}"
    return f"to {action}: {rebuild.view}{held} ({plural(rebuild.events, 'event')} to read{took})"

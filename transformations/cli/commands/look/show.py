"""`features show`: what a name means, in which unit, whose it is, what it comes from and how fresh it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, say
from transformations.contracts import contract_names
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.words import plural
from transformations.engine.expected.candidates import refused
from transformations.engine.tables.offline_tables import OfflineTable

if TYPE_CHECKING:
    from transformations.insight.catalogue import Card


def _complete_word(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from transformations.stores.base.domain_files import definitions

    names = set(contract_names(get_settings().contracts))
    for name, definition in definitions().items():
        names |= {name, *(feature.name for feature in definition.declared)}
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


@click.command(
    epilog="""\b
Examples:
  features show visits_count_7d                 a feature, by its name alone
  features show user_visits:visits_count_7d     where two views have one of that name
  features show user_visits                     a view
  features show churn_v1                        a feature service
  features show clicks.page                     a column of a source
"""
)
@click.argument("word", shell_complete=_complete_word)
@json_option
def show(word: str, as_json: bool) -> None:
    """Explain WORD: a feature, view, service, entity, source or source column.

    Shows meaning, unit, expected values, dtype, owner, lineage from services down to source columns, and how far the
    tables behind it are complete. Of a view also what its last build computed and refused, if it did.
    """
    from transformations.insight.catalogue import completeness_text, read_catalog

    settings = get_settings()
    cards = read_catalog(settings).find(word)
    freshness = {view: completeness_text(view, settings) for card in cards for view in card.freshness_of}
    if as_json:
        print_json([_document_of_card(card, freshness) for card in cards])
        return
    for number, card in enumerate(cards):
        if number:
            say("")
        _print_card(card, freshness)
        if card.kind == "feature view" and card.name in freshness:
            _print_refused(card.name, settings)


def _print_card(card: Card, freshness: dict[str, str]) -> None:
    say(click.style(card.name, bold=True) + f"  ({card.kind})")
    fresh = "; ".join(f"{view} {freshness[view]}" for view in card.freshness_of)
    first, *rest = [*card.facts, *([("Freshness", fresh)] if fresh else [])]
    print_table(first, rest)
    if card.lineage:
        say("Lineage")
        for line in card.lineage:
            say(f"  {line}")


def _print_refused(view: str, settings: Settings) -> None:
    """What the last build of a view computed and did not publish, rule by rule."""
    found = refused(OfflineTable(settings.offline_dir / view))
    if found is None:
        return
    kept = "the table is empty" if found.after is None else f"version {found.after} serves on"
    say(click.style("Refused", bold=True) + f"  {found.kind} as-of {found.as_of}; {kept}")
    headers = ("Feature", "Statistic", "Expected", "Found", "Such as")
    names = ("feature", "statistic", "expected", "found", "example")
    print_table(headers, [[breach[name] for name in names] for breach in found.breaches])
    say(f"Its {plural(found.rows, 'row')}: {Path(found.files[0]).parent if found.files else 'removed'}")
    say(f"Publish them all the same: features build --accept {view}")


def _document_of_card(card: Card, freshness: dict[str, str]) -> dict[str, object]:
    return {
        "kind": card.kind,
        "name": card.name,
        **{label.lower().replace(" ", "_"): text for label, text in card.facts},
        "freshness": {view: freshness[view] for view in card.freshness_of},
        "lineage": list(card.lineage),
    }

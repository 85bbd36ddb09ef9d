"""`features show`: what a name means, in which unit, whose it is, what it comes from and how fresh it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, say
from transformations.contracts import contract_names, read_contract
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.words import plural
from transformations.insight.repository import read_contents, read_expectations, read_repository

if TYPE_CHECKING:
    from transformations.insight.catalogue import Card, Catalog


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
    settings = get_settings()
    catalog = read_catalog(settings)
    cards = catalog.find(word)
    if not cards:
        raise UsageError(f"nothing here is called {word!r}. {_nearest_names(word, catalog.names())}")
    freshness = {view: _complete_through(view, settings) for card in cards for view in card.freshness_of}
    if as_json:
        print_json([_document(card, freshness) for card in cards])
        return
    for number, card in enumerate(cards):
        if number:
            say("")
        _print_card(card, freshness)
        if card.kind == "feature view" and card.name in freshness:
            _print_refused(card.name, settings)


def read_catalog(settings: Settings) -> Catalog:
    """The catalogue of the repository and of all contracts."""
    from transformations.insight.catalogue import Catalog

    contracts = [read_contract(name, settings.contracts) for name in contract_names(settings.contracts)]
    repository = read_repository(settings)
    return Catalog(read_contents(settings), repository, contracts, read_expectations(repository, settings))


def _nearest_names(word: str, names: set[str]) -> str:
    """A few near names: there may be hundreds."""
    from difflib import get_close_matches

    close = get_close_matches(word, sorted(names), n=5, cutoff=0.6)
    inside = [name for name in sorted(names) if word.casefold() in name.casefold()]
    near = list(dict.fromkeys([*close, *inside]))[:8]
    return (
        f"Near: {', '.join(near)}." if near else "No name is near; `features show SERVICE` lists a service's features."
    )


def _complete_through(view: str, settings: Settings) -> str:
    from transformations.engine.tables.offline_tables import OfflineTable

    latest = OfflineTable(settings.offline_dir / view).latest()
    return "not built yet" if latest is None else f"complete through {latest.run.complete_through}"


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
    from transformations.engine.expected.candidates import refused
    from transformations.engine.tables.offline_tables import OfflineTable

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


def _document(card: Card, freshness: dict[str, str]) -> dict[str, object]:
    return {
        "kind": card.kind,
        "name": card.name,
        **{label.lower().replace(" ", "_"): text for label, text in card.facts},
        "freshness": {view: freshness[view] for view in card.freshness_of},
        "lineage": list(card.lineage),
    }

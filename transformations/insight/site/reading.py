"""Reads everything that the site shows: declarations, owners, lineage, tests, and the offline tables as they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from feast import FeatureService, FeatureView, Field, OnDemandFeatureView
from feast.repo_contents import RepoContents

from transformations.contracts import PII_CLASSES, Contract, contract_names, read_contract
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import plural
from transformations.engine.expected.model import ExpectedView
from transformations.engine.raw.zone import RawTable
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.insight.catalogue import Card, Catalog
from transformations.insight.freshness import common_moment, offline_freshness
from transformations.insight.governance.house_rules import tests_of_domains
from transformations.insight.governance.owners import Ownership, read_ownership
from transformations.insight.lineage.declared import Declared, read_all_declared
from transformations.insight.lineage.graph import Kind, Lineage
from transformations.insight.lineage.reading import lineage_of
from transformations.insight.repository import (
    Repository,
    read_contents,
    read_expectations,
    read_repository,
    repository_folder,
)
from transformations.insight.site.declared_pages import DeclaredPages, Made, read_made
from transformations.insight.site.distributions import Distribution, distributions_of
from transformations.insight.site.drawing import Drawing
from transformations.insight.site.examples import examples
from transformations.insight.site.expected_plots import ExpectedPlot, expected_plots
from transformations.insight.site.lineage_drawings import LineageDrawings
from transformations.insight.site.pages import Address, Example, Fact, Members, Page, PageKind, Piece, Site

_WITHHELD = PII_CLASSES[1:]
_LISTED = {  # facts that name pages, and the kinds of these
    "Owner": (PageKind.OWNER,),
    "View": (PageKind.VIEW, PageKind.ON_DEMAND_VIEW),
    "Views": (PageKind.VIEW, PageKind.ON_DEMAND_VIEW),
    "Service": (PageKind.SERVICE,),
    "Services": (PageKind.SERVICE,),
    "Dataset": (PageKind.DATASET,),
    "Models": (PageKind.MODEL,),
    "Source": (PageKind.SOURCE,),
    "Sources": (PageKind.SOURCE,),
    "Features": (PageKind.FEATURE, PageKind.ON_DEMAND_FEATURE),
    "Key of": (PageKind.VIEW,),
}
_AS_TABLE = {PageKind.VIEW: "Features", PageKind.ON_DEMAND_VIEW: "Features", PageKind.SOURCE: "Columns"}


@dataclass(frozen=True, kw_only=True)
class _Tables:
    """Of each source that was ingested, and each view that is built: freshness in words; of views, the moment their
    newest rows can be joined, and their values.

    expected: by view and feature, what is expected of the values beside what they are.
    """

    sources: Mapping[str, str]
    freshness: Mapping[str, str]
    moments: Mapping[str, datetime]
    distributions: Mapping[str, Mapping[str, Distribution]]
    expected: Mapping[str, Mapping[str, tuple[ExpectedPlot, ...]]]


def read_site(settings: Settings) -> Site:
    """The whole site. Errors as of reading contracts, definitions and owners.yaml."""
    contents = read_contents(settings)
    repository = read_repository(settings)
    contracts = [read_contract(name, settings.contracts) for name in contract_names(settings.contracts)]
    declared = read_all_declared(settings)
    lineage = lineage_of(contents, repository, contracts, declared)
    expected = read_expectations(repository, settings)
    reading = _Reading(
        contents=contents,
        repository=repository,
        cards=list(Catalog(contents, repository, contracts, expected).cards()),
        declared=declared,
        made=read_made(declared, settings),
        lineage=lineage,
        drawings=LineageDrawings(lineage, [view.name for view in contents.on_demand_feature_views]),
        ownership=read_ownership(repository_folder(settings)),
        tests=tests_of_domains(settings.project_root),
        tables=_read_tables(repository, contracts, expected, settings),
    )
    return reading.site()


def _read_tables(
    repository: Repository, contracts: Sequence[Contract], expected: Mapping[str, ExpectedView], settings: Settings
) -> _Tables:
    freshness, moments = {}, {}
    distributions: dict[str, Mapping[str, Distribution]] = {}
    plots: dict[str, Mapping[str, tuple[ExpectedPlot, ...]]] = {}
    for name, offered in repository.views.items():
        found = offline_freshness(offered.resolved, settings)
        if found is None:
            freshness[name] = "not built yet"
            continue
        outdated = "" if found.definition_hash == offered.resolved.hash else "; built by an earlier definition"
        through = f"complete through {found.complete_through}"
        freshness[name] = f"{through}, version {found.version}, {plural(found.rows, 'row')}{outdated}"
        moments[name] = common_moment([(offered.resolved, found)])
        shown = [field.name for field in offered.view.features if not _is_withheld(field)]
        newest = OfflineTable(settings.offline_dir / name).newest()
        distributions[name] = distributions_of(newest, list(offered.resolved.join_keys), shown)
        if name in expected:
            plots[name] = expected_plots(offered.resolved, expected[name], newest, shown)
    return _Tables(
        sources={each.name: _freshness_of_source(RawTable(each, settings.raw_dir)) for each in contracts},
        freshness=freshness,
        moments=moments,
        distributions=distributions,
        expected=plots,
    )


def _freshness_of_source(table: RawTable) -> str:
    if not table.exists():
        return "not ingested yet"
    found = table.snapshot()
    through = f"complete through {found.complete_through}, " if found.complete_through else ""
    return f"{through}version {found.version}, {plural(found.rows, 'row')} in {plural(len(found.drops), 'drop')}"


def _is_withheld(field: Field) -> bool:
    return field.tags.get("pii") in _WITHHELD


@dataclass(frozen=True, kw_only=True)
class _Reading:
    contents: RepoContents
    repository: Repository
    cards: Sequence[Card]
    declared: Declared
    made: Made
    lineage: Lineage
    drawings: LineageDrawings
    ownership: Ownership | None
    tests: Mapping[str, str]
    tables: _Tables

    def site(self) -> Site:
        pages = [self._page_of_card(card) for card in self.cards]
        pages += DeclaredPages(
            declared=self.declared,
            made=self.made,
            drawings=self.drawings,
            fact=self._linked_fact,
            features=self._features_of_model,
        ).pages()
        pages += [
            self._page_of_request_field(thing.name) for thing in self.lineage.things if thing.kind is Kind.REQUEST_FIELD
        ]
        pages += self._pages_of_owners(pages)
        return Site(self.contents.projects[0].name, pages, self.drawings.overview(), self.lineage.gaps())

    def _page_of_card(self, card: Card) -> Page:
        address = Address(PageKind(card.kind), card.name)
        facts = dict(card.facts)
        view, _, name = address.name.partition(":")
        plots = self.tables.expected.get(view, {}).get(name, ()) if address.kind is PageKind.FEATURE else ()
        left_out = {"Meaning", _AS_TABLE.get(address.kind, ""), *(("Distribution",) if plots else ())}
        shown = [self._linked_fact(label, text) for label, text in card.facts if label not in left_out]
        shown += [Fact(label, (Piece(text),)) for label, text in self._facts_beside_card(card, address)]
        return Page(
            address=address,
            title=card.short_name,
            summary=facts.get("Meaning", ""),
            facts=tuple(shown),
            members=tuple(self._members_of(address)),
            drawing=self._drawing_of(address),
            distribution=self._distribution_of(address),
            expected=plots,
            note=self._note_without_plot(address),
            examples=self._examples_for(address),
        )

    def _facts_beside_card(self, card: Card, address: Address) -> Iterator[tuple[str, str]]:
        if address.kind is PageKind.SOURCE:
            yield "Freshness", self.tables.sources[address.name]
        if address.kind in (PageKind.FEATURE, PageKind.ON_DEMAND_FEATURE):
            yield "Test", self._test_of(address.name)
        if len(card.freshness_of) == 1 and address.name.startswith(card.freshness_of[0]):
            yield "Freshness", self.tables.freshness[card.freshness_of[0]]
        elif card.freshness_of:
            yield "Freshness", "; ".join(f"{view} {self.tables.freshness[view]}" for view in card.freshness_of)

    def _test_of(self, reference: str) -> str:
        view, _, name = reference.partition(":")
        offered = self.repository.views.get(view)
        for each in offered.resolved.features if offered else ():
            if each.name == name:
                return self.tests.get(f"{view}.{each.declared.aggregation.name}", "none")
        return self.tests.get(name, "none")

    def _linked_fact(self, label: str, text: str) -> Fact:
        pieces = [self._piece(label, part) for part in text.split(", ")] if label in _LISTED else [Piece(text)]
        return Fact(label, tuple(pieces))

    def _piece(self, label: str, text: str) -> Piece:
        if label == "Owner":
            return Piece(text, Address(PageKind.OWNER, text).href)
        known = [Address(kind, text) for kind in _LISTED[label]]
        return Piece(text, next((each.href for each in known if each in self._addresses()), None))

    def _addresses(self) -> set[Address]:
        declared = [Address(PageKind.DATASET, each.name) for each in self.declared.datasets]
        declared += [Address(PageKind.MODEL, each.name) for each in self.declared.models]
        return {*declared, *(Address(PageKind(card.kind), card.name) for card in self.cards)}

    def _members_of(self, address: Address) -> Iterator[Members]:
        separator = "." if address.kind is PageKind.SOURCE else ":"
        prefix = f"{address.name}{separator}"
        if address.kind in _AS_TABLE:
            held = [each for each in self._features_and_columns() if each.name.startswith(prefix)]
            if held:
                yield self._table(_AS_TABLE[address.kind], held, len(prefix))
        elif address.kind is PageKind.SERVICE:
            yield self._table("Features", self._features_of_service(address.name), 0)

    def _features_of_model(self, service: str, left_out: Sequence[str]) -> Members:
        """The features of a service that a model takes."""
        asked = self._features_of_service(service)
        taken = [each for each in asked if each.name.partition(":")[2] not in left_out]
        return self._table("Features that it takes", taken, 0)

    def _features_of_service(self, name: str) -> list[Address]:
        service = next((each for each in self.contents.feature_services if each.name == name), None)
        parts = service.feature_view_projections if service else ()
        asked = {f"{part.name}:{field.name}" for part in parts for field in part.features}
        return [each for each in self._features_and_columns() if each.name in asked]

    def _table(self, title: str, held: Sequence[Address], cut: int) -> Members:
        """Features or columns with what is said of each; `cut` characters of their names go without saying."""
        cards = {(card.kind, card.name): dict(card.facts) for card in self.cards}
        labels = ("Meaning", "Unit", "Expected", "Dtype")
        rows = []
        for each in held:
            facts = cards[str(each.kind), each.name]
            rows.append((Piece(each.name[cut:], each.href), tuple(facts.get(label, "") for label in labels)))
        return Members(title, labels, tuple(rows))

    def _features_and_columns(self) -> list[Address]:
        """Features and columns in declared order."""
        kinds = (PageKind.FEATURE, PageKind.ON_DEMAND_FEATURE, PageKind.COLUMN)
        return [Address(PageKind(card.kind), card.name) for card in self.cards if PageKind(card.kind) in kinds]

    def _drawing_of(self, address: Address) -> Drawing | None:
        if address.kind in (
            PageKind.SOURCE,
            PageKind.VIEW,
            PageKind.ON_DEMAND_VIEW,
            PageKind.SERVICE,
            PageKind.DATASET,
        ):
            return self.drawings.around_holder(address)
        things = [thing for thing in self.lineage.things if self.drawings.address(thing) == address]
        return self.drawings.around_thing(things[0]) if things else None

    def _distribution_of(self, address: Address) -> Distribution | None:
        view, _, name = address.name.partition(":")
        return self.tables.distributions.get(view, {}).get(name) if address.kind is PageKind.FEATURE else None

    def _note_without_plot(self, address: Address) -> str:
        """What is said of a feature's values where no plot shows them."""
        if address.kind is PageKind.ON_DEMAND_FEATURE:
            return "Computed at request time and in training: no values are stored."
        if address.kind is not PageKind.FEATURE or self._distribution_of(address) is not None:
            return ""
        view, _, name = address.name.partition(":")
        if view not in self.repository.views:
            return "Its values are not computed here, so they are not shown."
        fields = {field.name: field for field in self.repository.views[view].view.features}
        if _is_withheld(fields[name]):
            return f"Its values are {fields[name].tags['pii']} data, so they are not shown."
        if view not in self.tables.moments:
            return "Its view is not built yet."
        return "The stored version has no values of it that a plot can show."

    def _examples_for(self, address: Address) -> tuple[Example, ...]:
        view, _, _ = address.name.partition(":")
        if address.kind is PageKind.SERVICE:
            names = [each.name for each in self._service_named(address.name).feature_view_projections]
            return examples(address.name, self._request_columns(names), self._joinable_from(names))
        if address.kind in (PageKind.FEATURE, PageKind.ON_DEMAND_FEATURE):
            return examples([address.name], self._request_columns([view]), self._joinable_from([view]))
        return ()

    def _request_columns(self, names: Sequence[str]) -> list[Field]:
        """The keys of these views and the fields of the request, each once."""
        found: dict[str, Field] = {}
        for stored in self._stored_views(names):
            found |= {field.name: field for field in stored.entity_columns}
        for on_demand in self._on_demand_views(names):
            for source in on_demand.source_request_sources.values():
                found |= {field.name: field for field in source.schema}
        return list(found.values())

    def _joinable_from(self, names: Sequence[str]) -> datetime | None:
        """When all of these views' newest rows can be joined; None until all are built."""
        stored = [view.name for view in self._stored_views(names)]
        moments = [self.tables.moments[name] for name in stored if name in self.tables.moments]
        return max(moments) if moments and len(moments) == len(stored) else None

    def _stored_views(self, names: Sequence[str]) -> list[FeatureView]:
        """The stored views among these, and those that the on-demand ones read."""
        wanted = {*names}
        for on_demand in self._on_demand_views(names):
            wanted |= {projection.name for projection in on_demand.source_feature_view_projections.values()}
        return [view for view in self.contents.feature_views if view.name in wanted]

    def _on_demand_views(self, names: Sequence[str]) -> list[OnDemandFeatureView]:
        return [view for view in self.contents.on_demand_feature_views if view.name in names]

    def _service_named(self, name: str) -> FeatureService:
        return next(service for service in self.contents.feature_services if service.name == name)

    def _page_of_request_field(self, name: str) -> Page:
        address = Address(PageKind.REQUEST_FIELD, name)
        summary = "Given with each request, and a column of the rows in training."
        return Page(address=address, title=name, summary=summary, facts=(), drawing=self._drawing_of(address))

    def _pages_of_owners(self, pages: Sequence[Page]) -> list[Page]:
        """A page for each owner, declared or not, of what it answers for."""
        declared = self.ownership.owners if self.ownership else {}
        owned: dict[str, list[Page]] = {name: [] for name in declared}
        for page in pages:
            for fact in page.facts:
                if fact.label == "Owner":
                    owned.setdefault(fact.pieces[0].text, []).append(page)
        return [self._page_of_owner(name, owned[name]) for name in sorted(owned)]

    def _page_of_owner(self, name: str, owned: Sequence[Page]) -> Page:
        declared = (self.ownership.owners if self.ownership else {}).get(name)
        facts = [("Contact", declared.contact)] if declared else []
        tables = []
        for kind in PageKind:
            of_kind = [page for page in owned if page.address.kind is kind]
            if of_kind and kind not in (PageKind.COLUMN, PageKind.FEATURE, PageKind.ON_DEMAND_FEATURE):
                rows = tuple((Piece(page.address.name, page.address.href), (page.summary,)) for page in of_kind)
                tables.append(Members(kind.plural.capitalize(), ("Meaning",), rows))
        return Page(
            address=Address(PageKind.OWNER, name),
            title=name,
            summary=declared.team if declared else "owners.yaml does not say how this owner is reached.",
            facts=tuple(Fact(label, (Piece(text),)) for label, text in facts),
            members=tuple(tables),
        )

"""A card for everything that has a name here: services, views, features, entities, sources and their columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from feast import Entity, FeatureService, FeatureView, Field, OnDemandFeatureView
from feast.feature_view_projection import FeatureViewProjection
from feast.repo_contents import RepoContents

from transformations.contracts import Column, Contract, contract_names, read_contract
from transformations.contracts.quality import QualityRule
from transformations.engine.base.errors import UsageError
from transformations.engine.base.moments import moment_text
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import plural
from transformations.engine.expected.model import ExpectedView
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.vocabulary.aggregations import Aggregation
from transformations.insight.repository import Repository, read_contents, read_expectations, read_repository


@dataclass(frozen=True, kw_only=True)
class Card:
    """One named thing. facts: label and text, in the order of reading; empty ones are left out.

    freshness_of: the views whose tables it rests on. lineage: from services to source columns, indented by two blanks a
    level.
    """

    kind: str
    name: str
    facts: tuple[tuple[str, str], ...]
    freshness_of: tuple[str, ...] = ()
    lineage: tuple[str, ...] = ()

    @property
    def short_name(self) -> str:
        """The name without its view or source."""
        return self.name.rpartition(":")[2].rpartition(".")[2]


class Catalog:
    """The cards of a feature repository and of its contracts. expected: by view, what is written of its values."""

    def __init__(
        self,
        contents: RepoContents,
        repository: Repository,
        contracts: Sequence[Contract],
        expected: Mapping[str, ExpectedView],
    ) -> None:
        self._expected = expected
        self._services = contents.feature_services
        self._views = {view.name: view for view in contents.feature_views}
        self._on_demand = {view.name: view for view in contents.on_demand_feature_views}
        self._entities = [entity for entity in contents.entities if not entity.name.startswith("__")]
        self._offered = repository.views
        self._contracts = contracts

    def find(self, word: str) -> list[Card]:
        """The cards of this name: full (`view:feature`, `source.column`) or short, whatever its case.

        UsageError with near names where there is none.
        """
        wanted, cards = word.casefold(), list(self.cards())
        found = [card for card in cards if wanted in (card.name.casefold(), card.short_name.casefold())]
        if not found:
            raise UsageError(f"nothing here is called {word!r}. {_near_names(word, cards)}")
        return found

    def cards(self) -> Iterator[Card]:
        """All cards, from what models ask for down to source columns."""
        for service in self._services:
            yield self._service_card(service)
        for view in self._views.values():
            yield self._view_card(view)
            yield from (self._feature_card(view, feature) for feature in view.features)
        for on_demand in self._on_demand.values():
            yield self._on_demand_view_card(on_demand)
            yield from (self._on_demand_feature_card(on_demand, feature) for feature in on_demand.features)
        yield from map(self._entity_card, self._entities)
        for contract in self._contracts:
            yield self._source_card(contract)
            yield from (self._column_card(contract, column) for column in contract.columns)

    def _service_card(self, service: FeatureService) -> Card:
        references = self._features_of(service)
        lineage = [line for reference in references for line in _indent(self._input_lines(reference))]
        return Card(
            kind="feature service",
            name=service.name,
            facts=_filled_facts(
                ("Meaning", service.description),
                ("Owner", service.owner),
                ("Features", f"{len(references)}, of {plural(len(service.feature_view_projections), 'view')}"),
                ("Tags", _tags_text(service.tags)),
            ),
            freshness_of=self._rests_on([projection.name for projection in service.feature_view_projections]),
            lineage=(service.name, *lineage),
        )

    def _view_card(self, view: FeatureView) -> Card:
        offered = self._offered.get(view.name)
        definition = offered.resolved.definition if offered else None
        expected = self._expected.get(view.name)
        return Card(
            kind="feature view",
            name=view.name,
            facts=_filled_facts(
                ("Meaning", view.description),
                ("Owner", view.owner),
                ("Keyed by", ", ".join(view.join_keys)),
                ("Features", ", ".join(feature.name for feature in view.features)),
                ("Sources", view.tags.get("sources", "")),
                ("Time to live", str(view.ttl) if view.ttl else ""),
                ("Available", f"{view.tags.get('available_after', '0 hours')} after the start of each business day"),
                ("Business days of", offered.resolved.zone if offered else ""),
                ("Definition", f"{view.tags.get('definition', '')} ({offered.resolved.hash})" if offered else ""),
                ("Windows", ", ".join(map(str, definition.windows)) if definition else ""),
                ("Expected entities", str((expected.entities if expected else None) or "")),
                ("Online", "yes" if view.online else "no"),
                ("Tags", _tags_text(view.tags)),
                ("Services", ", ".join(self._services_with(view.name))),
            ),
            freshness_of=(view.name,) if offered else (),
        )

    def _feature_card(self, view: FeatureView, feature: Field) -> Card:
        reference = f"{view.name}:{feature.name}"
        return Card(
            kind="feature",
            name=reference,
            facts=_filled_facts(
                ("Meaning", feature.description),
                ("Unit", feature.tags.get("unit", "")),
                ("Expected", feature.tags.get("expect", "")),
                ("Distribution", self._expected_distribution(view.name, feature.name)),
                ("Dtype", str(feature.dtype)),
                ("Computed as", self._computation(view.name, feature.name)),
                ("Never seen", feature.tags.get("unseen", "null")),
                ("View", f"{view.name}, keyed by {', '.join(view.join_keys)}"),
                ("Owner", view.owner),
            ),
            freshness_of=(view.name,) if view.name in self._offered else (),
            lineage=self._lineage_lines(reference),
        )

    def _expected_distribution(self, view: str, feature: str) -> str:
        """What is expected of the values of all entities, in one line."""
        expected = self._expected.get(view)
        rules = expected.features.get(feature) if expected else None
        return "; ".join(f"{statistic} {rule}" for statistic, rule in rules.texts()) if rules else ""

    def _on_demand_view_card(self, view: OnDemandFeatureView) -> Card:
        return Card(
            kind="on-demand feature view",
            name=view.name,
            facts=_filled_facts(
                ("Meaning", view.description),
                ("Owner", view.owner),
                ("Features", ", ".join(feature.name for feature in view.features)),
                ("Computed", "at request time and in training, by the same functions"),
                ("Request fields", ", ".join(self._request_fields(view))),
                ("Services", ", ".join(self._services_with(view.name))),
            ),
            freshness_of=self._rests_on([view.name]),
        )

    def _on_demand_feature_card(self, view: OnDemandFeatureView, feature: Field) -> Card:
        reference = f"{view.name}:{feature.name}"
        facts = {fact: view.tags.get(f"{feature.name}.{fact}", "") for fact in ("description", "unit", "expect")}
        return Card(
            kind="on-demand feature",
            name=reference,
            facts=_filled_facts(
                ("Meaning", facts["description"]),
                ("Unit", facts["unit"]),
                ("Expected", facts["expect"]),
                ("Dtype", str(feature.dtype)),
                ("Function", view.tags.get(f"{feature.name}.function", "")),
                ("View", view.name),
                ("Owner", view.owner),
            ),
            freshness_of=self._rests_on([view.name]),
            lineage=self._lineage_lines(reference),
        )

    def _entity_card(self, entity: Entity) -> Card:
        views = [view.name for view in self._views.values() if entity.name in view.entities]
        facts = _filled_facts(
            ("Meaning", entity.description),
            ("Owner", entity.owner),
            ("Join key", entity.join_key),
            ("Views", ", ".join(views)),
        )
        return Card(kind="entity", name=entity.name, facts=facts)

    def _source_card(self, contract: Contract) -> Card:
        first = contract.valid_from and moment_text(contract.valid_from, contract.business_day_zone)
        time = contract.event_time or f"none: rows hold from {first or 'their ingestion'}"
        views = [name for name, offered in self._offered.items() if contract.name in offered.resolved.source_names]
        return Card(
            kind="source",
            name=contract.name,
            facts=_filled_facts(
                ("Meaning", contract.description),
                ("Owner", contract.owner),
                ("Contract", f"{contract.file_name}, version {contract.version}"),
                ("Key", ", ".join(contract.key) or "none: every row stands for itself"),
                ("Event time", time),
                ("Business days of", contract.business_day_zone),
                ("Quality rules", ", ".join(map(_rule_text, contract.quality))),
                ("Columns", ", ".join(contract.column_names)),
                ("Views", ", ".join(views)),
            ),
        )

    def _column_card(self, contract: Contract, column: Column) -> Card:
        place = f"{contract.name}.{column.name}"
        views = self._views.values()
        readers = [
            f"{view.name}:{each.name}" for view in views for each in view.features if place in _source_columns_of(each)
        ]
        keyed = [view.name for view in views for each in view.entity_columns if place in _source_columns_of(each)]
        return Card(
            kind="source column",
            name=place,
            facts=_filled_facts(
                ("Meaning", column.description),
                ("Unit", column.unit or ""),
                ("Expected", _allowed_text(column)),
                ("Dtype", column.dtype + (", may be null" if column.nullable else "")),
                ("Source", contract.name),
                ("Owner", contract.owner),
                ("Features", ", ".join(readers)),
                ("Key of", ", ".join(keyed)),
            ),
        )

    def _computation(self, view: str, feature: str) -> str:
        offered = self._offered.get(view)
        for each in offered.resolved.features if offered else ():
            if each.name == feature:
                return f"{_aggregation_text(each.declared.aggregation)} over {each.declared.window}"
        return ""

    def _lineage_lines(self, reference: str) -> tuple[str, ...]:
        """The services that ask for a feature, then what it comes from."""
        above = [service.name for service in self._services if reference in self._features_of(service)]
        return (*above, *_indent(self._input_lines(reference), bool(above)))

    def _input_lines(self, reference: str) -> list[str]:
        """A feature and, indented, its inputs down to source columns or request fields."""
        view_name, _, name = reference.partition(":")
        if on_demand := self._on_demand.get(view_name):
            inputs = [each for each in on_demand.tags.get(f"{name}.inputs", "").split(", ") if each]
            local = {feature.name for feature in on_demand.features}
            below = [self._input_lines(f"{view_name}:{each}" if each in local else each) for each in inputs]
        elif view := self._views.get(view_name):
            fields = {feature.name: feature for feature in view.features}
            below = [[column] for column in _source_columns_of(fields[name])] if name in fields else []
        else:
            return [f"{reference} (of the request)"]
        return [reference, *(line for lines in below for line in _indent(lines))]

    def _features_of(self, service: FeatureService) -> list[str]:
        return [reference for projection in service.feature_view_projections for reference in _references(projection)]

    def _services_with(self, view: str) -> list[str]:
        return [
            service.name
            for service in self._services
            if any(projection.name == view for projection in service.feature_view_projections)
        ]

    def _request_fields(self, view: OnDemandFeatureView) -> list[str]:
        return [field.name for source in view.source_request_sources.values() for field in source.schema]

    def _rests_on(self, names: Sequence[str]) -> tuple[str, ...]:
        """The views with tables behind these views, on-demand ones followed to their inputs."""
        found: dict[str, None] = {}
        for name in names:
            if on_demand := self._on_demand.get(name):
                found |= {projection.name: None for projection in on_demand.source_feature_view_projections.values()}
            else:
                found[name] = None
        return tuple(name for name in found if name in self._offered)


def read_catalog(settings: Settings) -> Catalog:
    """The catalogue of the repository and of all contracts."""
    contracts = [read_contract(name, settings.contracts) for name in contract_names(settings.contracts)]
    repository = read_repository(settings)
    return Catalog(read_contents(settings), repository, contracts, read_expectations(repository, settings))


def completeness_text(view: str, settings: Settings) -> str:
    """How far a view's table is complete: `complete through 2024-05-02`."""
    latest = OfflineTable(settings.offline_dir / view).latest()
    return "not built yet" if latest is None else f"complete through {latest.run.complete_through}"


def _near_names(word: str, cards: Iterable[Card]) -> str:
    """A few near names: there may be hundreds."""
    names = sorted({card.short_name for card in cards})
    inside = [name for name in names if word.casefold() in name.casefold()]
    near = list(dict.fromkeys([*get_close_matches(word, names, n=5, cutoff=0.6), *inside]))[:8]
    if not near:
        return "No name is near; `features show SERVICE` lists a service's features."
    return f"Near: {', '.join(near)}."


def _aggregation_text(aggregation: Aggregation) -> str:
    """An aggregation as one would write it: `Ratio(Sum(amount), Count(events where page == 'home'))`."""
    kind = type(aggregation).__name__
    parts = aggregation.parts()
    if parts != (aggregation,):
        return f"{kind}({', '.join(map(_aggregation_text, parts))})"
    where = f" where {aggregation.where}" if aggregation.where is not None else ""
    return f"{kind}({aggregation.measured or 'events'}{where})"


def _rule_text(rule: QualityRule) -> str:
    return f"{rule.name} (warns)" if rule.severity == "warning" else rule.name


def _source_columns_of(field: Field) -> list[str]:
    """The source columns behind a feature or a key, as `source.column`."""
    return [column for column in field.tags.get("columns", "").split(", ") if column]


def _references(projection: FeatureViewProjection) -> list[str]:
    return [f"{projection.name}:{feature.name}" for feature in projection.features]


def _filled_facts(*facts: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((label, text) for label, text in facts if text)


def _tags_text(tags: Mapping[str, str]) -> str:
    ours = ("definition", "definition_hash", "feature_hashes", "sources", "available_after")
    return ", ".join(f"{name}={value}" for name, value in sorted(tags.items()) if name not in ours)


def _allowed_text(column: Column) -> str:
    if column.allowed:
        return "one of " + ", ".join(map(str, column.allowed))
    bounds = [f">= {column.minimum:g}"] if column.minimum is not None else []
    bounds += [f"<= {column.maximum:g}"] if column.maximum is not None else []
    return " and ".join(bounds)


def _indent(lines: Sequence[str], deeper: bool = True) -> list[str]:
    return [("  " if deeper else "") + line for line in lines]

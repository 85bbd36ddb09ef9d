"""The lineage of a repository, from what its views, services, datasets and models declare against their contracts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from feast import FeatureView, OnDemandFeatureView
from feast.repo_contents import RepoContents

from transformations.contracts import Contract, contract_names, read_contract
from transformations.datasets.config import DatasetConfig
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.vocabulary.resolution import Resolved
from transformations.insight.lineage.declared import Declared, read_all_declared
from transformations.insight.lineage.graph import Arrow, Kind, Lineage, Role, Thing
from transformations.insight.repository import Repository, read_contents, read_repository
from transformations.models.declaration.config import Declaration
from transformations.stores.training.spine_sql import OFFLINE, RAW, Named, names_in

_OF_ANY_NAME = (Kind.SERVICE, Kind.DATASET, Kind.MODEL)


def read_lineage(settings: Settings) -> Lineage:
    """The lineage of everything that the repository declares; `unread` has the datasets and models left out.

    Errors as of reading contracts and definitions.
    """
    contracts = [read_contract(name, settings.contracts) for name in contract_names(settings.contracts)]
    return lineage_of(read_contents(settings), read_repository(settings), contracts, read_all_declared(settings))


def lineage_of(
    contents: RepoContents, repository: Repository, contracts: Sequence[Contract], declared: Declared
) -> Lineage:
    """The graph of these declarations."""
    reading = _Reading({contract.name: contract for contract in contracts})
    for view in contents.feature_views:
        reading.add_stored(view, repository)
    for on_demand in contents.on_demand_feature_views:
        reading.add_on_demand(on_demand)
    for service in contents.feature_services:
        thing = reading.add(Thing(Kind.SERVICE, service.name, service.owner))
        for projection in service.feature_view_projections:
            for feature in projection.features:
                reading.link(f"{projection.name}:{feature.name}", thing, Role.FEATURES)
    for dataset in declared.datasets:
        reading.add_dataset(dataset)
    for model in declared.models:
        reading.add_model(model)
    return Lineage(reading.things.values(), reading.arrows, declared.faults)


@dataclass
class _Reading:
    contracts: Mapping[str, Contract]
    things: dict[str, Thing] = field(default_factory=dict)
    arrows: list[Arrow] = field(default_factory=list)
    features: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for contract in self.contracts.values():
            for column in contract.columns:
                self.add(Thing(Kind.COLUMN, f"{contract.name}.{column.name}", contract.owner))

    def add(self, thing: Thing) -> Thing:
        """Names of services, datasets and models are told apart from those of others by their kind."""
        key = f"{thing.kind} {thing.name}" if thing.kind in _OF_ANY_NAME else thing.name
        return self.things.setdefault(key, thing)

    def link(self, origin: str, reader: Thing, role: Role) -> None:
        """An arrow from the thing of this name; none from a name that nothing here has, as a foreign view's."""
        if origin in self.things:
            self.arrows.append(Arrow(self.things[origin], reader, role))

    def add_stored(self, view: FeatureView, repository: Repository) -> None:
        keys = {place for key in view.entity_columns for place in _source_columns_of(key.tags)}
        keys |= _row_keys(view.name, repository)
        for each in view.features:
            feature = self.add(Thing(Kind.FEATURE, f"{view.name}:{each.name}", view.owner))
            self.features.setdefault(view.name, []).append(feature.name)
            values = _source_columns_of(each.tags)
            for place in values:
                self.link(place, feature, Role.VALUE)
            for place in sorted(keys.difference(values)):
                self.link(place, feature, Role.KEY)
            for place in sorted(_event_times_of(view.name, repository).difference(values)):
                self.link(place, feature, Role.TIME)

    def add_on_demand(self, view: OnDemandFeatureView) -> None:
        own = {feature.name for feature in view.features}
        for source in view.source_request_sources.values():
            for each in source.schema:
                self.add(Thing(Kind.REQUEST_FIELD, each.name, source.owner or view.owner))
        for name in own:
            self.add(Thing(Kind.FEATURE, f"{view.name}:{name}", view.owner))
        for name in own:
            feature = self.things[f"{view.name}:{name}"]
            self.features.setdefault(view.name, []).append(feature.name)
            for given in filter(None, view.tags.get(f"{name}.inputs", "").split(", ")):
                self.link(f"{view.name}:{given}" if given in own else given, feature, Role.VALUE)

    def add_dataset(self, dataset: DatasetConfig) -> None:
        thing = self.add(Thing(Kind.DATASET, dataset.name, dataset.owner))
        self.link(f"{Kind.SERVICE} {dataset.feature_service}", thing, Role.FEATURES)
        if dataset.spine.query is not None:
            for place in self._columns_read_by(names_in(dataset.spine.query)):
                self.link(place, thing, Role.SPINE)

    def add_model(self, model: Declaration) -> None:
        """Its dataset, and what the queries of its business metrics read; one that is no query is left out."""
        thing = self.add(Thing(Kind.MODEL, model.name, model.owner))
        self.link(f"{Kind.DATASET} {model.dataset}", thing, Role.ROWS)
        for metric in model.business:
            with suppress(UsageError):
                for place in self._columns_read_by(names_in(metric.query)):
                    self.link(place, thing, Role.METRIC)

    def _columns_read_by(self, named: Named) -> Iterator[str]:
        """The columns and features that a query may read: of each table that it names, those whose names it says."""
        for zone, name in sorted(named.tables):
            if zone == RAW and name in self.contracts:
                for column in self.contracts[name].column_names:
                    if named.all_columns or column.lower() in named.columns:
                        yield f"{name}.{column}"
            elif zone == OFFLINE:
                for feature in self.features.get(name, ()):
                    if named.all_columns or feature.partition(":")[2].lower() in named.columns:
                        yield feature


def _source_columns_of(tags: Mapping[str, str]) -> list[str]:
    return [place for place in tags.get("columns", "").split(", ") if place]


def _row_keys(view: str, repository: Repository) -> set[str]:
    """What tells the rows behind a view apart and joins them: the contracts' keys, and the columns of lookups."""
    if view not in repository.views:
        return set()
    resolved = repository.views[view].resolved
    found = {f"{contract.name}.{name}" for contract in _contracts_of(resolved) for name in contract.key}
    for lookup in resolved.definition.lookups:
        found |= {f"{source}.{name}" for source in (resolved.contract.name, lookup.source) for name in lookup.on}
    return found


def _event_times_of(view: str, repository: Repository) -> set[str]:
    """The event times of the sources behind a view: they decide what each of its rows covers."""
    if view not in repository.views:
        return set()
    contracts = _contracts_of(repository.views[view].resolved)
    return {f"{contract.name}.{contract.event_time}" for contract in contracts if contract.event_time}


def _contracts_of(resolved: Resolved) -> list[Contract]:
    return [resolved.contract, *resolved.lookups.values()]

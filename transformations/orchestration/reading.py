"""Reading what a repository declares into the plain values that a plan is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from transformations.contracts import Contract, contract_names, read_contract
from transformations.datasets.config import read_config
from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings
from transformations.insight.repository import OfferedView, read_contents, read_repository, repository_folder
from transformations.models.declaration.reading import model_names, read_declared
from transformations.orchestration.planning import Declared, DeclaredModel, DeclaredSource, DeclaredView

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents


def read_plannable(settings: Settings) -> Declared:
    """Contracts, views, datasets and models of the project. UsageError for a file that cannot be read."""
    repository = repository_folder(settings)
    contracts = [read_contract(name, settings.contracts) for name in contract_names(settings.contracts)]
    views = read_repository(settings).views
    contents = read_contents(settings)
    computed = dict(_computed(contents))
    services = {
        service.name: tuple(projection.name for projection in service.feature_view_projections)
        for service in contents.feature_services
    }
    datasets = {
        file.stem: _read_by(read_config(file).feature_service, services, computed, f"dataset {file.stem}")
        for file in paths_in(repository / "datasets", "*.yaml")
    }
    models = [read_declared(repository, name) for name in model_names(repository)]
    return Declared(
        sources=[_source(each) for each in contracts],
        views=[_view(each) for each in views.values()],
        computed=computed,
        datasets=datasets,
        models=[
            DeclaredModel(name=each.name, dataset=each.dataset, views=datasets.get(each.dataset, ())) for each in models
        ],
    )


def _source(contract: Contract) -> DeclaredSource:
    return DeclaredSource(
        name=contract.name,
        zone=contract.business_day_zone,
        refers=tuple(each.source for each in contract.references),
        freshness=contract.freshness,
        has_events=contract.event_time is not None,
    )


def _view(offered: OfferedView) -> DeclaredView:
    resolved = offered.resolved
    contract = resolved.contract
    after = resolved.definition.available_after
    promises = [each.freshness for each in (contract, *resolved.lookups.values()) if each.freshness is not None]
    return DeclaredView(
        name=resolved.name,
        sources=(contract.name, *(each.name for each in resolved.lookups.values())),
        zone=resolved.zone,
        available_after=after,
        online=offered.view.online,
        promised=max(promises) + timedelta(days=1) + after if promises else None,
    )


def _computed(contents: RepoContents) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Per on-demand view, the stored views that it reads; without those that ask for more than keys."""
    for view in contents.on_demand_feature_views:
        if not view.source_request_sources:
            yield view.name, tuple(each.name for each in view.source_feature_view_projections.values())


def _read_by(
    service: str, services: Mapping[str, tuple[str, ...]], computed: Mapping[str, tuple[str, ...]], what: str
) -> tuple[str, ...]:
    """The views of a service, and the stored views that its on-demand views read."""
    if service not in services:
        raise UsageError(f"{what} asks for the feature service {service}, which the repository does not declare.")
    views = services[service]
    return tuple(dict.fromkeys([*views, *(read for view in views for read in computed.get(view, ()))]))

"""The rules of datasets and models: described, made of what is there, and cleared for the personal data they carry.

A dataset without a clearance of its own has its service's, and answers for what its spine adds. A model without one has
its dataset's, and takes nothing that its dataset does not hold.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from transformations.contracts import PII_CLASSES
from transformations.datasets.config import DatasetConfig
from transformations.engine.base.errors import UsageError, nearest
from transformations.insight.governance.owners import FILE
from transformations.insight.governance.rules import CLEARANCE, Offered, exceeded_clearance, pii_of
from transformations.insight.governance.unread import unread_problems
from transformations.insight.lineage.graph import Kind, Role, Thing
from transformations.models.declaration.config import PREDICTIONS, BusinessMetric, Declaration
from transformations.stores.training.spine_sql import OFFLINE, RAW, names_in
from validation.feature_rules import Problem

_TAG = f"tags: {{{CLEARANCE}: %s}}"


def declared_problems(offered: Offered) -> Iterator[Problem]:
    """Every rule that a dataset or a model breaks, but for those that everything with an owner or a tag keeps."""
    for place, fault in offered.declared.faults.items():
        yield from unread_problems(place, fault)
    services = {each.name: each for each in offered.contents.feature_services}
    cleared = {name: each.tags.get(CLEARANCE, PII_CLASSES[0]) for name, each in services.items()}
    for dataset in offered.declared.datasets:
        yield from _undocumented(f"dataset {dataset.name}", dataset)
        yield from _unknown_tables(f"dataset {dataset.name}", "spine", dataset.spine.query, offered)
        if dataset.feature_service not in services:
            fault = f"asks for {dataset.feature_service!r}, which is no service; "
            yield Problem(f"dataset {dataset.name}", fault + nearest(dataset.feature_service, services), "Correct it")
            continue
        yield from _exceeded_by_dataset(dataset, cleared[dataset.feature_service], offered)
    datasets = {each.name: each for each in offered.declared.datasets}
    for model in offered.declared.models:
        yield from _problems_of_model(model, datasets, services, offered)


def _undocumented(place: str, declared: DatasetConfig | Declaration) -> Iterator[Problem]:
    for fact in ("owner", "description"):
        if not getattr(declared, fact).strip():
            yield Problem(place, f"has no {fact}", f"Write {fact}: …")


def _unknown_tables(place: str, what: str, query: str | None, offered: Offered) -> Iterator[Problem]:
    """The tables that a query reads and that nothing here declares. what: the query, such as `its spine`."""
    sources = {each.name for each in offered.contracts}
    known = {RAW: sources, OFFLINE: {each.name for each in offered.contents.feature_views}}
    try:
        tables = names_in(query).tables if query is not None else frozenset()
    except UsageError as error:
        yield Problem(place, f"{what}: {error}", "Mend its query")
        return
    for zone, name in sorted(tables):
        if name not in known[zone]:
            hint = nearest(name, known[zone])
            remedy = "Name a source that has a contract" if zone == RAW else "Name a view"
            yield Problem(place, f"{what} reads {zone}.{name}; {hint}", remedy)


def _stored_tables(place: str, metric: BusinessMetric) -> Iterator[Problem]:
    """The tables of ours that a business metric reads, which sees predictions alone."""
    try:
        tables = names_in(metric.query).tables
    except UsageError as error:
        yield Problem(place, f"business metric {metric.name}: {error}", "Mend its query")
        return
    for zone, name in sorted(tables):
        fault = f"business metric {metric.name} reads {zone}.{name}, and may read {PREDICTIONS} only"
        yield Problem(place, fault, "Bring what it needs by the dataset's spine")


def _problems_of_model(
    model: Declaration, datasets: Mapping[str, DatasetConfig], services: Container[str], offered: Offered
) -> Iterator[Problem]:
    place = f"model {model.name}"
    yield from _undocumented(place, model)
    for metric in model.business:
        yield from _stored_tables(place, metric)
        if offered.ownership is not None and metric.owner not in offered.ownership.owners:
            fault = f"business metric {metric.name} is owned by {metric.owner!r}, which {FILE} does not resolve; "
            yield Problem(place, fault + nearest(metric.owner, offered.ownership.owners), f"Add it to {FILE}")
    dataset = datasets.get(model.dataset)
    if dataset is None:
        if f"dataset {model.dataset}" not in offered.declared.faults:  # which is said of the dataset
            fault = f"learns from the dataset {model.dataset!r}; {nearest(model.dataset, datasets)}"
            yield Problem(place, fault, f"Declare it in datasets/{model.dataset}.yaml")
        return
    if dataset.feature_service not in services:
        return
    named = _columns_of(dataset, offered)
    for key, does, names in (
        ("leave_out", "leaves out", model.leave_out),
        ("transformations", "transforms", model.transformations),
    ):
        for name in names:
            if name not in named and name not in model.request_fields:
                fault = f"{does} {name!r}, which {dataset.feature_service} does not have; {nearest(name, named)}"
                yield Problem(place, fault, f"Mend {key}")
    if CLEARANCE in model.tags:
        taken = [each for name, each in named.items() if name not in model.leave_out]
        asked = [each for each in _spine_of(dataset, offered) if each.short_name in model.request_fields]
        carried = pii_of([*taken, *asked], offered.lineage, offered.contracts)
        yield from exceeded_clearance(place, model.tags[CLEARANCE], carried, _TAG)


def _exceeded_by_dataset(dataset: DatasetConfig, inherited: str, offered: Offered) -> Iterator[Problem]:
    by_features = pii_of(list(_columns_of(dataset, offered).values()), offered.lineage, offered.contracts)
    by_spine = pii_of(_spine_of(dataset, offered), offered.lineage, offered.contracts)
    if CLEARANCE in dataset.tags:
        cleared, carried = dataset.tags[CLEARANCE], {**by_features, **by_spine}
    else:
        cleared, carried = inherited, {name: each for name, each in by_spine.items() if name not in by_features}
    if cleared in PII_CLASSES or CLEARANCE in dataset.tags:  # a clearance that is none is said of the service
        yield from exceeded_clearance(f"dataset {dataset.name}", cleared, carried, _TAG)


def _columns_of(dataset: DatasetConfig, offered: Offered) -> dict[str, Thing]:
    """The features of a dataset's service, by the columns that hold them."""
    things = {each.name: each for each in offered.lineage.things if each.kind is Kind.FEATURE}
    (service,) = [each for each in offered.contents.feature_services if each.name == dataset.feature_service]
    return {
        f"{view.name_alias or view.name}__{each.name}" if dataset.full_feature_names else each.name: things[reference]
        for view in service.feature_view_projections
        for each in view.features
        if (reference := f"{view.name}:{each.name}") in things
    }


def _spine_of(dataset: DatasetConfig, offered: Offered) -> list[Thing]:
    return [
        arrow.origin
        for each in offered.lineage.things
        if each.kind is Kind.DATASET and each.name == dataset.name
        for arrow in offered.lineage.read_by(each)
        if arrow.role is Role.SPINE
    ]

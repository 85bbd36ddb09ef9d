"""The rules of models: each declaration can be read, and what it refers to is declared, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from feast.repo_contents import RepoContents

from transformations.datasets.config import DatasetConfig
from transformations.engine.base.errors import UsageError, nearest
from transformations.insight.governance.owners import FILE, Ownership
from transformations.models.declaration.config import Declaration
from transformations.models.declaration.reading import model_names, read_declared
from transformations.stores.training.spine_sql import RAW, names_in
from validation.feature_rules import Problem


def model_problems(
    repository: Path,
    contents: RepoContents,
    sources: Sequence[str],
    datasets: Sequence[DatasetConfig],
    ownership: Ownership | None,
) -> Iterator[Problem]:
    """Every rule that the declared models break. sources, datasets: those that are declared."""
    known = {dataset.name: dataset for dataset in datasets}
    for name in model_names(repository):
        place = f"model {name}"
        try:
            declared = read_declared(repository, name)
        except UsageError as error:
            yield Problem(place, f"cannot be read: {error}", "Mend it")
            continue
        if ownership is not None and declared.owner not in ownership.owners:
            hint = nearest(declared.owner, ownership.owners)
            fault = f"is owned by {declared.owner!r}, which {FILE} does not resolve; {hint}"
            yield Problem(place, fault, f"Add it to {FILE}")
        yield from _unknown_sources(place, declared, sources)
        if declared.dataset not in known:
            fault = f"learns from the dataset {declared.dataset!r}; {nearest(declared.dataset, known)}"
            yield Problem(place, fault, f"Declare it in datasets/{declared.dataset}.yaml")
        else:
            yield from _unknown_features(place, declared, known[declared.dataset], contents)


def _unknown_features(
    place: str, declared: Declaration, dataset: DatasetConfig, contents: RepoContents
) -> Iterator[Problem]:
    services = {service.name: service for service in contents.feature_services}
    if dataset.feature_service not in services:
        fault = f"the dataset's service {dataset.feature_service!r} is not declared"
        yield Problem(place, f"{fault}; {nearest(dataset.feature_service, services)}", "Name one that is")
        return
    features: Mapping[str, None] = {
        (
            f"{projection.name_alias or projection.name}__{feature.name}"
            if dataset.full_feature_names
            else feature.name
        ): None
        for projection in services[dataset.feature_service].feature_view_projections
        for feature in projection.features
    }
    for name in declared.leave_out:
        if name not in features:
            fault = f"leaves out {name!r}, which {dataset.feature_service} does not have; {nearest(name, features)}"
            yield Problem(place, fault, "Mend leave_out")


def _unknown_sources(place: str, declared: Declaration, sources: Sequence[str]) -> Iterator[Problem]:
    for metric in declared.business:
        try:
            tables = names_in(metric.query).tables
        except UsageError as error:
            yield Problem(place, f"business metric {metric.name}: {error}", "Mend its query")
            continue
        for zone, table in sorted(tables):
            if zone == RAW and table not in sources:
                fault = f"business metric {metric.name} reads {zone}.{table}; {nearest(table, sources)}"
                yield Problem(place, fault, "Name a source that has a contract")

"""What the feature repository offers, as one text: a change to it shows here as a difference to be agreed to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from feast import FeatureView, OnDemandFeatureView
from feast.repo_contents import RepoContents

from transformations.engine.base.settings import get_settings
from transformations.insight.governance.house_rules import problems_of_repository
from transformations.stores.base.views import contents, find_unoffered, read_offers

REPO = Path(__file__).parents[2] / "feature_repo"
CATALOGUE = Path(__file__).with_name("catalogue.txt")


@pytest.fixture(scope="module")
def declared() -> RepoContents:
    return contents(REPO)


def test_the_catalogue_is_as_agreed(declared: RepoContents) -> None:
    agreed = CATALOGUE.read_text() if CATALOGUE.exists() else ""
    assert catalogue(declared) == agreed, f"Where the change is meant, write it down: python {Path(__file__)}"


def test_every_rule_holds(declared: RepoContents) -> None:
    assert [str(problem) for problem in problems_of_repository(declared, get_settings())] == []


def test_every_definition_is_offered_by_a_view_of_its_name() -> None:
    offers = read_offers(REPO)
    assert [offer.view.name for offer in offers] == [offer.definition.name for offer in offers]
    assert find_unoffered(offers) == {}


def test_every_feature_of_a_service_leads_to_source_columns_or_request_fields(declared: RepoContents) -> None:
    fields = {view.name: {field.name: field for field in view.features} for view in declared.feature_views}
    computed = {view.name: view for view in declared.on_demand_feature_views}
    for service in declared.feature_services:
        for projection in service.feature_view_projections:
            for feature in projection.features:
                if projection.name in fields:
                    assert fields[projection.name][feature.name].tags["columns"], feature.name
                else:
                    inputs = computed[projection.name].tags[f"{feature.name}.inputs"].split(", ")
                    stored = [reference.partition(":") for reference in inputs if ":" in reference]
                    assert stored, feature.name
                    assert all(fields[view][name].tags["columns"] for view, _, name in stored)


def catalogue(declared: RepoContents) -> str:
    return "".join(f"{line}\n" for line in _lines(declared))


def _lines(declared: RepoContents) -> Iterator[str]:
    for entity in declared.entities:
        if not entity.name.startswith("__"):
            key = f"{entity.join_key}, {entity.value_type.name}"
            yield f"entity {entity.name} ({key}) of {entity.owner}: {entity.description}"
    for view in declared.feature_views:
        yield from _stored(view)
    for view in declared.on_demand_feature_views:
        yield from _on_demand(view)
    for service in declared.feature_services:
        names = ", ".join(projection.name for projection in service.feature_view_projections)
        yield ""
        yield f"service {service.name} of {service.owner}: {service.description}"
        yield f"  {names}"


def _stored(view: FeatureView) -> Iterator[str]:
    yield ""
    yield f"view {view.name} of {view.owner}: {view.description}"
    tags = {key: tag for key, tag in view.tags.items() if key not in ("definition_hash", "feature_hashes")}
    yield f"  {_facts(tags)}, online: {view.online}, ttl: {view.ttl}"
    for column in view.entity_columns:
        yield f"  key {column.name} {column.dtype}: {column.description}; {_facts(column.tags)}"
    for field in view.features:
        yield f"  {field.name} {field.dtype}: {field.description}"
        yield f"    {_facts(field.tags)}"


def _on_demand(view: OnDemandFeatureView) -> Iterator[str]:
    yield ""
    yield f"on-demand view {view.name} of {view.owner}: {view.description}"
    for source in view.source_request_sources.values():
        for field in source.schema:
            yield f"  request field {field.name} {field.dtype}: {field.description}; {_facts(field.tags)}"
    for field in view.features:
        facts = {
            key.removeprefix(f"{field.name}."): tag
            for key, tag in view.tags.items()
            if key.startswith(f"{field.name}.") and not key.endswith(".hash")
        }
        yield f"  {field.name} {field.dtype}: {facts.pop('description')}"
        yield f"    {_facts(facts)}"


def _facts(tags: dict[str, str]) -> str:
    return "; ".join(f"{key}: {tag}" for key, tag in tags.items())


if __name__ == "__main__":
    CATALOGUE.write_text(catalogue(contents(REPO)))

"""A definition as a Feast view, and what a feature repository offers."""

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from feast import Entity, FeatureStore, FileSource, ValueType
from feast.types import Float64, Int64, UnixTimestamp

from transformations.engine.base.errors import DefinitionError
from transformations.engine.base.settings import Settings
from transformations.stores.base.views import Offer, contents, feature_view, find_unoffered, read_offers

OWNER = "team@example.com"

DOMAIN = '''
import pyarrow.compute as pc
from transformations import (
    Attribute, Count, Float64, Last, PlainFeatures, Sum, WindowedFeatures, at_least, days, derived, hours
)

@derived(unit="USD")
def doubled(spent: Float64) -> Float64:
    """Twice what was spent."""
    return pc.multiply(spent, 2.0)

user_visits = WindowedFeatures(
    name="user_visits",
    join_key="user_id",
    source="visits",
    windows=[days(7)],
    available_after=hours(2),
    description="Visits of a user",
    derived=[doubled],
    features=[
        Count(name="visits", description="Visits", unit="visits", expect=at_least(0), unseen=0),
        Sum("doubled", name="spend", description="Twice what was spent", unit="USD", expect=at_least(0)),
        Last("at", name="visit_at", description="Last visit", unit="UTC time"),
    ],
)

user_page = PlainFeatures(
    name="user_page",
    join_key="user_id",
    source="visits",
    description="Where a user is",
    features=[Attribute("page", description="The page", unit="category")],
)
'''

VIEWS = """
from entities import user
from transformations import visit_domain
from transformations.stores.base.views import feature_view

user_visits = feature_view(visit_domain.user_visits, entity=user, owner="team@example.com", tags={"team": "web"})
"""

ENTITIES = """
from feast import Entity, ValueType

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, description="A user", owner="me")
"""


@pytest.fixture
def domain(contracts: Path, domain_of: Callable[[str, str], ModuleType]) -> ModuleType:
    return domain_of("visit_domain", DOMAIN)


@pytest.fixture
def repo(tmp_path: Path, domain: ModuleType) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "entities.py").write_text(ENTITIES)
    (folder / "visit_views.py").write_text(VIEWS)
    return folder


def test_schema_tags_and_source_come_from_the_definition(domain: ModuleType, user: Entity, settings: Settings) -> None:
    view = feature_view(domain.user_visits, entity=user, owner=OWNER, tags={"team": "web"})
    assert [(field.name, field.dtype, field.description) for field in [*view.entity_columns, *view.features]] == [
        ("user_id", Int64, "The user"),
        ("visits_count_7d", Int64, "Visits, 7 business days"),
        ("spend_sum_7d", Float64, "Twice what was spent, 7 business days"),
        ("visit_at_last_7d", UnixTimestamp, "Last visit, 7 business days"),
    ]
    assert [field.tags for field in view.features] == [
        {"unit": "visits", "expect": ">= 0", "unseen": "0", "window": "7d", "columns": "visits.at"},
        {"unit": "USD", "expect": ">= 0", "window": "7d", "columns": "visits.spent"},
        {"unit": "UTC time", "window": "7d", "columns": "visits.at"},
    ]
    assert (view.owner, view.description, view.ttl) == (OWNER, "Visits of a user", timedelta(0))
    assert (
        view.tags.items()
        >= {
            "team": "web",
            "definition": "transformations.visit_domain:user_visits",
            "sources": "visits",
            "available_after": "2 hours",
        }.items()
    )
    source = view.batch_source
    assert isinstance(source, FileSource)
    assert (source.name, source.path) == ("user_visits", "$FEATURES_DATA/offline/user_visits")
    assert (source.timestamp_field, source.created_timestamp_column) == ("event_timestamp", "created_timestamp")


def test_the_hash_in_the_tag_changes_with_the_definition(
    contracts: Path, user: Entity, module_of: Callable[[str, str], ModuleType]
) -> None:
    def hash_of(text: str) -> str:
        definition = module_of("visit_domain", text).user_visits
        return feature_view(definition, entity=user, owner=OWNER).tags["definition_hash"]

    before = hash_of(DOMAIN)
    assert hash_of(DOMAIN.replace("Twice what was spent", "Doubled")) == before
    assert hash_of(DOMAIN.replace("spent, 2.0", "spent, 3.0")) != before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"owner": ""}, "user_visits has no owner"),
        ({"ttl": timedelta(days=1)}, "user_visits has windows and a ttl"),
        ({"tags": {"definition_hash": "mine"}}, "the tag 'definition_hash' is set by us"),
        ({"entity": None}, "user_visits is keyed by user_id, its entities by nothing"),
    ],
)
def test_a_view_that_cannot_be_offered_is_refused(
    domain: ModuleType, user: Entity, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        feature_view(domain.user_visits, **{"entity": user, "owner": OWNER, **more})


def test_an_entity_of_another_join_key_is_refused(domain: ModuleType) -> None:
    guest = Entity(name="guest", join_keys=["guest_id"], value_type=ValueType.INT64)
    with pytest.raises(DefinitionError, match="user_visits is keyed by user_id, its entities by guest_id"):
        feature_view(domain.user_visits, entity=guest, owner=OWNER)


def test_a_plain_view_may_have_a_ttl(domain: ModuleType, user: Entity) -> None:
    assert feature_view(domain.user_page, entity=user, owner=OWNER, ttl=timedelta(days=9)).ttl == timedelta(days=9)


def test_what_feast_keeps_is_what_was_applied(
    domain: ModuleType, user: Entity, store_of: Callable[..., FeatureStore]
) -> None:
    view = feature_view(domain.user_visits, entity=user, owner=OWNER)
    applied = store_of(user, view).get_feature_view("user_visits")
    assert sorted(applied.features) == sorted(view.features)
    assert (applied.tags, applied.batch_source) == (view.tags, view.batch_source)


def test_a_repository_offers_its_views_with_their_definitions_and_leaves_no_trace(
    repo: Path, domain: ModuleType
) -> None:
    before = (Path.cwd(), list(sys.path), {name for name in sys.modules if "views" in name or name == "entities"})
    ((view, definition),) = read_offers(repo)
    assert (view.name, definition) == ("user_visits", domain.user_visits)
    assert [entity.name for entity in contents(repo).entities] == ["user", "__dummy"]
    after = {name for name in sys.modules if "views" in name or name == "entities"}
    assert (Path.cwd(), list(sys.path), after) == before


@pytest.mark.parametrize("is_other_served", [False, True])
def test_two_repositories_in_one_process_do_not_mix(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_other_served: bool
) -> None:
    other = tmp_path / "other"
    if is_other_served:  # a store that found code there leaves its folder on the path
        monkeypatch.setattr(sys, "path", [*sys.path, str(other)])
    other.mkdir()
    (other / "feature_store.yaml").touch()
    (other / "entities.py").write_text(ENTITIES.replace('name="user"', 'name="guest"'))
    assert [[entity.name for entity in contents(each).entities] for each in (repo, other, repo)] == [
        ["user", "__dummy"],
        ["guest", "__dummy"],
        ["user", "__dummy"],
    ]


def test_two_views_of_one_table_are_refused(repo: Path) -> None:
    text = VIEWS + '\nagain = feature_view(visit_domain.user_visits, entity=user, owner="team@example.com")\n'
    (repo / "visit_views.py").write_text(text)
    with pytest.raises(DefinitionError, match=r"two views write the table .*user_visits"):
        read_offers(repo)


def test_a_definition_that_no_build_could_find_is_refused(repo: Path) -> None:
    text = VIEWS.replace("visit_domain.user_visits,", "__import__('copy').copy(visit_domain.user_visits),")
    (repo / "visit_views.py").write_text(text)
    with pytest.raises(DefinitionError, match="user_visits: its definition is in no domain file"):
        read_offers(repo)


def test_a_definition_has_the_first_of_its_places_in_the_domain_files(
    domain: ModuleType, user: Entity, domain_of: Callable[[str, str], ModuleType], module_of: Callable[..., ModuleType]
) -> None:
    domain_of("wisits", "from transformations.visit_domain import user_visits as imported")
    module_of("another_module", "from transformations.visit_domain import user_visits as imported")
    tags = feature_view(domain.user_visits, entity=user, owner=OWNER).tags
    assert tags["definition"] == "transformations.visit_domain:user_visits"
    domain_of("earlier", "from transformations.visit_domain import user_visits as imported")
    assert feature_view(domain.user_visits, entity=user, owner=OWNER).tags["definition"] == (
        "transformations.earlier:imported"
    )


def test_a_mistake_in_another_domain_file_is_not_the_views_own(
    domain: ModuleType, user: Entity, domain_of: Callable[[str, str], ModuleType]
) -> None:
    with pytest.raises(NameError):
        domain_of("broken", "a.mistake")
    assert feature_view(domain.user_visits, entity=user, owner=OWNER).tags["definition"].endswith(":user_visits")


def test_a_definition_that_no_view_offers_is_named(domain: ModuleType, user: Entity) -> None:
    view = feature_view(domain.user_visits, entity=user, owner=OWNER)
    found = find_unoffered([Offer(view, domain.user_visits)])
    assert found["transformations.visit_domain:user_page"] is domain.user_page
    assert "transformations.visit_domain:user_visits" not in found


def test_a_repository_is_read_from_any_working_directory(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [offer.view.name for offer in read_offers(Path(os.path.relpath(repo)))] == ["user_visits"]

"""What a model learned from is not changed in its place while the model may answer; beside it, everything may be."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from feast import FeatureService, FeatureStore, FeatureView
from feast.repo_contents import RepoContents

from tests.transformations.models.batch.conftest import by_hand, scorer
from tests.worlds import weekly
from transformations.cli.commands.platform.retire import retire
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.insight.governance.held_definitions import held_definitions, refuse_held_views
from transformations.models import versions
from transformations.models.batch.publishing import predictions_of
from transformations.models.log.event_log import EventLog
from transformations.models.records.events import RolloutStep

USED = r"version 1 of model user_return \(in production\), of team@example\.com uses this: "
MONDAY = datetime(2024, 5, 20, 6, tzinfo=UTC)


@pytest.fixture
def store(weekly_production: Path) -> FeatureStore:
    """The registry of a project whose model is in production."""
    return FeatureStore(repo_path=str(weekly_production / "repo"))


def redefined(store: FeatureStore, by: str = "b2") -> FeatureView:
    """The view, of another definition."""
    view = store.get_feature_view("user_visits")
    view.tags = {"definition_hash": by}
    return view


def definition(store: FeatureStore) -> str:
    return str(store.registry.get_feature_view("user_visits", store.project).tags["definition_hash"])


def test_an_apply_that_changes_what_a_model_uses_is_refused_and_changes_nothing(store: FeatureStore) -> None:
    with pytest.raises(DataError, match=USED + r"user_visits:spend_28d.*would be computed otherwise") as refused:
        store.apply([redefined(store)])
    assert "user_visits was not written to the registry. Leave them as they are" in refused.value.message
    assert definition(store) == "a1"


def test_a_view_on_demand_function_or_service_that_a_model_uses_is_not_removed(store: FeatureStore) -> None:
    gone = "user_visits:spend_28d, user_visits:visited_at, user_visits:visits_28d would be removed"
    with pytest.raises(DataError, match=gone):
        store.delete_feature_view("user_visits")
    with pytest.raises(DataError, match="user_now:days_since would be removed"):
        store.registry.delete_feature_view("user_now", store.project)
    withheld = "service returning_v1 would no longer give user_now:days_since, user_visits:spend_28d, user_"
    with pytest.raises(DataError, match=withheld):
        store.delete_feature_service(weekly.SERVICE)
    view = store.get_feature_view("user_visits")
    with pytest.raises(DataError, match="would no longer give user_now:days_since, user_visits:spend_28d"):
        store.apply([FeatureService(name=weekly.SERVICE, features=[view[["visits_28d"]]])])


def test_what_no_model_takes_may_change_and_so_may_descriptions_and_what_is_beside(store: FeatureStore) -> None:
    view, now = store.get_feature_view("user_visits"), store.get_on_demand_feature_view("user_now")
    view.description = "Visits, told otherwise"
    wider = FeatureService(name=weekly.SERVICE, features=[view[["visits_28d", "spend_28d"]], now])  # not visited_at
    store.apply([view, wider])
    store.apply([second(store)])
    store.delete_feature_view(weekly.SECOND)


def test_loading_a_view_writes_its_intervals_as_ever(store: FeatureStore) -> None:
    view, moment = store.get_feature_view("user_visits"), get_settings().now()
    store.registry.apply_materialization(view, store.project, moment, moment)


def test_without_a_model_in_use_everything_may_change(weekly_project: Path) -> None:
    store = FeatureStore(repo_path=str(weekly_project / "repo"))
    store.apply([redefined(store)])
    assert definition(store) == "b2"


def test_a_version_that_no_rollback_brings_back_holds_nothing(store: FeatureStore, weekly_production: Path) -> None:
    versions.promote(weekly.MODEL, 1, "archived", EventLog("shop"), get_settings(), why="over")
    store.apply([redefined(store)])
    assert definition(store) == "b2"


def test_the_version_that_a_rollback_would_bring_back_and_the_one_rolled_out_hold_theirs(
    weekly_production: Path, store: FeatureStore
) -> None:
    weekly.promote_another(weekly_production)
    with pytest.raises(DataError, match=r"version 1 of model user_return \(what a rollback would bring back\)"):
        store.apply([redefined(store)])
    versions.promote(weekly.MODEL, 2, "archived", EventLog("shop"), get_settings(), why="over")
    with pytest.raises(DataError, match=r"version 1 of model user_return \(what a rollback would bring back\)"):
        store.apply([redefined(store)])


def test_a_version_that_answers_a_share_in_a_rollout_holds_its_definitions(
    weekly_production: Path, store: FeatureStore
) -> None:
    """The canary alone uses the second view; whoever is in production does not."""
    log, settings = EventLog("shop"), get_settings()
    number = weekly.release_on_changed_feature(weekly_production, settings)
    changed = second(store)
    changed.tags = {"definition_hash": "c3"}
    free = held_definitions(contents(store, **{weekly.SECOND: changed}), settings)
    assert free == [], "in staging nobody answers by it"

    share = RolloutStep(action="start", step=1, percent=10, salt="s", unit=("user_id",))
    event = log.events(weekly.MODEL)[-1]
    log.append(event.model_copy(update={"number": event.number + 1, "version": number, "change": share}))
    with pytest.raises(DataError, match=rf"version {number} of model user_return \(being rolled out\)") as refused:
        store.apply([changed])
    assert "user_visits_v2:spend_28d, user_visits_v2:visits_28d would be computed otherwise" in refused.value.message
    with pytest.raises(DataError, match=r"being rolled out\).* would be removed"):
        store.delete_feature_view(weekly.SECOND)

    over = share.model_copy(update={"action": "abort", "percent": 0.0})
    log.append(event.model_copy(update={"number": event.number + 2, "version": number, "change": over}))
    store.apply([changed])


def test_a_definition_that_changed_before_is_held_by_nobody(
    weekly_production: Path, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = EventLog("shop").events(weekly.MODEL)
    with monkeypatch.context() as unguarded:
        unguarded.setattr("transformations.models.holding.guard.refuse_write", lambda *_: None)
        store.apply([redefined(store)])
    store.apply([redefined(store, by="c3")])
    assert definition(store) == "c3"
    assert EventLog("shop").events(weekly.MODEL) == number


def contents(store: FeatureStore, **changes: FeatureView | None) -> RepoContents:
    """What a repository declares: what is applied, but for these views."""
    views = {view.name: view for view in store.list_feature_views()} | changes
    return RepoContents(
        projects=[],
        data_sources=[],
        feature_views=[view for view in views.values() if view is not None],
        on_demand_feature_views=store.list_on_demand_feature_views(),
        stream_feature_views=[],
        entities=store.list_entities(),
        feature_services=store.list_feature_services(),
        permissions=[],
        label_views=[],
    )


def test_the_difference_names_what_applying_would_break(store: FeatureStore) -> None:
    settings = get_settings()
    assert held_definitions(contents(store), settings) == []
    (changed,) = held_definitions(contents(store, user_visits=redefined(store)), settings)
    assert changed.startswith("version 1 of model user_return (in production), of team@example.com uses this: ")
    assert changed.endswith("user_visits:visits_28d would be computed otherwise")
    (removed,) = held_definitions(contents(store, user_visits=None), settings)
    assert removed.endswith("user_visits:visits_28d would be removed")
    assert held_definitions(contents(store, user_visits=redefined(store)), settings, views=["another"]) == []


def test_a_build_in_its_place_is_refused(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = contents(store, user_visits=redefined(store))
    monkeypatch.setattr("transformations.insight.governance.held_definitions.read_contents", lambda _settings: declared)
    with pytest.raises(DataError, match=r"would be computed otherwise\nNothing was built\. Leave them as they are"):
        refuse_held_views(["user_visits"], get_settings())
    refuse_held_views(["another"], get_settings())


# The proof: a release on a changed feature, and back.


def second(store: FeatureStore) -> FeatureView:
    """The changed feature, in a view of its own beside the first."""
    return weekly.view_of(store.get_entity("user"), name=weekly.SECOND, definition_hash="b2")


@pytest.mark.proof
def test_after_a_release_on_a_changed_feature_and_a_rollback_the_old_model_answers_with_its_own_features(
    weekly_production: Path, store: FeatureStore
) -> None:
    log, settings = EventLog("shop"), get_settings()
    before = by_hand(MONDAY)
    with pytest.raises(DataError, match="would be computed otherwise"):
        store.apply([redefined(store)])

    number = weekly.release_on_changed_feature(weekly_production, settings)
    versions.promote(weekly.MODEL, number, "production", log, settings, why="better features")

    asked = CliRunner().invoke(retire, ["user_visits"])
    assert asked.exit_code == 3
    assert (
        "version 1 of model user_return (what a rollback would bring back), of team@example.com: until" in asked.output
    )
    newer = {row["keys"]["user_id"]: row["score"] for row in rows_of(weekly_production, number=2)}
    assert newer != before

    moved = versions.rollback(weekly.MODEL, log, settings, why="complaints")
    assert (moved.event.version, definition(store)) == (1, "a1")
    assert {row["keys"]["user_id"]: row["score"] for row in rows_of(weekly_production, number=None)} == before

    versions.promote(weekly.MODEL, 1, "archived", log, settings, why="over")
    free = CliRunner().invoke(retire, ["user_visits"])
    assert free.exit_code == 0, free.output
    assert "view user_visits: no model needs it since 2024-05-21 12:00 UTC" in free.output
    assert "service returning_v1 gives it" in free.output
    assert "dataset weekly_2024 was made of it" in free.output
    assert store.get_feature_view("user_visits").tags["definition_hash"] == "a1"  # nothing was removed


def rows_of(project: Path, number: int | None) -> list[dict[str, Any]]:
    """The predictions of the last Monday, by a version or by what production had that day."""
    return predictions_of(scorer(project, number).day(MONDAY.date()).folder).to_pylist()

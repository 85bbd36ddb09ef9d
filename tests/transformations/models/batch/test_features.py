"""Features in batch are those that the model learned from, or refused."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from feast import FeatureService, FeatureStore
from feast.feature_view import FeatureView

from tests.worlds import weekly
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.models import versions
from transformations.models.batch.scoring import Scorer
from transformations.models.log.event_log import EventLog

from .conftest import scorer

MONDAY = date(2024, 5, 13)


def apply(project: Path, changed: Callable[[FeatureView], None]) -> None:
    """Apply the view once it has been changed, after the version that used it was archived."""
    versions.promote(weekly.MODEL, 1, "archived", EventLog("shop"), get_settings(), why="over")
    store = FeatureStore(repo_path=str(project / "repo"))
    view = store.get_feature_view("user_visits")
    changed(view)
    store.apply([view])


def test_a_feature_of_another_definition_is_refused(weekly_production: Path) -> None:
    def redefine(view: FeatureView) -> None:
        view.tags = {"definition_hash": "b2"}

    apply(weekly_production, redefine)
    weekly.publish(weekly.features(), get_settings(), date(2024, 5, 19), definition_hash="b2")
    said = (
        r"not what the model learned from \(dataset weekly_2024\): visits_28d, spend_28d, days_since defined otherwise"
    )
    with pytest.raises(DataError, match=said):
        scorer(weekly_production, number=1).day(MONDAY)
    assert not get_settings().predictions_dir.exists()


def test_a_feature_that_the_service_no_longer_offers_is_refused(weekly_production: Path) -> None:
    versions.promote(weekly.MODEL, 1, "archived", EventLog("shop"), get_settings(), why="over")
    store = FeatureStore(repo_path=str(weekly_production / "repo"))
    view = store.get_feature_view("user_visits")
    store.apply([FeatureService(name=weekly.SERVICE, features=[view[["visits_28d"]]])])
    with pytest.raises(DataError, match="spend_28d, days_since no longer there"):
        scorer(weekly_production, number=1).day(MONDAY)


def test_a_feature_beside_those_of_the_model_may_change(weekly_production: Path, score: Callable[[], Scorer]) -> None:
    store = FeatureStore(repo_path=str(weekly_production / "repo"))
    view = store.get_feature_view("user_visits")
    now = store.get_on_demand_feature_view("user_now")
    store.apply([FeatureService(name=weekly.SERVICE, features=[view[["visits_28d", "spend_28d"]], now])])
    assert scorer(weekly_production).day(MONDAY).is_new

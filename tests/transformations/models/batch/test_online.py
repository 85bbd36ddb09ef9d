"""Scores that are put online are features like any other: read by key, and at any moment in training."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from feast import FeatureStore
from redis import Redis

from tests.worlds import weekly
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.models.batch.scoring import Scorer
from transformations.stores.scores import score_view

from .conftest import by_hand, scorer

FEATURES = [f"user_return_scores:user_return_{name}" for name in ("score", "decision", "version")]
MONDAYS = [datetime(2024, 5, day, 6, tzinfo=UTC) for day in (6, 13, 20)]


@pytest.fixture
def offered(weekly_production: Path, redis: Redis) -> FeatureStore:
    """A store that offers the model's scores as features."""
    store = FeatureStore(repo_path=str(weekly_production / "repo"))
    store.apply([score_view("user_return", entity=store.get_entity("user"), owner=weekly.OWNER)])
    return store


def online(store: FeatureStore, user: int) -> tuple[object, ...]:
    found = store.get_online_features(FEATURES, [{"user_id": user}]).to_dict()
    return tuple(found[name.partition(":")[2]][0] for name in FEATURES)


def test_the_newest_score_is_read_online_whatever_is_scored_last(
    offered: FeatureStore, weekly_production: Path
) -> None:
    made = scorer(weekly_production)
    assert made.put_online([made.day(date(2024, 5, 20))]) == "user_return_scores"
    newest = by_hand(MONDAYS[2])[7]
    assert online(offered, 7) == (newest, newest >= 0.5, 1)

    made.put_online(list(made.days(date(2024, 5, 6), date(2024, 5, 13))))
    assert online(offered, 7) == (newest, newest >= 0.5, 1)
    assert online(offered, 999) == (None, None, None)


def test_scores_are_read_in_training_as_of_each_moment(offered: FeatureStore, weekly_production: Path) -> None:
    made = scorer(weekly_production)
    made.put_online(list(made.days(date(2024, 5, 6), date(2024, 5, 20))))
    moments = [datetime(2024, 5, 6, 5, tzinfo=UTC), *MONDAYS]
    spine = pa.table({"user_id": [7] * 4, "event_timestamp": moments}).to_pandas()
    found = offered.get_historical_features(spine, FEATURES[:1]).to_arrow()["user_return_score"].to_pylist()
    assert found == [None, *(by_hand(moment)[7] for moment in MONDAYS)]


def test_putting_a_batch_online_again_changes_nothing(offered: FeatureStore, weekly_production: Path) -> None:
    made = scorer(weekly_production)
    batch = made.day(date(2024, 5, 20))
    made.put_online([batch])
    folder = get_settings().predictions_dir / "user_return" / "scores"
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    made.put_online([batch])
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_without_a_declared_view_it_says_which_line_to_write(score: Callable[..., Scorer]) -> None:
    with pytest.raises(UsageError, match=r'user_return_scores = score_view\("user_return", entity=…, owner=…\)'):
        score().refuse_offline()


def test_a_version_that_is_not_in_production_stays_offline(offered: FeatureStore, weekly_production: Path) -> None:
    weekly.promote_another(weekly_production)
    with pytest.raises(UsageError, match="version 1 is not in production, so its scores stay offline"):
        scorer(weekly_production, 1).refuse_offline()

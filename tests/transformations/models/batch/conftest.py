"""What tests of batch scoring share: the scorer of the small project's model, and its scores worked out by hand."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import FeatureStore

from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.batch.scoring import Scorer
from transformations.models.log.event_log import EventLog
from transformations.models.scoring.predict import predict
from transformations.models.versions import artifact_of, standing


def scorer(project: Path, number: int | None = None) -> Scorer:
    store = FeatureStore(repo_path=str(project / "repo"))
    return Scorer(model=weekly.MODEL, number=number, log=EventLog("shop"), store=store, settings=get_settings())


@pytest.fixture
def score(weekly_production: Path) -> Callable[..., Scorer]:
    """The scorer of a version, by default of the one in production."""
    return lambda number=None: scorer(weekly_production, number)


def by_hand(moment: datetime, version: int = 1) -> dict[int, float]:
    """The score of every user who has visited before a moment, its features counted from the visits."""
    seen = [row for row in weekly.visits().to_pylist() if row["at"] < moment]
    as_of = moment.replace(hour=0)  # the Monday's row, which is there from two o'clock on
    rows: list[dict[str, Any]] = []
    for user in sorted({row["user_id"] for row in seen}):
        mine = [row for row in seen if row["user_id"] == user and row["at"] < as_of]
        late = [row for row in mine if row["at"] >= as_of - timedelta(days=28)]
        last = max((row["at"] for row in mine), default=None)
        rows.append(
            {
                "user_id": user,
                "visits_28d": len(late) if mine else None,
                "spend_28d": sum(row["spent"] for row in late) if mine else None,
                "days_since": None if last is None else (moment - last).total_seconds() / 86_400,
            }
        )
    state = standing(weekly.MODEL, EventLog("shop")).version(version)
    scores = predict(artifact_of(weekly.MODEL, state, get_settings()), pa.Table.from_pylist(rows)).scores
    return {row["user_id"]: score for row, score in zip(rows, scores.to_pylist(), strict=True)}

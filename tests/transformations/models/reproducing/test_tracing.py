"""A prediction leads back to all that it came from, and a broken link is told."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from feast import FeatureStore

from tests.worlds import weekly
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.models.batch.opened import Batch
from transformations.models.batch.scoring import Scorer
from transformations.models.log.event_log import EventLog
from transformations.models.reproducing import tracing
from transformations.models.reproducing.tracing import Traced
from transformations.models.versions import standing


def scored(project: Path) -> Batch:
    store = FeatureStore(repo_path=str(project / "repo"))
    scorer = Scorer(model=weekly.MODEL, number=None, log=EventLog("shop"), store=store, settings=get_settings())
    return scorer.day(date(2024, 5, 13))


def trace(project: Path, batch: Path, row: int) -> Traced:
    store = FeatureStore(repo_path=str(project / "repo"))
    return tracing.trace(batch, row, EventLog("shop"), store, get_settings())


def test_a_prediction_leads_to_its_run_its_tables_and_the_same_score_though_the_table_has_moved_on(
    weekly_production: Path,
) -> None:
    batch = scored(weekly_production).folder
    rows = weekly.features()
    place = rows.column_names.index("spend_28d")
    corrected = rows.set_column(place, "spend_28d", pa.array([999.0] * len(rows)))
    weekly.publish(corrected, get_settings(), date(2024, 5, 19))

    found = trace(weekly_production, batch, 3)
    state = standing(weekly.MODEL, EventLog("shop")).version(1)
    assert (found.run_id, found.evidence) == (state.registered.run_id, state.evidence)
    assert (found.dataset, found.tables) == ("weekly_2024", ("user_visits@0",))
    assert found.record.keys["user_id"] is not None


def test_a_score_that_comes_out_otherwise_is_told(weekly_production: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = scored(weekly_production).folder
    read = tracing.predictions_of
    shifted = read(batch).to_pylist()[0]["score"] + 0.001

    def tampered(folder: Path) -> pa.Table:
        rows = read(folder)
        return rows.set_column(rows.column_names.index("score"), "score", pa.array([shifted] * len(rows)))

    monkeypatch.setattr(tracing, "predictions_of", tampered)
    with pytest.raises(DataError, match=r"the score was 0\.\d+, and is 0\.\d+ now"):
        trace(weekly_production, batch, 0)

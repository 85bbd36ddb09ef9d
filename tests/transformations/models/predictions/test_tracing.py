"""Tracing: from a prediction to its version, run, dataset, gates, rows and raw events, and its score again."""

import math
from pathlib import Path

import pytest

from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.batch.personal import HASHED
from transformations.models.log.event_log import EventLog
from transformations.models.predictions.tracing import trace
from transformations.models.versions import standing

from .conftest import command, record, served, store_of


def test_a_prediction_is_traced_to_version_run_dataset_gates_rows_and_its_score_again(loaded: Path) -> None:
    record(*served(loaded))
    (found,) = trace("7", EventLog("shop"), store_of(loaded), get_settings())
    state = standing(weekly.MODEL, EventLog("shop")).version(1)
    assert (found.again, found.difference, found.missing) == ("same", None, [])
    assert (found.version.stage, found.version.run_id) == ("production", state.registered.run_id)
    assert (found.version.dataset, found.version.dataset_hash) == (weekly.DATASET, state.registered.dataset_hash)
    assert found.version.gates == (1, 1)
    by_name = {each.name: each for each in found.features}
    (visits,) = by_name["visits_28d"].sources
    assert (visits.reference, visits.version) == ("user_visits:visits_28d", 0)
    assert visits.row is not None
    assert visits.row.value == by_name["visits_28d"].served.value
    assert visits.row.event_timestamp == by_name["visits_28d"].served.row_timestamp
    margin = (found.base or 0.0) + sum(found.contributions.values())
    assert list(found.contributions) != []
    assert 1 / (1 + math.exp(-margin)) == pytest.approx(found.record.score, abs=1e-12)
    (visited,) = by_name["days_since"].sources
    assert visited.reference == "user_visits:visited_at"


def test_a_prediction_whose_version_is_gone_is_traced_as_expired(loaded: Path) -> None:
    first, *_ = served(loaded)
    views = {name: view.model_copy(update={"table_version": 7}) for name, view in first.views.items()}
    record(first.model_copy(update={"views": views}))
    (found,) = trace(first.id, EventLog("shop"), store_of(loaded), get_settings())
    assert (found.again, found.missing) == ("expired", ["user_visits@7"])


def test_a_prediction_whose_keys_were_hashed_is_traced_without_its_rows(loaded: Path) -> None:
    first, *_ = served(loaded)
    record(first.model_copy(update={"keys": {"user_id": f"{HASHED}0a"}}))
    (found,) = trace(first.id, EventLog("shop"), store_of(loaded), get_settings())
    assert (found.again, found.difference) == ("withheld", "user_id is personal, and not in the record")
    assert {source.row for each in found.features for source in each.sources} == {None}
    assert command("trace", first.id).exit_code == 0
    told = command("trace", first.id, "--feature", "visits_28d")
    assert told.exit_code == 2
    assert "does not hold the key of user_visits:visits_28d" in told.output


def test_a_prediction_that_was_made_with_defaults_names_no_row_that_nobody_read(loaded: Path) -> None:
    first, *_ = served(loaded)
    defaults = {
        name: each.model_copy(update={"value": 0, "status": "NOT_FOUND", "row_timestamp": None})
        for name, each in first.features.items()
    }
    record(first.model_copy(update={"degraded": True, "features": defaults}))
    (found,) = trace(first.id, EventLog("shop"), store_of(loaded), get_settings())
    assert found.again == "degraded"
    sources = [source for each in found.features for source in each.sources]
    assert {source.reference for source in sources} >= {"user_visits:visits_28d"}
    assert {source.row for source in sources} == {None}
    told = command("trace", first.id, "--feature", "visits_28d")
    assert told.exit_code == 2
    assert "no row and no event is behind visits_28d" in " ".join(told.output.split())


def test_of_a_feature_that_a_prediction_does_not_have_the_nearest_is_named(loaded: Path) -> None:
    record(*served(loaded))
    told = command("trace", "7", "--feature", "vists_28d")
    assert told.exit_code == 2
    assert "prediction 7 has no feature 'vists_28d'" in told.output
    assert "visits_28d" in told.output.partition("'vists_28d'")[2]

"""Versions that predictions name are pinned for as long as they are kept, by whatever recorded them, and no longer."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.transformations.models.predictions.conftest import give_artifact, lines, options
from tests.worlds import weekly
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.tables.pins import pinned
from transformations.engine.upkeep.vacuum import vacuum_table
from transformations.models.batch.pinning import pin_views, release_expired
from transformations.models.batch.scoring import Scorer
from transformations.models.predictions.collect import collect, versions_recorded
from transformations.models.predictions.recorder import Recorder
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.predictions import ServedView

REASON = f"predictions of {weekly.MODEL} on 2024-05-21"
TODAY = date(2024, 5, 21)


def table() -> OfflineTable:
    return OfflineTable(get_settings().offline_dir / "user_visits")


def view(version: int | None) -> dict[str, ServedView]:
    return {"user_visits": ServedView(table_version=version, loaded_through=None)}


def later(days: int) -> Settings:
    return get_settings().model_copy(update={"clock": datetime(2024, 5, 21, 12, tzinfo=UTC) + timedelta(days=days)})


def test_a_batch_pins_the_versions_it_read_by_the_day_it_was_made(
    weekly_production: Path, score: Callable[..., Scorer]
) -> None:
    batch = score().day(date(2024, 5, 13))
    assert batch.manifest.views["user_visits"].table_version == 0
    assert REASON in pinned(table())[0]


def test_a_collection_pins_what_the_server_read_and_vacuum_spares_it_before_and_after(weekly_production: Path) -> None:
    settings = get_settings()
    give_artifact(settings, "returns")
    old = pinned(table())
    with Recorder(segments_folder(settings), options()) as recorder:
        recorder.record(lines("a", table_version=0))
    assert versions_recorded(settings) == {"user_visits": {0: ("predictions of returns on 2024-05-20",)}}
    assert pinned(table()) == old
    assert collect(settings).gone == set()
    assert "predictions of returns on 2024-05-20" in pinned(table())[0]
    assert versions_recorded(settings) == {}

    weekly.publish(weekly.features(), settings, date(2024, 5, 20))
    held = vacuum_table(table(), timedelta(0), keep_versions=1).held
    assert [each.version for each in held] == [0]
    assert "predictions of returns on 2024-05-20" in held[0].reasons


def test_pins_last_as_long_as_predictions_are_kept(weekly_production: Path) -> None:
    pin_views(view(0), weekly.MODEL, TODAY, get_settings())
    assert release_expired(later(90)) == 0
    assert REASON in pinned(table())[0]
    assert release_expired(later(91)) == 1
    assert REASON not in pinned(table()).get(0, ())


def test_an_expired_day_pins_nothing(weekly_production: Path) -> None:
    pin_views(view(0), weekly.MODEL, TODAY, later(91))
    assert REASON not in pinned(table()).get(0, ())


@pytest.mark.parametrize(("version", "gone"), [(7, ["user_visits@7"]), (None, [])])
def test_a_version_that_is_not_there_is_told(weekly_production: Path, version: int | None, gone: list[str]) -> None:
    assert pin_views(view(version), weekly.MODEL, TODAY, get_settings()) == gone

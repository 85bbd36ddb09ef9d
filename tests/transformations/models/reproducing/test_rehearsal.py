"""A rollback is rehearsed with the artifact that would answer, and moves nothing."""

from pathlib import Path

import pytest

from tests.worlds import weekly
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.reproducing.rehearsal import rehearse_rollback
from transformations.models.versions import artifact_folder, standing


def test_a_rehearsal_names_both_versions_and_moves_nothing(weekly_production: Path) -> None:
    with pytest.raises(UsageError, match="had no version before, so there is nothing to roll back to"):
        rehearse_rollback(weekly.MODEL, EventLog("shop"), get_settings())
    weekly.promote_another(weekly_production)
    events = EventLog("shop").events(weekly.MODEL)

    rehearsed = rehearse_rollback(weekly.MODEL, EventLog("shop"), get_settings())
    assert (rehearsed.from_version, rehearsed.to_version) == (2, 1)
    assert rehearsed.rows > 100
    assert rehearsed.seconds < 10
    assert EventLog("shop").events(weekly.MODEL) == events


def test_an_earlier_version_that_could_not_answer_is_told(weekly_production: Path) -> None:
    weekly.promote_another(weekly_production)
    log, settings = EventLog("shop"), get_settings()
    folder = artifact_folder(weekly.MODEL, standing(weekly.MODEL, log).version(1), settings)
    (folder / "transformations.json").unlink()
    with pytest.raises(DataError, match=r"is missing, so .* is no whole artifact"):
        rehearse_rollback(weekly.MODEL, log, settings)

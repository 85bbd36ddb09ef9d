"""`features doctor --deep` knows which versions may still answer, and whether what they would answer with is there."""

import shutil
from pathlib import Path

from click.testing import CliRunner

from tests.worlds import weekly
from transformations.cli.main import cli
from transformations.engine.base.settings import get_settings
from transformations.insight.model_copies import lost_artifacts, standings
from transformations.models.log.event_log import EventLog
from transformations.models.versions import artifact_folder, standing


def test_a_version_whose_artifact_is_gone_is_told_with_its_folder(weekly_production: Path) -> None:
    settings = get_settings()
    assert list(lost_artifacts(standings(settings), settings)) == []
    folder = artifact_folder(weekly.MODEL, standing(weekly.MODEL, EventLog("shop")).version(1), settings)
    shutil.rmtree(folder)
    told = CliRunner().invoke(cli, ["doctor", "--deep"], terminal_width=300)
    assert f"{weekly.MODEL} 1: it is registered, and {folder} is gone" in " ".join(told.output.split())

"""What the demo finds done already decides which of its steps are left."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.transformations.cli.test_moved_data import hold_absolute_paths
from transformations.cli.demo.state import demo_state


def test_views_of_another_data_folder_are_not_applied(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.apply()
    assert demo_state(world.settings).changes == 0
    hold_absolute_paths()
    shutil.copytree(world.settings.data, tmp_path / "copy")
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "copy"))
    assert demo_state(world.settings).changes == 2

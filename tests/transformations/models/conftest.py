"""What tests of models share: a repository that declares one, whose pinned dataset is made."""

from pathlib import Path

import pytest

from tests.worlds.returns import write_dataset, write_declaration
from transformations.engine.base.settings import Settings


@pytest.fixture
def repository(settings: Settings, mlflow_tables: None, tmp_path: Path) -> Path:
    """A feature repository that declares one model, whose dataset is made."""
    write_dataset(settings.datasets_dir)
    write_declaration(tmp_path / "repo")
    return tmp_path / "repo"

"""What tests of rollouts share: the tables in a database of their own."""

from pathlib import Path

import pytest

from transformations.models.rollout.tables import RolloutTables


@pytest.fixture
def tables(tmp_path: Path) -> RolloutTables:
    return RolloutTables("shop", f"sqlite:///{tmp_path / 'tables.db'}")

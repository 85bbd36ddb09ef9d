"""The record of a run: where MLflow cannot be used, that is said at once."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from transformations.engine.base.errors import DataError, DiskError
from transformations.engine.base.settings import Settings
from transformations.models.tracking.runs import client_of


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"junk" * 2_000), lambda file: file.mkdir()])
def test_a_database_that_cannot_be_opened_is_named_at_once(
    settings: Settings, damage: Callable[[Path], object]
) -> None:
    """MLflow itself tries for 100 seconds."""
    file = settings.mlflow_dir / "mlflow.db"
    file.parent.mkdir(parents=True)
    damage(file)
    began = time.monotonic()
    with pytest.raises((DataError, DiskError), match=f"^{file} "):
        client_of(settings)
    assert time.monotonic() - began < 10

"""What tests of models share: a pinned dataset, a declaration, and an MLflow whose tables are there already."""

import shutil
from pathlib import Path

import pytest

from tests.worlds.returns import write_dataset, write_declaration
from transformations.engine.base.settings import Settings


@pytest.fixture(scope="session")
def _mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make its tables."""
    from transformations.models.tracking.runs import client_of

    data = tmp_path_factory.mktemp("mlflow")
    client_of(Settings(data=data))
    return data / "mlflow" / "mlflow.db"


@pytest.fixture
def mlflow_tables(settings: Settings, _mlflow_database: Path) -> None:
    """An MLflow of the test's own, without a run."""
    settings.mlflow_dir.mkdir(parents=True)
    shutil.copy(_mlflow_database, settings.mlflow_dir)


@pytest.fixture
def repository(settings: Settings, mlflow_tables: None, tmp_path: Path) -> Path:
    """A feature repository that declares one model, whose dataset is made."""
    write_dataset(settings.datasets_dir)
    write_declaration(tmp_path / "repo")
    return tmp_path / "repo"

"""What tests of monitoring share: the small project with batches of every Monday, some of them gone wrong."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from feast import FeatureStore

from tests.worlds import weekly
from tests.worlds.once import made_once
from transformations.engine.base.settings import Settings, get_settings
from transformations.models.batch.scoring import Scorer
from transformations.models.log.event_log import EventLog
from transformations.monitoring.judging.watched import Watched

LAST = date(2024, 5, 20)
EARLIER = date(2024, 4, 15)
Change = Callable[[pa.Table], pa.Table]


def score(project: Path, first: date = EARLIER, last: date = LAST) -> None:
    """Score every Monday between."""
    store = FeatureStore(repo_path=str(project / "repo"))
    scorer = Scorer(model=weekly.MODEL, number=1, log=EventLog("shop"), store=store, settings=get_settings())
    list(scorer.days(first, last))


def publish_changed(change: Change, monday: date = LAST) -> None:
    """Publish the rows of a Monday anew, changed: what a broken job would have written."""
    rows = weekly.features()
    of_day = pc.equal(pc.cast(rows["event_timestamp"], pa.date32()), pa.scalar(monday))
    later = pc.add(rows["created_timestamp"], pa.scalar(1_000_000, pa.duration("us")))
    changed = change(rows.set_column(2, "created_timestamp", later.cast(weekly.TIMESTAMP)).filter(of_day))
    weekly.publish(changed, get_settings(), date(2024, 5, 19))


def watch(project: Path, **config: object) -> Watched:
    """The model as it is watched, by a configuration for so few rows as there are."""
    said = {"least_rows": 20, "draws": 200, **config}
    (project / "repo" / "monitoring.yaml").write_text(yaml.safe_dump(said))
    return Watched(weekly.MODEL, project / "repo", EventLog("shop"), get_settings())


def multiplied(column: str, by: float) -> Change:
    """Rows with a column in another unit."""

    def change(rows: pa.Table) -> pa.Table:
        values = pa.array(np.asarray(rows[column].to_numpy()) * by, rows[column].type)
        return rows.set_column(rows.column_names.index(column), column, values)

    return change


@pytest.fixture(scope="session")
def _watched_in_production(_weekly: Path, _mlflow_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project with a version in production that learned from Mondays with four full weeks before them."""

    def make(root: Path) -> None:
        shutil.copytree(_weekly, root)
        (root / "data" / "mlflow").mkdir()
        shutil.copy(_mlflow_database, root / "data" / "mlflow")
        split = {"train": "2024-02-05", "validation": "2024-03-25", "test": "2024-04-22"}
        config = root / "repo" / "datasets" / f"{weekly.DATASET}.yaml"
        config.write_text(yaml.safe_dump(weekly.CONFIG | {"split": split}))
        with pytest.MonkeyPatch.context() as patched:
            _work_in(root, patched)
            patched.setenv("FEATURES_CLOCK", weekly.PROMOTED)
            weekly.promote(root)

    return made_once(tmp_path_factory, "watched in production", make)


@pytest.fixture
def production(
    settings: Settings, _watched_in_production: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of that project."""
    shutil.copytree(_watched_in_production, tmp_path, dirs_exist_ok=True)
    _work_in(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def scored(production: Path) -> Path:
    """The project with a batch of each of the last six Mondays."""
    score(production)
    return production


def _work_in(root: Path, patched: pytest.MonkeyPatch) -> None:
    for name, value in weekly.environment(root).items():
        patched.setenv(name, value)
    patched.syspath_prepend(str(root / "modules"))

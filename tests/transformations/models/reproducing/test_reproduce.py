"""A version is made again from its pins, whatever has come in since; what comes out otherwise is told."""

import dataclasses
import importlib
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from feast import FeatureStore

from tests.worlds import weekly
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.models import releasing
from transformations.models.declaration.resolution import Resolved
from transformations.models.fitting.fit import Fit
from transformations.models.log.event_log import EventLog
from transformations.models.reproducing import reproduce as reproducing
from transformations.models.reproducing.reproduce import Reproduced
from transformations.models.training import machine
from transformations.models.versions import artifact_of, standing

OWN = """
import json
import numpy as np
from transformations.models.trainers.interface import Trainer

FACTOR = 1.0

def fit(job):
    return {"mean.json": json.dumps(float(np.log(job.train.labels.mean()))).encode()}

def load(files, task, threads):
    mean = json.loads(files["mean.json"])
    return lambda matrix: np.full(len(matrix), mean * FACTOR)

trainer = Trainer(name="own", fit=fit, load=load)
"""


def reproduce(project: Path, number: int | None = None) -> Reproduced:
    store = FeatureStore(repo_path=str(project / "repo"))
    return reproducing.reproduce(weekly.MODEL, number, EventLog("shop"), store, get_settings())


def test_a_version_comes_out_bit_for_bit_though_later_data_has_come_in(weekly_production: Path) -> None:
    late = {"user_id": [1], "at": [datetime(2024, 2, 1, 9, tzinfo=UTC)], "spent": [99.0]}
    weekly.deliver(pa.table(late, weekly.visits().schema), get_settings(), date(2024, 5, 19))
    rows = weekly.features().slice(0, 1)
    place = rows.column_names.index("spend_28d")
    weekly.publish(rows.set_column(place, "spend_28d", pa.array([999.0])), get_settings(), date(2024, 5, 19))

    made = reproduce(weekly_production)
    assert (made.version, made.is_same, made.elsewhere, made.largest_difference) == (1, True, (), 0.0)
    assert made.again == standing(weekly.MODEL, EventLog("shop")).version(1).registered.artifact
    assert len(EventLog("shop").events(weekly.MODEL)) == 4


def test_another_artifact_is_refused_here_and_held_to_its_scores_elsewhere(
    weekly_production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was made with a little more regularisation stands for another processor's last bits."""
    fit = reproducing.fit

    def regularised(more: float) -> None:
        def otherwise(resolved: Resolved, *rows: pa.Table) -> Fit:
            changed = resolved.declaration.model_copy(update={"hyperparameters": {"l2": 1.0 + more}})
            return fit(dataclasses.replace(resolved, declaration=changed), *rows)

        monkeypatch.setattr(reproducing, "fit", otherwise)

    regularised(1e-6)
    with pytest.raises(DataError, match=r"files came out otherwise .*libraries and machine are the same"):
        reproduce(weekly_production)

    monkeypatch.setattr(reproducing, "machine", lambda: "Linux aarch64")
    made = reproduce(weekly_production)
    assert (made.is_same, 0 < made.largest_difference < reproducing.TOLERANCE) == (False, True)
    assert made.elsewhere == (f"machine: {machine()} then, Linux aarch64 now",)

    regularised(50.0)
    with pytest.raises(DataError, match=r"differs by 0\.\d+ \(allowed elsewhere: 0\.001\)"):
        reproduce(weekly_production)


def test_a_changed_table_of_the_dataset_is_told(weekly_production: Path) -> None:
    (file,) = (weekly_production / "data" / "offline" / "user_visits").glob("run-0.parquet")
    file.chmod(0o640)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError):
        reproduce(weekly_production)


@pytest.mark.proof
def test_an_own_trainers_code_is_part_of_what_scores(weekly_project: Path) -> None:
    module = weekly_project / "modules" / "own_trainer.py"
    module.write_text(OWN)
    weekly.declare(weekly_project / "repo", trainer="own_trainer:trainer", evaluation={"entity": "user_id"})
    store, log, settings = FeatureStore(repo_path=str(weekly_project / "repo")), EventLog("shop"), get_settings()

    def release() -> int:
        sys.modules.pop("own_trainer", None)
        importlib.invalidate_caches()
        return releasing.release(weekly.MODEL, weekly_project / "repo", log, store, settings).version

    try:
        assert release() == 1
        assert release() == 1
        assert reproduce(weekly_project, 1).is_same
        module.write_text(OWN.replace("FACTOR = 1.0", "FACTOR = 2.00"))
        assert release() == 2
        with pytest.raises(DataError, match="was trained with other code of own_trainer:trainer than this process has"):
            artifact_of(weekly.MODEL, standing(weekly.MODEL, log).version(1), settings)
        module.write_text(OWN.replace("labels.mean()", "labels.mean()  * 1.0"))
        assert release() == 3
    finally:
        sys.modules.pop("own_trainer", None)

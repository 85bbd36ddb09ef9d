"""A batch is there whole, or not at all, and what is there is what was published."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.worlds import weekly
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.models.batch import publishing
from transformations.models.batch.publishing import batches_folder, predictions_of, read_batch
from transformations.models.batch.scoring import Scorer

from .conftest import scorer

MONDAY = date(2024, 5, 13)


class KilledError(BaseException):
    pass


def names() -> list[str]:
    return sorted(file.name for file in batches_folder(weekly.MODEL, get_settings()).iterdir())


def test_a_batch_that_was_killed_before_it_was_published_is_made_whole_by_the_next(
    score: Callable[[], Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(publishing, "publish", killed)
        patched.setattr(publishing.shutil, "rmtree", lambda *_, **__: None)  # a kill cleans nothing up
        with pytest.raises(KilledError):
            score().day(MONDAY)
    (left, lock) = names()
    assert (left.endswith(".unfinished"), lock) == (True, ".batch.lock")

    assert score().day(MONDAY).is_new
    assert names() == [".batch.lock", "2024-05-13-v1"]


def test_two_at_once_publish_one_batch(weekly_production: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        batches = list(pool.map(lambda _: scorer(weekly_production).day(MONDAY), range(2)))
    assert batches[0].manifest == batches[1].manifest
    assert names() == [".batch.lock", "2024-05-13-v1"]


def test_a_tampered_batch_is_refused(score: Callable[[], Scorer]) -> None:
    folder = score().day(MONDAY).folder
    (file,) = folder.glob("day=*/*.parquet")
    rows = pq.read_table(file, partitioning=None)
    file.chmod(0o640)
    pq.write_table(rows.slice(1), file)
    with pytest.raises(DataError, match=r"predictions\.parquet.*take it away and score anew"):
        predictions_of(folder)
    (folder / "batch.json").chmod(0o640)
    for text in ("{", "\x00"):
        (folder / "batch.json").write_text(text)
        with pytest.raises(DataError, match=r"is no whole batch: batch\.json cannot be read.*take it away"):
            read_batch(folder)
    (folder / "batch.json").unlink()
    with pytest.raises(DataError, match=r"is no whole batch: batch\.json is missing"):
        read_batch(folder)

"""Broken drops: each is refused with words that name what is wrong, and nothing of it is left behind."""

import tempfile
from pathlib import Path

import pytest

from transformations.engine.base import duck
from transformations.engine.base.errors import FeaturesError
from validation.delivery.ingest import Delivery, ingest_drop

from .broken_drops import BROKEN, GOOD


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != ".lock"}


def test_the_corpus_is_large():
    assert len(BROKEN) >= 60


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_drop_is_refused_and_leaves_nothing_behind(sources, tmp_path, monkeypatch, name):
    write, message = BROKEN[name]
    scratch, incoming = tmp_path / "scratch", tmp_path / "incoming"
    scratch.mkdir()
    incoming.mkdir()
    with duck.session():  # the process's own DuckDB keeps its folder, whichever test is the first to ask for one
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path = write(incoming)
    before = tree(incoming)
    with pytest.raises(FeaturesError, match=message) as refusal:
        ingest_drop(Delivery("events", path), sources)
    assert refusal.value.exit_code in (1, 2, 3)
    assert (tree(incoming), tree(scratch)) == (before, set())
    left = tree(sources.raw_dir) if sources.raw_dir.exists() else set()
    assert left <= {"events"}


def test_the_good_drop_that_the_broken_ones_vary_is_taken(sources, tmp_path):
    assert ingest_drop(Delivery("events", GOOD(tmp_path)), sources).drop.rows == 1

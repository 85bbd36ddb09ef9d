"""`features predictions`: what a server has recorded, collected, traced and checked from the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.transformations.models.predictions.conftest import give_artifact, lines, options
from transformations.cli.main import cli
from transformations.engine.base.settings import get_settings
from transformations.models.predictions.recorder import Recorder
from transformations.models.predictions.segments import segments_folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["predictions", *arguments])


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder without any project."""
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path))
    give_artifact(get_settings(), "returns")
    return tmp_path


def test_collect_tells_what_it_filed_and_what_it_left(data: Path) -> None:
    with Recorder(segments_folder(get_settings()), options()) as recorder:
        recorder.record(lines("a", "b"))
        recorder.unanswered(recorder.record(lines("c")))
    with Recorder(segments_folder(get_settings()), options()):
        told = run("collect")
    assert told.exit_code == 0
    assert told.stdout.splitlines() == [
        "Model    Day         Version",
        "returns  2024-05-20        1",
        "3 new records, 1 not answered from 1 segment; 1 segment still written to",
    ]
    with Recorder(segments_folder(get_settings()), options()) as recorder:
        recorder.record(lines("d"))
    again = json.loads(run("collect", "--json").stdout)
    assert (again["records"], again["places"]) == (1, [{"model": "returns", "day": "2024-05-20", "version": 1}])


def test_collect_ends_with_code_3_where_a_segment_cannot_be_read(data: Path) -> None:
    with Recorder(segments_folder(get_settings()), options()) as recorder:
        recorder.record([b'{"format":2}\n', *lines("a")])
    told = run("collect")
    assert told.exit_code == 3
    assert "that is no record of this release" in told.output

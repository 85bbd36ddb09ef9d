"""A mistake in a declaration is one kind, in whichever file and however deep it stands: code 2, no trace."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.worlds.clicking import CLICKS, World
from transformations.cli.main import run

DATASET = {"feature_service": "reading_v1", "owner": "ml@x.org", "spine": {"query": "SELECT 1"}}
MODEL = {"dataset": "reading", "owner": "ml@x.org"}
BROKEN = "a: [1,"
FILE = "the file itself"
RULES = {
    "sql": {"type": "sql", "query": "SELECT 'many' FROM {object}", "mustBe": 0},
    "sql of another table": {"type": "sql", "query": "SELECT count(*) FROM elsewhere", "mustBe": 0},
    "custom by no name": {"type": "custom", "engine": "greatExpectations", "implementation": {"type": "expect_luck"}},
    "custom without arguments": {
        "type": "custom",
        "engine": "greatExpectations",
        "implementation": {"type": "expect_column_values_to_be_between", "kwargs": {"column": "seconds", "most": 1}},
    },
    "library": {"metric": "rowCounts", "mustBeGreaterThan": 0},
    "library out of bounds": {"metric": "nullValues", "mustBeLessThan": 101, "unit": "percent"},
}


def contract(**changes: object) -> str:
    return yaml.safe_dump(yaml.safe_load(CLICKS) | changes)


@pytest.fixture(autouse=True)
def _no_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEATURES_DEBUG", raising=False)


def told(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert run(command) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert "fault of the platform" not in said
    return said


@pytest.mark.parametrize(
    ("file", "text", "command"),
    [
        ("contracts/clicks.yaml", BROKEN, ["ingest", "clicks", "clicks.parquet"]),
        ("contracts/clicks.yaml", contract(kind="Table"), ["contract", "show", "clicks"]),
        ("contracts/clicks.yaml", contract(version="FILL IN"), ["contract", "check", "clicks", "clicks.parquet"]),
        ("contracts/clicks.yaml", contract(servers=[{"type": "local"}]), ["ingest", "clicks"]),
        ("contracts/clicks.yaml", BROKEN, ["build"]),
        ("contracts/clicks.yaml", BROKEN, ["diff"]),
        ("feature_repo/datasets/reading.yaml", BROKEN, ["dataset", "create", FILE]),
        ("feature_repo/datasets/reading.yaml", yaml.safe_dump(DATASET | {"splt": 1}), ["dataset", "create", FILE]),
        ("feature_repo/models/lapse.yaml", BROKEN, ["model", "train", "lapse"]),
        ("feature_repo/models/lapse.yaml", yaml.safe_dump(MODEL | {"trainr": 1}), ["model", "train", "lapse"]),
        ("feature_repo/owners.yaml", BROKEN, ["impact", "clicks"]),
        ("domains/clicking.py", "from transformations import Cuont", ["build"]),
    ],
)
def test_of_a_file(world: World, capsys: pytest.CaptureFixture[str], file: str, text: str, command: list[str]) -> None:
    (world.folder / file).parent.mkdir(exist_ok=True)
    (world.folder / file).write_text(text)
    asked = [str(world.folder / file) if each == FILE else each for each in command]
    assert file.rpartition("/")[2] in told(capsys, *asked)


@pytest.mark.parametrize("rule", RULES)
def test_of_a_rule_in_a_contract(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    monkeypatch.chdir(world.folder)
    monkeypatch.setattr("validation.quality.row_expectations.run_apart", in_this_process)
    document = yaml.safe_load(CLICKS)
    document["schema"][0]["quality"] = [RULES[rule]] if rule != "library out of bounds" else []
    if rule == "library out of bounds":
        document["schema"][0]["properties"][3]["quality"] = [RULES[rule]]
    (world.folder / "contracts" / "clicks.yaml").write_text(yaml.safe_dump(document))
    at = pa.array([dt.datetime(2024, 5, 1, 12)], pa.timestamp("us"))
    rows = pa.table({"click_id": [1], "user_id": [1], "page": ["/"], "seconds": [1.0], "clicked_at": at})
    pq.write_table(rows, "clicks.parquet")
    for command in (["contract", "check"], ["ingest"]):
        assert "clicks.yaml: " in told(capsys, *command, "clicks", "clicks.parquet")


def in_this_process(_contract: object, folder: Path, _settings: object) -> str:
    from validation.quality import row_runner

    row_runner.run(folder)
    return ""

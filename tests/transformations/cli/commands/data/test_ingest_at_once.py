"""Two `features ingest SOURCE` of one glob at the same time: each file becomes one drop, whoever takes it."""

import textwrap
from pathlib import Path

import pytest

from tests.worlds.processes import Started, start
from tests.worlds.samples import some_quick
from transformations.cli.main import run
from transformations.contracts import read_contract
from transformations.engine.base.settings import get_settings
from transformations.engine.raw.zone import RawTable, read_current

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: clicks
version: 1.0.0
team: {{ name: tests }}
servers: [{{ server: drops, type: local, path: {path}/clicks-*.csv }}]
schema:
  - name: clicks
    description: One click
    customProperties:
      - {{ property: businessDayZone, value: UTC }}
      - {{ property: delivery, value: {delivery} }}
      - {time}
    properties:
      - {{ name: id, logicalType: integer, description: The click, required: true{key} }}
      - {{ name: seconds, logicalType: integer, description: How long }}
      - {{ name: at, logicalType: timestamp, description: When, required: true }}
"""
EVENTS = "{ property: eventTime, value: at }\n      - { property: timestampZone, value: UTC }"
RECORDS = "{ property: validFrom, value: '2019-12-31T00:00:00+00:00' }\n      - { property: timestampZone, value: UTC }"
KINDS = {
    "append": ("append", EVENTS, ", primaryKey: true"),
    "append without a key": ("append", EVENTS, ""),
    "upsert": ("upsert", EVENTS, ", primaryKey: true"),
    "replace-partition": ("replace-partition", EVENTS, ", primaryKey: true"),
    "snapshot": ("snapshot", RECORDS, ", primaryKey: true"),
}
ROWS = {
    "append": [(1, 10), (2, 20), (3, 30)],
    "append without a key": [(1, 10), (2, 20), (2, 21), (3, 30)],
    "upsert": [(1, 10), (2, 21), (3, 30)],
    "replace-partition": [(2, 21), (3, 30)],
    "snapshot": [(1, 10), (2, 20), (2, 21), (3, 30)],  # each from its own moment on
}
# The second file says otherwise what the first says of click 2; an appended drop of so few rows may not.
FIRST = "id,seconds,at\n1,10,2020-01-03T10:00:00\n2,20,2020-01-03T11:00:00\n"
SECOND = "id,seconds,at\n2,{seconds},2020-01-03T11:00:00\n3,30,2020-01-04T11:00:00\n"

# Another process that has found both files new, and checks the first when all of it is taken.
LATE = """
    import time
    from pathlib import Path
    from transformations.cli.main import run
    from validation.delivery import ingest

    check = ingest.check_file

    def checked_late(*given, **options):
        print("checks", flush=True)
        while not Path("taken").exists():
            time.sleep(0.01)
        return check(*given, **options)

    ingest.check_file = checked_late
    raise SystemExit(run(["ingest", "clicks"]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "contracts").mkdir()
    monkeypatch.setenv("FEATURES_CONTRACTS", str(tmp_path / "contracts"))
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FEATURES_CLOCK", "2020-02-01T12:00:00Z")
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    return tmp_path


def deliver(folder: Path, kind: str) -> None:
    delivery, time, key = KINDS[kind]
    text = CONTRACT.format(path=folder, delivery=delivery, time=time, key=key)
    (folder / "contracts" / "clicks.yaml").write_text(text)
    (folder / "clicks-1.csv").write_text(FIRST)
    (folder / "clicks-2.csv").write_text(SECOND.format(seconds=20 if kind == "append" else 21))


def taken() -> tuple[list[str], list[tuple[int, int]]]:
    """The files that became drops, in order, and the current rows."""
    contract = read_contract("clicks", get_settings().contracts)
    found = RawTable(contract, get_settings().raw_dir).snapshot()
    rows = read_current(found, contract, ["id", "seconds"]).to_pylist()
    files = [drop.file_name for drop in found.drops]
    return files, sorted((row["id"], row["seconds"]) for row in rows if row["seconds"] is not None)


def late(folder: Path) -> Started:
    process = start(textwrap.dedent(LATE), output=folder / "late.txt")
    process.wait_for("checks")
    return process


@pytest.mark.parametrize("kind", some_quick(KINDS, 0))
def test_a_process_that_comes_to_files_which_another_has_taken_meanwhile_has_nothing_to_do(
    folder: Path, kind: str
) -> None:
    deliver(folder, kind)
    process = late(folder)
    assert run(["ingest", "clicks"]) == 0
    once = taken()
    assert once == (["clicks-1.csv", "clicks-2.csv"], ROWS[kind])
    (folder / "taken").touch()
    code, said = process.wait()
    assert (code, said.count("it is there already")) == (0, 2), said
    assert taken() == once

"""`features new` writes a domain that is right as it stands: lint, rules, Feast's plan and its own test all pass."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

import transformations
from transformations.cli.commands.start import new
from transformations.cli.main import module_of
from transformations.contracts import read_contract
from transformations.datasets.config import read_config
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings, platform
from transformations.engine.testing.literal_tables import untested_measures
from transformations.insight.governance.owners import add_owner
from transformations.insight.skeletons import NewFile, skeleton

PROJECT = Path(__file__).parents[5]
RUFF = Path(sys.executable).with_name("ruff")

RIDES = """
apiVersion: v3.1.0
kind: DataContract
id: rides
name: Rides
version: 1.0.0
status: active
team: {name: fleet}
schema:
  - name: rides
    logicalType: object
    description: One ride
    customProperties:
      - {property: eventTime, value: RideDay}
      - {property: businessDayZone, value: Pacific/Auckland}
      - {property: delivery, value: append}
    properties:
      - {name: ride_id, logicalType: string, required: true, primaryKey: true, description: The ride}
      - {name: rider_id, logicalType: string, required: true, description: The rider}
      - {name: driver_id, logicalType: integer, required: true, description: The driver}
      - {name: RideDay, logicalType: date, required: true, description: The day}
      - name: Took
        logicalType: integer
        required: true
        description: How long it took, "door to door". From the first click to the last, with waits and detours included
        customProperties: [{property: unit, value: minutes}]
"""

RIDERS = """
apiVersion: v3.1.0
kind: DataContract
id: riders
name: Riders
version: 1.0.0
status: active
team: {name: fleet}
schema:
  - name: riders
    logicalType: object
    description: One rider
    customProperties:
      - {property: businessDayZone, value: UTC}
      - {property: validFrom, value: "2024-01-01T00:00:00Z"}
      - {property: delivery, value: snapshot}
    properties:
      - {name: rider_id, logicalType: string, required: true, primaryKey: true, description: The rider}
      - {name: active, logicalType: boolean, description: Whether the rider rides}
      - {name: since, logicalType: timestamp, description: When the rider joined}
"""


FLIGHTS = """
apiVersion: v3.1.0
kind: DataContract
id: flights
version: 1.0.0
team: {name: fleet}
schema:
  - name: flights
    description: One flight
    customProperties:
      - {property: eventTime, value: at}
      - {property: timestampZone, value: UTC}
      - {property: businessDayZone, value: UTC}
      - {property: delivery, value: append}
    properties:
      - {name: at, logicalType: timestamp, required: true, description: When}
      - name: year
        logicalType: integer
        description: The year
        customProperties: [{property: unit, value: years}]
      - {name: carrier, logicalType: string, description: The airline}
      - name: flight
        logicalType: integer
        description: The number
        customProperties: [{property: unit, value: number}]
      - {name: tailnum, logicalType: string, description: The aircraft}
      - {name: seats, logicalType: number, description: Without a unit}
      - name: dep_delay
        logicalType: number
        description: The delay
        customProperties: [{property: unit, value: minutes}]
      - name: distance
        logicalType: number
        description: How far
        logicalTypeOptions: {minimum: 0}
        customProperties: [{property: unit, value: miles}]
"""


@pytest.fixture
def contracts(tmp_path: Path) -> Path:
    """Contracts beside an empty feature repository."""
    folder = tmp_path / "contracts"
    for name, text in (("rides", RIDES), ("riders", RIDERS), ("flights", FLIGHTS)):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)
    (tmp_path / "feature_repo").mkdir()
    return folder


def text_of(files: list[NewFile], ending: str) -> str:
    return next(file.text for file in files if str(file.path).endswith(ending))


@pytest.fixture
def project(tmp_path: Path, contracts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project in which skeletons are written: its own repository and contracts, whose domains are imported, too."""
    for folder in ("feature_repo", "validation/contracts"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, dirs_exist_ok=True)
    for name in ("rides", "riders"):
        shutil.copy(contracts / f"{name}.yaml", tmp_path / "validation" / "contracts")
    (tmp_path / "tests" / "transformations").mkdir(parents=True)
    (tmp_path / "tests" / "feature_repo").mkdir()
    tests = [str(file.relative_to(PROJECT)) for file in (PROJECT / "tests" / "transformations").glob("test_*.py")]
    for file in ("pyproject.toml", *tests):
        shutil.copy(PROJECT / file, tmp_path / file)
    add_owner(tmp_path / "feature_repo", "fleet")
    (tmp_path / "tests" / "feature_repo" / "test_catalogue.py").touch()
    domains = tmp_path / "transformations"
    domains.mkdir()
    monkeypatch.setattr(platform, "find_project_root", lambda: tmp_path)
    monkeypatch.setenv("FEATURES_CONTRACTS", str(tmp_path / "validation" / "contracts"))
    monkeypatch.setenv("FEATURES_EXPECTATIONS", str(tmp_path / "validation" / "expectations"))
    monkeypatch.setattr(transformations, "__path__", [*transformations.__path__, str(domains)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for file in domains.glob("*.py"):
        sys.modules.pop(f"transformations.{file.stem}", None)
        vars(transformations).pop(file.stem, None)
    importlib.invalidate_caches()


def command(name: str, *arguments: str) -> Result:
    """What a command of `features` says, and its exit code."""
    return CliRunner().invoke(getattr(importlib.import_module(module_of(name)), name), arguments)


def features(*arguments: str) -> Result:
    """What `features new` says, and its exit code."""
    return command("new", *arguments)


def lint(project: Path, *arguments: str) -> None:
    ours = 'lint.isort.known-first-party=["transformations"]'  # the rest of which lies elsewhere
    command = [RUFF, arguments[0], "--no-cache", "--config", ours, *arguments[1:]]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "written", "tests"),
    [
        (["cyclists"], "cyclists", 2),
        (["rides", "--source", "rides", "--key", "rider_id", "--service", "tips_v1"], "rides", 2),
        (["driving", "--source", "rides", "--key", "driver_id"], "driving", 2),
        (["riders", "--source", "riders"], "riders", 2),
    ],
)
def test_a_new_domain_passes_lint_the_rules_and_its_own_test(
    project: Path, arguments: list[str], written: str, tests: int
) -> None:
    result = features(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    files = [line.removeprefix("written: ") for line in result.stdout.splitlines() if line.startswith("written: ")]
    code = [file for file in files if file.endswith(".py")]
    service = "tips_v1" if "--service" in arguments else f"{written}_v1"
    assert code == [
        f"transformations/{written}.py",
        f"feature_repo/{written}_views.py",
        f"feature_repo/{service}.py",
        f"tests/transformations/test_{written}.py",
    ]

    lint(project, "check", *code)
    lint(project, "format", "--check", *code)
    broken = json.loads(command("check", "--json").stdout)
    unfinished = ["dataset tips_v1"] * 3 if service == "tips_v1" else []  # three splits, the author's to fill in
    assert [rule["place"] for rule in broken if "expected distribution" not in rule["fault"]] == unfinished
    assert any(rule["fault"] == "documents no expected distributions" for rule in broken)  # it is not built yet
    scope: dict[str, Any] = {}
    exec((project / code[-1]).read_text(), scope)
    proofs = [name for name in scope if name.startswith("test_")]
    assert len(proofs) == tests
    for name in proofs:
        scope[name]()


@pytest.mark.usefixtures("project")
def test_the_next_steps_are_told() -> None:
    shown = features("cyclists").stdout

    assert "written: validation/contracts/cyclist_events.yaml" in shown
    assert "1. say what you mean in transformations/cyclists.py, and prove it" in shown
    assert "2. bring the data in:  features ingest cyclist_events FILE" in shown
    assert "3. see what it adds, compute and register it:  features diff;  features build;" in shown


def test_a_view_gets_a_name_that_no_other_domain_has(project: Path) -> None:
    features("riders", "--source", "riders")
    importlib.invalidate_caches()

    assert features("cyclists", "--source", "riders").exit_code == 0
    assert 'name="rider_riders"' in (project / "transformations" / "riders.py").read_text()
    assert 'name="rider_cyclists"' in (project / "transformations" / "cyclists.py").read_text()


def test_nothing_that_exists_is_overwritten(project: Path) -> None:
    features("cyclists")
    (project / "transformations" / "cyclists.py").write_text("# mine\n")

    result = features("cyclists")

    assert result.exit_code == 2
    assert "exists, and nothing is overwritten" in result.stderr
    assert (project / "transformations" / "cyclists.py").read_text() == "# mine\n"


def test_an_entity_that_any_file_declares_is_used_again_under_its_name(contracts: Path) -> None:
    (contracts.parent / "feature_repo" / "crew.py").write_text(
        'import feast\n\ncaptain = feast.Entity(name="captain", join_keys=["driver_id"], owner="crew")\n'
    )

    files = skeleton("driving", "rides", "driver_id", contracts.parent, contracts)

    views = text_of(files, "driving_views.py")
    assert "from crew import captain\n" in views
    assert "driving.captain_rides, entity=captain" in views
    assert "Entity(" not in views


def test_a_second_domain_on_a_key_writes_no_second_entity(contracts: Path) -> None:
    """Feast keeps one of two entities of a name: the second would take the first's owner away."""
    project = contracts.parent
    for file in skeleton("rides", "rides", "rider_id", project, contracts):
        (project / file.path).parent.mkdir(parents=True, exist_ok=True)
        (project / file.path).write_text(file.text)

    views = text_of(skeleton("tipping", "rides", "rider_id", project, contracts), "tipping_views.py")

    assert "from rides_views import rider\n" in views
    assert "Entity(" not in views


def test_an_entity_of_another_key_keeps_its_name(contracts: Path) -> None:
    (contracts.parent / "feature_repo" / "entities.py").write_text(
        'from feast import Entity\n\nrider = Entity(name="rider", join_keys=["rider_number"])\n'
    )
    with pytest.raises(UsageError, match="the entity 'rider' is keyed by rider_number, not by rider_id"):
        skeleton("rides", "rides", "rider_id", contracts.parent, contracts)


def test_where_several_columns_could_be_the_entity_it_asks_and_invents_none(contracts: Path) -> None:
    with pytest.raises(UsageError, match=r"with --key, one of: rider_id, driver_id\."):
        skeleton("rides", "rides", None, contracts.parent, contracts)
    with pytest.raises(UsageError, match=r"with --key, one of: carrier, tailnum, flight, year\."):
        skeleton("flying", "flights", None, contracts.parent, contracts)


def test_a_terminal_is_asked_and_a_script_is_told(contracts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_CONTRACTS", str(contracts))
    get_settings.cache_clear()
    assert new.ask_key("rides", contracts.parent) is None
    monkeypatch.setattr(new.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr(new.click, "prompt", lambda _text, **asked: asked["type"].choices[1])
    assert new.ask_key("rides", contracts.parent) == "driver_id"
    assert new.ask_key("riders", contracts.parent) is None  # a snapshot's own key is the only one
    get_settings.cache_clear()


def test_measures_have_a_unit_and_are_no_years_codes_or_ids(contracts: Path) -> None:
    """Delays may be negative and are averaged, distances are summed; a year and a flight's number are no measures."""
    features = text_of(skeleton("flying", "flights", "carrier", contracts.parent, contracts), "flying.py")
    assert re.findall(r'(Sum|Mean)\(\s+"(\w+)"', features) == [("Mean", "dep_delay"), ("Sum", "distance")]


def test_attributes_that_are_measured_come_first(contracts: Path) -> None:
    since = "properties:\n      - {name: kilograms, logicalType: number, description: Weight}"
    text = RIDERS.replace("properties:\n      - {name: rider_id", f"{since}\n      - {{name: rider_id", 1)
    unit = "customProperties: [{property: unit, value: kg}], "
    (contracts / "riders.yaml").write_text(text.replace("logicalType: boolean, ", f"logicalType: boolean, {unit}"))
    features = text_of(skeleton("riding", "riders", None, contracts.parent, contracts), "riding.py")
    assert re.findall(r'Attribute\(\n +"(\w+)"', features) == ["active", "kilograms"]


def test_a_domain_that_is_called_as_a_source_invents_no_other_one(contracts: Path) -> None:
    with pytest.raises(UsageError, match=r"there is a source 'rides'\. To take its columns, say --source rides"):
        skeleton("rides", None, None, contracts.parent, contracts)


def test_a_service_comes_with_a_dataset_whose_configuration_is_whole(contracts: Path, tmp_path: Path) -> None:
    covered = (date(2013, 1, 1), date(2013, 12, 31))
    files = skeleton("rides", "rides", "rider_id", contracts.parent, contracts, service="tips_v1", covered=covered)
    assert "from rides_views import rider_rides\n" in text_of(files, "tips_v1.py")
    (tmp_path / "tips_v1.yaml").write_text(text_of(files, "tips_v1.yaml"))
    config = read_config(tmp_path / "tips_v1.yaml")
    assert (config.feature_service, config.label.column, config.split.zone) == (
        "tips_v1",
        "returns_7d",
        "Pacific/Auckland",
    )
    assert "timezone('Pacific/Auckland', CAST(RideDay + 1 AS TIMESTAMP)) AS happened_at" in str(config.spine.query)
    assert (config.split.train, config.split.validation, config.split.test) == (
        date(2013, 1, 1),
        date(2013, 9, 8),  # 250 of the 358 days whose labels are known
        date(2013, 11, 1),
    )


def test_the_splits_of_a_source_without_days_are_left_to_the_author(contracts: Path, tmp_path: Path) -> None:
    for covered in (None, (date(2013, 1, 1), date(2013, 1, 16))):
        files = skeleton("rides", "rides", "rider_id", contracts.parent, contracts, service="tips_v1", covered=covered)
        (tmp_path / "tips_v1.yaml").write_text(text_of(files, "tips_v1.yaml"))
        with pytest.raises(UsageError, match=r"split\.train: 'FILL IN' is neither a day \(2020-02-01\)"):
            read_config(tmp_path / "tips_v1.yaml")


def test_the_written_test_goes_on_holding_when_the_author_edits_the_features(
    contracts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other windows, other words, a further measure: the test asks for whatever windows there are."""
    files = skeleton("rides", "rides", "rider_id", contracts.parent, contracts)
    features = text_of(files, "transformations/rides.py")
    edited = features.replace("days(7), days(28)", "days(1), days(90)").replace("Events", "Journeys")
    domain = ModuleType("transformations.rides")
    exec(edited, vars(domain))
    monkeypatch.setitem(sys.modules, "transformations.rides", domain)
    test = text_of(files, "test_rides.py")
    test = test.replace("EVENTS)", "EVENTS, contracts=contracts)")
    scope = {"contracts": lambda name: read_contract(name, contracts)}
    exec(test, scope)
    tests = [name for name in scope if name.startswith("test_")]
    assert len(tests) == 2
    for name in tests:
        scope[name]()
    (tmp_path / "test_rides.py").write_text(test)
    assert untested_measures([domain.rider_rides], [tmp_path / "test_rides.py"]) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("Riders", None, None), "'Riders' cannot name a module"),
        (("class", None, None), "'class' cannot name a module"),
        (("stores", None, None), "transformations/stores/ is the platform's own"),
        (("datasets", None, None), "transformations/datasets/ is the platform's own"),
        (("models", None, None), "transformations/models/ is the platform's own"),
        (("riding", "rides", "rider"), "did you mean 'rider_id'?"),
        (("riding", "rides", "Took_"), "cannot be an entity's key"),
    ],
)
def test_what_cannot_be_written_is_a_usage_error(
    contracts: Path, arguments: tuple[str, str | None, str | None], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint.replace("?", r"\?")):
        skeleton(*arguments, contracts.parent, contracts)


def test_a_domain_must_be_named() -> None:
    result = features()

    assert result.exit_code == 2
    assert "name the domain, as in `features new riders`" in result.stderr

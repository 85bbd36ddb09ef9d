"""`features new` writes a domain that is right as it stands: lint, rules, Feast's plan and its own test all pass."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from transformations.cli.skeletons import skeleton
from transformations.engine.errors import UsageError

PROJECT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent

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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the platform's packages, into which skeletons can be written."""
    for package in ("transformations", "validation", "feature_repo"):
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "tests/conftest.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / file, tmp_path / file)
    (tmp_path / "validation" / "contracts" / "rides.yaml").write_text(RIDES)
    (tmp_path / "validation" / "contracts" / "riders.yaml").write_text(RIDERS)
    return tmp_path


def run(project: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program in the copy, with the copy's packages."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FEATURES_")}
    return subprocess.run(
        [str(BIN / "python"), "-m", program, *arguments],
        cwd=project,
        env=environment | {"PYTHONPATH": str(project), "FEATURES_DATA": str(project / "data")},
        capture_output=True,
        text=True,
        check=False,
    )


def features(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from transformations.cli.main import run; sys.exit(run(sys.argv[1:]))"
    (project / "features_here.py").write_text(code)
    return run(project, "features_here", *arguments)


@pytest.mark.parametrize(
    ("arguments", "written", "tests"),
    [
        (["cyclists"], "cyclists", 2),
        (["rides", "--source", "rides"], "rides", 2),
        (["driving", "--source", "rides", "--key", "driver_id"], "driving", 2),
        (["riders", "--source", "riders"], "riders", 2),
    ],
)
def test_a_new_domain_passes_lint_the_rules_and_its_own_test(
    project: Path, arguments: list[str], written: str, tests: int
) -> None:
    result = features(project, "new", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    files = [line.removeprefix("written: ") for line in result.stdout.splitlines() if line.startswith("written: ")]
    code = [file for file in files if file.endswith(".py")]
    assert code == [
        f"transformations/{written}.py",
        f"feature_repo/{written}_views.py",
        f"tests/transformations/test_{written}.py",
    ]

    for check in (["check", "--no-cache", *code], ["format", "--no-cache", "--check", *code]):
        linted = run(project, "ruff", *check)
        assert linted.returncode == 0, linted.stdout
    rules = (
        "from transformations.cli.quick_feast import quicken_feast; quicken_feast(); from pathlib import Path;"
        "from transformations.stores.views import contents, offered, unoffered;"
        "from validation.documentation import require_documented; repo = Path('feature_repo');"
        "require_documented(contents(repo)); assert not unoffered(offered(repo))"
    )
    (project / "rules.py").write_text(rules)
    ruled = run(project, "rules")
    assert ruled.returncode == 0, ruled.stderr
    tested = run(project, "pytest", "-q", "-p", "no:cacheprovider", code[-1])
    assert f"{tests} passed" in tested.stdout, tested.stdout


def test_the_next_steps_are_told(project: Path) -> None:
    shown = features(project, "new", "cyclists").stdout

    assert "written: validation/contracts/cyclist_events.yaml" in shown
    assert "1. say what you mean in transformations/cyclists.py, and prove it" in shown
    assert "2. bring the data in:  features ingest cyclist_events FILE" in shown
    assert "3. see what it adds, compute and register it:  features diff;  features build;" in shown


def test_a_view_gets_a_name_that_no_other_domain_has(project: Path) -> None:
    features(project, "new", "riders", "--source", "riders")

    assert features(project, "new", "cyclists", "--source", "riders").returncode == 0
    assert 'name="rider_riders"' in (project / "transformations" / "riders.py").read_text()
    assert 'name="rider_cyclists"' in (project / "transformations" / "cyclists.py").read_text()


def test_nothing_that_exists_is_overwritten(project: Path) -> None:
    features(project, "new", "cyclists")
    (project / "transformations" / "cyclists.py").write_text("# mine\n")

    result = features(project, "new", "cyclists")

    assert result.returncode == 2
    assert "exists, and nothing is overwritten" in result.stderr
    assert (project / "transformations" / "cyclists.py").read_text() == "# mine\n"


def test_an_entity_that_is_there_is_used_again(project: Path) -> None:
    (project / "feature_repo" / "entities.py").write_text(
        'from feast import Entity\n\ncaptain = Entity(name="captain", join_keys=["driver_id"])\n'
    )

    files = skeleton("driving", "rides", "driver_id", project, project / "validation" / "contracts")

    views = next(file.text for file in files if file.path.name == "driving_views.py")
    assert "from entities import captain\n" in views
    assert "entity=captain" in views
    assert "Entity(" not in views


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("Riders", None, None), "'Riders' cannot name a module"),
        (("class", None, None), "'class' cannot name a module"),
        (("stores", None, None), "transformations/stores/ is the platform's own"),
        (("riding", "rides", "rider"), "did you mean 'rider_id'?"),
        (("riding", "rides", "Took_"), "cannot be an entity's key"),
    ],
)
def test_what_cannot_be_written_is_a_usage_error(
    project: Path, arguments: tuple[str, str | None, str | None], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint.replace("?", r"\?")):
        skeleton(*arguments, project, project / "validation" / "contracts")


def test_a_domain_must_be_named(project: Path) -> None:
    result = features(project, "new")

    assert result.returncode == 2
    assert "name the domain, as in `features new riders`" in result.stderr

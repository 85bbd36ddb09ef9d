"""What stands around the code: the Makefile lists itself and prints what it runs; every dependency is pinned."""

import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]


def make(*arguments: str) -> str:
    """What make says; `-o` takes the installation as done."""
    command = ["make", "--no-print-directory", "-o", ".venv/.installed", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout


def targets() -> set[str]:
    """What the Makefile declares phony: the targets that have a help."""
    return set(re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def pins() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text().split()
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def requirements() -> list[Requirement]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in project["dependencies"] + extras]


def test_make_alone_lists_every_target_with_its_help() -> None:
    listed = dict(line.split(maxsplit=2)[1:] for line in make().splitlines())

    assert set(listed) == targets()
    assert all(listed.values())


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["plan"], ".venv/bin/feast -c feature_repo plan"),
        (["apply"], ".venv/bin/feast -c feature_repo apply"),
        (["demo"], ".venv/bin/features demo"),
        (
            ["materialize", "START=2017-01-01T00:00:00", "END=2017-06-01T00:00:00"],
            ".venv/bin/feast -c feature_repo materialize 2017-01-01T00:00:00 2017-06-01T00:00:00",
        ),
        (
            ["refresh", "END=2017-06-01T00:00:00"],
            ".venv/bin/features build\n.venv/bin/feast -c feature_repo materialize-incremental 2017-06-01T00:00:00",
        ),
    ],
)
def test_a_target_prints_the_plain_command_that_it_runs(arguments: list[str], printed: str) -> None:
    assert make("--dry-run", *arguments).strip() == printed


def test_without_an_end_materialization_ends_now_and_the_replayed_now_is_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FEATURES_CLOCK", raising=False)
    assert re.search(
        r"materialize 1970-01-01T00:00:00 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d$", make("-n", "materialize").strip()
    )

    monkeypatch.setenv("FEATURES_CLOCK", "2017-06-01T12:00:00")
    assert make("-n", "materialize").strip().endswith("materialize 1970-01-01T00:00:00 2017-06-01T12:00:00")


def test_every_dependency_is_pinned_within_its_range() -> None:
    for requirement in requirements():
        pinned = pins()[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pinned), f"{requirement} but constraints.txt has {pinned}"


def test_the_name_of_a_test_depends_on_no_process_and_no_time(request: pytest.FixtureRequest) -> None:
    """Parallel workers collect on their own, each with hashes of its own, and must find the same names in one order."""
    varying = re.compile(rf"0x[0-9a-f]{{6,}}|{datetime.now(UTC).date()}|/pytest-")
    assert [item.nodeid for item in request.session.items if varying.search(item.nodeid)] == []


def test_the_pins_name_versions_only() -> None:
    for line in (PROJECT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line), line


def test_every_python_file_is_linted() -> None:
    """A folder called like one of ours that holds no code (`data`) must not be left out wherever it occurs."""
    command = [Path(sys.executable).with_name("ruff"), "check", "--show-files", "."]
    linted = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.splitlines()
    files = {
        str(file)
        for room in ("transformations", "validation", "feature_repo", "tests")
        for file in (PROJECT / room).rglob("*.py")
    }
    assert files - set(linted) == set()

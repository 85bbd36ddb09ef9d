from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WHO_CHECKS = "import typeguard; print(typeguard.typechecked.__module__.partition('.')[0])"
FEATURES = f"""
from transformations.cli.main import main

try:
    main()
finally:
    {WHO_CHECKS}
"""
WRONG_TYPE = """
from feast import Entity, ValueType

try:
    print(Entity(name=1, value_type=ValueType.INT64).name)
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("script", "arguments", "checks"),
    [
        ("feast", ["-c", "feature_repo", "materialize-incremental", "2025-01-01T00:00:00"], False),
        ("feast", ["serve", "--port", "6566"], False),
        ("feast", ["-c", "feature_repo", "apply"], True),
        ("feast", ["plan"], True),
        ("train.py", ["materialize"], True),
    ],
)
def test_only_feast_commands_that_run_no_definitions_start_without_its_checks(
    tmp_path: Path, script: str, arguments: list[str], checks: bool
) -> None:
    checked_by = _output(tmp_path, script, WHO_CHECKS, arguments)

    assert checked_by == ("typeguard" if checks else "transformations")


def test_every_command_of_our_own_starts_without_them(tmp_path: Path) -> None:
    assert _output(tmp_path, "features", FEATURES, ["config"]).splitlines()[-1] == "transformations"


@pytest.mark.parametrize(("command", "answer"), [("materialize", "1"), ("apply", "TypeCheckError")])
def test_what_a_definition_gives_to_feast_is_checked_when_it_is_applied(
    tmp_path: Path, command: str, answer: str
) -> None:
    assert _output(tmp_path, "feast", WRONG_TYPE, [command]) == answer


def test_a_process_that_has_imported_feast_keeps_its_checks() -> None:
    import feast
    import typeguard

    from transformations.cli.quick_feast import quicken_feast

    before = typeguard.typechecked
    quicken_feast()

    assert feast
    assert typeguard.typechecked is before


def _output(folder: Path, script: str, text: str, arguments: list[str]) -> str:
    """What a script of this name prints, started as an installed command is: without the tests' own sitecustomize."""
    (folder / script).write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(folder / script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()

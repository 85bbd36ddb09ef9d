"""Who starts Feast without its checks of types: our own commands and those who ask for it, and nobody else."""

from __future__ import annotations

import subprocess
import sys

import pytest

WHO_CHECKS = "import typeguard; print(typeguard.typechecked.__module__.partition('.')[0])"
OURS = f"""
from transformations.cli.main import main

try:
    main()
finally:
    {WHO_CHECKS}
"""
QUICK = f"""
from transformations.cli import quick_feast

try:
    quick_feast.main()
finally:
    {WHO_CHECKS}
"""
DAGSTER = f"""
from transformations.orchestration.dagster_graph import defs

loaded = defs()
{WHO_CHECKS}
"""
# Importing Feast takes seconds, and who checks is decided before that.
WITHOUT_FEAST = """
import sys, types

commands = types.ModuleType("feast.cli.cli")
commands.cli = lambda **_options: None
sys.modules["feast.cli"], sys.modules["feast.cli.cli"] = types.ModuleType("feast.cli"), commands
"""


@pytest.mark.parametrize(
    ("text", "arguments", "checked_by"),
    [
        (OURS, ["config"], "transformations"),
        (QUICK, ["materialize", "--help"], "transformations"),
        (WITHOUT_FEAST + QUICK, ["materialize"], "transformations"),
        (WITHOUT_FEAST + QUICK, ["apply"], "typeguard"),
        (WITHOUT_FEAST + QUICK, ["-c", "repo", "plan"], "typeguard"),
        (DAGSTER, [], "transformations"),
        (WHO_CHECKS, [], "typeguard"),
    ],
    ids=["features", "quick feast", "quick materialize", "quick apply", "quick plan", "Dagster", "any Python"],
)
def test_only_who_asks_for_it_starts_feast_without_its_checks(text: str, arguments: list[str], checked_by: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", text, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == checked_by


def test_a_process_that_has_imported_feast_keeps_its_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    import feast
    import typeguard

    from transformations.engine.launch.quickening import quicken_feast

    checks = object()
    monkeypatch.setattr(typeguard, "typechecked", checks)
    quicken_feast()

    assert feast
    assert typeguard.typechecked is checks

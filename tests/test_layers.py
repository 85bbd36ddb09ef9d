"""Which package may import which: the engine no store, no machinery a command or, the demo apart, a domain."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE, STORES, DATASETS, CLI = (f"transformations.{name}" for name in ("engine", "stores", "datasets", "cli"))
DOMAINS = sorted(f"transformations.{file.stem}" for file in (ROOT / "transformations").glob("[a-z]*.py"))


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    ("package", "unknown"),
    [
        ("transformations/engine", [STORES, DATASETS, CLI, *DOMAINS]),
        ("transformations/stores", [DATASETS, CLI, *DOMAINS]),
        ("transformations/datasets", [CLI, *DOMAINS]),
        ("transformations/local", [STORES, DATASETS, CLI, *DOMAINS]),
        ("transformations/cli", DOMAINS),
        ("validation", [DATASETS, CLI, *DOMAINS]),
    ],
)
def test_a_package_imports_none_of_those_above_it(package: str, unknown: list[str]) -> None:
    files = [file for file in sorted((ROOT / package).rglob("*.py")) if not file.name.startswith("demo")]
    assert files
    upwards = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in files
        for name in imported(file)
        if any(name == each or name.startswith(f"{each}.") for each in unknown)
    }
    assert not upwards

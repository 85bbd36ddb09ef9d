"""The house: which room may know which. No circle, no arrow upwards, no room that is a corridor."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WIDEST_ROOM = 14
LONGEST_MODULE = 400

# From the ground up: a room may import its own modules and those of the rooms before it, wherever in a file.
FLOORS = (
    "transformations.contracts",
    "transformations.engine.base",
    "transformations.engine.lineage",
    "transformations.engine.launch",
    "transformations.engine.identity",
    "transformations.engine.vocabulary",
    "transformations",  # the vocabulary's front door, and the domain files
    "transformations.engine.merging",
    "transformations.engine.raw",
    "transformations.engine.tables",
    "transformations.engine.expected",
    "transformations.engine.compute",
    "transformations.engine.upkeep",
    "transformations.engine.testing",
    "transformations.local",
    "transformations.stores.base",
    "transformations.stores.computed",
    "transformations.stores.history",
    "transformations.stores.training",
    "transformations.stores.spark",
    "transformations.stores.rows",
    "transformations.stores.redis",
    "transformations.stores.lookups",
    "transformations.stores.loads",
    "transformations.stores.server",
    "transformations.stores",
    "validation",
    "validation.files",
    "validation.readings",
    "validation.drafting",
    "validation.quality",
    "validation.pulls",
    "validation.delivery",
    "validation.parity",
    "transformations.datasets",
    "transformations.models.records",
    "transformations.models.evaluation",
    "transformations.models.trainers",
    "transformations.models.scoring",
    "transformations.models.declaration",
    "transformations.models.fitting",
    "transformations.models.checking",
    "transformations.models.log",
    "transformations.models.rollout",
    "transformations.models.holding",
    "transformations.models.tracking",
    "transformations.insight",
    "transformations.insight.lineage",
    "transformations.insight.governance",
    "transformations.insight.values",
    "transformations.insight.site",
    "transformations.models.reports",
    "transformations.models.judging",
    "transformations.models",
    "transformations.models.rollout.control",
    "transformations.models.batch",
    "transformations.models.reproducing",
    "transformations.models.predictions",
    "transformations.models.serving",
    "transformations.models.serving.api",
    "transformations.monitoring.statistics",
    "transformations.monitoring.reading",
    "transformations.monitoring.judging",
    "transformations.monitoring.reports",
    "transformations.orchestration",
    "transformations.cli",
    "transformations.cli.demo",
    "transformations.cli.commands",
)
# Folders that are no rooms of their own: what stands in one belongs to the room above it.
CLOSETS = (
    "transformations.engine.base.files",
    "transformations.engine.base.logs",
    "transformations.engine.base.settings",
    "transformations.engine.vocabulary.aggregations",
    "transformations.datasets.content",
    "transformations.cli.commands.data",
    "transformations.cli.commands.look",
    "transformations.cli.commands.platform",
    "transformations.cli.commands.start",
)
DEMO = "transformations.cli.demo"  # which a blank project lacks
ERRORS = {"transformations.contracts.model", "transformations.engine.base.errors"}
DOMAINS = {f"transformations.{file.stem}" for file in (ROOT / "transformations").glob("[a-z]*.py")}


def modules() -> dict[str, Path]:
    files = [file for package in ("transformations", "validation") for file in (ROOT / package).rglob("*.py")]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def room_of(module: str) -> str:
    """The narrowest of the rooms that holds a module."""
    return max((room for room in FLOORS if module == room or module.startswith(f"{room}.")), key=len)


@dataclass(frozen=True)
class Parsed:
    """What a file does, wherever in it. imports: (a module, the names from it, or none where it is imported whole)."""

    imports: tuple[tuple[str, tuple[str, ...]], ...]
    prints: bool


@cache
def parsed(file: Path) -> Parsed:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    whole = [(alias.name, ()) for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    parts = [
        (node.module or "", tuple(alias.name for alias in node.names))
        for node in nodes
        if isinstance(node, ast.ImportFrom)
    ]
    calls = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return Parsed((*whole, *parts), "print" in calls)


def imported(file: Path, known: dict[str, Path]) -> Iterator[str]:
    """Every module of ours that a file imports."""
    for module, names in parsed(file).imports:
        if module in known:
            whole = [f"{module}.{name}" for name in names] or [module]
            yield from (name if name in known else module for name in whole)


def test_no_room_imports_one_above_it() -> None:
    known = modules()
    upwards = sorted(
        f"{name} -> {other}"
        for name, file in known.items()
        for other in imported(file, known)
        if FLOORS.index(room_of(other)) > FLOORS.index(room_of(name))
    )
    assert not upwards, "\n".join(upwards)


def test_only_the_demo_knows_a_domain() -> None:
    known = modules()
    knowing = {
        name
        for name, file in known.items()
        if name not in DOMAINS and not name.startswith(f"{DEMO}.")
        for other in imported(file, known)
        if other in DOMAINS
    }
    assert knowing == set()


def test_nothing_below_the_commands_prints_or_knows_click() -> None:
    """Errors alone are click's too: Feast's own commands, which run our stores, then show them without a trace."""
    speaking = set()
    for name, file in modules().items():
        if name.startswith("transformations.cli") or name in ERRORS:
            continue
        if parsed(file).prints or {module.partition(".")[0] for module, _ in parsed(file).imports} & {"click", "rich"}:
            speaking.add(name)
    assert speaking == set()


def test_modules_of_one_room_import_each_other_without_circles() -> None:
    known = modules()
    arrows = {name: {other for other in imported(file, known) if other != name} for name, file in known.items()}
    circles = sorted(
        f"{one} <-> {other}" for one in arrows for other in arrows[one] if one < other and one in arrows[other]
    )
    assert not circles, "\n".join(circles)


@pytest.mark.parametrize("package", ["transformations", "validation"])
def test_a_room_has_few_modules_and_a_module_few_lines(package: str) -> None:
    files = [file for file in (ROOT / package).rglob("*.py") if file.name != "__init__.py"]
    crowded = {room for room, count in Counter(file.parent for file in files).items() if count > WIDEST_ROOM}
    long = {file.name for file in files if len(file.read_text().splitlines()) > LONGEST_MODULE}
    assert (crowded, long) == (set(), set())


def test_a_file_of_tests_has_few_lines() -> None:
    long = {file.name for file in (ROOT / "tests").rglob("*.py") if len(file.read_text().splitlines()) > LONGEST_MODULE}
    assert long == set()


def folders_of_modules() -> set[str]:
    files = [file for file in modules().values() if file.name != "__init__.py"]
    return {".".join(file.parent.relative_to(ROOT).parts) for file in files}


def test_every_folder_of_modules_is_a_room_of_the_list_or_a_closet() -> None:
    without_modules = {DEMO, "transformations"}  # in a blank project, which has no domain file yet
    without_modules |= {closet.rpartition(".")[0] for closet in CLOSETS}
    assert folders_of_modules() | without_modules == {*FLOORS, *CLOSETS}


def test_the_page_on_architecture_lists_the_rooms_in_their_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\S+?)/?` \|", page, re.MULTILINE)
    assert [row.removesuffix("/*.py").replace("/", ".") for row in rows] == [room for room in FLOORS if room != DEMO]


def test_every_module_has_a_test_of_its_name_or_a_line_in_the_map_of_tests() -> None:
    tests = ROOT / "tests"
    rows = re.findall(r"^\| `(\S+)/` \| (.+?) \| (.+?) \|$", (tests / "README.md").read_text(), re.MULTILINE)
    rows = [row for row in rows if any((ROOT / row[0]).glob("*.py"))]  # a blank project has no room of the demo
    mapped = {f"{room}/{module}.py" for room, listed, _ in rows for module in re.findall(r"`(\w+)`", listed)}
    files = [file.relative_to(ROOT) for file in modules().values() if file.name != "__init__.py"]
    own = {str(file) for file in files if (tests / file.parent / f"test_{file.name}").is_file()}
    assert mapped == {str(file) for file in files} - own
    linked = [place for *_, places in rows for place in re.findall(r"\]\(([^)]+)\)", places)]
    assert [place for place in linked if not (tests / place).is_file()] == []

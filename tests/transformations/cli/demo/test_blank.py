"""`features new --blank` leaves the platform alone: no word of the demo's domain, and tests that still pass."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from transformations.cli.demo.blank import DOMAIN_FILES, DOMAIN_ROOMS, EDITS, EMPTIED_FILES, blank, uncommitted

PROJECT = Path(__file__).parents[4]
PYTHON = Path(sys.executable)
WORDS = re.compile(r"household|basket|coupon|demographic|campaign|complete.?journey|grocer|retail", re.IGNORECASE)

# Light tests of every package; the whole suite is what `make test` runs there.
SUBSET = (
    "tests/test_foundations.py",
    "tests/test_layers.py",
    "tests/feature_repo",
    "tests/transformations/cli/test_main.py",
    "tests/transformations/insight/test_changes.py",
    "tests/transformations/engine/vocabulary/test_definitions.py",
    "tests/validation/test_documentation.py",
)


# In the project without the demo's domain: everything is collected, and what SUBSET names is run. To rewrite every
# assertion for a better message would be a third of it.
RUN_SUBSET = """
import sys
import pytest
from transformations.engine.launch.quickening import quicken_feast

class Subset:
    def pytest_collection_modifyitems(self, config, items):
        chosen = [each for each in items if each.nodeid.startswith(tuple(sys.argv[1:])) and TIMED not in each.nodeid]
        config.hook.pytest_deselected(items=[each for each in items if each not in chosen])
        items[:] = chosen

TIMED = "half_a_second"  # measured once already, and not beside other tests
quicken_feast()
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--assert=plain"], plugins=[Subset()]))
"""

# A first domain of one's own, by commands in one process.
FIRST_DOMAIN = """
import sys
import pytest
from transformations.cli.main import run

for command in ("status", "new --blank", "--help", "new riders", "show rider_events"):
    print(f"$ features {command}", flush=True)
    code = run(command.split())
    assert code == 0, (command, code)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/transformations/test_riders.py"]))
"""


def copy_of_the_project(folder: Path) -> Path:
    """The repository's own files, committed or not yet."""
    listed = git(PROJECT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_of_the_project(tmp_path)


@pytest.fixture(scope="module")
def blanked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy without the demo's domain, which the tests only read, and what was told of its removal."""
    copy = copy_of_the_project(tmp_path_factory.mktemp("blank"))
    return copy, list(blank(copy))


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def run(project: Path, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """Python in the copy, with the copy's packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FEATURES_")}
    environment = kept | {"PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(PYTHON), *arguments]
    return subprocess.run(
        command, cwd=project, env=environment, input=answer, capture_output=True, text=True, check=False
    )


def features(project: Path, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    code = "import sys; from transformations.cli.main import run; sys.exit(run(sys.argv[1:]))"
    return run(project, "-c", code, *arguments, answer=answer)


def text_files(project: Path) -> list[Path]:
    files = [file for file in project.rglob("*") if file.is_file() and ".git" not in file.parts]
    return [file for file in files if file.suffix in (".py", ".yaml", ".toml", ".txt", ".md", "")]


def test_every_file_of_the_list_is_there_and_every_passage_occurs() -> None:
    for name in (*DOMAIN_FILES, *EMPTIED_FILES):
        assert (PROJECT / name).is_file(), name
    for room in DOMAIN_ROOMS:
        assert any((PROJECT / room).glob("*.py")), room
    for edit in EDITS:
        assert (PROJECT / edit.path).read_text().count(edit.old) == 1, edit


def test_no_word_of_the_domain_is_left(blanked: tuple[Path, list[str]]) -> None:
    project, told = blanked

    assert f"removed: {DOMAIN_FILES[0]}" in told
    assert "edited: Makefile" in told
    left = [f"{file.relative_to(project)}: {line}" for file in text_files(project) for line in lines_about_it(file)]
    assert left == []
    assert not any((project / room).exists() for room in DOMAIN_ROOMS)
    assert list(blank(project)) == []


def lines_about_it(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if WORDS.search(line)]


def test_no_file_imports_what_is_gone(blanked: tuple[Path, list[str]]) -> None:
    project, told = blanked
    modules = [line for line in told if line.endswith(".py") and not line.endswith("conftest.py")]
    gone = [Path(line.removeprefix("removed: ")).with_suffix("") for line in modules]
    imports = re.compile("|".join(map(import_of, gone)), re.MULTILINE)
    assert imports.search("from transformations import households, testing")
    files = {file: file.read_text() for file in project.rglob("*.py")}
    assert {str(file): imports.findall(text) for file, text in files.items() if imports.search(text)} == {}


def import_of(module: Path) -> str:
    """A pattern of the lines that import a module, or something of it."""
    whole, package = (r"\.".join(path.parts) for path in (module, module.parent))
    return rf"^\s*(?:from {whole} |import {whole}\b|from {package} import .*\b{module.name}\b|from \.+{module.name} )"


@pytest.mark.proof
def test_tests_pass_without_the_domain(blanked: tuple[Path, list[str]]) -> None:
    tested = run(blanked[0], "-c", RUN_SUBSET, *SUBSET)
    assert tested.returncode == 0, tested.stdout[-4_000:]
    assert re.search(r"\d{2,} passed, \d{3,} deselected", tested.stdout), tested.stdout[-200:]


@pytest.mark.proof
def test_lint_passes_without_the_domain(
    blanked: tuple[Path, list[str]], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of `make lint`, as the Makefile has them; mypy goes on from what it knew of the last blank project,
    or of this one: with nothing to go on from it takes ten times as long.
    """
    project, _ = blanked
    known = request.config.cache.mkdir("mypy_of_a_blank_project")
    if (PROJECT / ".mypy_cache").is_dir() and not any(known.iterdir()):
        shutil.copytree(PROJECT / ".mypy_cache", known, dirs_exist_ok=True)
    monkeypatch.setenv("MYPY_CACHE_DIR", str(known))

    recipe = (project / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    commands = re.findall(r"\t\$\(BIN\)/(.+)", recipe)
    assert [command.split()[0] for command in commands] == ["ruff", "ruff", "mypy"]
    for command in commands:
        linted = run(project, "-m", *command.split())
        assert linted.returncode == 0, f"{command}\n{linted.stdout}"


def test_the_manual_stays(blanked: tuple[Path, list[str]]) -> None:
    project, _ = blanked

    readme = (project / "README.md").read_text()
    headings = re.findall(r"^## .+", readme, re.MULTILINE)
    assert "## Write features, train, serve\n\nThe [cookbook](docs/cookbook.md) goes" in readme
    assert headings == ["## Write features, train, serve", "## Why not plain Feast?", "## Where to read on"]
    assert "<!-- demo" not in readme
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme)
    assert "docs/cookbook.md" in linked
    assert [place for place in linked if not (project / place).is_file()] == []


@pytest.mark.proof
def test_a_blank_project_says_how_to_go_on_and_a_first_domain_follows(project: Path) -> None:
    list(blank(project))

    ran = run(project, "-c", FIRST_DOMAIN)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    _, status, again, help_text, _, show = ran.stdout.split("$ features ")
    assert "feature_repo/ offers no view yet. `features new DOMAIN`" in status
    assert "the demo's domain is gone already" in again
    assert " demo " not in help_text
    assert "rider_events  (feature view)" in show
    assert re.search(r"^\d+ passed", show, re.MULTILINE)


def test_changes_that_git_does_not_hold_are_refused(project: Path) -> None:
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "all")
    assert uncommitted(project) == []
    (project / "transformations" / "mine.py").write_text("x = 1\n")

    refused = features(project, "new", "--blank")

    assert refused.returncode == 2
    assert "transformations/mine.py" in refused.stderr
    assert (project / DOMAIN_FILES[0]).is_file()


def test_it_asks_first_and_takes_no_for_an_answer(project: Path) -> None:
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "all")

    refused = features(project, "new", "--blank", answer="n\n")
    assert refused.returncode == 1
    assert (project / DOMAIN_FILES[0]).is_file()

    assert features(project, "new", "--blank", answer="y\n").returncode == 0
    assert not (project / DOMAIN_FILES[0]).exists()


def test_a_project_without_git_needs_to_be_sure(project: Path) -> None:
    assert "is in no git repository" in features(project, "new", "--blank").stderr
    assert features(project, "new", "--blank", "--yes").returncode == 0
    assert not (project / DOMAIN_FILES[0]).exists()

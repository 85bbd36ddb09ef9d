"""`features new --blank` leaves the platform alone: no word of the demo's domain, and tests that still pass."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from transformations.cli.demo.blank import DOMAIN_FILES, EDITS, EMPTIED_FILES, blank, uncommitted

PROJECT = Path(__file__).parents[4]
PYTHON = Path(sys.executable)
WORDS = re.compile(r"household|basket|coupon|demographic|campaign|complete.?journey|grocer|retail", re.IGNORECASE)

# Light tests of every package; the whole suite is what `make test` runs there.
SUBSET = (
    "tests/test_foundations.py",
    "tests/feature_repo",
    "tests/transformations/cli/test_main.py",
    "tests/transformations/insight/test_changes.py",
    "tests/transformations/engine/vocabulary/test_definitions.py",
    "tests/validation/test_documentation.py",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the repository's own files, committed or not yet."""
    listed = git(PROJECT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if (PROJECT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, tmp_path / name)
    return tmp_path


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
    for edit in EDITS:
        assert (PROJECT / edit.path).read_text().count(edit.old) == 1, edit


def test_no_word_of_the_domain_is_left(project: Path) -> None:
    told = list(blank(project))

    assert f"removed: {DOMAIN_FILES[0]}" in told
    assert "edited: Makefile" in told
    left = [f"{file.relative_to(project)}: {line}" for file in text_files(project) for line in lines_about_it(file)]
    assert left == []
    assert list(blank(project)) == []


def lines_about_it(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if WORDS.search(line)]


def test_tests_pass_without_the_domain(project: Path) -> None:
    list(blank(project))

    collected = run(project, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")
    assert collected.returncode == 0, collected.stdout[-2_000:]
    untimed = ("-k", "not half_a_second")  # measured once already, and not beside other tests
    tested = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", *untimed, *SUBSET)
    assert tested.returncode == 0, tested.stdout[-4_000:]


def test_lint_passes_without_the_domain(project: Path) -> None:
    """The commands of `make lint`, as the Makefile has them; mypy starts from this project's cache, if any."""
    list(blank(project))
    if (PROJECT / ".mypy_cache").is_dir():
        shutil.copytree(PROJECT / ".mypy_cache", project / ".mypy_cache")

    recipe = (project / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    commands = re.findall(r"\t\$\(BIN\)/(.+)", recipe)
    assert [command.split()[0] for command in commands] == ["ruff", "ruff", "mypy"]
    for command in commands:
        linted = run(project, "-m", *command.split())
        assert linted.returncode == 0, f"{command}\n{linted.stdout}"


def test_the_manual_stays(project: Path) -> None:
    list(blank(project))

    readme = (project / "README.md").read_text()
    headings = re.findall(r"^## .+", readme, re.MULTILINE)
    assert "## Write features, train, serve\n\nThe [cookbook](docs/cookbook.md) goes" in readme
    assert headings == ["## Write features, train, serve", "## Why not plain Feast?", "## Where to read on"]
    assert "<!-- demo" not in readme
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme)
    assert "docs/cookbook.md" in linked
    assert [place for place in linked if not (project / place).is_file()] == []


def test_the_first_own_domain_can_follow(project: Path) -> None:
    list(blank(project))

    assert features(project, "new", "riders").returncode == 0
    tested = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/transformations/test_riders.py")
    assert tested.returncode == 0, tested.stdout
    shown = features(project, "show", "rider_events")
    assert "rider_events  (feature view)" in shown.stdout, shown.stderr


def test_a_blank_project_says_how_to_go_on(project: Path) -> None:
    list(blank(project))

    assert "feature_repo/ offers no view yet. `features new DOMAIN`" in features(project, "status").stdout
    assert "the demo's domain is gone already" in features(project, "new", "--blank").stdout
    assert " demo " not in features(project, "--help").stdout


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

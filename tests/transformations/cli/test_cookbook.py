"""The cookbook's examples are whole: written where they say, tested, built, trained on and served as they stand."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import transformations
from tests.worlds.clicking import World

ROOT = Path(__file__).parents[3]
COOKBOOK = (ROOT / "docs" / "cookbook.md").read_text()
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
PLACE = re.compile(r"# (\S+/\S+|\S+\.csv)\n")


def blocks() -> list[tuple[str, str | None, str]]:
    """Each block's language, the file that its first line names, and its text without that line."""
    found = []
    for language, text in BLOCK.findall(COOKBOOK):
        place = PLACE.match(text)
        found.append((language, place[1] if place else None, text[place.end() :] if place else text))
    return found


@pytest.fixture
def project(world: World, monkeypatch: pytest.MonkeyPatch, _spark: None) -> Iterator[World]:
    """A project with nothing of its own yet."""
    (world.folder / "domains" / "clicking.py").unlink()
    (world.repository / "user_views.py").unlink()
    monkeypatch.chdir(world.folder)
    yield world
    sys.modules.pop("transformations.flights", None)
    vars(transformations).pop("flights", None)


def test_every_example_of_the_cookbook_holds(project: World) -> None:
    for language, place, text in blocks():
        if place is not None and place.startswith("tests/"):
            run_tests(text)
        elif place is not None:
            file = file_of(project, place)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        elif language == "python":
            exec(compile(text, "cookbook.md", "exec"), {})
        else:
            for line in text.splitlines():
                run(project, line.removeprefix("$ "))


def file_of(project: World, place: str) -> Path:
    """Where a file of the cookbook lies in the tests' project."""
    moved = {"validation/contracts": project.folder / "contracts", "transformations": project.folder / "domains"}
    folder, _, name = place.rpartition("/")
    return moved.get(folder, project.folder / folder) / name


def run_tests(text: str) -> None:
    names: dict[str, object] = {}
    exec(compile(text, "cookbook.md", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_") and callable(value)]
    assert len(tests) == 4
    for test in tests:
        test()


def run(project: World, command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "features":
        result = project.run(*arguments)
        assert result.exit_code == 0, f"{command}\n{result.output}"
    elif "apply" in arguments:
        project.apply()
    else:
        project.materialize(f"{arguments[-1]}+00:00")


def test_the_readme_leads_to_it() -> None:
    assert "(docs/cookbook.md)" in (ROOT / "README.md").read_text()

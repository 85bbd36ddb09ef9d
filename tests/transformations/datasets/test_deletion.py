"""Datasets that go: deleted whole, replaced at once, and kept while something refers to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest
from feast.errors import SavedDatasetNotFound

from tests.transformations.datasets.conftest import World
from tests.worlds.samples import some_quick
from transformations.datasets import deletion
from transformations.datasets.deletion import delete, versions_needed
from transformations.engine.base.errors import UsageError
from transformations.engine.tables.pins import pinned
from transformations.engine.upkeep.vacuum import vacuum_table

NAME = "visits_2024"


def remaining(world: World) -> list[str]:
    """What is left of the datasets on disk, in the pins and in the registry."""
    names = {folder.name for folder in world.settings.datasets_dir.iterdir() if not folder.name.endswith(".lock")}
    pins = {reason for reasons in pinned(world.table).values() for reason in reasons}
    saved = {f"saved {each.name}" for each in world.store.registry.list_saved_datasets(world.store.project)}
    return sorted(names | pins | saved)


def test_a_deleted_dataset_leaves_neither_files_nor_pins_nor_a_saved_dataset(world: World) -> None:
    world.create()
    world.create(name="visits_2024-b")
    assert delete(NAME, world.store, world.settings) == 1
    assert remaining(world) == ["dataset visits_2024-b", "saved visits_2024-b", "visits_2024-b"]
    with pytest.raises(SavedDatasetNotFound):
        world.store.get_saved_dataset(NAME)
    with pytest.raises(UsageError, match=r"there is no dataset 'visits_2024': did you mean 'visits_2024-b'"):
        delete(NAME, world.store, world.settings)


def test_what_a_dataset_needs_is_kept_even_where_its_pins_were_written_anew(
    world: World, later: Callable[[], None]
) -> None:
    world.create()
    later()
    (world.table.path / "pins.json").write_text('{"versions": {}}')

    needed = versions_needed(world.settings)[world.table.name]
    found = vacuum_table(world.table, timedelta(0), keep_versions=1, needed=needed)

    assert [(held.version, held.reasons) for held in found.held] == [(0, (f"dataset {NAME}",))]
    assert world.table.at(0)
    assert not world.rebuild()
    assert pinned(world.table) == {0: (f"dataset {NAME}",)}


@pytest.mark.parametrize("step", some_quick(["_unregister", "release", "hide", "remove_leftovers"], 1))
@pytest.mark.parametrize("is_done", [False, True])
def test_a_deletion_killed_anywhere_is_completed_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, is_done: bool
) -> None:
    world.create()
    original: Callable[..., object] = getattr(deletion, step)

    def killed(*arguments: object) -> object:
        if is_done:
            original(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deletion, step, killed)
        with pytest.raises(KeyboardInterrupt):
            delete(NAME, world.store, world.settings)
    if not (step == "remove_leftovers" and is_done):  # nothing was left to do then
        delete(NAME, world.store, world.settings)
    assert remaining(world) == []
    world.create()


def test_a_dataset_is_replaced_with_its_pins(world: World, later: Callable[[], None]) -> None:
    world.create()
    later()
    with pytest.raises(UsageError, match="say --replace while nothing refers to it"):
        world.create()

    world.create(replace_old=True, description="Anew")

    assert pinned(world.table) == {1: (f"dataset {NAME}",)}
    assert world.store.registry.get_saved_dataset(NAME, world.store.project).tags["user_spend.version"] == "1"
    assert remaining(world) == [f"dataset {NAME}", f"saved {NAME}", NAME]
    assert not world.rebuild()


def test_a_replacement_that_fails_leaves_the_dataset_as_it_was(world: World, later: Callable[[], None]) -> None:
    before = world.create()
    later()
    with pytest.raises(UsageError):
        world.create(replace_old=True, label={"column": "no", "horizon": "1 day"})
    assert (pinned(world.table), world.rows("train") != []) == ({0: (f"dataset {NAME}",)}, True)
    assert before.text() == (world.folder / "manifest.json").read_text()


def test_a_dataset_that_something_refers_to_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create()
    fair = SimpleNamespace(name="fair", dataset_name=NAME)  # Feast's own needs an older Great Expectations
    monkeypatch.setattr(world.store.registry, "list_validation_references", lambda _project: [fair])

    for change in (lambda: delete(NAME, world.store, world.settings), lambda: world.create(replace_old=True)):
        with pytest.raises(UsageError, match="dataset visits_2024 stays: validation reference fair refers to it"):
            change()
    assert world.folder.is_dir()


def test_a_folder_without_a_manifest_can_be_deleted_by_its_name(world: World) -> None:
    world.create()
    shutil.rmtree(world.folder)
    world.folder.mkdir()
    delete(NAME, world.store, world.settings)
    assert remaining(world) == []


@pytest.mark.parametrize("name", ["../offline", "..", ".", "", "/tmp"])
def test_a_path_is_no_name_of_a_dataset(world: World, name: str) -> None:
    with pytest.raises(UsageError, match="is no dataset's name"):
        delete(name, world.store, world.settings)
    assert world.table.path.is_dir()


def test_what_comes_to_need_a_dataset_while_its_replacement_is_made_keeps_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.create()
    fair, answers = SimpleNamespace(name="fair", dataset_name=NAME), iter([False, True])
    references = lambda _project: [fair] if next(answers) else []  # noqa: E731
    monkeypatch.setattr(world.store.registry, "list_validation_references", references)

    with pytest.raises(UsageError, match="dataset visits_2024 stays: validation reference fair refers to it"):
        world.create(replace_old=True, description="Anew")
    assert before.text() == (world.folder / "manifest.json").read_text()

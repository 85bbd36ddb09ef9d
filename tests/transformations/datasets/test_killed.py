"""Commands killed at every step: the next one completes what was begun, and nothing is left behind."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from feast.errors import SavedDatasetNotFound

from tests.worlds.samples import some_quick
from transformations.datasets import create as creating
from transformations.datasets import folders, pinning
from transformations.datasets.deletion import Tidied, delete, tidy
from transformations.datasets.manifest import read_manifest
from transformations.engine.base.errors import UsageError
from transformations.engine.tables.pins import pinned

from .conftest import World

NAME = "visits_2024"
STEPS = [
    (creating, "source_of", False),  # nothing has been written but a folder
    (pinning, "pin", True),
    (creating, "_compute_content", True),
    (creating, "publish", False),
    (creating, "publish", True),
    (creating, "register", True),
    (creating, "remove_leftovers", False),
]


class KilledError(BaseException):
    pass


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs an action that a kill ends at a step: nothing that would clean up after an error comes to it."""

    def run(action: Callable[[], object], module: object, step: str, is_done: bool) -> None:
        original = getattr(module, step)

        def killed(*arguments: object, **named: object) -> None:
            if is_done:
                original(*arguments, **named)
            raise KilledError

        with monkeypatch.context() as patched:
            patched.setattr(module, step, killed)
            patched.setattr(pinning, "unpin", lambda *_: False)
            patched.setattr(folders.shutil, "rmtree", lambda *_, **__: None)
            with pytest.raises(KilledError):
                action()

    return run


def is_whole(world: World) -> bool:
    """Whether there is one dataset, with its pins alone, known to Feast, and nothing beside it."""
    manifest, _ = read_manifest(world.folder)
    saved = world.store.registry.get_saved_dataset(NAME, world.store.project)
    names = sorted(path.name for path in world.settings.datasets_dir.iterdir())
    (version,) = [table.version for table in manifest.views]
    return (
        names == [f".{NAME}.lock", NAME]
        and pinned(world.table) == {version: (f"dataset {NAME}",)}
        and saved.tags["test.content_hash"] == manifest.splits[1].content_hash
    )


def is_gone(world: World) -> bool:
    with suppress(SavedDatasetNotFound):
        world.store.registry.get_saved_dataset(NAME, world.store.project)
        return False
    names = [path.name for path in world.settings.datasets_dir.iterdir()]
    return names == [f".{NAME}.lock"] and not pinned(world.table)


@pytest.mark.parametrize(("module", "step", "is_done"), some_quick(STEPS, 1, 4))
def test_a_creation_killed_anywhere_is_completed_by_the_next(
    world: World, later: Callable[[], None], kill: Callable[..., None], module: object, step: str, is_done: bool
) -> None:
    kill(world.create, module, step, is_done)
    later()  # the tables have other versions now
    if step in ("register", "remove_leftovers"):  # it is whole and known
        with pytest.raises(UsageError, match="features dataset rebuild visits_2024"):
            world.create()
        world.rebuild()
    else:
        world.create()

    assert is_whole(world)
    assert tidy(world.store, world.settings) == []


@pytest.mark.parametrize(("module", "step", "is_done"), some_quick(STEPS, 2))
def test_a_replacement_killed_anywhere_is_completed_by_the_next(
    world: World, later: Callable[[], None], kill: Callable[..., None], module: object, step: str, is_done: bool
) -> None:
    world.create()
    later()
    kill(lambda: world.create(replace_old=True), module, step, is_done)
    world.create(replace_old=True)

    assert is_whole(world)
    assert pinned(world.table) == {1: (f"dataset {NAME}",)}


@pytest.mark.parametrize(("module", "step", "is_done"), some_quick(STEPS, 3))
def test_vacuum_tells_and_removes_what_a_killed_creation_left(
    world: World, kill: Callable[..., None], module: object, step: str, is_done: bool
) -> None:
    kill(world.create, module, step, is_done)
    expected = tidy(world.store, world.settings, dry_run=True)
    assert tidy(world.store, world.settings) == expected

    if world.folder.exists():
        is_known = step != "publish"
        assert tidy(world.store, world.settings) == ([] if is_known else [Tidied(NAME, 0, 0, False)])
        world.rebuild()
        assert is_whole(world)
    else:
        assert expected == [Tidied(NAME, 1, int(step != "source_of"), True)]
        assert is_gone(world)


@pytest.mark.parametrize(("module", "step", "is_done"), STEPS[1::3])
def test_what_a_killed_creation_left_can_be_deleted(
    world: World, kill: Callable[..., None], module: object, step: str, is_done: bool
) -> None:
    kill(world.create, module, step, is_done)
    delete(NAME, world.store, world.settings)

    assert is_gone(world)


@pytest.mark.parametrize(("step", "is_done"), [("publish", True), ("register", True)])
def test_a_rebuild_killed_anywhere_is_completed_by_the_next(
    world: World, kill: Callable[..., None], step: str, is_done: bool
) -> None:
    manifest = world.create()
    copy = world.folder.rename(world.settings.data / "copy")
    delete(NAME, world.store, world.settings)
    kill(lambda: creating.rebuild(manifest, copy, world.store, world.settings), creating, step, is_done)
    creating.rebuild(manifest, copy, world.store, world.settings)

    assert is_whole(world)


def test_vacuum_keeps_the_pins_of_a_dataset_whose_folder_was_taken_away(world: World) -> None:
    world.create()
    world.folder.rename(world.settings.data / "copy")

    assert tidy(world.store, world.settings) == []
    assert pinned(world.table) == {0: (f"dataset {NAME}",)}


def test_vacuum_passes_over_a_dataset_that_is_being_made(world: World) -> None:
    with folders.building(world.folder):
        assert tidy(world.store, world.settings) == []
        assert len(folders.leftovers(world.folder)) == 1


def test_a_dataset_of_another_configuration_is_no_completion(world: World, kill: Callable[..., None]) -> None:
    kill(world.create, creating, "publish", True)

    with pytest.raises(UsageError, match="features dataset rebuild visits_2024"):
        world.create(description="Another")

"""Traps of the registry: views that are at work, writers that die, and processes that have read it before."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from feast import FeatureStore
from feast.feature_view import FeatureViewState
from feast.types import Float64

from .traps import trap
from .worlds import Lookup, RefusedError, World

USER = [{"user_id": 1}]


def killed(world: World) -> None:
    """A materialization that has begun, and whose process was killed."""
    view = world.view("killed_visits", spent=Float64)
    world.write(view, (1, "2024-05-01", None, 5.0))
    world.apply(view)
    world.materialize("2024-05-02", view.name)
    registered = world.store.get_feature_view(view.name)
    registered.state = FeatureViewState.MATERIALIZING
    world.store.registry.apply_feature_view(registered, world.config.project, commit=True)


@trap("T24")
def test_t24_a_view_is_served_while_it_is_materialized_and_after_a_killed_run(world: World, lookup: Lookup) -> None:
    world.once(killed)

    try:
        online = lookup(["killed_visits:spent"], USER).values
        training = world.training(["killed_visits:spent"], USER)
    except (ValueError, RefusedError) as error:
        raise AssertionError(error) from error
    assert (online["spent"], training["spent"]) == ([5.0], [5.0])


@contextmanager
def death_while_the_registry_is_written(world: World, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process dies when half of it is written: of Feast's file, or of the SQL transaction."""

    class DyingFile(io.FileIO):
        def write(self, content: Any) -> int:
            super().write(content[: len(content) // 2])
            raise KeyboardInterrupt

    def dying_open(path: Any, mode: str = "r", **_: Any) -> Any:
        assert mode == "wb"  # it reads by Path.read_bytes
        return DyingFile(path, "w")

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    if world.is_ours:
        from sqlalchemy import event

        engine = world.store.registry.write_engine
        event.listen(engine, "commit", die)
        yield
        event.remove(engine, "commit", die)
    else:
        patch.setattr("feast.infra.registry.file.open", dying_open, raising=False)
        yield
        patch.undo()


@trap("T25", paths=())
def test_t25_a_writer_that_dies_half_way_leaves_a_registry_that_can_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = world.view("registered_visits", spent=Float64)
    world.apply(view)
    before = _names(world.open())
    writer, world.store = world.store, world.open()

    with death_while_the_registry_is_written(world, monkeypatch), suppress(KeyboardInterrupt):
        world.apply(world.view("unregistered_visits", spent=Float64))
    try:
        after = _names(world.open())
    except Exception as error:
        after = [repr(error)]
    finally:
        world.store = writer
        writer.registry.commit()  # Feast's own registry is whole again
    assert after == before


def _names(store: FeatureStore) -> list[str]:
    return sorted(view.name for view in store.list_feature_views())


@trap("T26", paths=())
def test_t26_another_process_sees_a_view_as_soon_as_it_is_applied(world: World) -> None:
    server = world.open()
    known = world.view("known_visits", spent=Float64)
    world.write(known, (1, "2024-05-01", None, 5.0))
    world.apply(known)
    world.materialize("2024-06-01", known.name)
    server.get_online_features(features=["known_visits:spent"], entity_rows=USER)
    fresh = world.view("fresh_visits", spent=Float64)
    world.write(fresh, (1, "2024-05-01", None, 6.0))
    world.apply(fresh)
    world.materialize("2024-06-01", fresh.name)

    try:
        found = server.get_online_features(features=["fresh_visits:spent"], entity_rows=USER).to_dict()["spent"]
    except Exception as error:
        found = [repr(error)]
    assert found == [6.0]

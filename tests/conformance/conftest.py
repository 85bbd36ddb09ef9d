"""One Redis, two installations of Feast (ours, and Feast's own stores), and for each the three ways to look up."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from feast import RepoConfig
from redis import Redis

from tests.worlds.feast_stores import our_config
from transformations.engine.base.settings import Settings, get_settings
from transformations.local import redis as embedded

from .worlds import LOOKUPS, Answer, Lookup, Row, SdkLookup, World, same


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(data=tmp_path_factory.mktemp("conformance"))
    yield embedded.start(settings)
    embedded.stop(settings)


@pytest.fixture(scope="session")
def _worlds(_redis: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], World]:
    worlds: dict[str, World] = {}
    makers = {"ours": _ours, "stock": _stock}

    def world(kind: str) -> World:
        if kind not in worlds:
            folder = tmp_path_factory.mktemp(kind)
            config = makers[kind](folder, _redis)
            config.repo_path = folder
            worlds[kind] = World(kind, folder, Redis.from_url(_redis, db=list(makers).index(kind)), config)
        return worlds[kind]

    return world


@pytest.fixture(scope="session")
def _lookups(_worlds: Callable[[str], World]) -> Iterator[Callable[[World, str], SdkLookup]]:
    lookups: dict[tuple[str, str], SdkLookup] = {}
    with asyncio.Runner() as runner:

        def lookup(world: World, path: str) -> SdkLookup:
            if (world.kind, path) not in lookups:
                lookups[world.kind, path] = LOOKUPS[path](world.open(), runner)
            return lookups[world.kind, path]

        yield lookup
        for each in lookups.values():
            each.close()


@pytest.fixture(autouse=True)
def _environment(
    settings: Settings, _redis: str, _worlds: Callable[[str], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_DATA", str(_worlds("ours").folder / "data"))
    monkeypatch.setenv("FEATURES_REDIS_URL", f"{_redis}?db=0")
    monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "10000")  # values are tested here, on machines of any load
    assert get_settings() != settings


@pytest.fixture
def world(request: pytest.FixtureRequest, _worlds: Callable[[str], World]) -> World:
    """An installation of Feast, which all tests of its kind share; each has views of its own."""
    return _worlds(request.param)


@pytest.fixture
def lookup(request: pytest.FixtureRequest, world: World, _lookups: Callable[[World, str], SdkLookup]) -> SdkLookup:
    """One of the three ways."""
    return _lookups(world, request.param)


@pytest.fixture
def agree() -> Callable[..., Answer]:
    """Look up, and claim that each value is the one that training has at the same moment."""

    def check(world: World, lookup: Lookup, features: list[str], rows: Sequence[Row], **more: Any) -> Answer:
        answer = lookup(features, rows, **more)
        training = world.training(features, rows, **more)
        keys = set(rows[0])
        assert set(training) >= set(answer.values) - keys
        for name in set(answer.values) - keys:
            assert same(answer.values[name], training[name]), f"{name}: {answer.values[name]} {training[name]}"
        return answer

    return check


def _ours(folder: Path, redis_url: str) -> RepoConfig:
    return our_config(folder, project="ours", registry={"cache_ttl_seconds": 60})


def _stock(folder: Path, redis_url: str) -> RepoConfig:
    """Feast's defaults, but for the time that T17 needs."""
    socket = redis_url.removeprefix("unix://")
    return RepoConfig(
        project="stock",
        provider="local",
        registry=str(folder / "registry.pb"),
        offline_store={"type": "duckdb"},
        online_store={
            "type": "redis",
            "connection_string": f"localhost:6379,unix_socket_path={socket},db=1",
            "key_ttl_seconds": 1_000_000,
        },
        entity_key_serialization_version=3,
    )

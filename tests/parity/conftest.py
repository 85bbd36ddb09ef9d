"""A shop with Redis of its own, at a moment of its own."""

import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from transformations.engine.base.settings import Settings
from transformations.local import redis as embedded
from transformations.stores.base.feast_seams import online_client

from .shop import Shop, sale


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(data=tmp_path_factory.mktemp("parity"))
    yield embedded.start(settings)
    embedded.stop(settings)


@pytest.fixture
def shop_of(settings: Settings, _redis: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Shop]:
    """Opens a shop in a folder; what it sets in the environment ends with the test."""
    for name in ("FEATURES_CONTRACTS", "FEATURES_DATA", "FEATURES_CLOCK"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("FEATURES_REDIS_URL", _redis)
    monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "10000")

    def shop(folder: Path, with_spark: bool = False) -> Shop:
        made = Shop(folder, with_spark)
        made.flush()
        return made

    return shop


@dataclass
class _Stocked:
    """A folder in which each test finds the same shop; what the first has made: files, rows of Redis, what it knew."""

    folder: Path
    rows: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="session")
def _stocked(tmp_path_factory: pytest.TempPathFactory) -> _Stocked:
    return _Stocked(tmp_path_factory.mktemp("stocked"))


@pytest.fixture
def shop(shop_of: Callable[[Path], Shop], _stocked: _Stocked) -> Shop:
    """A shop of two users with three days of sales, built, applied and materialized on 4 May at noon.

    It is made once and brought back to that state, in one place since views know where their tables lie.
    """
    folder, kept = _stocked.folder / "shop", _stocked.folder / "kept"
    shutil.rmtree(folder, ignore_errors=True)
    if _stocked.known:
        shutil.copytree(kept, folder)
    made = shop_of(folder)
    made.now = "2024-05-04T12:00:00Z"
    client = online_client(made.store)
    if _stocked.known:
        for name, value in deepcopy(_stocked.known).items():
            setattr(made, name, value)
        for key, (expiry, row) in _stocked.rows.items():
            client.restore(key, expiry, row, absttl=expiry > 0)
        return made
    made.deliver(
        sale(1, "2024-05-01 15:00", 10.1),
        sale(2, "2024-05-02 15:00", 20.2),
        sale(3, "2024-05-02 16:00", 30.3, user=2, plan="gold"),
        through="2024-05-03",
    )
    made.build()
    made.apply()
    made.materialize()
    _stocked.rows = {key: (max(client.pexpiretime(key), 0), client.dump(key)) for key in client.scan_iter()}
    _stocked.known = deepcopy({name: getattr(made, name) for name in ("sales", "through", "knowledge", "built")})
    shutil.copytree(folder, kept)
    return made

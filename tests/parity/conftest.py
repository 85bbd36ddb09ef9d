"""A shop with Redis of its own, at a moment of its own."""

import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
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


class OpenedShop:
    """A shop as `keep` found it, to be opened again and again: its folder, its rows in Redis, and what it knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[bytes, tuple[int, Any]] = {}
        self.facts: dict[str, Any] | None = None

    def keep(self, shop: Shop) -> None:
        redis = online_client(shop.store)
        shutil.copytree(shop.folder, self.folder)
        self.rows = {key: (max(redis.pttl(key), 0), redis.dump(key)) for key in redis.scan_iter()}
        self.facts = deepcopy({name: vars(shop)[name] for name in ("sales", "through", "knowledge", "built")})

    def open(self, shop_of: Callable[[Path], Shop], folder: Path) -> Shop:
        shutil.copytree(self.folder, folder)
        shop = shop_of(folder)
        vars(shop).update(deepcopy(self.facts or {}))
        for key, (lives_ms, row) in self.rows.items():
            online_client(shop.store).restore(key, lives_ms, row)
        return shop


@pytest.fixture(scope="session")
def _opened(tmp_path_factory: pytest.TempPathFactory) -> OpenedShop:
    return OpenedShop(tmp_path_factory.mktemp("shop") / "opened")


@pytest.fixture
def shop(shop_of: Callable[[Path], Shop], tmp_path: Path, _opened: OpenedShop) -> Shop:
    """A shop of two users with three days of sales, built, applied and materialized on 4 May at noon."""
    if _opened.facts is not None:
        made = _opened.open(shop_of, tmp_path / "shop")
        made.now = "2024-05-04T12:00:00Z"
        return made
    made = shop_of(tmp_path / "shop")
    made.now = "2024-05-04T12:00:00Z"
    made.deliver(
        sale(1, "2024-05-01 15:00", 10.1),
        sale(2, "2024-05-02 15:00", 20.2),
        sale(3, "2024-05-02 16:00", 30.3, user=2, plan="gold"),
        through="2024-05-03",
    )
    made.build()
    made.apply()
    made.materialize()
    _opened.keep(made)
    return made

"""A shop with Redis of its own, at a moment of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from transformations.engine.base.settings import Settings
from transformations.local import redis as embedded

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


@pytest.fixture
def shop(shop_of: Callable[[Path], Shop], tmp_path: Path) -> Shop:
    """A shop of two users with three days of sales, built, applied and materialized on 4 May at noon."""
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
    return made

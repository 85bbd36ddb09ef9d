"""A flipped bit that every reader of Parquet takes for another value goes into nothing that lasts."""

from __future__ import annotations

import pandas as pd
import pytest
from redis import Redis

from tests.transformations.cli.disks.damages import flip_a_value
from tests.transformations.cli.disks.project import DATASET, LATER, NOW
from tests.worlds.clicking import World
from transformations.engine.base.errors import DamagedError
from transformations.engine.base.settings import get_settings
from transformations.insight.repository import open_store


@pytest.fixture
def applied(built: World, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> World:
    """The project with its tables built, and nothing loaded yet."""
    monkeypatch.setenv("FEATURES_CLOCK", NOW)
    built.apply()
    return built


SPINES = {
    "a frame": pd.DataFrame({"user_id": [2], "event_timestamp": pd.to_datetime(["2024-05-14T12:00Z"])}),
    "a query of the raw zone": "SELECT user_id, clicked_at + INTERVAL 1 DAY AS event_timestamp FROM raw.clicks",
    "a query of a table": "SELECT user_id, event_timestamp FROM offline.user_clicks",
}


@pytest.mark.parametrize("spine", SPINES)
def test_training_takes_no_silently_changed_value_unless_verifying_is_switched_off(
    applied: World, spine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = applied.settings
    folder = settings.raw_dir / "clicks" if "raw" in spine else settings.offline_dir / "user_clicks"
    store = open_store(settings)
    features = ["user_clicks:clicks_count_7d", "user_clicks:attention_seconds_sum_7d"]
    right = store.get_historical_features(SPINES[spine], features).to_arrow()
    file = max(file for pattern in ("drop-*/*.parquet", "run=*/*.parquet") for file in folder.glob(pattern))
    flip_a_value(file)
    with pytest.raises(DamagedError, match=f"^{file} is damaged: it does not hold the bytes that were written"):
        store.get_historical_features(SPINES[spine], features).to_arrow()
    monkeypatch.setenv("FEATURES_OFFLINE_VERIFY", "false")
    get_settings.cache_clear()
    assert store.get_historical_features(SPINES[spine], features).to_arrow().num_rows == right.num_rows


def test_neither_a_load_nor_a_dataset_nor_a_build_takes_a_silently_changed_value(applied: World) -> None:
    stored = max((applied.settings.offline_dir / "user_clicks").glob("run=*/*.parquet"))
    flip_a_value(stored)
    with pytest.raises(DamagedError, match=f"^{stored} is damaged: it does not hold the bytes that were written"):
        applied.materialize(NOW)
    config = applied.folder / "reading.yaml"
    config.write_text(DATASET)
    made = applied.run("dataset", "create", str(config))
    assert (made.exit_code, f"{stored} is damaged" in made.output) == (3, True)

    applied.deliver("clicks", LATER, complete_through="2024-05-12")
    (new,) = max((applied.settings.raw_dir / "clicks").glob("drop-*")).glob("*.parquet")
    flip_a_value(new)
    ended = applied.run("build", "user_topics")
    assert (ended.exit_code, f"{new} is damaged" in ended.output) == (3, True)

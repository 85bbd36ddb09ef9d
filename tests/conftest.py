"""What all tests share: one Spark session, settings of their own, and hypothesis profiles."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from transformations.engine.settings import Settings, get_settings

hypothesis_settings.register_profile("quick", max_examples=40, deadline=None)
hypothesis_settings.register_profile(
    "thorough", max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
_ROOMS = [Path(__file__).parent / name for name in ("conformance", "demo")]

hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.hookimpl(tryfirst=True)  # before xdist looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Which tests one process runs when several share the work: all on Spark, and those that share a costly world."""
    for item in items:
        uses_spark = "_spark" in getattr(item, "fixturenames", ())
        of_room = next((room for room in _ROOMS if item.path.is_relative_to(room)), item.path)
        item.add_marker(pytest.mark.xdist_group("spark" if uses_spark else str(of_room)))


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings whose data lies in the test's own folder; no variable of the developer's shell reaches a test."""
    for name in list(os.environ):
        if name.startswith("FEATURES_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "data"))
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def _spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The one Spark session of the test run, with little of everything."""
    from transformations.engine.spark import spark_session

    small = {"spark.sql.shuffle.partitions": "2", "spark.default.parallelism": "2"}
    session = spark_session(
        Settings(
            data=tmp_path_factory.mktemp("spark"), spark_master="local[2]", spark_conf=small, spark_driver_memory="1g"
        )
    )
    yield
    session.stop()


@pytest.fixture
def spark_settings(_spark: None, settings: Settings) -> Settings:
    """Settings for a test that builds: the shared session is running."""
    return settings

"""What tests of whole tables share: the world of sales, and a table whose runs are written by hand."""

from pathlib import Path

import pytest

from tests.worlds.literal_table import LiteralTable
from tests.worlds.sales import SalesWorld
from transformations.engine.base.settings import Settings


@pytest.fixture
def world(spark_settings: Settings) -> SalesWorld:
    """Sales and their view; builds run on the shared Spark session."""
    return SalesWorld(spark_settings)


@pytest.fixture
def literal_table(tmp_path: Path) -> LiteralTable:
    """A table of nothing yet, to which runs are added by hand."""
    return LiteralTable(tmp_path / "user_clicks")

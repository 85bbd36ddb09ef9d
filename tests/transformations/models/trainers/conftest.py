"""What the tests of trainers share."""

import gc
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _models_end_before_the_library() -> Iterator[None]:
    """XGBoost complains of each model that Python ends after XGBoost itself, as those that tests keep would be."""
    yield
    for module in [sys.modules[name] for name in sys.modules if name.startswith(f"{__package__}.")]:
        for kept in [each for each in vars(module).values() if hasattr(each, "cache_clear")]:
            kept.cache_clear()
    gc.collect()

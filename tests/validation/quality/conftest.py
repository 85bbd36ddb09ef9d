"""The small source of events, in a folder of its own."""

import pytest

from .events import Source


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)

"""The folder of the clicks' contract."""

import pytest

from .clicks import CLICKS


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "clicks.yaml").write_text(CLICKS)
    return tmp_path

"""Which cases of a long list every run tries; the rest are left to `make slow-proof`."""

from collections.abc import Iterable
from typing import Any

import pytest


def some_quick(cases: Iterable[Any], *quick: int) -> list[Any]:
    """Cases for `parametrize`, those at other positions than `quick` marked `proof`."""
    return [
        case
        if position in quick
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.proof)
        for position, case in enumerate(cases)
    ]

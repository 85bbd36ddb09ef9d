"""Every trap has a test, and every expected failure belongs to one."""

import re
from pathlib import Path

from .traps import OURS_DOCUMENTED, OURS_OPEN, STOCK, TRAPS

TESTED = {
    name
    for file in Path(__file__).parent.glob("test_*.py")
    for name in re.findall(r'@trap\("([^"]+)"', file.read_text())
}


def test_each_of_the_26_traps_has_a_test() -> None:
    assert {name.partition(":")[0] for name in TESTED} == set(TRAPS)


def test_each_expected_failure_has_a_test() -> None:
    assert {*STOCK, *OURS_OPEN, *OURS_DOCUMENTED} <= TESTED


def test_no_trap_is_both_open_and_documented() -> None:
    assert not set(OURS_OPEN) & set(OURS_DOCUMENTED)

"""A load leaves the processor to others where its priority says so."""

import os
import sys
import threading

import pytest

from tests.worlds.priorities import yield_processor
from transformations.stores import materialization


@pytest.fixture(autouse=True)
def _as_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests load at normal priority, whatever is declared."""
    monkeypatch.setattr(materialization, "yield_processor", yield_processor)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority of each thread")
@pytest.mark.parametrize(("is_idle", "policy"), [(True, "SCHED_IDLE"), (False, "SCHED_OTHER")])
def test_a_run_leaves_the_processor_to_others_and_so_do_its_threads(is_idle: bool, policy: str) -> None:
    found: list[int] = []

    def run() -> None:
        found.append(os.sched_getscheduler(threading.get_native_id()))
        inner = threading.Thread(target=lambda: found.append(os.sched_getscheduler(threading.get_native_id())))
        inner.start()
        inner.join()

    materialization.run_beside(run, lambda: None, is_idle=is_idle)
    assert found == [getattr(os, policy)] * 2
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_run_whose_priority_cannot_be_set_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError("forbidden here")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden, raising=False)
    ran: list[bool] = []
    materialization.run_beside(lambda: ran.append(True), lambda: None, is_idle=True)
    assert ran == [True]

"""A run that waits for a pool, in an instance of Dagster that is set up as ours."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext

from transformations.engine.base.settings import Settings
from transformations.orchestration.dagster_home import home
from transformations.orchestration.dagster_waiting import wait_asleep

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def waiting(settings: Settings) -> Iterator[InstanceConcurrencyContext]:
    """A run whose one step waits for a pool that another run holds."""
    with dg.DagsterInstance.from_config(str(home(settings))) as instance:
        first, second = [dg.DagsterRun("ingestion", run_id=each) for each in ("first", "second")]
        with InstanceConcurrencyContext(instance, first) as working:
            assert working.claim("io", "ingest__clicks")
            with InstanceConcurrencyContext(instance, second) as context:
                assert not context.claim("io", "ingest__pages")
                yield context


def test_a_run_that_waits_for_a_pool_sleeps(
    waiting: InstanceConcurrencyContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = InstanceConcurrencyContext.interval_to_next_pending_claim_check
    monkeypatch.setattr(
        InstanceConcurrencyContext, "interval_to_next_pending_claim_check", stock
    )  # put back in the end
    wait_asleep()
    assert 0.2 < waiting.interval_to_next_pending_claim_check() <= 1.0
    waiting._pending_timeouts.clear()
    assert waiting.interval_to_next_pending_claim_check() == 0.0

"""A run that waits for a pool sleeps until it may ask for it again.

Dagster's own (1.13.28) never sleeps: `interval_to_next_pending_claim_check` takes the least of 0 and of the seconds to
the next question, where it means the greatest (dagster/_core/execution/plan/instance_concurrency_context.py; its pull
request 20367, which would mend it, was closed). So a run that waits takes a processor from the one that it waits for.
"""

from __future__ import annotations

import time

from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext


def wait_asleep() -> None:
    """Have every run of this process sleep while it waits."""
    InstanceConcurrencyContext.interval_to_next_pending_claim_check = _seconds_to_next_claim  # type: ignore[assignment]


def _seconds_to_next_claim(context: InstanceConcurrencyContext) -> float:
    now = time.time()
    return max(0.0, min((until - now for until in context._pending_timeouts.values()), default=0.0))

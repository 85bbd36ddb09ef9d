"""The API does what its OpenAPI says, whatever is sent: requests made up by schemathesis, valid and invalid ones.

`make api-proof` sends many of each kind to each endpoint.
"""

import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.worlds import weekly

EXAMPLES = int(os.environ.get("API_EXAMPLES", "5"))
UNSAID = ["positive_data_acceptance"]
"""Of /v2: that a tensor's shape says how much data there is, JSON Schema cannot say."""


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_whatever_is_sent_is_answered_as_described(port: int, mode: str) -> None:
    import schemathesis  # takes a second, and is wanted here alone

    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
    sent: Counter[str] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode == "negative" and operation.method != "post":
            continue
        excluded = schemathesis.checks.CHECKS.get_by_names(UNSAID) if operation.path.startswith("/v2") else []

        requests = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))
        send(requests, excluded, sent)
    assert sent[f"POST /v1/models/{weekly.MODEL}/predictions"] >= EXAMPLES
    assert sent[f"POST /v2/models/{weekly.MODEL}/infer"] >= EXAMPLES


def send(requests: st.SearchStrategy[Any], excluded: list[Any], sent: Counter[str]) -> None:
    """Send some of these requests, and hold each answer against the description."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests)
    def check(case: Any) -> None:
        sent[case.operation.label] += 1
        case.call_and_validate(timeout=30, excluded_checks=excluded)

    check()

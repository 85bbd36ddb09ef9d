"""Which versions of models need a dataset: while one does, nobody takes it away."""

from __future__ import annotations

from collections.abc import Iterable

from feast import FeatureStore

from transformations.datasets.registration import REFERRERS, Referrer
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import standing_of


def referrers_with(log: EventLog) -> tuple[Referrer, ...]:
    """Who may need a dataset: what is in Feast's registry, and versions of models."""
    return (*REFERRERS, versions_that_need(log))


def versions_that_need(log: EventLog) -> Referrer:
    """Tells, by a dataset's name, the versions that were trained on it and may still be judged, answer or come back:
    all but the archived ones, of which only the one that a rollback would bring back counts.
    """

    def found(name: str, _store: FeatureStore) -> Iterable[str]:
        for model in log.models():
            standing = standing_of(model, log.events(model))
            for number, state in standing.versions.items():
                is_over = state.stage == "archived" and number != standing.previous
                if state.registered.dataset == name and not is_over:
                    stage = "which a rollback would bring back" if state.stage == "archived" else f"in {state.stage}"
                    yield f"version {number} of model {model}, {stage},"

    return found

"""What versions of models use: the features that they learned from, by the definitions that these had then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from transformations.datasets.manifest import read_manifest as read_dataset
from transformations.engine.base.settings import Settings
from transformations.models.holding.definitions import definitions_of_snapshot, references_of
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import VersionState, standing_of
from transformations.models.rollout.routing import route_at
from transformations.models.scoring.artifact import read_manifest


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a version uses. why: it may answer, in words; None where it no longer may, `since` then.

    features: by `view:feature` the definition that it learned from; of an on-demand feature also what that is computed
    from. given: those of them that the service itself gives.
    """

    model: str
    version: int
    why: str | None
    since: datetime
    owner: str
    service: str
    features: Mapping[str, str]
    given: frozenset[str]

    def __str__(self) -> str:
        return f"version {self.version} of model {self.model} ({self.why or 'archived'}), of {self.owner}"


def uses(log: EventLog, settings: Settings, *, with_archived: bool = False) -> Iterator[Use]:
    """What the versions use that may answer: in production, being rolled out, or what a rollback would bring back.

    DataError where an artifact or dataset that would tell it cannot be read.
    """
    for model in log.models():
        events = log.events(model)
        standing, route = standing_of(model, events), route_at(events, settings.now())
        for number, state in standing.versions.items():
            why = None
            if state.stage == "production":
                why = "in production"
            elif number == route.candidate:
                why = "being rolled out"
            elif number == standing.previous:
                why = "what a rollback would bring back"
            if why is not None or (with_archived and state.stage == "archived"):
                yield _use(model, state, why, settings)


def _use(model: str, state: VersionState, why: str | None, settings: Settings) -> Use:
    artifact = read_manifest(settings.models_dir / model / state.registered.run_id)
    dataset, _ = read_dataset(settings.datasets_dir / state.registered.dataset)
    known = definitions_of_snapshot(dataset.registry).features
    behind = references_of(dataset.registry, dataset)
    names = [column.name for column in artifact.scores.inputs if column.name in behind]
    reached = [each for name in names for each in behind[name] if each in known]
    return Use(
        model=model,
        version=state.number,
        why=why,
        since=state.since,
        owner=str(artifact.facts.declaration.get("owner", "nobody")),
        service=dataset.config.feature_service,
        features={each: known[each] for each in reached},
        given=frozenset(behind[name][0] for name in names),
    )

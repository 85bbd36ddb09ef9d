"""A model's state, computed from its events: its versions, their stages, and which one production had before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from transformations.engine.base.errors import DataError, UsageError
from transformations.models.records.base import Stage
from transformations.models.records.events import Evaluated, ModelEvent, Registered, RolloutStep, StageChanged


@dataclass(frozen=True, kw_only=True)
class VersionState:
    """A version as it stands. since: of its stage. evaluation: the last look, with the hash of its gate report."""

    number: int
    stage: Stage
    since: datetime
    registered: Registered
    registered_at: datetime
    evaluation: Evaluated | None = None
    evidence: str | None = None

    @property
    def has_passed(self) -> bool:
        """Whether its gates have passed."""
        return self.evaluation is not None and self.evaluation.passed


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A model as it stands after some number of events.

    earlier: what production had before, oldest first, and may have again: a rollback brings the last of them back, so a
    further one goes further back. last: what production has, or had last.
    """

    model: str
    events: int
    versions: Mapping[int, VersionState]
    earlier: tuple[int, ...] = ()
    last: int | None = None

    @property
    def previous(self) -> int | None:
        """What a rollback brings back; None where production had nothing before."""
        return self.earlier[-1] if self.earlier else None

    @property
    def production(self) -> VersionState | None:
        """The version in production."""
        return next((each for each in self.versions.values() if each.stage == "production"), None)

    def version(self, number: int) -> VersionState:
        """The version of this number; UsageError where there is none."""
        if number not in self.versions:
            listed = ", ".join(map(str, self.versions)) or "none"
            raise UsageError(f"model {self.model} has no version {number}. It has {listed}.")
        return self.versions[number]

    def newest(self) -> VersionState:
        """The version that was registered last."""
        if not self.versions:
            raise UsageError(f"model {self.model} has no version yet. Train it: features model train {self.model}")
        return self.versions[max(self.versions)]


def standing_of(model: str, events: Iterable[ModelEvent]) -> Standing:
    """A pure function of the events. DataError for a gap, or an event that the earlier ones do not allow."""
    standing = Standing(model=model, events=0, versions={})
    for event in events:
        if event.number != standing.events + 1:
            raise DataError(
                f"model {model}: event {standing.events + 1} is missing from the log. Bring the registry's table "
                f"features_model_events back from a copy."
            )
        standing = replace(_after(standing, event), events=event.number)
    return standing


def standing_at(model: str, events: Iterable[ModelEvent], moment: datetime) -> Standing:
    """How a model stood at a moment."""
    return standing_of(model, [event for event in events if (event.effective_at or event.at) <= moment])


def _after(standing: Standing, event: ModelEvent) -> Standing:
    versions = dict(standing.versions)
    match event.change:
        case Registered() as change:
            if event.version != len(versions) + 1:
                raise _impossible(event, f"the next version is {len(versions) + 1}")
            versions[event.version] = VersionState(
                number=event.version,
                stage="development",
                since=event.at,
                registered=change,
                registered_at=event.at,
            )
        case Evaluated() as change:
            state = _known(event, versions)
            versions[event.version] = replace(state, evaluation=change, evidence=event.evidence)
        case StageChanged() as change:
            state = _known(event, versions)
            if state.stage != change.from_stage:
                raise _impossible(event, f"it is in {state.stage}")
            return _moved(standing, event, change, versions)
        case RolloutStep():
            _known(event, versions)
    return replace(standing, versions=versions)


def _moved(standing: Standing, event: ModelEvent, change: StageChanged, versions: dict[int, VersionState]) -> Standing:
    earlier, last = standing.earlier, standing.last
    if change.rollback and event.version in earlier:
        earlier = earlier[: earlier.index(event.version)]
    else:
        earlier = tuple(number for number in earlier if number != event.version)
    if change.to_stage == "production":
        current, last = standing.production, event.version
        if current is not None:
            versions[current.number] = replace(current, stage="archived", since=event.at)
            earlier = earlier if change.rollback and event.version in standing.earlier else (*earlier, current.number)
    versions[event.version] = replace(versions[event.version], stage=change.to_stage, since=event.at)
    return replace(standing, versions=versions, earlier=earlier, last=last)


def _known(event: ModelEvent, versions: Mapping[int, VersionState]) -> VersionState:
    if event.version not in versions:
        raise _impossible(event, "there is no such version")
    return versions[event.version]


def _impossible(event: ModelEvent, why: str) -> DataError:
    return DataError(
        f"model {event.model}: event {event.number} ({event.change.kind} of version {event.version}) cannot be: {why}. "
        f"Bring the registry's table features_model_events back from a copy."
    )

"""Moving versions from stage to stage: what is allowed, and writing it down."""

from __future__ import annotations

from datetime import datetime

from transformations.engine.base.errors import DataError, UsageError
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import Standing, VersionState, standing_of
from transformations.models.records.base import Stage
from transformations.models.records.events import NEXT_STAGES, Change, ModelEvent, Registered, StageChanged


def register(log: EventLog, model: str, registered: Registered, *, who: str, why: str, at: datetime) -> ModelEvent:
    """Give a trained artifact the next version, in stage development. Two at once are two versions."""

    def event(events: tuple[ModelEvent, ...]) -> ModelEvent:
        standing = standing_of(model, events)
        version = len(standing.versions) + 1
        return _event(standing, version, registered, who=who, why=why, at=at)

    return log.extend(model, event)


def promote(
    log: EventLog,
    model: str,
    version: int,
    to_stage: Stage,
    *,
    who: str,
    why: str,
    at: datetime,
    reviewer: str | None = None,
    needs_reviewer: bool = False,
    compared_with: int | None = None,
) -> ModelEvent:
    """Move a version to another stage. A version that reaches production archives the one that was there.

    compared_with: the version in production that its gates have compared it with, where they do. DataError where its
    gates have not passed, or where production has another version now than they compared with; UsageError where no
    version goes that way, or where a reviewer is needed who is not the one that promotes.
    """

    def event(events: tuple[ModelEvent, ...]) -> ModelEvent:
        standing = standing_of(model, events)
        state = standing.version(version)
        ways = [stage for stage in NEXT_STAGES[state.stage] if (state.stage, stage) != ("archived", "production")]
        if to_stage not in ways:
            back = " `features model rollback` brings back what production had." if state.stage == "archived" else ""
            raise UsageError(
                f"model {model} version {version} is in {state.stage}, from where it can go to {', '.join(ways)}, "
                f"not to {to_stage}.{back}"
            )
        if to_stage in ("staging", "production"):
            _refuse_unproven(model, state)
        there = standing.production
        if to_stage == "production" and compared_with is not None and there and there.number != compared_with:
            raise DataError(
                f"model {model} version {version} was compared with version {compared_with}, and production has "
                f"version {there.number} now. Judge it again: features model evaluate {model} {version}"
            )
        if to_stage == "production" and needs_reviewer and (reviewer or "").strip() in ("", who):
            raise UsageError(
                f"model {model} says approval: required. Name the person who reviewed version {version}, another than "
                f"{who}: --reviewer NAME."
            )
        change = StageChanged(from_stage=state.stage, to_stage=to_stage)
        return _event(standing, version, change, who=who, why=why, at=at, evidence=state.evidence, reviewer=reviewer)

    return log.extend(model, event)


def rollback(log: EventLog, model: str, *, who: str, why: str, at: datetime) -> ModelEvent:
    """Bring back the version that production had before, which archives the present one. It passed its gates once."""

    def event(events: tuple[ModelEvent, ...]) -> ModelEvent:
        standing = standing_of(model, events)
        if standing.previous is None:
            there = standing.production
            holds = f"production holds version {there.number}, the first" if there else "nothing is in production"
            raise UsageError(f"model {model}: {holds}, so there is nothing to roll back to.")
        state = standing.version(standing.previous)
        change = StageChanged(from_stage=state.stage, to_stage="production", rollback=True)
        return _event(standing, state.number, change, who=who, why=why, at=at, evidence=state.evidence)

    return log.extend(model, event)


def _refuse_unproven(model: str, state: VersionState) -> None:
    if state.evaluation is None:
        raise DataError(
            f"model {model} version {state.number} has not been judged by its gates. "
            f"Run `features model evaluate {model} {state.number}` first."
        )
    if not state.evaluation.passed:
        raise DataError(
            f"model {model} version {state.number} did not pass its gates (report {state.evidence}). "
            f"`features model show {model} {state.number}` says what is needed."
        )


def _event(
    standing: Standing,
    version: int,
    change: Change,
    *,
    who: str,
    why: str,
    at: datetime,
    evidence: str | None = None,
    reviewer: str | None = None,
) -> ModelEvent:
    return ModelEvent(
        model=standing.model,
        number=standing.events + 1,
        at=at,
        who=who,
        why=why,
        version=version,
        change=change,
        evidence=evidence,
        reviewer=reviewer,
    )

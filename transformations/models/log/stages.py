"""Moving versions from stage to stage: what is allowed, and writing it down."""

from __future__ import annotations

from collections.abc import Callable
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
    needs_reviewer: Callable[[int], bool] = lambda _version: False,
    compared_with: int | None = None,
) -> ModelEvent:
    """Move a version to another stage. A version that reaches production archives the one that was there.

    needs_reviewer: whether a version declares that approval is required. A version needs it, too, where the one that
    production has, or had last, declares it: nobody waives a review by a declaration that nobody has reviewed.
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
        if to_stage == "production" and (reviewer or "").strip() in ("", who):
            asking = next((each for each in (version, standing.last) if each and needs_reviewer(each)), None)
            if asking is not None:
                by = "" if asking == version else f" in version {asking}, which production had before"
                raise UsageError(
                    f"model {model} says approval: required{by}. Name the person who reviewed version {version}, "
                    f"another than {who}: --reviewer NAME."
                )
        change = StageChanged(from_stage=state.stage, to_stage=to_stage)
        return _event(standing, version, change, who=who, why=why, at=at, evidence=state.evidence, reviewer=reviewer)

    return log.extend(model, event)


def rollback(
    log: EventLog, model: str, *, who: str, why: str, at: datetime, to_version: int | None = None
) -> ModelEvent:
    """Bring back a version that production had before, which archives the present one. It passed its gates once.

    to_version: which one, as to undo a rollback; by default the one before the present one, so that repeated rollbacks
    go further back, never to the version that the first one took away. UsageError where there is none.
    """

    def event(events: tuple[ModelEvent, ...]) -> ModelEvent:
        standing = standing_of(model, events)
        number = version_to_return(standing, events, to_version)
        state = standing.version(number)
        change = StageChanged(from_stage=state.stage, to_stage="production", rollback=True)
        return _event(standing, state.number, change, who=who, why=why, at=at, evidence=state.evidence)

    return log.extend(model, event)


def version_to_return(standing: Standing, events: tuple[ModelEvent, ...], asked: int | None = None) -> int:
    """The version that a rollback brings back: UsageError where there is none, or not the one asked for."""
    there = standing.production
    holds = f"production holds version {there.number}" if there else "nothing is in production"
    if asked is None:
        if standing.previous is None:
            first = ", and nothing that it had before is left" if there else ""
            raise UsageError(f"model {standing.model}: {holds}{first}, so there is nothing to roll back to.")
        return standing.previous
    moves = [(event.version, event.change) for event in events if isinstance(event.change, StageChanged)]
    been = sorted({version for version, change in moves if change.to_stage == "production"})
    state = standing.version(asked)
    if asked not in been or state.stage != "archived":
        raise UsageError(
            f"model {standing.model}: version {asked} is in {state.stage}, and a rollback brings back an archived "
            f"version that production had before: {', '.join(map(str, set(been) - {asked})) or 'none'}. {holds}."
        )
    return asked


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

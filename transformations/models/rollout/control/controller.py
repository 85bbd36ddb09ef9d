"""The controller of rollouts: whoever calls it, and however often, the log alone says how far a rollout is.

A step reads the log, judges what was seen of the present step, and appends one event under the number that it expects;
where another controller was first, that one's event counts and nothing is written. Killed anywhere, the next call goes
on from the log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from transformations.engine.base.errors import ConflictError, DataError, UsageError
from transformations.engine.base.files.published import bring, replacing
from transformations.engine.base.settings import Settings
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import Standing, standing_of
from transformations.models.records.base import text_hash
from transformations.models.records.events import ModelEvent, RolloutStep
from transformations.models.records.rollout_plan import RolloutPlan
from transformations.models.rollout.board import Board
from transformations.models.rollout.deciding import Decision, Running, decide, effective_from, running
from transformations.models.rollout.presence import Presence, Server
from transformations.models.rollout.routing import Route, route_at
from transformations.models.rollout.tables import RolloutTables
from transformations.models.rollout.verdicts import Reading, Subject, judge
from transformations.models.scoring.shape import shape_of
from transformations.models.versions import (
    Moved,
    artifact_of,
    asks_for_approval,
    compared_with,
    dataset_of,
    manifest_of,
    promote,
)

READINGS = "rollouts"
"""The folder of a model's readings, a file each, by its hash."""

Outcomes = Callable[[str, Running, RolloutPlan], tuple[str, ...]]
"""What is missing of the outcomes that a plan waits for; nothing where they are known."""


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """What a call did. event: that it appended, if any. moved: of a promotion."""

    decision: Decision
    reading: Reading | None = None
    event: ModelEvent | None = None
    moved: Moved | None = None


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a rollout stands. next_route: what was written and does not count yet."""

    route: Route
    rollout: Running | None
    plan: RolloutPlan | None
    reading: Reading | None
    servers: tuple[Server, ...]


def _nothing_is_awaited(_model: str, _rollout: Running, plan: RolloutPlan) -> tuple[str, ...]:
    return () if plan.wait_for is None else ("nobody says whether the outcomes are known",)


@dataclass(frozen=True, kw_only=True)
class Controller:
    """Decides about the models of a project. clock: rollouts' durations count on it. who: stands in the log."""

    log: EventLog
    settings: Settings
    clock: Callable[[], datetime]
    who: str
    tables: RolloutTables
    outcomes: Outcomes = field(default=_nothing_is_awaited)

    @property
    def presence(self) -> Presence:
        """The servers, and the lease."""
        return Presence(self.tables)

    def start(self, model: str, version: int, why: str) -> ModelEvent:
        """Begin the rollout of a version that is in staging, against the one in production.

        The plan is the one that the version was trained with. UsageError where there is none, where nothing is in
        production or another rollout is going on; DataError where the version cannot answer under the model's name.
        """
        events = self.log.events(model)
        standing = standing_of(model, events)
        state = standing.version(version)
        there = standing.production
        if (other := running(events)) is not None:
            raise UsageError(
                f"model {model}: the rollout of version {other.candidate} is going on. End it first: features model "
                f"rollout {model} --abort"
            )
        if there is None:
            raise UsageError(
                f"model {model} has nothing in production to compare with. Bring the first version there: features "
                f"model promote {model} {version} --to production"
            )
        if state.stage != "staging" or not state.has_passed:
            raise UsageError(
                f"model {model} version {version} is in {state.stage}. A rollout begins in staging, with passed gates: "
                f"features model promote {model} {version} --to staging"
            )
        plan = self.plan(model, version, standing)
        self._refuse_unfit(model, standing, version, there.number, plan)
        number, at = len(events) + 1, self.clock()
        step = _step("start", 1, plan, f"{model}-{version}-{number}")
        event = self._event(model, version, step, events, at, why=why, evidence=plan.hash)
        Board(self.tables).forget(model, number)
        self.log.append(event)
        return event

    def step(self, model: str) -> Stepped:
        """Do what comes next, at most one step; doing it again at once does nothing.

        A breached limit ends the rollout with an event: `decision.action` is abort then.
        """
        events = self.log.events(model)
        rollout = running(events)
        if rollout is None:
            return Stepped(decision=Decision("nothing", (f"model {model}: no rollout is going on",)))
        standing = standing_of(model, events)
        plan = self.plan(model, rollout.candidate, standing)
        at = self.clock()
        reading = self._reading(model, events, standing, plan, at)
        behind = tuple(each.name for each in self.presence.behind(model, len(events)))
        outcomes = self.outcomes(model, rollout, plan)
        decision = decide(rollout, plan, reading, at, behind=behind, outcomes=outcomes)
        try:
            return self._do(model, events, rollout, plan=plan, decision=decision, reading=reading, at=at)
        except ConflictError:
            said = "another event was written at the same moment, and counts"
            return Stepped(decision=Decision("wait", (said,)), reading=reading)

    def step_in_turn(self, model: str, holder: str, seconds: float) -> Stepped | None:
        """`step`, where it is this holder's turn; None where it is another's. seconds: for which a turn is taken."""
        return self.step(model) if self.presence.take_lease(model, holder, seconds) else None

    def abort(self, model: str, why: str) -> ModelEvent | None:
        """End the rollout at once: production answers everything. None where none is going on."""
        events = self.log.events(model)
        rollout = running(events)
        if rollout is None:
            return None
        event = self._aborted(model, events, rollout, self.clock(), why, None)
        self.log.append(event)
        return event

    def status(self, model: str) -> Status:
        """How the rollout of a model stands. UsageError for a model that was never trained."""
        events = self.log.events(model)
        standing = standing_of(model, events)
        standing.newest()
        rollout, at = running(events), self.clock()
        plan = None if rollout is None else self.plan(model, rollout.candidate, standing)
        return Status(
            route=route_at(events, at),
            rollout=rollout,
            plan=plan,
            reading=None if plan is None else self._reading(model, events, standing, plan, at),
            servers=tuple(self.presence.servers(model)),
        )

    def plan(self, model: str, version: int, standing: Standing) -> RolloutPlan:
        """The plan that a version was trained with. UsageError where it had none."""
        declared = manifest_of(model, standing.version(version), self.settings).facts.declaration.get("rollout")
        if declared is None:
            raise UsageError(
                f"model {model} version {version} was trained without a rollout. Declare `rollout: {{unit: [KEY]}}` in "
                f"models/{model}.yaml and train again, or promote it at once: features model promote {model} {version} "
                f"--to production"
            )
        return RolloutPlan.model_validate(declared)

    def _do(
        self,
        model: str,
        events: tuple[ModelEvent, ...],
        rollout: Running,
        *,
        plan: RolloutPlan,
        decision: Decision,
        reading: Reading | None,
        at: datetime,
    ) -> Stepped:
        why = "; ".join(decision.reasons)
        if decision.action == "promote":
            return self._promote(model, rollout, reading)
        if decision.action == "wait" or reading is None:
            return Stepped(decision=decision, reading=reading)
        evidence = self._keep(model, reading)
        if decision.action == "abort":
            event = self._aborted(model, events, rollout, at, why, evidence)
        else:
            place = rollout.change.step + (decision.action == "advance")
            action = "advance" if decision.action == "advance" else "finish"
            step = _step(action, place, plan, rollout.change.salt)
            event = self._event(model, rollout.candidate, step, events, at, why=why, evidence=evidence)
        self.log.append(event)
        if decision.action == "finish":
            return self._promote(model, rollout, reading)
        return Stepped(decision=decision, reading=reading, event=event)

    def _promote(self, model: str, rollout: Running, reading: Reading | None) -> Stepped:
        """Bring a version to production that has passed every step; where a person must review it, wait for one."""
        standing = standing_of(model, self.log.events(model))
        deciding = (rollout.candidate, standing.last)
        if any(each and asks_for_approval(model, each, self.log, self.settings) for each in deciding):
            said = (
                f"every step has passed, and the model says approval: required. Bring it to production: features model "
                f"promote {model} {rollout.candidate} --to production --reviewer NAME"
            )
            return Stepped(decision=Decision("wait", (said,)), reading=reading)
        why = "every step of its rollout has passed"
        moved = promote(model, rollout.candidate, "production", self.log, self.settings, why=why)
        return Stepped(decision=Decision("promote", (why,)), reading=reading, event=moved.event, moved=moved)

    def _reading(
        self, model: str, events: tuple[ModelEvent, ...], standing: Standing, plan: RolloutPlan, at: datetime
    ) -> Reading | None:
        """What was seen of the step in effect; None where none is."""
        route = route_at(events, at)
        if route.candidate is None or route.production is None or route.step is None:
            return None
        began = events[route.event - 1]
        task = manifest_of(model, standing.version(route.candidate), self.settings).scores.task
        subject = Subject(
            model=model,
            version=route.candidate,
            production=route.production,
            step=route.step,
            event=route.event,
            began=began.effective_at or began.at,
            most_difference=1.0 if task == "binary_classification" else None,
        )
        return judge(plan, subject, Board(self.tables).seen(model, route.event), at)

    def _refuse_unfit(self, model: str, standing: Standing, version: int, production: int, plan: RolloutPlan) -> None:
        """Before anything is written: what would stop the version at the end, or keep servers from loading it."""
        sides = {number: standing.version(number) for number in (production, version)}
        artifact_of(model, sides[version], self.settings)
        shapes = [
            shape_of(manifest_of(model, state, self.settings), dataset_of(model, state, self.settings))
            for state in sides.values()
        ]
        if differences := shapes[0].differences(shapes[1]):
            raise DataError(
                f"version {version} of model {model} cannot answer under its name: {'; '.join(differences)}. Release "
                f"it as a model of another name."
            )
        keys = [given.name for given in shapes[1].keys]
        if strange := [name for name in plan.unit if name not in keys]:
            raise UsageError(
                f"{model}.yaml: rollout.unit: {strange[0]!r} is no join key of the model; it has {', '.join(keys)}."
            )
        compared = compared_with(manifest_of(model, sides[version], self.settings), sides[version], self.settings)
        if compared not in (None, production):
            raise DataError(
                f"model {model} version {version} was compared with version {compared}, and production has version "
                f"{production} now. Judge it again: features model evaluate {model} {version}"
            )

    def _keep(self, model: str, reading: Reading) -> str:
        """Keep a reading beside the artifacts; its hash."""
        text = reading.text()
        file = self.settings.models_dir / model / READINGS / f"{text_hash(text)}.json"
        if not bring(file).exists():
            with replacing(file) as draft:
                draft.write_text(text, encoding="utf-8")
        return text_hash(text)

    def _aborted(
        self,
        model: str,
        events: tuple[ModelEvent, ...],
        rollout: Running,
        at: datetime,
        why: str,
        evidence: str | None,
    ) -> ModelEvent:
        step = RolloutStep(action="abort", step=rollout.change.step, salt=rollout.change.salt, unit=rollout.change.unit)
        return self._event(model, rollout.candidate, step, events, at, why=why, evidence=evidence)

    def _event(
        self,
        model: str,
        version: int,
        change: RolloutStep,
        events: tuple[ModelEvent, ...],
        at: datetime,
        *,
        why: str,
        evidence: str | None,
    ) -> ModelEvent:
        """The next event. What brings a version further counts from a moment on, what takes it back at once."""
        is_further = change.action in ("start", "advance")
        return ModelEvent(
            model=model,
            number=len(events) + 1,
            at=at,
            who=self.who,
            why=why,
            version=version,
            change=change,
            evidence=evidence,
            effective_at=effective_from(at, self.settings.predict_poll_seconds) if is_further else None,
        )


def controller_of(log: EventLog, settings: Settings, *, who: str, clock: Callable[[], datetime]) -> Controller:
    """The controller of a log's project, with its tables in the log's database."""
    return Controller(log=log, settings=settings, clock=clock, who=who, tables=RolloutTables(log.project, log.url))


def _step(action: str, place: int, plan: RolloutPlan, salt: str) -> RolloutStep:
    planned = plan.steps[place - 1]
    return RolloutStep.model_validate(
        {
            "action": action,
            "step": place,
            "shadow": planned.is_shadow,
            "percent": planned.percent,
            "salt": salt,
            "unit": plan.unit,
        }
    )

"""What there is to do for a task now: the commands to run, or why there are none; and how things are, in short."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.contracts import read_contract
from transformations.datasets.config import read_config
from transformations.datasets.manifest import FILE, read_manifest
from transformations.datasets.registration import is_registered
from transformations.engine.base.business_days import day_of_instant, start_of_day
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import typed_path
from transformations.engine.raw.zone import RawTable
from transformations.insight.deliveries import new_deliveries
from transformations.insight.freshness import State, ViewFreshness, end_of_load
from transformations.insight.repository import Repository, open_store, read_repository, repository_folder
from transformations.insight.standing import freshness_of, read_changes
from transformations.models.declaration.reading import FOLDER, read_declared
from transformations.models.log.event_log import EventLog, log_of
from transformations.models.log.standing import Standing, VersionState, standing_at, standing_of
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.criteria import PRODUCTION
from transformations.models.rollout.deciding import running
from transformations.monitoring.reading.served import days_served, files_of, versions_served
from transformations.orchestration.planning import Declared
from transformations.orchestration.tasks import Kind, Task

if TYPE_CHECKING:
    from feast import FeatureStore

Words = tuple[str, ...]
"""A command as one types it: the program, then its arguments."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What there is to do. commands: in their order; without any, `why` says so. state: how things are, in short.

    is_telling: whether there are commands exactly where there is something to do. Otherwise only the state, compared
    with how the last run left it, tells whether they need to run again.
    """

    commands: tuple[Words, ...] = ()
    why: str = ""
    state: str = ""
    is_telling: bool = True


class Looking:
    """Looks at tasks of a business day. Definitions are read once, all that commands change at every look.

    settings: `run_day_complete` and `run_day_promote` say what else the day's run may do. report: takes remarks.
    """

    def __init__(
        self,
        day: date,
        declared: Declared,
        settings: Settings,
        *,
        report: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.day, self._declared, self._settings = day, declared, settings
        self._report = report
        self._views = {view.name: view for view in declared.views}
        self._datasets = {model.name: model.dataset for model in declared.models}

    def __call__(self, task: Task) -> Look:
        """Look at a task. DataError where to perform it would take something from those who read it now."""
        looks: Mapping[Kind, Callable[[str], Look]] = {
            Kind.INGEST: self._ingest,
            Kind.BUILD: self._build,
            Kind.APPLY: self._apply,
            Kind.LOAD: self._load,
            Kind.PARITY: self._parity,
            Kind.DATASET: self._dataset,
            Kind.MODEL: self._model,
            Kind.ROLLOUT: self._rollout,
            Kind.PREDICT: self._predict,
            Kind.COLLECT: self._collect,
            Kind.MONITOR: self._monitor,
        }
        return looks[task.kind](task.subject)

    def _ingest(self, source: str) -> Look:
        contract = read_contract(source, self._settings.contracts)
        table = RawTable(contract, self._settings.raw_dir)
        snapshot = table.snapshot() if table.exists() else None
        through = snapshot.complete_through if snapshot else None
        state = _fingerprint(version=snapshot.version if snapshot else None, through=through)
        say: Words = ()
        if self._settings.run_day_complete and contract.event_time is not None and (through or date.min) < self.day:
            say = ("--complete-through", str(self.day))
        ingest: Words = ("features", "ingest", source)
        if contract.pulled is not None:
            return Look(commands=((*ingest, *say),), state=state, is_telling=False)
        drops = list(new_deliveries(contract, self._settings))
        typed: list[Words] = [(*ingest, *map(typed_path, drop)) for drop in drops]
        if say and (typed or snapshot):
            typed = [*typed[:-1], (*typed[-1], *say)] if typed else [(*ingest, *say)]
        if typed:
            return Look(commands=tuple(typed), state=state)
        if snapshot is None:
            raise DataError(f"nothing was delivered of {source} yet. Run `features ingest {source} FILE` first.")
        where = "" if contract.delivered else "; its contract names no place for deliveries"
        return Look(why=f"nothing new was delivered{_until(through)}{where}", state=state)

    def _build(self, view: str) -> Look:
        found = self._freshness(view)
        offline = found.offline
        state = _fingerprint(
            hash=self._repository.views[view].resolved.hash,
            sources={name: str(each) for name, each in found.sources.items()},
            built=None if offline is None else [offline.version, offline.definition_hash, dict(offline.sources)],
        )
        undone = (State.SOURCE_MISSING, State.SOURCE_INCOMPLETE, State.NOT_BUILT, State.REDEFINED, State.BEHIND)
        if found.state in undone or offline is None:
            return Look(commands=(("features", "build", view),), state=state)
        return Look(
            why=f"version {offline.version} has all of its sources{_until(offline.complete_through)}", state=state
        )

    def _apply(self, _: str) -> Look:
        changes = read_changes(self._settings)
        if changes.is_destructive:
            raise DataError(
                "to apply feature_repo/ takes something away from those who read it now: see `features diff`. If it is "
                "meant, run `feast -c feature_repo apply` yourself."
            )
        if not changes.changes:
            return Look(why="the registry has what is declared", state="applied")
        return Look(commands=(("feast", "-c", self._typed_repository, "apply"),), state="changed")

    def _load(self, view: str) -> Look:
        found = self._freshness(view)
        online, offline = found.online, found.offline
        state = _fingerprint(
            table=None if offline is None else offline.changed,
            online=None if online is None else [online.version, str(online.end), online.definition],
        )
        if offline is not None and found.state in (State.UP_TO_DATE, State.SOURCE_LATE):
            return Look(why=f"version {offline.version} is online", state=state)
        end = _end_text(end_of_load([offline], self._settings.now()) if offline else self._settings.now())
        command = ("feast", "-c", self._typed_repository, "materialize-incremental", end, "--views", view)
        return Look(commands=(command,), state=state)

    def _parity(self, view: str) -> Look:
        read = (
            [view] if view in self._views else [each for each in self._declared.computed[view] if each in self._views]
        )
        state = _fingerprint(loads=[self._load(each).state for each in read], repository=self._changed_at)
        return Look(commands=(("features", "parity", view),), state=state, is_telling=False)

    def _dataset(self, name: str) -> Look:
        file, target = self._folder / "datasets" / f"{name}.yaml", self._settings.datasets_dir / name
        create: Words = ("features", "dataset", "create", typed_path(file))
        if not target.exists():
            return Look(commands=(create,), state="missing")
        manifest, _ = read_manifest(target)
        state = _fingerprint(manifest=_text_hash(target / FILE))
        if manifest.config != read_config(file):
            return Look(commands=(create,), state=state)  # which says what to do about the old one
        if not is_registered(self._store, manifest):
            return Look(commands=(create,), state="unregistered")
        return Look(why="made of the same configuration before", state=state)

    def _model(self, name: str) -> Look:
        manifest = self._settings.datasets_dir / self._datasets[name] / FILE
        state = _fingerprint(
            declaration=_text_hash(self._folder / FOLDER / f"{name}.yaml"),
            dataset=_text_hash(manifest),
            versions=self._made(name),
        )
        return Look(commands=(("features", "model", "release", name),), state=state, is_telling=False)

    def _made(self, name: str) -> list[object]:
        """What a release of a model makes of its versions, and which one its gates look at in production."""
        standing = self._standing(name)
        compared = any(gate.baseline == PRODUCTION for gate in read_declared(self._folder, name).evaluation.gates)
        versions = [[each.number, each.evidence, each.stage == "archived"] for each in standing.versions.values()]
        return [versions, standing.production.number if compared and standing.production else None]

    def _rollout(self, name: str) -> Look:
        standing = self._standing(name)
        if standing.production is None:
            staged = [each for each in standing.versions.values() if each.stage == "staging" and each.has_passed]
            if not staged:
                return Look(why="no version has passed its gates")
            number = staged[-1].number
            if not self._settings.run_day_promote:
                return Look(why=f"version {number} waits to be promoted to production by a person")
            promote: Words = ("features", "model", "promote", name, str(number), "--to", "production")
            return Look(commands=((*promote, "--why", "the first version that passed its gates"),))
        if running(self._log.events(name)) is None:
            return Look(why="no rollout is going on")
        return Look(commands=(("features", "model", "rollout", name, "--step"),), is_telling=False)

    def _predict(self, name: str) -> Look:
        version = self._scoring(name)
        if version is None:
            return Look(why="no version is in production")
        morning = self.day + timedelta(days=1)
        # The version in production then; where none was, as in a backfill, the one that is there now is named.
        named = () if self._produced_at(name, morning) else ("--version", str(version.number))
        command = ("features", "model", "predict", name, "--as-of", str(morning), "--if-any", *named)
        state = _fingerprint(
            version=version.number,
            tables={view: self._table_version(view) for view in self._read_by(name)},
            published=self._files(name, [morning, morning + timedelta(days=1)], "batch"),
        )
        return Look(commands=(command,), state=state, is_telling=False)

    def _collect(self, _: str) -> Look:
        folder = segments_folder(self._settings)
        segments = sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []
        if not segments:
            return Look(why="no server has recorded anything since")
        state = _fingerprint(segments=[[path.name, path.stat().st_size] for path in segments])
        return Look(commands=(("features", "predictions", "collect"),), state=state, is_telling=False)

    def _monitor(self, name: str) -> Look:
        watched = [self.day, self.day + timedelta(days=1)]
        days = [day for day in days_served(name, self._settings) if day in watched]
        if not days:
            return Look(why=f"there are no predictions of {watched[0]} or {watched[1]}")
        command = ("features", "monitor", name, "--from", str(days[0]), "--to", str(days[-1]))
        state = _fingerprint(
            files=self._files(name, days),
            rules=[_text_hash(self._folder / "monitoring.yaml"), _text_hash(self._folder / FOLDER / f"{name}.yaml")],
        )
        return Look(commands=(command,), state=state, is_telling=False)

    @cached_property
    def _folder(self) -> Path:
        return repository_folder(self._settings)

    @cached_property
    def _typed_repository(self) -> str:
        return typed_path(self._folder)

    @cached_property
    def _repository(self) -> Repository:
        return read_repository(self._settings)

    @cached_property
    def _changed_at(self) -> list[str]:
        """What the repository declares: a check of code that has changed is due again."""
        return [each.resolved.hash for each in self._repository.views.values()]

    @property
    def _store(self) -> FeatureStore:
        return open_store(self._settings)

    @cached_property
    def _log(self) -> EventLog:
        return log_of(self._folder)

    def _freshness(self, view: str) -> ViewFreshness:
        return freshness_of(self._repository.select([view]), self._settings, self._report)[0]

    def _standing(self, model: str) -> Standing:
        return standing_of(model, self._log.events(model))

    def _scoring(self, model: str) -> VersionState | None:
        return self._standing(model).production

    def _produced_at(self, model: str, day: date) -> bool:
        """Whether a version was in production when a business day ended, or is now if that is earlier."""
        zone = self._zone(model)
        moment = min(start_of_day(day + timedelta(days=1), zone), self._settings.now())
        return standing_at(model, self._log.events(model), moment).production is not None

    def _zone(self, model: str) -> str:
        return next((self._views[each].zone for each in self._read_by(model)), "UTC")

    def _read_by(self, model: str) -> list[str]:
        read = next(each.views for each in self._declared.models if each.name == model)
        return [each for each in read if each in self._views]

    def _table_version(self, view: str) -> int | None:
        offline = self._freshness(view).offline
        return None if offline is None else offline.changed

    def _files(self, model: str, days: list[date], below: str = "") -> list[list[str | int]]:
        """The files of a model's predictions of these UTC days, all or below a folder, with their sizes."""
        folder = self._settings.predictions_dir / model / below
        found = {
            path
            for day in days
            for version in versions_served(model, day, self._settings)
            for path in files_of(model, version, day, self._settings)
            if path.is_relative_to(folder)
        }
        return [[str(path.relative_to(folder)), path.stat().st_size] for path in sorted(found)]


def last_ended_day(declared: Declared, now: datetime) -> date:
    """The newest business day that has ended in the zone of every source."""
    zones = {source.zone for source in declared.sources} or {"UTC"}
    return min(day_of_instant(now, zone) for zone in zones) - timedelta(days=1)


def days_between(first: date, last: date) -> list[date]:
    """The days from first to last, both inclusive."""
    return [first + timedelta(days=each) for each in range((last - first).days + 1)]


def _fingerprint(**parts: object) -> str:
    """The same for equal things, on every machine."""
    return sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _text_hash(file: Path) -> str | None:
    return sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def _until(day: date | None) -> str:
    return "" if day is None else f", complete through {day}"


def _end_text(moment: datetime) -> str:
    """In whole seconds, rounded up: Feast's bound is inclusive."""
    whole = datetime.fromtimestamp(math.ceil(moment.timestamp()), UTC)
    return whole.strftime("%Y-%m-%dT%H:%M:%S")

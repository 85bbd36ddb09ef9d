"""From what is declared to the tasks of a day: a pure function of plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from graphlib import CycleError, TopologicalSorter

from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.errors import DataError
from transformations.orchestration.tasks import Kind, Plan, Task, name_of


@dataclass(frozen=True, kw_only=True)
class DeclaredSource:
    """A contract. refers: the sources whose keys its rows must have. freshness: what it promises, after a day's end."""

    name: str
    zone: str
    refers: tuple[str, ...] = ()
    freshness: timedelta | None = None
    has_events: bool = True


@dataclass(frozen=True, kw_only=True)
class DeclaredView:
    """A stored view: the sources it is computed from, and when a day's rows can be served."""

    name: str
    sources: tuple[str, ...]
    zone: str
    available_after: timedelta = timedelta(0)
    online: bool = True
    promised: timedelta | None = None

    def available_from(self, day: date) -> datetime:
        """The moment from which the rows that cover a business day can be served (UTC)."""
        return start_of_day(day + timedelta(days=1), self.zone) + self.available_after


@dataclass(frozen=True, kw_only=True)
class DeclaredModel:
    """A model, its dataset, and the stored views that both read."""

    name: str
    dataset: str
    views: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a repository declares, as far as the plan goes.

    computed: by on-demand view, the stored views that it reads. datasets: by name, the views of their feature service.
    """

    sources: Sequence[DeclaredSource] = ()
    views: Sequence[DeclaredView] = ()
    computed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    datasets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    models: Sequence[DeclaredModel] = ()


def plan_of(declared: Declared) -> Plan:
    """The tasks of a day: sources, views, online rows, parity, datasets, models, rollouts, predictions, monitoring.

    A source of two views, of which a model reads one:

        ingest:clicks
        build:user_clicks    needs ingest:clicks
        build:page_clicks    needs ingest:clicks
        apply                after both builds
        load:user_clicks     needs build:user_clicks, apply
        parity:user_clicks   needs load:user_clicks
        …
        dataset:reading      needs build:user_clicks, trusts parity:user_clicks
        model:reader         needs dataset:reading
        rollout:reader       after model:reader
        predict:reader       needs build:user_clicks, trusts parity:user_clicks, after rollout:reader
        collect
        monitor:reader       after predict:reader, collect

    A new version that its gates stop stops no production: what is in production scores, and is watched. DataError for
    sources that refer to each other in a circle.
    """
    tasks = {task.name: task for task in _tasks(declared)}
    waits = {name: [each for each in task.earlier if each in tasks] for name, task in tasks.items()}
    try:
        order = list(TopologicalSorter(waits).static_order())
    except CycleError as error:
        raise DataError(f"tasks wait for each other in a circle: {' → '.join(error.args[1])}.") from None
    rank = {kind: place for place, kind in enumerate(Kind)}
    depth: dict[str, int] = {}
    for name in order:  # stable: by kind, then by how many of its own kind come first, then by name
        same = [depth[each] for each in waits[name] if tasks[each].kind is tasks[name].kind]
        depth[name] = max(same, default=-1) + 1
    return Plan(tuple(sorted(tasks.values(), key=lambda task: (rank[task.kind], depth[task.name], task.name))))


def _tasks(declared: Declared) -> Iterator[Task]:
    for source in declared.sources:
        yield Task(kind=Kind.INGEST, subject=source.name, after=_named(Kind.INGEST, source.refers))
    views = {view.name: view for view in declared.views}
    for view in declared.views:
        yield Task(kind=Kind.BUILD, subject=view.name, needs=_named(Kind.INGEST, view.sources))
    yield Task(kind=Kind.APPLY, after=_named(Kind.BUILD, views))
    online = [view.name for view in declared.views if view.online]
    for name in online:
        yield Task(kind=Kind.LOAD, subject=name, needs=(*_named(Kind.BUILD, [name]), Kind.APPLY.value))
        yield Task(kind=Kind.PARITY, subject=name, needs=_named(Kind.LOAD, [name]))
    checked = set(online)
    for name, read in declared.computed.items():
        stored = [each for each in read if each in online]
        if stored:
            checked.add(name)
            yield Task(kind=Kind.PARITY, subject=name, needs=_named(Kind.LOAD, stored))

    def reading(read: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        builds = _named(Kind.BUILD, [each for each in read if each in views])
        return builds, _named(Kind.PARITY, [each for each in read if each in checked])

    for name, read in declared.datasets.items():
        needs, trusts = reading(read)
        yield Task(kind=Kind.DATASET, subject=name, needs=(*needs, Kind.APPLY.value), trusts=trusts)
    for model in declared.models:
        needs, trusts = reading(model.views)
        is_made = model.dataset in declared.datasets
        yield Task(kind=Kind.MODEL, subject=model.name, needs=_named(Kind.DATASET, [model.dataset] if is_made else []))
        yield Task(kind=Kind.ROLLOUT, subject=model.name, after=_named(Kind.MODEL, [model.name]))
        scoring = _named(Kind.ROLLOUT, [model.name])
        yield Task(
            kind=Kind.PREDICT, subject=model.name, needs=(*needs, Kind.APPLY.value), trusts=trusts, after=scoring
        )
        watched = (*_named(Kind.PREDICT, [model.name]), Kind.COLLECT.value)
        yield Task(kind=Kind.MONITOR, subject=model.name, after=watched)
    if declared.models:
        yield Task(kind=Kind.COLLECT)


def _named(kind: Kind, subjects: Sequence[str] | Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name_of(kind, each) for each in subjects)

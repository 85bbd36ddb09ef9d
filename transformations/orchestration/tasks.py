"""A task of a day: one public command about one declared thing, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Pipeline(StrEnum):
    """The four parts of the graph, each of which can be run by itself, in this order."""

    INGESTION = "ingestion"
    FEATURES = "features"
    TRAINING = "training"
    SERVING = "serving"


class Pool(StrEnum):
    """What a task mostly uses: tasks of one pool should not run in any number at once."""

    COMPUTE = "compute"
    IO = "io"


class Kind(StrEnum):
    """What a task does."""

    INGEST = "ingest"
    BUILD = "build"
    APPLY = "apply"
    LOAD = "load"
    PARITY = "parity"
    DATASET = "dataset"
    MODEL = "model"
    ROLLOUT = "rollout"
    PREDICT = "predict"
    COLLECT = "collect"
    MONITOR = "monitor"


@dataclass(frozen=True, kw_only=True)
class Sort:
    """What all tasks of a kind have in common. verdict: what code 3 says, where that is a judgement of the data.

    is_slow_to_start: whether a command mostly starts (Spark, Feast), which the next one can go on with.
    """

    pipeline: Pipeline
    pool: Pool
    title: str
    verdict: str | None = None
    is_slow_to_start: bool = False


SORTS: Mapping[Kind, Sort] = {
    Kind.INGEST: Sort(
        pipeline=Pipeline.INGESTION, pool=Pool.IO, title="Take what was delivered of {}", verdict="contract"
    ),
    Kind.BUILD: Sort(
        pipeline=Pipeline.FEATURES,
        pool=Pool.COMPUTE,
        title="Compute {}",
        verdict="expectation",
        is_slow_to_start=True,
    ),
    Kind.APPLY: Sort(pipeline=Pipeline.FEATURES, pool=Pool.IO, title="Register what is declared"),
    Kind.LOAD: Sort(pipeline=Pipeline.FEATURES, pool=Pool.IO, title="Load {} online"),
    Kind.PARITY: Sort(
        pipeline=Pipeline.FEATURES,
        pool=Pool.IO,
        title="Compare {} online with training",
        verdict="parity",
        is_slow_to_start=True,
    ),
    Kind.DATASET: Sort(pipeline=Pipeline.TRAINING, pool=Pool.COMPUTE, title="Make dataset {}"),
    Kind.MODEL: Sort(pipeline=Pipeline.TRAINING, pool=Pool.COMPUTE, title="Train and judge {}", verdict="gate"),
    Kind.ROLLOUT: Sort(pipeline=Pipeline.SERVING, pool=Pool.IO, title="Bring {} one step further", verdict="limit"),
    Kind.PREDICT: Sort(pipeline=Pipeline.SERVING, pool=Pool.COMPUTE, title="Score with {}"),
    Kind.COLLECT: Sort(pipeline=Pipeline.SERVING, pool=Pool.IO, title="Collect what servers recorded"),
    Kind.MONITOR: Sort(pipeline=Pipeline.SERVING, pool=Pool.COMPUTE, title="Watch {}", verdict="drift"),
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task. subject: the source, view, dataset or model that it is about; empty where it is about all.

    needs: the tasks that must have finished. trusts: those that must not have been refused (code 3), whether or not
    they could be performed. after: those that merely come first.
    """

    kind: Kind
    subject: str = ""
    needs: tuple[str, ...] = ()
    trusts: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the plan: `build:user_clicks`, `apply`."""
        return name_of(self.kind, self.subject)

    @property
    def sort(self) -> Sort:
        """What it has in common with others of its kind."""
        return SORTS[self.kind]

    @property
    def title(self) -> str:
        """What it does, for people."""
        return self.sort.title.format(self.subject)

    @property
    def earlier(self) -> tuple[str, ...]:
        """All tasks that come first."""
        return (*self.needs, *self.trusts, *self.after)


@dataclass(frozen=True)
class Plan:
    """The tasks of a day, each after all that it waits for."""

    tasks: tuple[Task, ...]

    def task(self, name: str) -> Task:
        """The task of this name; KeyError for an unknown one."""
        return {each.name: each for each in self.tasks}[name]

    def words(self) -> list[str]:
        """Everything that `select` knows: pipelines, kinds and tasks."""
        pipelines = dict.fromkeys(each.sort.pipeline.value for each in self.tasks)
        kinds = dict.fromkeys(each.kind.value for each in self.tasks)
        return list(dict.fromkeys([*pipelines, *kinds, *(each.name for each in self.tasks)]))

    def select(self, wanted: Iterable[str]) -> tuple[Task, ...]:
        """The tasks that are named, or whose pipeline or kind is, in order; all without any."""
        words = set(wanted)
        return tuple(
            each for each in self.tasks if not words or words & {each.name, each.kind.value, each.sort.pipeline.value}
        )


def name_of(kind: Kind, subject: str = "") -> str:
    """The name of a task."""
    return f"{kind.value}:{subject}" if subject else kind.value

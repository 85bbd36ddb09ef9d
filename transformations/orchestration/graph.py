"""The graph of a project: what it declares, the plan made from it, and a business day of it to be performed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.settings import Settings
from transformations.orchestration.looking import Looking, days_between, last_ended_day
from transformations.orchestration.performing import DayRun, Run
from transformations.orchestration.planning import Declared, plan_of
from transformations.orchestration.reading import read_plannable
from transformations.orchestration.tasks import Plan, Task


@dataclass(frozen=True)
class Graph:
    """What is declared, and the plan of a day's tasks."""

    declared: Declared
    plan: Plan
    settings: Settings

    @classmethod
    def read(cls, settings: Settings) -> Graph:
        """That of the project which the settings name."""
        declared = read_plannable(settings)
        return cls(declared, plan_of(declared), settings)

    def days(self, first: date | None, last: date | None) -> list[date]:
        """The days from first to last; without any, the last that has ended. UsageError for one that has not."""
        ended = last_ended_day(self.declared, self.settings.now())
        if first is None or last is None:
            return [ended]
        if last < first:
            raise UsageError(f"the last day, {last}, is before the first, {first}.")
        if last > ended:
            raise UsageError(f"{last} has not ended in every source's zone; the last business day that has is {ended}.")
        return days_between(first, last)

    def select(self, wanted: tuple[str, ...]) -> tuple[Task, ...]:
        """The tasks of these pipelines, kinds and names; UsageError with the nearest for an unknown one."""
        known = self.plan.words()
        for word in wanted:
            if word not in known:
                raise UsageError(f"--only {word}: no pipeline, kind or task has that name: {nearest(word, known)}.")
        return self.plan.select(wanted)

    def day_run(self, day: date, run: Run, report: Callable[[str], None]) -> DayRun:
        """A business day, to be performed by what runs a command."""
        look = Looking(day, self.declared, self.settings, report=report)
        return DayRun(plan=self.plan, look=look, day=day, settings=self.settings, run=run)

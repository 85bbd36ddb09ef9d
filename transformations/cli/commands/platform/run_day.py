"""`features run-day`: the whole graph of a business day, from delivered files to monitored predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING

import click

from transformations.cli.options import json_option
from transformations.cli.output import console, print_json, print_table, remark, say
from transformations.cli.steps import Step, alone, run_to_end, shown_on
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import human_duration
from transformations.orchestration.processes import OneProcess

if TYPE_CHECKING:
    from rich.console import Console

    from transformations.orchestration.graph import Graph
    from transformations.orchestration.looking import Words
    from transformations.orchestration.performing import DayRun, Performed, Ran, Run
    from transformations.orchestration.tasks import Task

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command(
    "run-day",
    epilog="""\b
Examples:
  features run-day                              the business day that ended last, in every source's zone
  features run-day --day 2024-05-20 --dry-run   what there is to do for it now
  features run-day --only ingestion --only features
  features run-day --from 2024-05-01 --to 2024-05-20

\b
A task whose command ends with code 3 (the data) stops what depends on it, one with code 4 (a service) is tried again
twice; other branches go on. What has finished is in the day's record and is skipped while nothing it depends on has
changed: interrupt or kill a run at any moment, and the next one goes on (docs/orchestration.md).
""",
)
@click.option("--day", type=_DAY, metavar="DAY", help="Which business day. [default: the last that has ended]")
@click.option("--from", "first", type=_DAY, metavar="DAY", help="Every business day from this one on, in order.")
@click.option("--to", "last", type=_DAY, metavar="DAY", help="The last of them, with --from.")
@click.option(
    "--only",
    "wanted",
    multiple=True,
    metavar="PART",
    help="A pipeline (ingestion, features, training, serving), a kind of task or a task; repeatable.",
)
@click.option(
    "--complete",
    is_flag=True,
    help="The deliveries of the day are all in: take sources of events as complete through it. "
    "[default: FEATURES_RUN_DAY_COMPLETE]",
)
@click.option(
    "--promote",
    is_flag=True,
    help="Bring a model's first version that passed its gates to production. [default: FEATURES_RUN_DAY_PROMOTE]",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and what there is to do now, and do nothing.")
@json_option
def run_day(
    day: datetime | None,
    first: datetime | None,
    last: datetime | None,
    wanted: tuple[str, ...],
    complete: bool,
    promote: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Perform a business day's tasks in their order, each a public command: ingest, build, apply, load, compare with
    training, make datasets, train and judge models, step rollouts, score, collect and monitor.
    """
    from transformations.orchestration.graph import Graph

    if (first is None) != (last is None) or (day is not None and first is not None):
        raise UsageError("give --day DAY, or --from DAY --to DAY.")
    settings = get_settings()
    said = {
        "run_day_complete": complete or settings.run_day_complete,
        "run_day_promote": promote or settings.run_day_promote,
    }
    graph = Graph.read(settings.model_copy(update=said))
    begin, end = day or first, day or last
    days = graph.days(begin.date() if begin else None, end.date() if end else None)
    tasks = graph.select(wanted)
    if dry_run:
        _print_plan(graph, days, tasks, as_json=as_json)
        return
    terminal = console(stderr=as_json)
    with alone(settings.data / ".run-day.lock", terminal) as lock, shown(terminal, lock) as run:
        found = [_perform(graph.day_run(each, run, remark), tasks, terminal) for each in days]
    click.get_current_context().exit(_report(days, found, as_json))


def _perform(run: DayRun, tasks: Sequence[Task], terminal: Console) -> list[Performed]:
    terminal.print(f"\n[bold]{run.day}[/bold]", highlight=False)
    found = []
    for each in run.perform_all(tasks):
        found.append(each)
        if not each.commands:
            reason = each.why or " ".join(each.said)
            terminal.print(f"  {each.task.name}: {each.outcome.value}: {reason}", markup=False, highlight=False)
        elif not each.outcome.is_good:
            terminal.print(f"  {each.task.name}: {each.outcome.value}, code {each.code}", highlight=False)
    return found


@contextmanager
def shown(terminal: Console, lock: int) -> Iterator[Run]:
    """Runs commands as `features up` does: printed as one could type them, with their output.

    Those that take longer to start than to run have one process in turn, as long as they follow each other.
    """
    from transformations.orchestration.performing import Ran

    with OneProcess(shown_on(terminal), lock) as one:

        def run(task: Task, command: Words) -> Ran:
            step = Step(title=task.title, program=command[0], arguments=command[1:])
            if not task.sort.is_slow_to_start:
                one.close()
                return Ran(*run_to_end(step, terminal, lock))
            return Ran(*run_to_end(step, terminal, start=lambda step: one.start(step.arguments)))

        yield run


def _print_plan(graph: Graph, days: Sequence[date], tasks: Sequence[Task], *, as_json: bool) -> None:
    from transformations.orchestration.performing import run_quietly

    documents = []
    for day in days:
        run = graph.day_run(day, run_quietly, remark)
        seen = [(task, *run.foresee(task)) for task in tasks]
        documents.append({"day": day, "tasks": [_planned(task, commands, why) for task, commands, why in seen]})
        if not as_json:
            rows = [
                (task.sort.pipeline.value, task.name, "\n".join(commands) or f"({why})") for task, commands, why in seen
            ]
            print_table(["Pipeline", "Task", "What there is to do now"], rows, title=str(day))
    if as_json:
        print_json(documents)


def _planned(task: Task, commands: Sequence[str], why: str) -> dict[str, object]:
    return {**_described(task), "commands": commands, "why": why}


def _described(task: Task) -> dict[str, object]:
    return {
        "task": task.name,
        "pipeline": task.sort.pipeline.value,
        "pool": task.sort.pool.value,
        "needs": task.needs,
        "trusts": task.trusts,
        "after": task.after,
    }


def _report(days: Sequence[date], found: Sequence[Sequence[Performed]], as_json: bool) -> int:
    from transformations.orchestration.performing import worst_code

    code = worst_code(each for performed in found for each in performed)
    if as_json:
        print_json(
            [
                {"day": day, "tasks": [_result(each) for each in performed]}
                for day, performed in zip(days, found, strict=True)
            ]
        )
        return code
    for day, performed in zip(days, found, strict=True):
        ran = [each for each in performed if each.commands]
        bad = [each for each in performed if not each.outcome.is_good]
        say("")
        if bad:
            print_table(
                ["Task", "Ended", "Why"],
                [(each.task.name, each.outcome.value, each.why or _last(each.said)) for each in bad],
                title=f"{day}: not all is done",
            )
        seconds = human_duration(sum(each.seconds for each in ran))
        say(
            f"{day}: {len(ran)} of {len(performed)} tasks ran, {seconds}"
            if ran
            else f"{day}: nothing to do: each of {len(performed)} tasks is done{'' if not bad else ' or blocked'}"
        )
    return code


def _last(said: Sequence[str]) -> str:
    """The line of an error, where there is one, else the last one."""
    return next((line for line in said if "Error:" in line), said[-1] if said else "")


def _result(each: Performed) -> dict[str, object]:
    return {
        **_described(each.task),
        "outcome": each.outcome.value,
        "code": each.code,
        "seconds": round(each.seconds, 3),
        "commands": each.commands,
        "tries": each.tries,
        "why": each.why,
        "said": each.said,
    }

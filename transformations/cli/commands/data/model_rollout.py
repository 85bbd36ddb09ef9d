"""`features model rollout`: bring a version to users by steps, and end that."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from transformations.cli.model_place import model_place
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, say
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import present_moment

if TYPE_CHECKING:
    from transformations.models.rollout.control.controller import Controller, Status, Stepped
    from transformations.models.rollout.verdicts import Reading


@click.command(
    epilog="""\b
Examples:
  features model rollout user_return --start 3     # version 3, which is in staging, against production
  features model rollout user_return --step        # for a scheduler: whatever comes next, or nothing
  features model rollout user_return --status
  features model rollout user_return --abort
"""
)
@click.argument("name", metavar="NAME")
@click.option("--start", type=int, metavar="VERSION", help="Begin the rollout of a version that is in staging.")
@click.option("--step", "is_step", is_flag=True, help="Judge what was seen, and do what comes next.")
@click.option("--abort", "is_abort", is_flag=True, help="End the rollout; production answers everything at once.")
@click.option("--status", "is_status", is_flag=True, help="Show how the rollout stands (without any other option).")
@click.option("--why", default="asked for", show_default=True, help="Why, for the log.")
@json_option
def rollout(
    name: str, start: int | None, is_step: bool, is_abort: bool, is_status: bool, why: str, as_json: bool
) -> None:
    """Bring a version of NAME to users by the steps that it declares, judged against production on the same rows.

    A step comes into effect two polls after it is written, for all servers together; an end does so at once, and the
    command returns when every live server follows it (code 4 names those that do not after ten seconds). `--step` ends
    with code 3 where a limit is breached, which has ended the rollout.
    """
    chosen = [start is not None, is_step, is_abort, is_status]
    if sum(chosen) > 1:
        raise UsageError("give one of --start, --step, --abort and --status")
    if not why.strip():
        raise UsageError("--why: say why in a few words.")
    controller = controller_here()
    if start is not None:
        _start(controller, name, start, why, as_json)
    elif is_step:
        _print_stepped(controller, name, controller.step(name), as_json)
    elif is_abort:
        _abort(controller, name, why, as_json)
    else:
        _print_status(name, controller.status(name), as_json)


def controller_here() -> Controller:
    """The controller of the project that the environment names."""
    settings, _, log = model_place()
    from transformations.models.rollout.control.controller import controller_of

    return controller_of(log, settings, who=getpass.getuser(), clock=present_moment)


def _start(controller: Controller, name: str, version: int, why: str, as_json: bool) -> None:
    event = controller.start(name, version, why)
    from transformations.models.rollout.verdicts import errors_test

    status = controller.status(name)
    if as_json:
        print_json({"event": event.model_dump(mode="json")})
        return
    say(f"{name} version {version}: {_step_name(status)} from {event.effective_at:%Y-%m-%d %H:%M:%S} UTC on")
    if status.plan is not None:
        test = errors_test(status.plan)
        say(f"  steps: {', '.join(step.name for step in status.plan.steps)}; sticks to {', '.join(status.plan.unit)}")
        say(
            f"  a version that fails on 5 % of rows is stopped within 100 rows of a step with probability "
            f"{test.power(0.05, 100):.3f}; one within every limit in {status.plan.alpha:.0%} of rollouts at most"
        )


def _abort(controller: Controller, name: str, why: str, as_json: bool) -> None:
    event = controller.abort(name, why)
    if event is None:
        if as_json:
            print_json({"event": None})
        else:
            say(f"{name}: no rollout is going on")
        return
    seconds = controller.presence.wait(name, event.number)
    if as_json:
        print_json({"event": event.model_dump(mode="json"), "seconds": seconds})
    else:
        say(f"{name} version {event.version}: the rollout has ended; every live server follows after {seconds:.1f} s")


def _print_stepped(controller: Controller, name: str, stepped: Stepped, as_json: bool) -> None:
    decision = stepped.decision
    if as_json:
        print_json(
            {
                "action": decision.action,
                "reasons": decision.reasons,
                "event": None if stepped.event is None else stepped.event.model_dump(mode="json"),
                "reading": None if stepped.reading is None else stepped.reading.model_dump(mode="json"),
            }
        )
    else:
        said = {"promote": "in production", "advance": "advances", "wait": "waits", "nothing": "nothing to do"}
        say(f"{name}: {said.get(decision.action, decision.action)}: {'; '.join(decision.reasons)}")
        if stepped.reading is not None:
            _print_reading(stepped.reading)
    if decision.action == "abort" and stepped.event is not None:
        controller.presence.wait(name, stepped.event.number)
        raise DataError(
            f"{name} version {stepped.event.version} was taken back: {'; '.join(decision.reasons)}. Production answers "
            f"everything. Mend it and release another version."
        )


def _print_status(name: str, status: Status, as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        print_json(
            {
                "route": asdict(status.route),
                "reading": None if status.reading is None else status.reading.model_dump(mode="json"),
                "servers": [{"name": each.name, "event": each.event, "silent": each.silent} for each in status.servers],
            }
        )
        return
    if status.rollout is None:
        say(f"{name}: no rollout is going on; production is version {status.route.production}")
    else:
        say(
            f"{name} version {status.rollout.candidate} against {status.rollout.route.production}: {_step_name(status)}"
            f"{'' if status.reading else f', from {status.rollout.effective:%Y-%m-%d %H:%M:%S} UTC on'}"
        )
    if status.reading is not None:
        _print_reading(status.reading)
        for what, reasons in (("breached", status.reading.breaches), ("missing", status.reading.waits)):
            for reason in reasons:
                say(f"  {what}: {reason}")
    if status.servers:
        print_table(
            ["Server", "Follows event", "Silent for", "Trouble"],
            [(each.name, each.event, f"{each.silent:.1f} s", each.trouble or None) for each in status.servers],
        )


def _print_reading(reading: Reading) -> None:
    say(
        f"  {reading.rows:,} rows by both versions, {reading.units:,} units; the version alone failed on "
        f"{reading.failed_units} units"
    )
    if reading.divergence is not None and reading.mean_difference is not None:
        say(
            f"  scores differ by {reading.mean_difference:.4f} on average, for certain between "
            f"{reading.divergence.low:.4f} and {reading.divergence.high:.4f}"
        )
    if reading.minutes:
        say(f"  slower than its limit in {reading.slow_minutes} of {reading.minutes} minutes")


def _step_name(status: Status) -> str:
    if status.plan is None or status.rollout is None:
        return "no step"
    number = status.rollout.change.step
    return f"step {number} of {len(status.plan.steps)}, {status.plan.steps[number - 1].name}"

"""`features model rollout` and `experiment`: bring a version to users by steps, and read out what came of it."""

from __future__ import annotations

import getpass
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from transformations.cli.model_place import model_place
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, progress, remark, say
from transformations.engine.base.errors import DataError, FeaturesError, UsageError
from transformations.engine.base.moments import minute_text
from transformations.engine.base.settings import present_moment

if TYPE_CHECKING:
    from pathlib import Path

    from transformations.engine.base.settings import Settings
    from transformations.models.log.event_log import EventLog
    from transformations.models.records.rollout_plan import RolloutPlan
    from transformations.models.rollout.control.controller import Controller, Outcomes, Status, Stepped
    from transformations.models.rollout.deciding import Running
    from transformations.models.rollout.verdicts import Reading
    from transformations.monitoring.judging.experiment import Experiment


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
    settings, repository, log = model_place()
    from transformations.models.rollout.control.controller import controller_of

    controller = controller_of(log, settings, who=getpass.getuser(), clock=present_moment)
    return replace(controller, outcomes=_outcomes(repository, log, settings))


def _outcomes(repository: Path, log: EventLog, settings: Settings) -> Outcomes:
    def missing(model: str, rollout: Running, plan: RolloutPlan) -> tuple[str, ...]:
        if plan.wait_for is None:
            return ()
        from transformations.monitoring.judging.experiment import missing_outcomes_of

        return missing_outcomes_of(model, rollout.candidate, repository, log, settings)

    return missing


@click.command(
    epilog="""\b
Example:
  features model experiment user_return     # once `features predictions collect` has run and outcomes are known
"""
)
@click.argument("name", metavar="NAME")
@click.option("--version", type=int, help="Of whose last rollout; by default of the model's last one.")
@json_option
def experiment(name: str, version: int | None, as_json: bool) -> None:
    """Compare what came of NAME's versions in the last rollout: outcomes and business metrics, between its arms.

    Differences are averaged over the steps, with 95 % intervals clustered by unit. Ends with code 3 where an arm has
    not as many units as its share says: then something takes units out of it, and no difference means anything.
    """
    settings, repository, log = model_place()
    from transformations.monitoring.judging.experiment import experiment_of

    with progress(f"Asking what became of the predictions of {name}"):
        found = experiment_of(name, version, repository, log, settings)
    if as_json:
        print_json({**asdict(found), "has_matured": found.has_matured, "is_whole": found.is_whole})
    else:
        _print_experiment(found)
    if not found.is_whole:
        checks = ", ".join(
            f"{each.candidate_units} of {each.units} units at {each.percent:g} %"
            for each in found.checks
            if each.is_suspicious
        )
        raise DataError(
            f"{name}: version {found.candidate.version} has answered {checks}, which is not its share by chance. Find "
            f"what keeps its units from being answered or recorded; the differences mean nothing."
        )


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
        _print_prospect(name, version)
        say(f"  steps: {', '.join(step.name for step in status.plan.steps)}; sticks to {', '.join(status.plan.unit)}")
        say(
            f"  a version that fails on 5 % of rows is stopped within 100 rows of a step with probability "
            f"{test.power(0.05, 100):.3f}; one within every limit in {status.plan.alpha:.0%} of rollouts at most"
        )


def _print_prospect(name: str, version: int) -> None:
    """What the experiment between the arms is planned for, and what it can show."""
    settings, repository, log = model_place()
    from transformations.monitoring.judging.experiment import prospect_of

    try:
        found = prospect_of(name, version, repository, log, settings)
    except FeaturesError as error:
        remark(f"what the experiment can show is not known: {error.message}")
        return
    if found is not None:
        say(
            f"  planned horizon {found.horizon.days} days: at {found.percent:g} %, with {found.units:,} units as in "
            f"the test split, a difference of {found.effect:.4f} from the label's mean {found.label_mean:.4f} shows "
            f"with a power of 80 %"
        )


def _print_experiment(found: Experiment) -> None:
    for what, arm in (("production", found.production), ("candidate", found.candidate)):
        say(f"{what} version {arm.version}: {arm.rows:,} rows of {arm.units:,} units whose outcomes are known")
    state = "has matured" if found.has_matured else f"is planned until {minute_text(found.ends)}"
    say(f"  outcomes are known of predictions until {minute_text(found.known_until)}; the experiment {state}")
    print_table(
        ["", "Production", "Candidate", "Difference", "95 % interval"],
        [
            (
                each.name,
                _number(each.production),
                _number(each.candidate),
                _number(each.value),
                None if each.low is None or each.high is None else f"{each.low:.4f} to {each.high:.4f}",
            )
            for each in found.differences
        ],
    )
    for check in found.checks:
        say(
            f"  sample ratio at {check.percent:g} %: {check.candidate_units:,} of {check.units:,} units, chance "
            f"{check.chance:.3f}"
        )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


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

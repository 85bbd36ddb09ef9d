"""`features model`: train declared models, judge them, and move their versions from stage to stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import click

from transformations.cli.commands.data.model_again import compare, reproduce, tune
from transformations.cli.commands.data.model_predict import predict
from transformations.cli.commands.data.model_rollout import controller_here, experiment, rollout
from transformations.cli.commands.data.model_serve import serve
from transformations.cli.model_place import model_place
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, progress, remark, say, watching
from transformations.engine.base.errors import DataError, FeaturesError
from transformations.engine.base.moments import minute_text
from transformations.insight.repository import open_store

if TYPE_CHECKING:
    from transformations.models.log.standing import Standing, VersionState
    from transformations.models.records.base import Stage
    from transformations.models.records.gates import GateResult
    from transformations.models.releasing import Step
    from transformations.models.versions import Judged, Moved

_STAGES = click.Choice(["development", "staging", "production", "archived"])
_NAME = click.argument("name", metavar="NAME")


def _reason(_context: click.Context, _parameter: click.Parameter, given: str) -> str:
    if not given.strip():
        raise click.BadParameter("say why in a few words.")
    return given


_WHY = click.option("--why", default="asked for", show_default=True, callback=_reason, help="Why, for the log.")


@click.group()
def model() -> None:
    """Train models, judge them, and move their versions from stage to stage.

    A model is declared in `models/NAME.yaml` of the feature repository. Its versions, their stages and who moved them
    are kept in a log beside Feast's registry; MLflow has a copy.
    """


model.add_command(compare)
model.add_command(predict)
model.add_command(reproduce)
model.add_command(rollout)
model.add_command(experiment)
model.add_command(serve)
model.add_command(tune)


@model.command()
@_NAME
@json_option
def train(name: str, as_json: bool) -> None:
    """Train the model NAME on its pinned dataset and register the next version, in stage development."""
    settings, repository, log = model_place()
    from transformations.models.training import train as train_model

    seen: dict[str, float] = {}

    with watching(f"Training {name}") as show:

        def report(iteration: int, metrics: Mapping[str, float]) -> None:
            seen.update({"iteration": iteration, **metrics})
            show(f"iteration {iteration}, {', '.join(f'{key} {value:.5f}' for key, value in metrics.items())}")

        made = train_model(name, repository, log, settings, report=report)
    facts = made.manifest.facts
    for warning in made.warnings:
        remark(f"warning: {warning}")
    if as_json:
        print_json({"version": made.version, "folder": made.folder, "manifest": made.manifest.model_dump(mode="json")})
        return
    say(f"{name} version {made.version}: development, artifact {made.manifest.id[:12]} in {made.folder}")
    say(f"  {', '.join(f'{split} {rows:,} rows' for split, rows in facts.rows.items())} of dataset {facts.dataset}")
    figures = {**facts.metrics, **({"iterations": seen["iteration"]} if seen else {})}
    say(f"  {', '.join(f'{key} {value:.6g}' for key, value in figures.items())}")
    say(f"Judge it: features model evaluate {name} {made.version}")


@model.command()
@_NAME
@click.argument("version", type=int, required=False)
@json_option
def evaluate(name: str, version: int | None, as_json: bool) -> None:
    """Judge a VERSION of NAME (the newest) on its dataset's test split, by the criteria fixed before its training.

    Ends with code 3 where a gate does not pass. Every look is recorded: the more candidates were judged on a period,
    the more a gate asks for.
    """
    settings, repository, log = model_place()
    from transformations.models.versions import evaluate as evaluate_version

    with progress(f"Judging {name}"):
        judged = evaluate_version(name, version, repository, log, settings)
    if as_json:
        gates = judged.judgement.gates
        print_json(
            {
                "version": judged.version,
                "passed": judged.passed,
                "report": judged.page,
                "evaluation": judged.judgement.evaluation.model_dump(mode="json"),
                "gates": None if gates is None else gates.model_dump(mode="json"),
            }
        )
    else:
        _print_judged(name, judged)
    if not judged.passed:
        raise DataError(_stopped(name, judged))


@model.command()
@_NAME
@json_option
def release(name: str, as_json: bool) -> None:
    """Bring NAME to staging, as it is declared now: dataset, check, training, evaluation, staging.

    What was done before from the same things is used again, so that repeating the command does nothing, and one that
    was stopped goes on. Ends with code 3 at the first step that fails, with its figures.
    """
    settings, repository, log = model_place()
    from transformations.models.releasing import release as release_model

    def done(step: Step) -> None:
        if not as_json:
            say(f"{step.name}: {'reused' if step.is_reused else 'done'}: {step.text}")

    released = release_model(name, repository, log, open_store(settings), settings, done=done)
    for warning in released.warnings:
        remark(f"warning: {warning}")
    if as_json:
        print_json(
            {
                "model": name,
                "version": released.version,
                "passed": released.passed,
                "steps": [asdict(step) for step in released.steps],
                "report": released.judged.page,
            }
        )
    else:
        _print_judged(name, released.judged)
    if not released.passed:
        raise DataError(_stopped(name, released.judged))


@model.command(name="list")
@json_option
def list_models(as_json: bool) -> None:
    """List the models that have versions: what is in production and in staging, and the newest.

    Where MLflow's copy says otherwise, as after somebody set an alias there, it is told and put right.
    """
    settings, _, log = model_place()
    from transformations.models.versions import mend_copy, standing

    found = [standing(name, log) for name in log.models()]
    rows = [(each.model, _numbers(each, "production"), _numbers(each, "staging"), max(each.versions)) for each in found]
    if as_json:
        print_json([_summary(each) for each in found])
    elif rows:
        print_table(["Model", "Production", "Staging", "Newest"], rows)
    else:
        say("no model has a version yet. Train one: features model train NAME")
    for each in found:
        try:
            mended = mend_copy(each.model, log, settings)
        except FeaturesError as error:
            remark(f"MLflow's copy was not compared: {error.message}")
            break
        for difference in mended:
            remark(f"{each.model}: put right in MLflow: {difference}")


@model.command()
@_NAME
@click.argument("version", type=int, required=False)
@json_option
def show(name: str, version: int | None, as_json: bool) -> None:
    """Show the versions of NAME, or what a VERSION was made of, its gates, and what happened to it."""
    settings, _, log = model_place()
    from transformations.models.versions import judgement_of, manifest_of, standing

    known = standing(name, log)
    if version is None:
        if as_json:
            print_json(_summary(known))
            return
        print_table(
            ["Version", "Stage", "Since", "Gates", "Artifact"], [_row(each) for each in known.versions.values()]
        )
        return
    state = known.version(version)
    manifest, judgement = manifest_of(name, state, settings), judgement_of(name, state, settings)
    events = [event for event in log.events(name) if event.version == version]
    gates = judgement.gates if judgement else None
    if as_json:
        print_json(
            {
                **_described(state),
                "manifest": manifest.model_dump(mode="json"),
                "gates": gates.model_dump(mode="json") if gates else None,
                "events": [event.model_dump(mode="json") for event in events],
            }
        )
        return
    facts = manifest.facts
    say(f"{name} version {version}: {state.stage} since {_time(state)}")
    say(f"  artifact {manifest.id}")
    say(f"  run {facts.run_id}, code {facts.code_revision}, dataset {facts.dataset} ({facts.dataset_hash[:12]})")
    say(f"  {', '.join(f'{key} {value:.6g}' for key, value in facts.metrics.items())}")
    if gates is not None:
        _print_gates(gates.results)
    print_table(
        ["Event", "When", "Who", "What", "Why"],
        [(e.number, minute_text(e.at), e.who, _what(e.change), e.why) for e in events],
    )


@model.command()
@_NAME
@click.argument("version", type=int)
@click.option("--to", "to_stage", type=_STAGES, required=True, help="The stage to move it to.")
@click.option("--reviewer", help="Who reviewed it, where the model says `approval: required`.")
@_WHY
def promote(name: str, version: int, to_stage: str, reviewer: str | None, why: str) -> None:
    """Move a VERSION of NAME to another stage: development, staging, production, archived.

    Refused without passed gates. A version that reaches production archives the one that was there.
    """
    settings, _, log = model_place()
    from transformations.models.versions import promote as promote_version

    stage = cast("Stage", to_stage)  # one of the option's choices
    _print_moved(promote_version(name, version, stage, log, settings, why=why, reviewer=reviewer), to_stage)


@model.command()
@_NAME
@click.option("--to", "to_version", type=int, help="Which earlier one, as to undo a rollback. [default: the last]")
@_WHY
def rollback(name: str, to_version: int | None, why: str) -> None:
    """Bring the version of NAME back that production had before, and end a rollout that is going on.

    A second rollback goes further back, never to the version that the first one took away, unless --to names it.
    Returns when every live server answers by it; code 4 names those that do not after ten seconds.
    """
    settings, _, log = model_place()
    from transformations.models.versions import rollback as rollback_version
    from transformations.models.versions import standing

    before = standing(name, log).production
    moved = rollback_version(name, log, settings, why=why, to_version=to_version)
    _print_moved(moved, "production")
    if before is not None:
        say(f"To undo it: features model rollback {name} --to {before.number}")
    further = standing(name, log).previous
    say(f"A further rollback would bring back version {further}." if further else "Nothing is left to roll back to.")
    controller_here().presence.wait(name, moved.event.number)


def _print_moved(moved: Moved, stage: str) -> None:
    say(f"{moved.event.model} version {moved.event.version}: {stage}, after {moved.seconds:.2f} s")
    if moved.unmirrored:
        remark(f"MLflow's copy does not say so yet: {moved.unmirrored}")


def _print_judged(name: str, judged: Judged) -> None:
    evaluation = judged.judgement.evaluation
    say(
        f"{name} version {judged.version}: {evaluation.rows:,} rows of {evaluation.entities:,} entities from "
        f"{evaluation.first:%Y-%m-%d} to {evaluation.last:%Y-%m-%d}, look {evaluation.look}"
    )
    if judged.judgement.gates is not None:
        _print_gates(judged.judgement.gates.results)
    say(f"report: {judged.page}")


def _print_gates(results: tuple[GateResult, ...]) -> None:
    rows = [
        (
            result.name if result.segment is None else f"{result.name}: {result.segment}",
            result.value,
            result.baseline_value,
            None if result.interval is None else f"{result.interval.low:.4f} to {result.interval.high:.4f}",
            result.outcome.replace("_", " ") if result.gated else "shown only",
        )
        for result in results
    ]
    print_table(["Gate", "Model", "Baseline", "Interval", "Outcome"], [tuple(map(_figure, row)) for row in rows])


def _figure(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value


def _stopped(name: str, judged: Judged) -> str:
    if judged.judgement.gates is None:
        return f"{name} declares no gates, so version {judged.version} stays in development. Add evaluation.gates."
    needed = [f"  {result.name}: {result.needed}" for result in judged.judgement.stopping]
    return f"{name} version {judged.version} does not pass and goes no further:\n" + "\n".join(needed)


def _numbers(standing: Standing, stage: str) -> str | None:
    return ", ".join(str(each.number) for each in standing.versions.values() if each.stage == stage) or None


def _row(state: VersionState) -> tuple[object, ...]:
    gates = "not judged" if state.evaluation is None else "passed" if state.has_passed else "not passed"
    return state.number, state.stage, _time(state), gates, state.registered.artifact[:12]


def _time(state: VersionState) -> str:
    return minute_text(state.since)


def _summary(standing: Standing) -> dict[str, object]:
    return {
        "model": standing.model,
        "previous": standing.previous,
        "versions": [_described(each) for each in standing.versions.values()],
    }


def _described(state: VersionState) -> dict[str, object]:
    return {
        "version": state.number,
        "stage": state.stage,
        "since": state.since,
        "passed": state.has_passed,
        "evidence": state.evidence,
        **state.registered.model_dump(mode="json", exclude={"kind"}),
    }


def _what(change: object) -> str:
    from transformations.models.records.events import Evaluated, Registered, RolloutStep, StageChanged

    match change:
        case Registered():
            return "registered"
        case Evaluated():
            return f"judged, look {change.look}: {'passed' if change.passed else 'not passed'}"
        case StageChanged():
            return f"{change.from_stage} → {change.to_stage}{' (rollback)' if change.rollback else ''}"
        case RolloutStep():
            share = "shadow" if change.shadow else f"{change.percent:g} %"
            return f"rollout: {change.action}{f' {share}' if change.action in ('start', 'advance') else ''}"
    return "other"

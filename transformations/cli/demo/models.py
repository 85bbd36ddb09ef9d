"""The demo's two models: one that its gates let through, and one that they stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from transformations.cli.steps import Step, StepError, skipped
from transformations.engine.base.settings import Settings
from transformations.insight.repository import repository_folder
from transformations.models.declaration.config import Declaration
from transformations.models.declaration.reading import read_declared
from transformations.models.log.event_log import log_of
from transformations.models.log.standing import VersionState, standing_of
from transformations.models.releasing import of_training
from transformations.models.versions import manifest_of

if TYPE_CHECKING:
    from rich.console import Console

    from transformations.cli.steps import Finished, Perform

MODELS = {
    "household_lapse_2017": "Release a model",
    "coupon_response": "Release another one, which its gate stops",
}
"""The models, with the title of each one's step."""
STOPPED = 3
"""How `features model release` ends where gates do not pass. For the demo that is a result like any other."""


def release_models(settings: Settings, terminal: Console, perform: Perform) -> Iterator[Finished]:
    """Release each model whose release is not over yet. StepError where its data stopped it before its gates."""
    for name, title in MODELS.items():
        step = Step(title=title, program="features", arguments=("model", "release", name), intended=(STOPPED,))
        state = judged_version(name, settings)
        if state is not None and _is_over(state):
            reason = f"{verdict_on(name, state)}; its declaration has not changed since"
            yield skipped(step, reason, terminal)
            continue
        finished = perform(step)
        state = judged_version(name, settings)
        if state is None:  # stopped before its gates were asked, by its data
            raise StepError(step, STOPPED)
        terminal.print(f"  {verdict_on(name, state)}", highlight=False, soft_wrap=True)
        yield finished


def judged_version(name: str, settings: Settings) -> VersionState | None:
    """The newest version of a model that was made as it is declared now, once its gates have been asked."""
    repository = repository_folder(settings)
    declared = of_training(read_declared(repository, name))
    versions = standing_of(name, log_of(repository).events(name)).versions
    judged = (state for _, state in sorted(versions.items(), reverse=True) if state.evaluation is not None)
    return next((each for each in judged if of_training(_declaration_of(name, each, settings)) == declared), None)


def stage_of(name: str, settings: Settings) -> str:
    """How far a model came, in a word or two."""
    state = judged_version(name, settings)
    if state is None:
        return "not judged"
    return state.stage if state.has_passed else "stopped by its gates"


def verdict_on(name: str, state: VersionState) -> str:
    """How the judgement of a version ended."""
    if state.has_passed:
        return f"{name} version {state.number} has passed its gates and is in {state.stage}"
    return f"{name} version {state.number} was stopped by its gates, which is what they are for"


def _declaration_of(name: str, state: VersionState, settings: Settings) -> Declaration:
    return Declaration.model_validate(manifest_of(name, state, settings).facts.declaration)


def _is_over(state: VersionState) -> bool:
    """Whether nothing is left to do: it was stopped, or has moved on."""
    return not state.has_passed or state.stage != "development"

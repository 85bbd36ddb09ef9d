"""From delivered files to online lookups: the commands to run, one after the other, until none is left."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from transformations.contracts import Contract, contract_names, read_contract
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import plural, typed_path
from transformations.engine.raw.zone import RawTable
from transformations.insight.deliveries import new_deliveries
from transformations.insight.freshness import State
from transformations.insight.repository import read_repository, repository_folder
from transformations.insight.standing import freshness_of, next_commands, read_changes, servable_from

_ROUNDS = 6  # build, apply and load each take one; see tests/transformations/insight/test_freshness.py


@dataclass(frozen=True)
class Command:
    """A command to run, as one would type it: a program of this environment and its arguments.

    pulls: the source whose table it asks for news, of which there may be none.
    """

    title: str
    program: str
    arguments: tuple[str, ...]
    pulls: Contract | None = None


def bring_up(settings: Settings, perform: Callable[[Command], object], report: Callable[[str], None]) -> int:
    """Perform every command that there is to run; returns how many there were, without pulls that found nothing new.

    report: takes remarks for the person who waits. DataError where no file of a source was delivered.
    """
    done = 0
    for command in ingestions(settings):
        before = _version_pulled(command, settings)
        perform(command)
        done += command.pulls is None or _version_pulled(command, settings) != before
    for _ in range(_ROUNDS):
        commands = remaining_commands(settings, report)
        if not commands:
            break
        for command in commands:
            perform(command)
            done += 1
    else:
        raise DataError(f"there is still something to do after {_ROUNDS} rounds. See `features status`.")
    require_all_sources(settings, report)
    return done


def ingestions(settings: Settings) -> Iterator[Command]:
    """What may be new, sources before those that refer to them: each delivered file or folder that is not ingested yet,
    by name, and each table elsewhere, of which a pull alone can tell.
    """
    for contract in _contracts_in_order(settings):
        title = f"Ingest {contract.name}"
        if contract.pulled is not None:
            yield Command(title, "features", ("ingest", contract.name), contract)
            continue
        for files in new_deliveries(contract, settings):
            yield Command(title, "features", ("ingest", contract.name, *map(typed_path, files)))


def _version_pulled(command: Command, settings: Settings) -> int | None:
    """The version of the raw table that a pull writes to; None before the first drop, and of other commands."""
    if command.pulls is None:
        return None
    table = RawTable(command.pulls, settings.raw_dir)
    return table.snapshot().version if table.exists() else None


def _contracts_in_order(settings: Settings) -> list[Contract]:
    """All contracts, each after those that it refers to."""
    contracts = {name: read_contract(name, settings.contracts) for name in contract_names(settings.contracts)}
    refers = {name: {each.source for each in contract.references} for name, contract in contracts.items()}
    try:
        return [contracts[name] for name in TopologicalSorter(refers).static_order() if name in contracts]
    except CycleError as error:
        raise DataError(f"sources refer to each other in a circle: {' → '.join(error.args[1])}.") from None


def remaining_commands(settings: Settings, report: Callable[[str], None]) -> list[Command]:
    """The commands that `features status` would name, and an apply of what `features diff` shows."""
    repository = read_repository(settings)
    chosen = repository.select([])
    views = freshness_of(chosen, settings, report)
    commands = [
        command
        for command in next_commands(views, servable_from(chosen, views), settings.now())
        if not command.startswith("features ingest")
    ]
    changes = read_changes(settings)
    apply = "feast -c feature_repo apply"
    if changes.changes and not commands:
        commands = [apply]
    if apply in commands and changes.is_destructive:
        raise DataError(
            "to apply feature_repo/ takes something away from those who read it now: see `features diff`. "
            f"If it is meant, run `{apply}`, then `features up` again."
        )
    folder = typed_path(repository_folder(settings))
    return [_command_of(command, folder) for command in commands]


def _command_of(command: str, folder: str) -> Command:
    program, *arguments = shlex.split(command)
    titles = {"build": "Compute the features", "apply": "Register them with Feast", "materialize": "Load Redis"}
    title = next(words for word, words in titles.items() if word in arguments)
    return Command(title, program, tuple(folder if word == "feature_repo" else word for word in arguments))


def require_all_sources(settings: Settings, report: Callable[[str], None]) -> None:
    """DataError that names the views which wait for a source."""
    repository = read_repository(settings)
    views = freshness_of(repository.select([]), settings, report)
    if not views:
        report(f"{repository.folder.name}/ offers no view yet. `features new DOMAIN` writes a first one.")
    waiting = [view for view in views if view.state in (State.SOURCE_MISSING, State.SOURCE_INCOMPLETE)]
    if waiting:
        wants = "\n".join(f"  {view.view}: {view.state.value}. Run `{view.command}`" for view in waiting)
        wait = "waits" if len(waiting) == 1 else "wait"
        raise DataError(
            f"{len(waiting)} of {plural(len(views), 'view')} {wait} for a source. A contract says where files come in "
            f"by `servers: [{{ server: drop, type: local, path: … }}]`; of these, none is there that would do:\n{wants}"
        )

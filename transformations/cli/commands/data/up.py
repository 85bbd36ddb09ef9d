"""`features up`: from delivered files to online lookups, each step printed as the command that one could type."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter

import click

from transformations.cli.output import console, remark, say
from transformations.cli.steps import Step, alone, run, typed_path
from transformations.contracts import Contract, contract_names, read_contract
from transformations.contracts.servers import delivered_files
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.words import plural
from transformations.engine.raw.zone import RawTable
from transformations.insight.repository import read_repository, repository_folder
from transformations.insight.standing import freshness_of, next_commands, read_changes, servable_from
from validation.files.parcels import open_parcel

_WITHOUT_NEWS = ".delivered_without_news"
_ROUNDS = 6  # build, apply and load each take one; see tests/transformations/insight/test_freshness.py


@click.command(
    epilog="""\b
Examples:
  features up

\b
Where the files of a source are, its contract says; a * in the file's name stands for any text:
  servers:
    - { server: drop, type: local, path: deliveries/clicks-*.parquet, format: parquet }
Files are ingested in the order of their names. What cannot be taken without your word (a correction, how far a source
is complete, a change that takes features away) ends the command with its message: say it by the command of that step,
then start again.
"""
)
def up() -> None:
    """Ingest what is delivered, build, apply and materialize: what there is to do, and nothing else.

    Each command is printed as one could type it. Interrupt it at any moment: the next run goes on from there.
    """
    settings, terminal = get_settings(), console(stderr=False)
    with alone(settings.data / ".up.lock", terminal) as lock:
        done = bring_up(settings, lambda step: run(step, terminal, lock))
    say("" if done else "nothing to do: what is delivered is online")


def bring_up(settings: Settings, perform: Callable[[Step], object]) -> int:
    """Perform every step that there is to do; how many there were. DataError where a source's files are wanting."""
    done = 0
    for step in _ingestions(settings):
        perform(step)
        done += 1
    for _ in range(_ROUNDS):
        steps = _next_steps(settings)
        if not steps:
            break
        for step in steps:
            perform(step)
            done += 1
    else:
        raise DataError(f"there is something to do after {_ROUNDS} rounds still. See `features status`.")
    _require_sources(settings)
    return done


def _ingestions(settings: Settings) -> Iterator[Step]:
    """What is delivered and not ingested yet: sources before those that refer to them, files and folders by name."""
    for contract in _in_order(settings):
        if contract.delivered is None:
            continue
        table = RawTable(contract, settings.raw_dir)
        known = _ingested(table) | _without_news(settings)
        delivered = delivered_files(contract.delivered, settings.project_root)
        drops = [delivered] if contract.delivered_as_one and delivered else [(file,) for file in delivered]
        for files in drops:
            content = open_parcel(files, contract.form).content_hash()
            if content not in known:
                paths = map(typed_path, files)
                yield Step(f"Ingest {contract.name}", "features", ("ingest", contract.name, *paths))
                if content not in _ingested(table):
                    _note_without_news(content, settings)


def _ingested(table: RawTable) -> set[str]:
    """The content hashes of the files that the drops of a source came in."""
    return {drop.content_hash for drop in table.snapshot().drops} if table.exists() else set()


def _without_news(settings: Settings) -> set[str]:
    """The content hashes of files that were ingested and changed nothing, which no drop tells of."""
    noted = settings.data / _WITHOUT_NEWS
    return set(noted.read_text(encoding="ascii").split()) if noted.is_file() else set()


def _note_without_news(content: str, settings: Settings) -> None:
    """Add a hash, so that the next run leaves the file alone; where the note is lost, it is found again."""
    with (settings.data / _WITHOUT_NEWS).open("a", encoding="ascii") as noted:
        noted.write(f"{content}\n")


def _in_order(settings: Settings) -> list[Contract]:
    contracts = {name: read_contract(name, settings.contracts) for name in contract_names(settings.contracts)}
    refers = {name: {each.source for each in contract.references} for name, contract in contracts.items()}
    try:
        return [contracts[name] for name in TopologicalSorter(refers).static_order() if name in contracts]
    except CycleError as error:
        raise DataError(f"sources refer to each other in a circle: {' → '.join(error.args[1])}.") from None


def _next_steps(settings: Settings) -> list[Step]:
    """What `features status` would name, and what `features diff` shows beside it."""
    repository = read_repository(settings)
    chosen = repository.select([])
    views = freshness_of(chosen, settings, remark)
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
    return [_step(command, folder) for command in commands]


def _step(command: str, folder: str) -> Step:
    program, *arguments = shlex.split(command)
    titles = {"build": "Compute the features", "apply": "Register them with Feast", "materialize": "Load Redis"}
    title = next(words for word, words in titles.items() if word in arguments)
    return Step(title, program, tuple(folder if word == "feature_repo" else word for word in arguments))


def _require_sources(settings: Settings) -> None:
    """Say which views wait for a source."""
    from transformations.insight.freshness import State

    repository = read_repository(settings)
    views = freshness_of(repository.select([]), settings, remark)
    if not views:
        remark(f"{repository.folder.name}/ offers no view yet. `features new DOMAIN` writes a first one.")
    waiting = [view for view in views if view.state in (State.SOURCE_MISSING, State.SOURCE_INCOMPLETE)]
    if waiting:
        wants = "\n".join(f"  {view.view}: {view.state.value}. Run `{view.command}`" for view in waiting)
        wait = "waits" if len(waiting) == 1 else "wait"
        raise DataError(
            f"{len(waiting)} of {plural(len(views), 'view')} {wait} for a source. A contract says where files come in "
            f"by `servers: [{{ server: drop, type: local, path: … }}]`; of these, none is there that would do:\n{wants}"
        )

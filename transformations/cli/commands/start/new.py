"""`features new`: write the first files of a domain, or take the demo's domain away."""

from __future__ import annotations

import importlib
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from transformations.cli.commands.data.ingest import source_names
from transformations.cli.output import say
from transformations.contracts import read_contract
from transformations.engine.base.business_days import day_of_number
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.words import plural
from transformations.engine.raw.zone import RawTable
from transformations.insight.governance.owners import FILE as OWNERS_FILE
from transformations.insight.governance.owners import add_owner
from transformations.insight.skeleton_choices import known_entities, likely_keys, possible_keys

if TYPE_CHECKING:
    from transformations.insight.skeletons import NewFile

_CATALOGUE = Path("tests") / "feature_repo" / "test_catalogue.py"


@click.command(
    epilog="""\b
Examples:
  features new riders                                  with a first contract, riders' events
  features new riders --source rides                   from the columns of a contract that is there
  features new riders --source rides --key driver_id   about another entity of that source
  features new riders --source rides --service tips_v1 with a feature service and a dataset of it
  features new --blank                                 take the demo's domain away, keep the platform
"""
)
@click.argument("domain", required=False)
@click.option("--source", shell_complete=source_names, help="The source whose contract gives the columns.")
@click.option("--key", metavar="COLUMN", help="The entity's column. [default: asks, unless only one can be meant]")
@click.option(
    "--service", metavar="NAME_vN", help="The feature service, with a dataset of it. [default: DOMAIN_v1, without]"
)
@click.option("--blank", is_flag=True, help="Remove the demo's domain, so that only the platform is left.")
@click.option("--yes", is_flag=True, help="With --blank: do not ask, whatever git says.")
def new(domain: str | None, source: str | None, key: str | None, service: str | None, blank: bool, yes: bool) -> None:
    """Write the skeletons of DOMAIN: its features, its views and their test.

    They are small and complete: `make test` passes and `features diff` shows what they would add. Nothing that exists
    is overwritten, and an entity that a file of feature_repo/ already declares is used again. Only numbers with a unit
    in the contract become measures.
    """
    project = get_settings().project_root
    if blank:
        if domain or source or key or service:
            raise UsageError("--blank takes the demo's domain away and writes none. Leave the rest out.")
        _take_demo_away(project, is_sure=yes)
        return
    if domain is None:
        raise UsageError("name the domain, as in `features new riders`; or take the demo's away with --blank.")
    if source is not None and key is None:
        key = ask_key(source, project)
    _write_skeletons(domain, source, key, service, project)


def ask_key(source: str, project: Path) -> str | None:
    """What the author answers, where a terminal is there to ask and several columns could be meant."""
    contract = read_contract(source, get_settings().contracts)
    likely = likely_keys(contract, known_entities(project / "feature_repo"))
    if len(likely) == 1 or not sys.stdin.isatty():
        return None
    names = click.Choice(likely or possible_keys(contract))
    answer: str = click.prompt("What are the features about? The entity's column", type=names)
    return answer


def _write_skeletons(domain: str, source: str | None, key: str | None, service: str | None, project: Path) -> None:
    from transformations.insight.skeletons import skeleton

    settings = get_settings()
    covered = _covered_days(source, settings) if source is not None and service is not None else None
    files = skeleton(
        domain, source, key, project=project, contracts=settings.contracts, service=service, covered=covered
    )
    for file in files:
        target = project / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.text)
        say(f"written: {file.path}")
    owner = read_contract(files[0].path.stem if source is None else source, settings.contracts).owner
    if add_owner(project / "feature_repo", owner):
        say(f"added to feature_repo/{OWNERS_FILE}: {owner}")
    if any("Count(" in file.text for file in files) and not any(_has_measure(file) for file in files):
        say(f"no number of {source} has a unit of measure in its contract, so only its events are counted yet")
    contract = files[0].path.stem if source is None else source
    test = files[-1].path
    say("next:")
    say(f"  1. say what you mean in transformations/{domain}.py, and prove it:  python -m pytest {test}")
    if (project / _CATALOGUE).is_file():
        say(f"     agree to what is offered now:  python {_CATALOGUE}")
    say(f"  2. bring the data in:  features ingest {contract} FILE  (the contract: features contract show {contract})")
    say("  3. see what it adds, compute and register it:  features diff;  features build;  feast -c feature_repo apply")


def _has_measure(file: NewFile) -> bool:
    return "Sum(" in file.text or "Mean(" in file.text


def _covered_days(source: str, settings: Settings) -> tuple[date, date] | None:
    """The first business day of a source and the last of which it has all events; None where there is none yet."""
    table = RawTable(read_contract(source, settings.contracts), settings.raw_dir)
    snapshot = table.snapshot() if table.exists() else None
    if snapshot is None or snapshot.complete_through is None or not snapshot.parts:
        return None
    return day_of_number(min(part.first_day for part in snapshot.parts)), snapshot.complete_through


def _take_demo_away(project: Path, *, is_sure: bool) -> None:
    name = "transformations.cli.demo.blank"  # goes with the demo, so that mypy must not look for it
    if not (Path(__file__).parents[2] / "demo" / "blank.py").is_file():
        say("nothing to do: the demo's domain is gone already")
        return
    taking_away = importlib.import_module(name)
    if not is_sure:
        if changed := taking_away.uncommitted(project):
            shown = "\n".join(f"  {line}" for line in changed[:10])
            raise UsageError(
                f"{project} has changes that git does not hold, and --blank removes files:\n{shown}\n"
                f"Commit them first, or say --yes."
            )
        files = plural(len(taking_away.domain_files(project)), "file")
        say(f"This removes {files} of the demo's domain from {project}, and what other files say of it.")
        click.confirm("Remove them?", abort=True)
    for line in taking_away.blank(project):
        say(line)
    say("next: `features new DOMAIN` writes the first files of yours; `make test` passes meanwhile")

"""`features vacuum`: remove files that no version of a table refers to; pinned versions always stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import click

from transformations.cli.options import json_option, view_names
from transformations.cli.output import print_json, print_table, remark, say
from transformations.contracts import contract_names, read_contract
from transformations.engine.base.disk_faults import folders_in
from transformations.engine.base.errors import ConflictError, ServiceUnavailableError, UsageError, nearest
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.words import human_bytes, plural
from transformations.engine.raw.zone import RawTable
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.upkeep.compaction import readers_of
from transformations.engine.upkeep.vacuum import Vacuumed, vacuum_source, vacuum_table
from transformations.insight.repository import open_store

if TYPE_CHECKING:
    from transformations.datasets.deletion import Tidied


@click.command(
    epilog="""\b
Examples:
  features vacuum --dry-run
  features vacuum user_visits --older-than 1
  features vacuum --keep-versions 30 --yes            gives up what only older, unpinned versions refer to

\b
A killed build or ingestion leaves files that no version refers to; they are harmless, and this is what removes them.
Every version is kept for ever unless --keep-versions says otherwise; training datasets pin the versions they came from,
and predictions those that they were made from, for FEATURES_PREDICTIONS_KEEP_DAYS.
"""
)
@click.argument("views", metavar="[VIEW]...", nargs=-1, shell_complete=view_names)
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="Spare files written since: a run that is still going publishes its files last.",
)
@click.option(
    "--keep-versions",
    type=click.IntRange(min=1),
    metavar="N",
    help="Give up versions older than the newest N, save pinned ones. [default: every version is kept]",
)
@click.option("--yes", is_flag=True, help="With --keep-versions: do not ask.")
@json_option
def vacuum(
    views: Sequence[str], dry_run: bool, older_than: float, keep_versions: int | None, yes: bool, as_json: bool
) -> None:
    """Remove what nothing refers to from the offline table of each VIEW and its sources.

    Without a VIEW: from all tables, and what killed commands left of datasets.
    """
    from transformations.datasets.deletion import sources_pinned, versions_needed

    settings = get_settings()
    tables = chosen_tables(views, settings)
    sources = chosen_sources(tables if views else None, settings)
    age = timedelta(hours=older_than)

    gives_up = keep_versions is not None
    needed = _with_predictions(versions_needed(settings), settings) if gives_up else {}
    loaded = _versions_loaded(settings) if gives_up else {}

    def of_table(table: OfflineTable, *, dry_run: bool) -> Vacuumed:
        return vacuum_table(
            table,
            age,
            keep_versions=keep_versions,
            needed=needed.get(table.name, {}),
            loaded=[0] if loaded is None else [loaded[table.name]] if table.name in loaded else [],
            dry_run=dry_run,
        )

    if keep_versions is not None and not yes and not dry_run:
        _confirm_giving_up([of_table(table, dry_run=True) for table in tables])
    work = [partial(of_table, table, dry_run=dry_run) for table in tables]
    kept_days = settings.raw_keep_originals_days
    work += [
        partial(
            vacuum_source,
            raw,
            older_than=age,
            keep_originals=None if kept_days is None else timedelta(days=kept_days),
            readers=partial(readers_of, raw.contract.name, settings, partial(sources_pinned, settings)),
            dry_run=dry_run,
        )
        for raw in sources
    ]
    found, busy = _vacuum_each(work)
    of_datasets = [] if views else _tidied_datasets(settings, dry_run)
    if as_json:
        print_json([*(asdict(each) for each in found), *({"zone": "datasets", **asdict(each)} for each in of_datasets)])
    else:
        _print_removed(found, dry_run)
        _print_datasets(of_datasets, dry_run)
    if busy:
        raise busy[0]


def _versions_loaded(settings: Settings) -> dict[str, int] | None:
    """The version of its table that each view was loaded from; None, which keeps every row's own file, if unknown."""
    from transformations.insight.standing import versions_loaded

    try:
        return versions_loaded(settings)
    except ServiceUnavailableError as error:
        remark(f"What is online is unknown, so the files that a load might still read stay: {error}")
        return None


def _with_predictions(
    needed: dict[str, dict[int, tuple[str, ...]]], settings: Settings
) -> dict[str, dict[int, tuple[str, ...]]]:
    """Versions that stay, with those of predictions that are not collected yet, and so not pinned."""
    from transformations.models.predictions.collect import versions_recorded

    for name, pins in versions_recorded(settings).items():
        for version, reasons in pins.items():
            there = needed.setdefault(name, {})
            there[version] = (*there.get(version, ()), *reasons)
    return needed


def chosen_tables(views: Sequence[str], settings: Settings) -> list[OfflineTable]:
    """The tables of these views, by default all; UsageError for one that is not there."""
    folders = {folder.name: folder for folder in folders_in(settings.offline_dir)}
    for view in views:
        if view not in folders:
            raise UsageError(f"there is no table {view!r} in {settings.offline_dir}: {nearest(view, folders)}.")
    return [OfflineTable(folder) for name, folder in folders.items() if not views or name in views]


def chosen_sources(tables: Iterable[OfflineTable] | None, settings: Settings) -> list[RawTable]:
    """The raw tables that these offline tables came from; without any: all."""
    names = set(contract_names(settings.contracts))
    if tables is not None:
        names &= {name for table in tables if (latest := table.latest()) for name in latest.run.sources}
    ingested = sorted(names & {folder.name for folder in folders_in(settings.raw_dir)})
    return [RawTable(read_contract(name, settings.contracts), settings.raw_dir) for name in ingested]


def _confirm_giving_up(found: Sequence[Vacuumed]) -> None:
    """Ask before versions are given up, which cannot be undone."""
    if giving_up := [each for each in found if each.given_up]:
        for each in giving_up:
            remark(f"{each.table}: gives up version {', '.join(map(str, each.given_up))}; it cannot be read again.")
        click.confirm("Give them up?", abort=True, err=True)


def _vacuum_each(work: Sequence[Callable[[], Vacuumed]]) -> tuple[list[Vacuumed], list[ConflictError]]:
    """Vacuum each table; one that is being written does not hold up the others."""
    found: list[Vacuumed] = []
    busy: list[ConflictError] = []
    for step in work:
        try:
            found.append(step())
        except ConflictError as error:
            busy.append(error)
    for conflict in busy[1:]:
        remark(f"Error: {conflict}")
    return found, busy


def _tidied_datasets(settings: Settings, dry_run: bool) -> list[Tidied]:
    """What killed commands left of datasets; where there are none, the registry is not opened."""
    from transformations.datasets.deletion import names_begun, tidy

    return tidy(open_store(settings), settings, dry_run=dry_run) if names_begun(settings) else []


def _print_datasets(found: Sequence[Tidied], dry_run: bool) -> None:
    for each in found:
        if each.folders or each.pins:
            verb = "would remove" if dry_run else "removed"
            left = f"{plural(each.folders, 'unfinished folder')} and {plural(each.pins, 'pin')} of a killed command"
            say(f"dataset {each.name}: {verb} {left}")
        if not each.is_registered:
            say(
                f"dataset {each.name}: was made and not registered; `features dataset rebuild {each.name}` completes it"
            )


def _print_removed(found: Sequence[Vacuumed], dry_run: bool) -> None:
    if removed := [each for each in found if each.files]:
        headers = ["Table", "Zone", "Would remove" if dry_run else "Removed files", "Size", "Versions given up"]
        rows = [
            (each.table, each.zone, each.files, human_bytes(each.size_bytes), ", ".join(map(str, each.given_up)))
            for each in removed
        ]
        print_table(headers, rows)
    else:
        tables = plural(len(found), "table")
        say(f"nothing to remove: no version was given up, and nothing else is left over in {tables}")
    for each in found:
        for held in each.held:
            kept = f"{plural(held.files, 'file')}, {human_bytes(held.size_bytes)}"
            say(f"{each.table}: version {held.version} is pinned ({', '.join(held.reasons)}) and keeps {kept}")

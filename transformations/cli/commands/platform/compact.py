"""`features compact`: merge the small files of tables into few; versions, pins and what is new to a load stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from transformations.cli.options import json_option, view_names
from transformations.cli.output import print_json, print_table, remark, say
from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.errors import ConflictError, UsageError, nearest
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import human_bytes, plural

if TYPE_CHECKING:
    from transformations.engine.merging.merged_files import Merged


@click.command(
    epilog="""\b
Examples:
  features compact
  features compact user_visits
  features compact --json | jq '.[] | {table, files, rows}'

\b
`features build` does the same by itself for a table that has 32 small files or more. The merged files stay until
`features vacuum --keep-versions` gives their versions up, and longer where a pin or the next load needs them.
"""
)
@click.argument("views", metavar="[VIEW]...", nargs=-1, shell_complete=view_names)
@json_option
def compact(views: Sequence[str], as_json: bool) -> None:
    """Merge the small files of the offline table of each VIEW, or of all tables, into few that are sorted.

    Rows, versions and pins stay as they are, and a load finds nothing new because of it. Repeated, it does nothing.
    Builds, retrievals and loads may go on meanwhile.
    """
    from transformations.engine.tables.compaction import OfflineTable, compact_table

    settings = get_settings()
    folders = {folder.name: folder for folder in paths_in(settings.offline_dir) if folder.is_dir()}
    for view in views:
        if view not in folders:
            raise UsageError(f"there is no table {view!r} in {settings.offline_dir}: {nearest(view, folders)}.")
    found: list[Merged] = []
    busy: list[ConflictError] = []
    for name, folder in folders.items():
        if not views or name in views:
            try:
                merged = compact_table(OfflineTable(folder), settings)
            except ConflictError as error:
                busy.append(error)
            else:
                found += [merged] if merged is not None else []
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        _print_merged(found, len(views or folders) - len(busy))
    for conflict in busy[1:]:
        remark(f"Error: {conflict}")
    if busy:
        raise busy[0]


def merged_line(merged: Merged) -> str:
    """One merge in words."""
    before, after = merged.files
    return (
        f"{merged.table}: {plural(before, 'file')} are {after:,} now, with the same rows (version {merged.version}, "
        f"{merged.seconds:.1f} s)"
    )


def _print_merged(found: Sequence[Merged], tables: int) -> None:
    if not found:
        say(f"nothing to merge in {plural(tables, 'table')}: few files are small")
        return
    headers = ["Table", "Version", "Files before", "Files now", "Rows merged", "Size before", "Size now", "Seconds"]
    rows = [
        (each.table, each.version, *each.files, each.rows, *map(human_bytes, each.size_bytes), each.seconds)
        for each in found
    ]
    print_table(headers, rows)

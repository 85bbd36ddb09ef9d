"""`features compact`: merge the small files of tables into few; versions, pins and what is new to a load stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from transformations.cli.commands.platform.vacuum import chosen_sources, chosen_tables
from transformations.cli.options import json_option, view_names
from transformations.cli.output import print_json, print_table, remark, say
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
`features build` does the same by itself for a table or source that has 32 small files or more. The files that were
merged stay: those of a source for ever, those of a table until `features vacuum --keep-versions` gives their versions
up, and longer where a pin or the next load needs them.
"""
)
@click.argument("views", metavar="[VIEW]...", nargs=-1, shell_complete=view_names)
@json_option
def compact(views: Sequence[str], as_json: bool) -> None:
    """Merge the small files of the offline table of each VIEW and of its sources into few that are sorted.

    Without a VIEW: of all tables and sources. Rows, versions and pins stay as they are, and a load finds nothing new
    because of it. Repeated, it does nothing. Builds, ingestions, retrievals and loads may go on meanwhile.
    """
    from transformations.datasets.compaction import compact as compact_all

    settings = get_settings()
    tables = chosen_tables(views, settings)
    sources = chosen_sources(tables if views else None, settings)
    contracts = [raw.contract for raw in sources]
    found, busy = compact_all([table.name for table in tables], contracts, settings)
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        _print_merged(found, len(tables) + len(sources) - len(busy))
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
    headers = ["Table", "Zone", "Version", "Files before", "Files now", "Rows merged", "Size before", "Size now"]
    rows = [
        (each.table, each.zone, each.version, *each.files, each.rows, *map(human_bytes, each.size_bytes))
        for each in found
    ]
    print_table(headers, rows)

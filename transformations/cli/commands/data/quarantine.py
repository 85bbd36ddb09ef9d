"""`features quarantine`: the rows that were set aside when a drop was taken."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from transformations.cli.commands.data.ingest import source_names
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, say
from transformations.contracts import read_contract
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural
from transformations.engine.raw.zone import RawTable

_SHOWN = 20


@click.command(
    epilog="""\b
Examples:
  features quarantine clicks              # the drops of which rows were set aside
  features quarantine clicks --drop 12    # the rows of one, each with the rules that it breaks
  features quarantine clicks --drop 12 --to bad-clicks.parquet
"""
)
@click.argument("source", shell_complete=source_names)
@click.option("--drop", "number", type=int, help="The rows of this drop.")
@click.option("--to", type=click.Path(path_type=Path), help="Write its rows to a new Parquet file.")
@json_option
def quarantine(source: str, number: int | None, to: Path | None, as_json: bool) -> None:
    """Show the rows of SOURCE that `features ingest --quarantine` set aside.

    They are kept as delivered, beside the rows that were taken. Mended, they are delivered as rows of a new file.
    """
    from validation.quality.stored import read_quarantine

    settings = get_settings()
    table = RawTable(read_contract(source, settings.contracts), settings.raw_dir)
    drops = {drop.number: drop for drop in table.snapshot().drops if drop.quarantined}
    if number is None:
        if to is not None:
            raise UsageError("--to writes the rows of one drop. Say which: --drop NUMBER.")
        facts = [(each.number, each.file_name, each.quarantined, each.ingested_at) for each in drops.values()]
        if as_json:
            print_json([dict(zip(("drop", "file", "rows", "ingested_at"), each, strict=True)) for each in facts])
        elif facts:
            print_table(["Drop", "File", "Rows set aside", "Ingested at (UTC)"], facts)
        else:
            say(f"{source}: no row was set aside")
        return
    if number not in drops:
        known = ", ".join(map(str, drops)) or "none"
        raise UsageError(f"{source}: of drop {number} no row was set aside. Drops with such rows: {known}.")
    rows = read_quarantine(drops[number], table.folder)
    if to is not None:
        _write(rows, to)
        say(f"{to}: {plural(rows.num_rows, 'row')}")
        return
    lines = rows.to_pylist()
    if as_json:
        print_json(lines)
        return
    counts = Counter(rule for line in lines for rule in line["_rules"])
    print_table(["Rule", "Rows that break it"], counts.most_common())
    say("")
    names = [name for name in rows.column_names if not name.startswith("_")]
    cells = [(line["_place"], ", ".join(line["_rules"]), *(line[name] for name in names)) for line in lines[:_SHOWN]]
    print_table(["Row", "Breaks", *names], cells, title=f"Drop {number}, {drops[number].file_name}")
    if len(lines) > _SHOWN:
        say(f"… and {plural(len(lines) - _SHOWN, 'more row', 'more rows')}: --to FILE writes all")


def _write(rows: object, to: Path) -> None:
    import pyarrow.parquet as pq

    try:
        with to.open("xb") as file:
            pq.write_table(rows, file)
    except FileExistsError:
        raise UsageError(f"{to} exists and is left as it is. Choose another name.") from None

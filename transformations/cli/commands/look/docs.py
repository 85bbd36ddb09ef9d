"""`features docs`: the catalogue as a static site."""

from __future__ import annotations

from pathlib import Path

import click

from transformations.cli.output import remark, say
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural
from transformations.insight.site.writing import write_site


@click.command(
    epilog="""\b
Examples:
  features docs                             into the folder `catalogue` of the data folder
  features docs --out /tmp/catalogue        into another one; then open its index.html
"""
)
@click.option("--out", "folder", type=click.Path(path_type=Path), help="The folder, which is replaced whole.")
def docs(folder: Path | None) -> None:
    """Write the catalogue of everything offered as pages that open from the file system, without a network.

    Sources, views, features, services, datasets and owners, with search, lineage, tests, freshness, the distribution of
    stored values, and queries to copy. Values that lead to a person, by the contract's `pii`, are not shown. Equal
    definitions and tables give equal files.
    """
    from transformations.insight.site.reading import read_site

    settings = get_settings()
    target = folder if folder is not None else settings.data / "catalogue"
    site = read_site(settings)
    for gap in site.gaps:
        remark(gap)
    pages = write_site(site, target)
    say(f"{plural(pages, 'page')}: {target / 'index.html'}")

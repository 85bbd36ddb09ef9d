"""`features adopt`: bring the rows that Feast's own Redis store holds into ours."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, progress, remark, say
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural
from transformations.insight.repository import open_store, open_store_at

if TYPE_CHECKING:
    from transformations.stores.adoption import Adoption


@click.command(
    epilog="""\b
Examples:
  features adopt --repository ../their_repo
  features adopt --from localhost:6379,db=1            stock's rows lie in another database than ours
  features adopt --remove                              once the last server of stock's store is stopped

\b
Rows that were pushed to stock's store are in no offline table; this is how they come along. Everything else comes by
`feast materialize`, before or after this. The newest row of each entity wins, so it may be stopped and repeated.
"""
)
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    help="Folder of feature_store.yaml. [default: the project's feature_repo/]",
)
@click.option(
    "--from", "source", metavar="ADDRESS", help="Redis of stock's rows, as `connection_string`. [default: the same]"
)
@click.option("--remove", is_flag=True, help="Remove stock's keys whose rows were all written and have not changed.")
@json_option
def adopt(repository: Path | None, source: str | None, remove: bool, as_json: bool) -> None:
    """Write the rows that stock Feast holds in Redis into our online store, where they are newest.

    A row from the future, one of a view that is not registered, or one that the declared dtypes cannot hold is left
    where it is, and counted.
    """
    from transformations.stores.adoption import adopt as adopt_rows

    store = open_store(get_settings()) if repository is None else open_store_at(repository)
    with progress("Adopting stock's rows") as advance:
        found = adopt_rows(store, source, remove=remove, advance=advance)
    if as_json:
        print_json(asdict(found))
    else:
        _print(found, store.project, remove=remove)


def _print(found: Adoption, project: str, *, remove: bool) -> None:
    if not found.hashes:
        say(f"no rows of stock Feast are there for project {project}")
    else:
        rows = [(name, each.rows, each.in_future, each.unfit) for name, each in sorted(found.views.items())]
        print_table(["View", "Written where newest", "From the future", "Unfit"], rows)
    for name, each in sorted(found.views.items()):
        if each.unfit:
            remark(f"{name}: {plural(each.unfit, 'row')} left out, the first because: {each.example}")
    for name, count in sorted(found.unknown.items()):
        remark(f"{name}: {plural(count, 'row')} of a view that is not registered, left where they are")
    if found.foreign:
        remark(f"{plural(found.foreign, 'hash', 'hashes')} of another project or an older form, left where they are")
    if remove:
        say(f"removed {found.removed:,} of {plural(found.hashes, 'key')} of stock's store")

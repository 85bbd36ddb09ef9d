"""`features expect`: write down what the values of features look like, for builds to be held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

import click

from transformations.cli.commands.data.ingest import parse_day
from transformations.cli.options import view_names
from transformations.cli.output import progress, remark, say
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.words import plural
from transformations.engine.expected.files import path_of, read_expected, write_expected
from transformations.engine.expected.judging import LEAST_ENTITIES
from transformations.engine.expected.model import Growth
from transformations.engine.tables.offline_tables import OfflineTable, TableVersion
from transformations.insight.repository import read_repository

if TYPE_CHECKING:
    from transformations.engine.vocabulary.resolution import Resolved

_SPAN = timedelta(days=90)


@click.command(
    epilog="""\b
Examples:
  features expect --from 2024-01-01 --to 2024-06-30
  features expect user_visits                       the 90 days up to the newest
  git diff validation/expectations                  what has changed, to be reviewed

\b
Days are as-of days: of each entity that has a row by then, the values that serving would have.
"""
)
@click.argument("views", metavar="[VIEW]...", nargs=-1, shell_complete=view_names)
@click.option(
    "--from", "first", callback=parse_day, metavar="DAY", help="First as-of day; earlier ones are not judged."
)
@click.option("--to", "last", callback=parse_day, metavar="DAY", help="Last as-of day; default: the newest one.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0, max=10.0),
    default=0.25,
    show_default=True,
    help="Room beyond what is seen, as a share of it.",
)
def expect(views: Sequence[str], first: date | None, last: date | None, tolerance: float) -> None:
    """Measure the stored values of each VIEW, or of all, and write what is to be expected of them.

    One file a view in validation/expectations/, to be reviewed and committed: of each feature the share of nulls, the
    share outside its declared range, quantiles or the shares of its values, each with room to move. What grows by
    construction, as counts over a lifetime, states its growth a day. What a file lets only `warn` stays so.
    """
    settings = get_settings()
    chosen = [offered.resolved for offered in read_repository(settings).select(views)]
    if not chosen:
        remark("The repository offers no view yet. `features new DOMAIN` writes a first one.")
    for resolved in chosen:
        with progress(f"Measuring {resolved.name}"):
            said = _expect(resolved, settings, first, last, tolerance)
        say(said)


def _expect(resolved: Resolved, settings: Settings, first: date | None, last: date | None, tolerance: float) -> str:
    from transformations.engine.expected.drafting import days_to_measure, draft, notes_of

    newest = OfflineTable(settings.offline_dir / resolved.name).newest()
    if newest.run.definition_hash != resolved.hash:
        raise DataError(
            f"{resolved.name} is built from another definition. Run `features build {resolved.name}` first."
        )
    begin, end = _days(resolved.name, newest, first, last)
    expected = draft(
        resolved, newest, days_to_measure(begin, end), tolerance=tolerance, warns=_warns(resolved.name, settings)
    )
    if expected is None:
        raise DataError(f"{resolved.name} has no row as-of {begin} to {end}. Choose later days.")
    path = path_of(resolved.name, settings.expectations)
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    write_expected(expected, notes_of(resolved), settings.expectations)
    done = "written" if before is None else "unchanged" if path.read_text(encoding="utf-8") == before else "rewritten"
    shown = path.relative_to(settings.project_root) if path.is_relative_to(settings.project_root) else path
    rules = sum(len(each.rules) for each in expected.features.values())
    features = plural(len(expected.features), "feature")
    said = f"{done}: {shown} ({plural(rules, 'rule')} for {features}, from {expected.first} to {expected.last})"
    count = round(expected.entities.was) if isinstance(expected.entities, Growth) else 0
    if count < LEAST_ENTITIES:
        entities = plural(count, "entity", "entities")
        said += f"\n  {entities} are too few to judge: builds hold only their number against it, below {LEAST_ENTITIES}"
    return said


def _days(view: str, newest: TableVersion, first: date | None, last: date | None) -> tuple[date, date]:
    """The as-of days to measure; UsageError where the table does not cover them."""
    known, end = newest.run.first_as_of, newest.run.complete_through + timedelta(days=1)
    begin, until = first or max(known, (last or end) - _SPAN), last or end
    if begin > until:
        raise UsageError(f"{view}: --from {begin} is after --to {until}.")
    if begin < known or until > end:
        raise UsageError(f"{view}: its table covers the as-of days {known} to {end}, not all of {begin} to {until}.")
    return begin, until


def _warns(view: str, settings: Settings) -> Mapping[str, frozenset[str]]:
    before = read_expected(view, settings.expectations)
    return {name: feature.warns for name, feature in before.features.items()} if before else {}

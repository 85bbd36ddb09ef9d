"""`features ingest`: a delivered file, checked against its contract, becomes a drop of the raw zone."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from transformations.cli.options import json_option
from transformations.cli.output import print_json, progress, remark, say
from transformations.contracts import contract_names
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import moment_text
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import human_duration, plural
from transformations.insight.values.asked import day_of_text, moment_of_text

if TYPE_CHECKING:
    from validation.delivery.ingest import Delivery, Ingestion


_Command = TypeVar("_Command", bound=Callable[..., Any])


def parse_moment(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """A point in time as ISO 8601, with its offset."""
    try:
        return moment_of_text(text, zone=None) if text is not None else None
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no point in time with its offset. Write it as 2020-01-31T00:00:00-05:00."
        ) from None


def parse_day(_context: click.Context, _parameter: click.Parameter, text: str | None) -> date | None:
    """A calendar day as in 2020-01-31."""
    try:
        return day_of_text(text) if text is not None else None
    except ValueError:
        raise click.BadParameter(f"{text!r} is no day. Write it as 2020-01-31.") from None


def source_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shell completion of a source by the contracts there are."""
    return [CompletionItem(name) for name in contract_names(get_settings().contracts) if name.startswith(incomplete)]


_DELIVERY_OPTIONS = (
    click.option(
        "--complete-through",
        callback=parse_day,
        metavar="DAY",
        help="The last business day of which all events are there, since a day without events is a day too. "
        "[default: the day before the newest event's]",
    ),
    click.option(
        "--valid-from",
        callback=parse_moment,
        metavar="MOMENT",
        help="From when the rows of a source without event time hold. [default: for the first drop the contract's "
        "validFrom, then the moment of ingestion]",
    ),
    click.option("--retract", is_flag=True, help="FILE holds keys: take back the rows that have them."),
    click.option(
        "--correction",
        is_flag=True,
        help="FILE may replace rows of other days, any number of them, and bring replaced or retracted ones back; "
        "--complete-through may take days back.",
    ),
    click.option(
        "--quarantine",
        is_flag=True,
        help="Set aside the rows that break a rule, and take the others, if the contract allows as many: "
        "quarantineAllowed. `features quarantine` shows them.",
    ),
)


def delivery_options(command: _Command) -> _Command:
    """Give a command the options that say of FILE what its rows do not: those of `Delivery`."""
    for option in reversed(_DELIVERY_OPTIONS):
        command = option(command)
    return command


def report_option(command: _Command) -> _Command:
    """Give a command `--report`, passed as `report_file`: where to write the page about the delivery."""
    option = click.option(
        "--report",
        "report_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write a page about the delivery, one HTML file: counts, rules, examples, values beside the last drops.",
    )
    return option(command)


@click.command(
    epilog="""\b
Examples:
  features ingest clicks clicks-2020-01.parquet --complete-through 2020-01-31
  features ingest clicks corrected.csv --correction   # rows of a known key replace the earlier ones
  features ingest clicks exports/2020-01-31/          # a folder: its files are one drop
  features ingest accounts                            # what is new where the contract says: a table, or a folder
  features ingest clicks --complete-through 2020-02-01    # a day without events
  features ingest clicks bogus-keys.csv --retract     # the rows of these keys are taken back
  features ingest accounts accounts.parquet --valid-from 2020-02-01T00:00:00-05:00

\b
A file that breaks its contract is refused whole (exit code 3); `features contract check` tries one without writing.
Ingesting the newest file again finds nothing to do.

\b
Without --complete-through, a file completes its source through the day before its newest row. More than 7 days in a
row without a row, or 7 more within four weeks than usual, may be missing days where the source was never as quiet: the
file is refused until --complete-through says how far the source is complete. What was completed by retracted rows
alone is taken back.

\b
Rows that an older file brings back as they were before a later drop are refused, unless --correction says it.
"""
)
@click.argument("source", shell_complete=source_names)
@click.argument("files", metavar="[FILE]...", type=click.Path(path_type=Path), nargs=-1)
@delivery_options
@report_option
@json_option
def ingest(
    source: str,
    files: tuple[Path, ...],
    complete_through: date | None,
    valid_from: datetime | None,
    retract: bool,
    correction: bool,
    quarantine: bool,
    report_file: Path | None,
    as_json: bool,
) -> None:
    """Take FILE of SOURCE through its contract into the raw zone, as one drop.

    Parquet, CSV or JSON lines; a folder is all of its files. Several files, or a folder, are one drop, too: all of it
    becomes visible at once, or nothing does. Without FILE, what is new where the contract says (`servers`) is
    taken: the rows of a table elsewhere, or each new file. --complete-through alone is recorded, with a pull or on its
    own.
    """
    from transformations.insight.site.delivery_outcomes import Delivery, document_of_outcome

    asked = Delivery(
        source,
        files or None,
        complete_through=complete_through,
        valid_from=valid_from,
        retract=retract,
        correction=correction,
        quarantine=quarantine,
    )
    outcomes: list[tuple[Delivery, Ingestion | DataError]] = []
    for delivery, outcome in _outcomes(asked, report_file):
        outcomes.append((delivery, outcome))
        for line in [] if as_json or isinstance(outcome, DataError) else _lines_of(outcome, delivery):
            say(line)
    if as_json:
        documents = [document_of_outcome(delivery, outcome) for delivery, outcome in outcomes]
        print_json(documents[0] if [delivery for delivery, _ in outcomes] == [asked] else documents)
    elif not outcomes:
        say(f"{source}: nothing to do, no new file where the contract says that they come in")
    for delivery, outcome in outcomes[-1:]:
        if isinstance(outcome, DataError):
            raise outcome
        if not as_json and (day := _open_day(outcome, delivery)) is not None:
            command = shlex.join(["features", "ingest", source, *map(str, files), "--complete-through", str(day)])
            remark(f"{day} may still be filling. Once it is whole: {command}")


def _outcomes(asked: Delivery, report_file: Path | None) -> Iterator[tuple[Delivery, Ingestion | DataError]]:
    """What becomes of each delivery, in order; the first that is refused is the last that is looked at."""
    from transformations.insight.site.delivery_outcomes import deliveries_of, delivery_in_words, take_delivery

    settings = get_settings()
    try:
        deliveries = deliveries_of(asked, settings)
    except DataError as error:
        yield asked, error
        return
    if report_file is not None and len(deliveries) > 1:
        raise UsageError(
            f"{asked.source}: {len(deliveries):,} deliveries are new, and a report is about one. Name its file, or "
            f"leave --report out."
        )
    for delivery in deliveries:
        try:
            with progress(f"Ingesting {delivery_in_words(delivery)} into {asked.source}"):
                done = take_delivery(delivery, settings, report_file)
        except DataError as error:
            yield delivery, error
            return
        yield delivery, done


def _lines_of(ingestion: Ingestion, delivery: Delivery) -> list[str]:
    source, drop = ingestion.source, ingestion.drop
    notes = [f"  {note}" for note in ingestion.notes]
    through = f", complete through {ingestion.complete_through}" if ingestion.complete_through else ""
    state = f"version {ingestion.version}{through}"
    if drop is None:
        is_unknown = delivery.retract and ingestion.delivered
        reason = "no current row has one of its keys" if is_unknown else "it is there already"
        if not ingestion.file_name:
            return [f"{source}: nothing to do ({state})", *notes]
        return [f"{source}: nothing to do for {ingestion.file_name}, {reason} ({state})", *notes]
    if not drop.rows:
        lines = [f"{source}: no new row, now {state}", *_lines_of_lost_days(ingestion)]
        return [*lines, *(notes if drop.quarantined else ())]
    verb = "retracted" if drop.retracts else "written"
    days = _days_in_words(ingestion)
    if drop.valid_from is not None:
        days = f", valid from {moment_text(drop.valid_from, ingestion.zone)}"
    lines = [f"{source}: {plural(drop.rows, 'row')} {verb}{days}, {human_duration(ingestion.seconds)}; now {state}"]
    if drop.unchanged:
        lines.append(f"  left out as current already: {plural(drop.unchanged, 'row')} of {ingestion.file_name}")
    if drop.retracted:
        lines.append(f"  taken back, as these days lack them now: {plural(drop.retracted, 'row')}")
    if drop.supersedes and not drop.retracts:
        lines.append(f"  superseded: {plural(drop.supersedes, 'row')} of earlier drops")
    return [*lines, *_lines_of_lost_days(ingestion), *notes]


def _lines_of_lost_days(ingestion: Ingestion) -> list[str]:
    before, through = ingestion.before, ingestion.complete_through
    if before is None or (through is not None and through >= before):
        return []
    return [f"  no longer complete through {before}: `features build` takes back what was computed of the days since"]


def _days_in_words(ingestion: Ingestion) -> str:
    first, last = ingestion.first_day, ingestion.last_day
    return f" of {first}" if first == last else f" from {first} to {last}"


def _open_day(ingestion: Ingestion, delivery: Delivery) -> date | None:
    """The newest event's day, where it was taken to be incomplete for want of a word about it."""
    last, through = ingestion.last_day, ingestion.complete_through
    if delivery.complete_through or delivery.retract or last is None or through is None:
        return None
    return last if last == through + timedelta(days=1) else None

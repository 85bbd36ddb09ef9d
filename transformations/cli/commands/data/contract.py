"""`features contract`: draft, try, list and show the data contracts."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from transformations.cli.commands.data.ingest import (
    delivery_options,
    report_option,
    source_names,
)
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, progress, say
from transformations.contracts import Contract, ContractError, contract_names, read_contract
from transformations.contracts.model import PII_CLASSES, TableServer
from transformations.contracts.quality import EVERY_DAY, number_text
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import moment_text
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import human_duration, plural
from validation.delivery.check_specs import CheckSpec, compile_checks
from validation.quality.compiled_rules import CompiledRule, compile_rules, suite_of

_DROPS = {
    "append": "a drop adds rows",
    "upsert": "each row of a drop replaces the one of its key",
    "replace-partition": "a drop replaces the business days that it has rows of",
    "snapshot": "a drop is all",
}
_PLACES = {
    "duckdb": "the DuckDB file {}",
    "delta": "the Delta table at {}",
    "sqlalchemy": "the database whose URL is in {}",
    "spark": "Spark's catalogue",
}


@click.group(
    epilog="""\b
Examples:
  features contract list
  features contract draft clicks-2020-01.csv --name clicks --write
  features contract check clicks clicks-2020-01.csv
  features contract show clicks
"""
)
def contract() -> None:
    """Draft and check data contracts: one YAML file a source, in the Open Data Contract Standard."""


@contract.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="The source's name. [default: from the file's name]")
@click.option("--write", is_flag=True, help="Write it among the contracts; one that exists is never overwritten.")
def draft(file: Path, name: str | None, write: bool) -> None:
    """Write a contract's first version from FILE (Parquet or CSV).

    Columns, types, nulls and ranges are read from the whole file; what only you can know is marked FILL IN, also
    whether the key that fits the file is one for ever.
    """
    from validation.drafting.drafts import draft_contract, source_name, write_draft

    with progress(f"Reading {file.name}"):
        text = draft_contract(file, name)
    if not write:
        say(text)
        return
    path = write_draft(text, source_name(text), get_settings().contracts)
    say(
        f"{path} is written. Fill in its {plural(text.count('FILL IN  #'), 'mark')}, then: "
        f"features contract check {source_name(text)} {file}"
    )


@contract.command()
@click.argument("source", shell_complete=source_names)
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@delivery_options
@report_option
@json_option
@click.pass_context
def check(
    context: click.Context,
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
    """Try FILE without ingesting it: exit code 3 if it breaks the contract of SOURCE, or if `ingest` would refuse it.

    With the options of `ingest`, it says what that command would.
    """
    from transformations.insight.site.delivery_outcomes import (
        ContractViolationError,
        Delivery,
        delivery_in_words,
        document_of_report,
        report_of,
        try_delivery,
    )

    delivery = Delivery(
        source,
        files,
        complete_through=complete_through,
        valid_from=valid_from,
        retract=retract,
        correction=correction,
        quarantine=quarantine,
    )
    names = delivery_in_words(delivery)
    with progress(f"Checking {names} against {source}"):
        try:
            report = try_delivery(delivery, get_settings(), report_file)
        except DataError as error:
            if as_json:
                print_json(document_of_report(report_of(error)))
            raise
    if as_json:
        print_json(document_of_report(report))
        context.exit(DataError.exit_code if report.violations or report.refusal else 0)
    if report.violations:
        raise ContractViolationError(report)
    if report.refusal:
        raise DataError(report.refusal)
    say(f"{names} keeps the contract of {source}: {plural(report.rows, 'row')}")
    for note in report.notes:
        say(f"  {note}")


@contract.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the sources that have a contract."""
    folder = get_settings().contracts
    contracts, faults = _read_contracts(folder)
    if as_json:
        unread = [{"source": name, "error": fault} for name, fault in faults.items()]
        print_json([*map(_contract_facts, contracts), *unread])
        return
    if not contracts and not faults:
        say(f"No contract in {folder}. Draft the first: features contract draft FILE --write")
        return
    rows = [(each.name, each.delivery, each.event_time or _first_day(each), ", ".join(each.key)) for each in contracts]
    print_table(["Source", "Delivery", "Event time", "Key"], rows)
    for fault in faults.values():
        say(f"not usable yet: {fault}")


def _first_day(contract: Contract) -> str:
    """What stands in the place of an event time: the day in the contract's zone from which the first drop is valid."""
    if contract.valid_from is None:
        return "none"
    return f"none, from {contract.valid_from.astimezone(ZoneInfo(contract.business_day_zone)):%Y-%m-%d}"


def _read_contracts(folder: Path) -> tuple[list[Contract], dict[str, str]]:
    """The contracts that can be read, and the first line of what is wrong with each other, such as a draft's marks."""
    contracts, faults = [], {}
    for name in contract_names(folder):
        try:
            contracts.append(read_contract(name, folder))
        except ContractError as error:
            faults[name] = str(error).splitlines()[0]
    return contracts, faults


@contract.command()
@click.argument("source", shell_complete=source_names)
@json_option
def show(source: str, as_json: bool) -> None:
    """Show what the contract of SOURCE promises, the checks that this makes, and the suite of Great Expectations."""
    found = read_contract(source, get_settings().contracts)
    checks, rules = compile_checks(found, now=get_settings().now()), compile_rules(found)
    if as_json:
        compiled = {
            "columns": [vars(column) for column in found.columns],
            "checks": [_check_document(spec) for spec in checks],
            "rules": [_rule_document(rule) for rule in rules],
            "suite": suite_of(found, rules) if rules else None,
        }
        print_json(_contract_facts(found) | compiled)
        return
    say(f"{found.name} {found.version}, owned by {found.owner}: {found.description}")
    for line in _fact_lines(found):
        say(f"  {line}")
    rows = [
        (
            column.name,
            column.dtype,
            "yes" if column.nullable else "",
            column.unit or "",
            _values_in_words(found, column.name),
            column.description,
        )
        for column in found.columns
    ]
    print_table(["Column", "Type", "Null", "Unit", "Values", "Meaning"], rows)
    say("")
    print_table(["Check of each row", "Columns", "Allowed"], _rows_of_checks(checks))
    if rules:
        say("")
        shown = [(each.rule.name, each.check, each.rule.severity, each.expectation.as_call()) for each in rules]
        print_table(["Quality rule", "Measured", "Severity", "Judged by Great Expectations"], shown)


def _rows_of_checks(checks: Sequence[CheckSpec]) -> list[tuple[str, str, str]]:
    """The checks of one kind in a row, where they allow the same."""
    columns: dict[tuple[str, str], list[str]] = {}
    for spec in checks:
        columns.setdefault((spec.rule, _allowed_in_words(spec)), []).append(", ".join(spec.columns))
    return [(rule, "; ".join(names), allowed) for (rule, allowed), names in columns.items()]


def _allowed_in_words(spec: CheckSpec) -> str:
    if spec.rule == "future":
        return "not after the clock, but for futureAllowed"
    if spec.rule == "event time":
        return f"the years {spec.minimum:.0f} to {spec.maximum:.0f}"
    if spec.rule == "range":
        ends = ("" if end is None else number_text(end) for end in (spec.minimum, spec.maximum))
        return " – ".join(ends)
    if spec.reference is not None:
        return f"in {spec.reference.source}, {plural(spec.allowed, 'value')} may be missing"
    return spec.dtype if spec.rule == "dtype" else ", ".join(map(str, spec.values))


def _check_document(spec: CheckSpec) -> dict[str, object]:
    return {
        "rule": spec.rule,
        "columns": list(spec.columns),
        "dtype": spec.dtype or None,
        "minimum": spec.minimum,
        "maximum": spec.maximum,
        "values": list(spec.values),
        "allowed": spec.allowed,
    }


def _rule_document(compiled: CompiledRule) -> dict[str, object]:
    rule = compiled.rule
    return {
        "rule": rule.name,
        "measure": rule.measure,
        "columns": list(rule.columns),
        "per": "businessDay" if rule.is_daily else None,
        "severity": rule.severity,
        "check": compiled.check,
        "judged_on": compiled.target,
        "place": rule.place,
    }


def _fact_lines(contract: Contract) -> list[str]:
    facts = [f"key: {', '.join(contract.key) or 'none, every row stands for itself'}"]
    if contract.event_time:
        zone = f"are {contract.timestamp_zone}" if contract.declares_zone else "are refused, for want of timestampZone"
        moment = "the end of its day" if contract.has_date_only_event_time else f"naive times {zone}"
        facts.append(f"event time: {contract.event_time} ({moment})")
    elif contract.valid_from is not None:
        first = moment_text(contract.valid_from, contract.business_day_zone)
        facts.append(f"no event time: the first drop is valid from {first}")
    facts.append(f"business day: {contract.business_day_zone}")
    facts.append(f"delivery: {contract.delivery}, {_DROPS[contract.delivery]}")
    facts += [
        f"reference: {', '.join(each.columns)} in {each.source}, {plural(each.missing_allowed, 'value')} may be missing"
        for each in contract.references
    ]
    return [*facts, *_limit_lines(contract), *_server_lines(contract), f"file: {contract.path}"]


def _limit_lines(contract: Contract) -> list[str]:
    """What is promised and allowed of a delivery as a whole, where the contract says it."""
    lines = []
    if (days := contract.expected_days) != EVERY_DAY:
        named = ", ".join(calendar.day_name[day] for day in days.weekdays)
        but = f", but for {plural(len(days.exceptions), 'day')}" if days.exceptions else ""
        lines.append(f"rows expected on: {named}{but}")
    if contract.freshness is not None:
        promised = human_duration(contract.freshness.total_seconds())
        lines.append(f"promised: a further whole day within {promised} of the last one's end")
    if contract.future_allowed:
        lines.append(f"rows after the clock: up to {human_duration(contract.future_allowed.total_seconds())}")
    if contract.quarantine_allowed is not None:
        lines.append(f"rows set aside where --quarantine asks for it: up to {contract.quarantine_allowed:.2%}")
    if people := [f"{column.name} ({column.pii})" for column in contract.columns if column.pii != PII_CLASSES[0]]:
        lines.append(f"about people: {', '.join(people)}")
    return lines


def _server_lines(contract: Contract) -> list[str]:
    """Where `features ingest SOURCE` takes from what is new, a line a server."""
    lines = []
    if contract.delivered is not None:
        drops = "all of them are one drop" if contract.delivered_as_one else "each is a drop"
        lines.append(f"files: {contract.delivered}, {drops}")
    if (table := contract.pulled) is not None:
        name = table.table if table.schema is None else f"{table.schema}.{table.table}"
        lines.append(f"table: {name} of {_PLACES[table.kind].format(table.place)}, {_news_in_words(table)}")
    return lines


def _news_in_words(table: TableServer) -> str:
    if table.watermark is None:
        return "all rows at each pull"
    overlap = table.overlap
    if not overlap:
        return f"rows from the last {table.watermark} on"
    before = human_duration(overlap.total_seconds()) if isinstance(overlap, timedelta) else number_text(overlap)
    return f"rows from {before} before the last {table.watermark} on"


def _values_in_words(contract: Contract, name: str) -> str:
    column = contract.column(name)
    if column.allowed:
        return ", ".join(str(value) for value in column.allowed)
    low, high = ("" if end is None else f"{end:,}" for end in (column.minimum, column.maximum))
    return f"{low} – {high}" if low and high else f"≥ {low}" if low else f"≤ {high}" if high else ""


def _server_documents(contract: Contract) -> list[dict[str, object]]:
    files = {"type": "files", "path": contract.delivered, "one_drop": contract.delivered_as_one}
    tables = [] if contract.pulled is None else [{"type": "table"} | vars(contract.pulled)]
    return [*([files] if contract.delivered is not None else []), *tables]


def _contract_facts(contract: Contract) -> dict[str, object]:
    return {
        "source": contract.name,
        "version": contract.version,
        "owner": contract.owner,
        "description": contract.description,
        "key": list(contract.key),
        "event_time": contract.event_time,
        "timestamp_zone": contract.timestamp_zone if contract.declares_zone else None,
        "business_day_zone": contract.business_day_zone,
        "valid_from": contract.valid_from,
        "delivery": contract.delivery,
        "servers": _server_documents(contract),
        "freshness": contract.freshness,
        "future_allowed": contract.future_allowed,
        "quarantine_allowed": contract.quarantine_allowed,
        "expected_days": vars(contract.expected_days),
        "file": contract.path,
    }

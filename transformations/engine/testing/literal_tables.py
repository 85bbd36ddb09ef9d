"""For tests of features: a literal table of events in, a feature's value at chosen as-of days out. No Spark,
milliseconds.

seconds = as_of(user_visits, "attention_seconds_sum_7d", '''
    user_id  visited_at        seconds
    1        2017-03-01 10:00  30.0''')
assert seconds(1, "2017-03-02") == 30.0
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from transformations.contracts import Contract, read_contract
from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.moments import MICROSECOND
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural
from transformations.engine.raw.files import RAW_TIMESTAMP
from transformations.engine.testing.reference import reference_row
from transformations.engine.vocabulary.definitions import Definition, declared_feature
from transformations.engine.vocabulary.dtypes import BOOL, DATE, FLOAT64, INT64, UNIX_TIMESTAMP, Dtype
from transformations.engine.vocabulary.functions import RowFunction
from transformations.engine.vocabulary.resolution import Resolved, resolve

_GAP = re.compile(r"\s{2,}|\t")
_NULLS = {"-", "null", "None"}


def as_of(
    definition: Definition, feature: str, events: str, *, contracts: Callable[[str], Contract] | None = None
) -> Callable[..., Any]:
    """A function of the entity's key and an as-of day that gives the feature's value there, by definition.

    events: a header of column names and a line an event, columns two or more spaces apart; `-` is null, columns left
    out are null, looked-up attributes stand beside the event's own columns, times without an offset are of the
    contract's timestampZone as in a delivery, and date-only events happen at the end of their business day. The
    returned function takes the join keys in order and then the day, a date or `YYYY-MM-DD`; None is an entity never
    seen before that day, or the feature's declared `unseen` value. contracts: by default those that the settings name.
    """
    resolved = resolve(definition, contracts or _read_contract_named)
    aggregation = declared_feature(definition, feature).aggregation
    rows = parse_events(resolved, events)

    def value(*key_and_day: Any) -> Any:
        *key, day = key_and_day
        if len(key) != len(definition.join_keys):
            raise UsageError(
                f"{definition.name} is keyed by {', '.join(definition.join_keys)}: give these, then the day."
            )
        own = [row for row in rows if [row[name] for name in definition.join_keys] == key]
        row = reference_row(resolved, own, day if isinstance(day, date) else date.fromisoformat(day))
        return aggregation.unseen if row is None else row[feature]

    return value


def _read_contract_named(name: str) -> Contract:
    return read_contract(name, get_settings().contracts)


def parse_events(resolved: Resolved, text: str) -> list[dict[str, Any]]:
    """The events of a literal table, typed by the source's contract."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    header = _GAP.split(lines[0])
    derived = {function.name for function in resolved.definition.derived}
    columns = {name: dtype for name, dtype in resolved.columns.items() if name not in derived}
    for name in header:
        if name not in columns and name != RAW_TIMESTAMP:
            raise UsageError(f"{resolved.name}: the table of events has a column {name!r}: {nearest(name, columns)}")
    return [_parse_event(resolved, columns, header, _GAP.split(line)) for line in lines[1:]]


def windows_of(definition: Definition, measure: str) -> list[tuple[str, int]]:
    """The features of a measure, each with the business days of its window; lifetimes left out.

    For tests that go on holding when windows are added or changed. UsageError for an unknown measure.
    """
    found = [each for each in definition.declared if each.aggregation.name == measure]
    if not found:
        known = {each.aggregation.name for each in definition.declared}
        raise UsageError(f"{definition.name} has no measure {measure!r}; {nearest(measure, known)}.")
    return [(each.name, each.window.days) for each in found if each.window.days is not None]


def untested_measures(definitions: Iterable[Definition], tests: Sequence[Path]) -> list[str]:
    """The measures, as `view.measure`, without a feature that `as_of(…)` asks for in these test files.

    Where a test asks in a loop, the features that it names anywhere count, and the measures whose `windows_of` it asks.
    """
    tested = {name for path in tests for name in _features_tested(path)}
    untested = []
    for definition in definitions:
        features: dict[str, set[str]] = {}
        for declared in definition.declared:
            features.setdefault(declared.aggregation.name, set()).add(declared.name)
        found = {measure: {measure, *names} & tested for measure, names in features.items()}
        untested += [f"{definition.name}.{measure}" for measure, asked in found.items() if not asked]
    return untested


def untested_functions(functions: Iterable[RowFunction], tests: Sequence[Path]) -> list[str]:
    """The names of the functions that none of these test files calls."""
    called = {
        _called_name(node) for path in tests for node in ast.walk(_syntax_tree(path)) if isinstance(node, ast.Call)
    }
    return [function.name for function in functions if function.name not in called]


def _features_tested(path: Path) -> Iterable[str]:
    for part in _syntax_tree(path).body:
        calls = [node for node in ast.walk(part) if isinstance(node, ast.Call) and _called_name(node) == "as_of"]
        named = [set(_text_constants(*call.args[1:2], *(each.value for each in call.keywords))) for call in calls]
        for names in named:
            yield from names or _text_constants(*ast.walk(part))


def _text_constants(*nodes: ast.AST) -> Iterable[str]:
    return (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _called_name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _syntax_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _parse_event(resolved: Resolved, columns: dict[str, Dtype], header: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(header):
        raise UsageError(
            f"{resolved.name}: an event has {plural(len(cells), 'cell')} for {plural(len(header), 'column')}: "
            f"{'  '.join(cells)}"
        )
    contract = resolved.contract
    given = dict(zip(header, cells, strict=True))
    event: dict[str, Any] = dict.fromkeys(columns)
    for name, cell in given.items():
        if cell in _NULLS:
            continue
        try:
            event[name] = (
                _end_of_day(cell, resolved.zone)
                if _is_date_only(contract, name)
                else _parse_cell(cell, columns.get(name), contract)
            )
        except ValueError as error:
            raise UsageError(
                f"{contract.name}: {cell!r} is no {columns.get(name, UNIX_TIMESTAMP)} for column {name} ({error}). "
                f"Write times as 2020-01-31 12:00Z, days as 2020-01-31, nulls as -."
            ) from None
    moment = event.get(contract.event_time) if contract.event_time else contract.valid_from
    event[RAW_TIMESTAMP] = event.get(RAW_TIMESTAMP) or moment
    if event[RAW_TIMESTAMP] is None:
        raise UsageError(
            f"{resolved.name}: an event has no time. Give the table a column {contract.event_time or RAW_TIMESTAMP}."
        )
    return event


def _is_date_only(contract: Contract, name: str) -> bool:
    return contract.event_time == name and contract.column(name).dtype == DATE.name


def _end_of_day(text: str, zone: str) -> datetime:
    return start_of_day(date.fromisoformat(text) + timedelta(days=1), zone) - MICROSECOND


def _parse_cell(text: str, dtype: Dtype | None, contract: Contract) -> Any:
    if dtype is None or dtype == UNIX_TIMESTAMP:
        return _parse_moment(text, contract)
    if dtype == BOOL:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{contract.name}: {text!r} cannot be true or false.")
        return text.lower() == "true"
    parse: dict[Dtype, Callable[[str], Any]] = {INT64: int, FLOAT64: float, DATE: date.fromisoformat}
    return parse.get(dtype, str)(text)


def _parse_moment(text: str, contract: Contract) -> datetime:
    """A literal moment, read as in a delivery; a local time that the clocks showed twice is the earlier one."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    if not contract.declares_zone:
        raise UsageError(
            f"{contract.name}: {text!r} has no offset, and {contract.file_name} names no timestampZone. "
            f"Write the time with its offset: {text if ':' in text else f'{text} 00:00'}Z."
        )
    instant = moment.replace(tzinfo=ZoneInfo(contract.timestamp_zone)).astimezone(UTC)
    if instant.astimezone(ZoneInfo(contract.timestamp_zone)).replace(tzinfo=None) != moment:
        raise UsageError(
            f"{contract.name}: clocks in {contract.timestamp_zone} never showed {text!r}: they skipped it."
        )
    return instant

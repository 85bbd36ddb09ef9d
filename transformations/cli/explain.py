"""`features explain`: one value from its events over the run and row that carry it to what is online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING

import click

from transformations.cli.output import json_option, print_json, print_table, remark, say
from transformations.engine.errors import DataError, FeaturesError, UsageError, nearest
from transformations.engine.settings import Settings, get_settings

if TYPE_CHECKING:
    from transformations.cli.repository import OfferedView
    from transformations.engine.offline_tables import Run
    from transformations.engine.resolution import Feature, Resolved
    from transformations.stores.history import History

_SHOWN = 20


@click.command(
    epilog="""\b
Examples:
  features explain spend_sum_7d 42                          as it would be served now
  features explain user_visits:spend_sum_7d 42 --at 2020-02-01T09:30:00Z
  features explain topic_clicks_count_7d user_id=7,topic=animals --at 2020-02-01
"""
)
@click.argument("feature")
@click.argument("key")
@click.option("--at", "at", metavar="DAY|MOMENT", help="As-of which day, or served at which moment. [default: now]")
@json_option
def explain(feature: str, key: str, at: str | None, as_json: bool) -> None:
    """Show what is behind the value of FEATURE for KEY: events, run, row of the table, and the online value.

    KEY is the value of the view's join key, or `column=value,column=value`. The events are today's, the row is the
    one that training retrieval chooses at that moment, the online value is that of now.
    """
    settings = get_settings()
    explained = explained_value(feature, key, at, settings)
    if as_json:
        print_json(asdict(explained))
    else:
        _print(explained)


@dataclass(frozen=True)
class Row:
    """A row of the table, and the run that wrote it. version: of the table, since when it is there."""

    value: object
    event_timestamp: datetime
    created_timestamp: datetime
    run_id: str | None
    version: int | None
    kind: str | None
    started_at: datetime | None
    code_revision: str | None


@dataclass(frozen=True)
class Online:
    """What a lookup gives now. difference: where training differs, of what kind and why."""

    value: object
    status: str
    event_timestamp: datetime | None
    moment: datetime
    loaded_version: int | None
    loaded_end: datetime | None
    difference: str | None


@dataclass(frozen=True)
class Explained:
    """One value, from its events on. value: by definition, of today's events; rows: of this as-of day and the newest
    one before it, oldest first; chosen: by retrieval at the moment.
    """

    view: str
    feature: str
    key: Mapping[str, object]
    unit: str
    moment: datetime
    as_of: date
    zone: str
    window: str
    events: Sequence[Mapping[str, object]]
    more_events: int
    value: object
    chosen: Row | None
    other_rows: Sequence[Row]
    table_version: int | None
    online: Online | None
    remarks: Sequence[str]


def explained_value(feature: str, key: str, at: str | None, settings: Settings) -> Explained:
    """Everything behind one value; UsageError for an unknown feature or key, DataError where nothing was ingested."""
    from transformations.cli.entity_events import entity_events
    from transformations.cli.preview import as_of_day, parse_key
    from transformations.engine.business_days import start_of_day
    from transformations.engine.reference import reference_row

    offered, found = _found(feature, settings)
    resolved = offered.resolved
    entity = parse_key(key, resolved.join_keys, resolved.name)
    as_of = as_of_day(at, resolved, settings)
    moment = _moment(at, settings) or start_of_day(as_of, resolved.zone) + resolved.definition.available_after
    every = entity_events(resolved, entity, settings)
    inside = _inside(every, found, as_of, resolved)
    row = reference_row(resolved, every, as_of)
    remarks: list[str] = []
    rows, version = _rows(offered, found, entity, settings, remarks)
    visible = [each for each in rows if each.event_timestamp <= moment]
    chosen = visible[-1] if visible else None
    near = [each for each in visible[:-1] if chosen and each.event_timestamp == chosen.event_timestamp]
    value = found.declared.aggregation.unseen if row is None else row[found.name]
    if chosen is not None and chosen.value != (row and row[found.name]):
        remarks.append("the table is not what today's events give: `features status` tells what has not been built")
    return Explained(
        resolved.name,
        found.name,
        entity,
        found.declared.aggregation.unit,
        moment,
        as_of,
        resolved.zone,
        str(found.declared.window),
        [_columns(each, found, resolved) for each in inside[-_SHOWN:]],
        max(len(inside) - _SHOWN, 0),
        value,
        chosen,
        near,
        version,
        _online(offered, found, entity, settings, remarks),
        remarks,
    )


def _found(feature: str, settings: Settings) -> tuple[OfferedView, Feature]:
    from transformations.cli.repository import read_repository

    views = read_repository(settings).views
    named = {f"{name}:{each.name}": (view, each) for name, view in views.items() for each in view.resolved.features}
    matching = [name for name in named if feature in (name, name.partition(":")[2])]
    if not matching:
        short = {name.partition(":")[2] for name in named}
        raise UsageError(
            f"no view computes a feature {feature!r}: {nearest(feature, short)}. An on-demand feature is explained by "
            f"those that it reads: `features show {feature}` names them."
        )
    if len(matching) > 1:
        raise UsageError(f"{feature!r} is in several views. Write {' or '.join(matching)}.")
    return named[matching[0]]


def _moment(at: str | None, settings: Settings) -> datetime | None:
    """The instant asked for; None for a day."""
    if at is None:
        return settings.now()
    try:
        date.fromisoformat(at)
    except ValueError:
        moment = datetime.fromisoformat(at)  # `as_of_day` has refused all else
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _inside(
    events: Sequence[Mapping[str, object]], feature: Feature, as_of: date, resolved: Resolved
) -> list[Mapping[str, object]]:
    """The events of the feature's window, oldest first."""
    from transformations.engine.business_days import start_of_day
    from transformations.engine.reference import EVENT_TIME

    until = start_of_day(as_of, resolved.zone)
    length = feature.declared.window.days
    since = None if length is None else start_of_day(as_of - timedelta(days=length), resolved.zone)
    inside = []
    for event in events:
        at = event[EVENT_TIME]
        assert isinstance(at, datetime)
        if at < until and (since is None or at >= since):
            inside.append((at, event))
    return [event for _, event in sorted(inside, key=lambda pair: pair[0])]


def _columns(event: Mapping[str, object], feature: Feature, resolved: Resolved) -> dict[str, object]:
    """An event's time, key and the columns that the feature reads."""
    from transformations.engine.reference import EVENT_TIME

    read = feature.declared.aggregation.columns()
    names = dict.fromkeys([*resolved.contract.key, *(name for name in event if name in read)])
    return {"event time": event[EVENT_TIME]} | {name: event[name] for name in names if name in event}


def _rows(
    offered: OfferedView, feature: Feature, entity: Mapping[str, object], settings: Settings, remarks: list[str]
) -> tuple[list[Row], int | None]:
    """The entity's rows in the order in which retrieval prefers them, the best last; and the table's version."""
    from transformations.engine.offline_tables import OfflineTable
    from transformations.stores.history import history_of

    table = OfflineTable(settings.offline_dir / offered.resolved.name)
    try:
        history = history_of(offered.view, None)
    except DataError as error:
        remarks.append(str(error))
        return [], None
    runs = {run.run_id: run for run in table.runs()}
    return [_row(*cells, runs=runs) for cells in _cells(history, feature.name, entity)], history.version


def _cells(
    history: History, feature: str, entity: Mapping[str, object]
) -> list[tuple[object, datetime, datetime, str]]:
    from transformations.engine.duck import identifier, literal, session

    files = ", ".join(map(literal, history.files))
    where = " AND ".join(f"{identifier(name)} = {literal(value)}" for name, value in entity.items())
    if not history.files:
        return []
    with session() as connection:
        found = connection.sql(
            f"""
            SELECT {identifier(feature)} AS value, event_timestamp, created_timestamp, filename
            FROM read_parquet([{files}], union_by_name = true, filename = true, hive_partitioning = false)
            WHERE {where}
            ORDER BY event_timestamp, created_timestamp
            """
        ).to_arrow_table()
    columns = [found[name].to_pylist() for name in ("value", "event_timestamp", "created_timestamp", "filename")]
    return list(zip(*columns, strict=True))


def _row(value: object, event: datetime, created: datetime, file: str, *, runs: Mapping[str, Run]) -> Row:
    """A run writes into a folder that is called after it."""
    names = [part.removeprefix("run=") for part in PurePath(file).parts if part.startswith("run=")]
    run = runs.get(names[-1]) if names else None
    facts = (run.run_id, run.version, run.kind, run.started_at, run.code_revision) if run else (None,) * 5
    return Row(value, event, created, *facts)


def _online(
    offered: OfferedView, feature: Feature, entity: Mapping[str, object], settings: Settings, remarks: list[str]
) -> Online | None:
    import pyarrow as pa

    from transformations.cli.repository import open_store
    from transformations.stores.loaded import loaded_views
    from validation.parity_live import look_at

    moment = settings.now()
    try:
        store = open_store(settings)
        view = store.registry.get_feature_view(offered.view.name, store.project, allow_cache=True)
        loaded = loaded_views(store, settings)
        entities = pa.table({name: [value] for name, value in entity.items()})
        served, finding = look_at(store, view, feature.name, loaded, moment, entities)
    except (FeaturesError, UsageError) as error:
        remarks.append(f"online: {error}")
        return None
    known = loaded.get(view.name)
    difference = None if finding is None else f"{finding.kind}, {finding.cause}: {finding.words}"
    return Online(
        served.value,
        served.status,
        served.event,
        moment,
        known.version if known else None,
        known.end if known else None,
        difference,
    )


def _print(found: Explained) -> None:
    words = ", ".join(f"{name} {value}" for name, value in found.key.items())
    say(click.style(f"{found.view}:{found.feature}", bold=True) + f" of {words}, at {_shown(found.moment)}")
    say(f"\nBy definition, as-of {found.as_of} ({found.zone}), {found.window}: {_shown(found.value)} {found.unit}")
    if found.events:
        if found.more_events:
            say(f"{found.more_events:,} older events, then:")
        names = list(found.events[0])
        print_table(names, [[_shown(event[name]) for name in names] for event in found.events])
    else:
        say("no event of this key lies in the window")
    say("")
    if found.chosen is None:
        say("Offline: no row of this key at that moment")
    else:
        say(f"Offline, version {found.table_version} of the table: {_shown(found.chosen.value)}")
        headers = ["", "Value", "Event timestamp", "Created timestamp", "Run", "Since version", "Kind", "Code"]
        rows = [("corrected", *_cells_of(each)) for each in found.other_rows]
        print_table(headers, [*rows, ("chosen", *_cells_of(found.chosen))])
    say("")
    if found.online is not None:
        _print_online(found.online)
    for each in found.remarks:
        remark(each)


def _print_online(online: Online) -> None:
    say(f"Online, at {_shown(online.moment)}: {_shown(online.value)} ({online.status})")
    event = "no row" if online.event_timestamp is None else f"the row of {_shown(online.event_timestamp)}"
    source = "never materialized" if online.loaded_end is None else f"materialized up to {_shown(online.loaded_end)}"
    version = "" if online.loaded_version is None else f" from version {online.loaded_version}"
    say(f"{event}; {source}{version}")
    say(f"differs from training: {online.difference}" if online.difference else "as training has it at this moment")


def _cells_of(row: Row) -> tuple[object, ...]:
    version = None if row.version is None else str(row.version)
    run, code = (text and text[:8] for text in (row.run_id, row.code_revision))
    return _shown(row.value), _shown(row.event_timestamp), _shown(row.created_timestamp), run, version, row.kind, code


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, datetime):
        whole = value.astimezone(UTC)
        return whole.strftime("%Y-%m-%d %H:%M:%S.%f" if whole.microsecond else "%Y-%m-%d %H:%M:%S") + " UTC"
    return str(value)

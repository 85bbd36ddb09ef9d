"""What is behind one value of a stored feature: its events, the run and row that carry it, and what is online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from operator import itemgetter
from pathlib import Path, PurePath

import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView
from feast.errors import FeastError

from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.duck import session
from transformations.engine.base.errors import DamagedError, DataError, DiskError, FeaturesError
from transformations.engine.base.settings import Settings
from transformations.engine.merging.data_changes import original_files
from transformations.engine.raw.files import RAW_TIMESTAMP
from transformations.engine.tables.offline_tables import OfflineTable, Run
from transformations.engine.testing.reference import reference_row
from transformations.engine.vocabulary.dtypes import Dtype
from transformations.engine.vocabulary.resolution import Feature, Resolved
from transformations.insight.repository import OfferedView, open_store
from transformations.insight.table_rows_sql import rows_of_entity
from transformations.insight.values.asked import as_of_day
from transformations.insight.values.entity_events import Event, entity_events
from transformations.stores.history.history import History, history_of
from transformations.stores.redis.loaded import loaded_views
from validation.parity.live import look_at

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table, and the run that wrote it. version: the first version of the table that holds it."""

    value: object
    event_timestamp: datetime
    created_timestamp: datetime
    run_id: str | None
    version: int | None
    kind: str | None
    started_at: datetime | None
    code_revision: str | None


@dataclass(frozen=True, kw_only=True)
class Online:
    """What a lookup gives now.

    loaded_version, loaded_end: the table version and END of the view's last load; None for a computed feature, whose
    inputs have them. difference: how training differs and why; None where it agrees.
    """

    value: object
    status: str
    event_timestamp: datetime | None
    moment: datetime
    loaded_version: int | None
    loaded_end: datetime | None
    difference: str | None


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One value, from its events on.

    events: today's, or those that the table's version was made of. value: what the definition gives for them. chosen:
    the row that retrieval takes at the moment; other_rows: earlier rows of the same as-of day, which it replaced,
    oldest first. zone: of the business day; timestamp_zone: of the source's times.
    """

    view: str
    feature: str
    key: Mapping[str, object]
    unit: str
    moment: datetime
    as_of: date
    zone: str
    timestamp_zone: str
    window: str
    events: Sequence[Mapping[str, object]]
    more_events: int
    value: object
    chosen: Row | None
    other_rows: Sequence[Row]
    table_version: int | None
    online: Online | None
    remarks: Sequence[str]


def explain_stored(
    offered: OfferedView,
    found: Feature,
    entity: Mapping[str, object],
    asked: datetime | date,
    settings: Settings,
    built: int | None = None,
) -> Explained:
    """Everything behind one value of a stored feature. built: the version of the table that it came from; its rows are
    shown then, and the events that it was made of. By default the newest rows and today's events.

    DataError where nothing was ingested, and where that version or its events are gone.
    """
    resolved = offered.resolved
    as_of = as_of_day(asked, resolved)
    moment = asked if isinstance(asked, datetime) else resolved.available_from(as_of)
    run = None if built is None else _run_of(offered.view.name, built, settings)
    every = entity_events(resolved, entity, settings, run.sources if run else None)
    inside = _events_in_window(every, found, as_of, resolved)
    row = reference_row(resolved, every, as_of)
    remarks: list[str] = []
    rows, version = _rows_of_entity(offered, found, entity, built, settings, remarks)
    visible = [each for each in rows if each.event_timestamp <= moment]
    chosen = visible[-1] if visible else None
    near = [each for each in visible[:-1] if chosen and each.event_timestamp == chosen.event_timestamp]
    value = found.declared.aggregation.unseen if row is None else row[found.name]
    if run is not None:
        remarks.append(_of_which(run, resolved))
    elif chosen is not None and chosen.value != (row and row[found.name]):
        remarks.append("the table is not what today's events give: `features status` shows what is not built yet")
    return Explained(
        view=resolved.name,
        feature=found.name,
        key=entity,
        unit=found.declared.aggregation.unit,
        moment=moment,
        as_of=as_of,
        zone=resolved.zone,
        timestamp_zone=resolved.contract.shown_zone,
        window=str(found.declared.window),
        events=[_event_columns(each, found, resolved) for each in inside[-_SHOWN:]],
        more_events=max(len(inside) - _SHOWN, 0),
        value=value,
        chosen=chosen,
        other_rows=near,
        table_version=version,
        online=look_now(offered.view, found.name, one_row(entity, resolved.join_keys), {}, settings, remarks),
        remarks=remarks,
    )


def one_row(entity: Mapping[str, object], join_keys: Mapping[str, Dtype]) -> pa.Table:
    """An entity as a table."""
    return pa.table({name: pa.array([entity[name]], dtype.arrow) for name, dtype in join_keys.items()})


def look_now(
    view: FeatureView | OnDemandFeatureView,
    feature: str,
    entity: pa.Table,
    request: Mapping[str, object],
    settings: Settings,
    remarks: list[str],
) -> Online | None:
    """What is online now, beside training. view: as the repository has it. None, and a remark, where nothing is."""
    moment = settings.now()
    try:
        store = open_store(settings)
        registry = store.registry
        is_computed = isinstance(view, OnDemandFeatureView)
        get = registry.get_on_demand_feature_view if is_computed else registry.get_feature_view
        applied = get(view.name, store.project, allow_cache=True)
        loaded = loaded_views(store, settings)
        served, finding = look_at(store, applied, feature, loaded=loaded, moment=moment, entity=entity, request=request)
    except (DamagedError, DiskError):
        raise
    except (FeaturesError, FeastError) as error:
        remarks.append(f"online: {error}")
        return None
    known = loaded.get(view.name)
    difference = None if finding is None else f"{finding.kind}, {finding.cause}: {finding.words}"
    return Online(
        value=served.value,
        status=served.status,
        event_timestamp=served.event,
        moment=moment,
        loaded_version=known.version if known else None,
        loaded_end=known.end if known else None,
        difference=difference,
    )


def _events_in_window(events: Sequence[Event], feature: Feature, as_of: date, resolved: Resolved) -> list[Event]:
    """The events of the feature's window, oldest first."""
    until = start_of_day(as_of, resolved.zone)
    length = feature.declared.window.days
    since = None if length is None else start_of_day(as_of - timedelta(days=length), resolved.zone)
    inside = [
        event for event in events if event[RAW_TIMESTAMP] < until and (not since or event[RAW_TIMESTAMP] >= since)
    ]
    return sorted(inside, key=itemgetter(RAW_TIMESTAMP))


def _event_columns(event: Event, feature: Feature, resolved: Resolved) -> dict[str, object]:
    """An event's time, key and the columns that the feature reads."""
    read = feature.declared.aggregation.columns()
    names = dict.fromkeys([*resolved.contract.key, *(name for name in event if name in read)])
    return {"event time": event[RAW_TIMESTAMP]} | {name: event[name] for name in names if name in event}


def _run_of(view: str, version: int, settings: Settings) -> Run:
    """The run that made a version of a view's table."""
    run = next((each for each in OfflineTable(settings.offline_dir / view).runs() if each.version == version), None)
    if run is None:
        raise DataError(f"{view}: version {version} of the table is not known any more, nor what it was made of.")
    return run


def _of_which(run: Run, resolved: Resolved) -> str:
    """Of which events a version of a table was made, and whether by today's definition."""
    sources = ", ".join(f"{name}@{version}" for name, version in run.sources.items())
    made = f"version {run.version} of the table was made of {sources}, as the events above are"
    if run.definition_hash == resolved.hash:
        return made
    return f"{made}, by definition {run.definition_hash[:8]}; today's is {resolved.hash[:8]}"


def _rows_of_entity(
    offered: OfferedView,
    feature: Feature,
    entity: Mapping[str, object],
    version: int | None,
    settings: Settings,
    remarks: list[str],
) -> tuple[list[Row], int | None]:
    """The entity's rows in the order in which retrieval prefers them, the best last; and the table's version."""
    try:
        return rows_of_key(offered.view, feature.name, entity, version, settings)
    except DamagedError:
        raise
    except DataError as error:
        remarks.append(str(error))
        return [], None


def rows_of_key(
    view: FeatureView, feature: str, entity: Mapping[str, object], version: int | None, settings: Settings
) -> tuple[list[Row], int | None]:
    """The rows of a key in a version of a view's table, by default the newest, and that version.

    In the order in which retrieval prefers them, the best last. DataError where there is no such table or version.
    """
    table = OfflineTable(settings.offline_dir / view.name)
    history = _before_merging(history_of(view, None, version, features=[feature]))
    runs = {run.run_id: run for run in table.runs()}
    rows = [_row_of_run(*cells, runs=runs) for cells in _cells_of_entity(history, feature, entity)]
    return rows, history.version


def _before_merging(history: History) -> History:
    """The history as its runs wrote it, whose files name their runs; as it is where these files are gone."""
    if history.folder is None or history.version is None:
        return history
    originals = [str(history.folder / path) for path in original_files(history.folder, history.version)]
    whole = all(Path(file).exists() for file in originals)
    return replace(history, files=tuple(sorted(originals))) if whole else history


def _cells_of_entity(
    history: History, feature: str, entity: Mapping[str, object]
) -> list[tuple[object, datetime, datetime, str]]:
    """Per row: the feature's value, event and created timestamp, and the file that holds it."""
    if not history.files:
        return []
    stamps = [history.timestamp, str(history.created)]
    with session() as connection:
        relation = history.scan(connection, [feature, *entity, *stamps]).relation
        found = connection.sql(rows_of_entity(relation, feature, stamps, entity)).to_arrow_table()
    values, events, created, numbers = (column.to_pylist() for column in found.columns)
    return list(zip(values, events, created, [history.files[number] for number in numbers], strict=True))


def _row_of_run(value: object, event: datetime, created: datetime, file: str, *, runs: Mapping[str, Run]) -> Row:
    """A row and the run that wrote its file, which lies in a folder named after the run."""
    names = [part.removeprefix("run=") for part in PurePath(file).parts if part.startswith("run=")]
    run = runs.get(names[-1]) if names else None
    return Row(
        value=value,
        event_timestamp=event,
        created_timestamp=created,
        run_id=run.run_id if run else None,
        version=run.version if run else None,
        kind=run.kind if run else None,
        started_at=run.started_at if run else None,
        code_revision=run.code_revision if run else None,
    )

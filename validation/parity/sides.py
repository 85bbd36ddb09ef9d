"""The sides of a live comparison: what is served, what training gives, and what the table holds, now and when loaded.

Three things are held against each other for each entity at one moment: what a lookup gives, what training retrieval
gives, and what the table holds, in the newest version and in the one that was materialized. So a difference is either
owed to the time between two materializations, or one of the two paths is at fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from feast import FeatureView
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import EVENT_TIMESTAMP
from transformations.engine.vocabulary.functions import REQUEST_TIMESTAMP
from transformations.stores.history.history import History, history_of
from transformations.stores.redis.loaded import Loaded
from validation.parity.causes import Case, Load, Reason, Served, reason_of
from validation.parity.comparison import values_agree
from validation.parity.report import FeatureReport, Finding
from validation.parity.rows import Held, entities_of, held_at, written

if TYPE_CHECKING:
    from feast import FeatureStore

_ROWS_A_REQUEST = 1000


@dataclass(frozen=True)
class Sample:
    """Which entities are compared: all of a view, or so many of them; the same ones for the same seed."""

    size: int | None = 1000
    seed: int = 0


@dataclass(frozen=True)
class Installation:
    """What is compared: a store, what its views were loaded from, when, and the values of request fields."""

    store: FeatureStore
    loaded: Mapping[str, Loaded]
    moment: datetime
    request: Mapping[str, object]


@dataclass(frozen=True)
class Sides:
    """A view's entities, with what every side has of them. served: for each feature, an entry an entity."""

    entities: pa.Table
    load: Load
    promised: Held
    held: Held
    history: History | None
    served: Mapping[str, Sequence[Served]]
    training: pa.Table
    reasons: dict[tuple[str, int], Reason] = field(default_factory=dict)


class NotComparable(Exception):  # noqa: N818  # no error: a view that this comparison leaves out
    """Why a view is left out."""


def sides_of(installation: Installation, view: FeatureView, entities: Sample | pa.Table) -> Sides:
    """What each side has of a stored view, for these entities or a sample of the view's own."""
    if not view.online:
        raise NotComparable("it is not online")
    store, moment = installation.store, installation.moment
    newest = newest_of(store, view)
    load, then = _load_of(installation, view, newest)
    if isinstance(entities, Sample):
        entities = entities_of(view, [newest, *([then] if then else [])], entities.size, entities.seed)
    references = [f"{view.name}:{feature.name}" for feature in view.features]
    end = load.end or moment
    return Sides(
        entities,
        load,
        # Plain files have no versions: what was created after the run was not there for it.
        held_at(view, then, entities, min(end, moment), known_at=end if load.newest is None else None),
        held_at(view, newest, entities, moment),
        newest,
        look_up(installation, references, entities),
        retrieve(installation, references, entities),
    )


def newest_of(store: FeatureStore, view: FeatureView) -> History:
    """The view's table as it is now."""
    try:
        return history_of(view, store.config.repo_path)
    except DataError as error:
        raise NotComparable(str(error)) from error


def _load_of(installation: Installation, view: FeatureView, newest: History) -> tuple[Load, History | None]:
    """What was loaded of a view, and the history that it was loaded from; None where there is none, or none alike."""
    known = installation.loaded.get(view.name)
    if known is None:
        return Load(None, None, newest.version), None
    if known.version is None or known.version == newest.version:
        return Load(known.version, known.end, newest.version), newest
    try:
        then = history_of(view, installation.store.config.repo_path, known.version)
    except DataError:
        return Load(known.version, known.end, newest.version, was_rebuilt=True), None
    return Load(known.version, known.end, newest.version), then


def compare_stored(view: FeatureView, sides: Sides, moment: datetime) -> list[FeatureReport]:
    """A report for each feature of a stored view; the reason of each difference is left in `sides.reasons`."""
    differing = {feature.name: _differing(sides, feature.name, moment) for feature in view.features}
    rows = sorted({row for found in differing.values() for row in found})
    histories = dict(zip(rows, written(view, sides.history, sides.entities.take(rows)), strict=True)) if rows else {}
    reports = []
    for feature in view.features:
        report = FeatureReport(f"{view.name}:{feature.name}", sides.entities.num_rows)
        for row in differing[feature.name]:
            case = Case(
                feature.name,
                row,
                moment,
                sides.served[feature.name][row],
                sides.training[feature.name][row].as_py(),
                sides.promised,
                sides.held,
                any(values[row].event for values in sides.served.values()),
                histories[row],
                sides.load,
            )
            reason = sides.reasons[feature.name, row] = reason_of(case)
            report.add(finding_of(report.feature, sides.entities, row, case.served, case.training, reason))
        reports.append(report)
    return reports


def _differing(sides: Sides, feature: str, moment: datetime) -> list[int]:
    """The entities whose value differs between the paths, or whose status is not the one owed."""
    served = sides.served[feature]
    agree = values_agree([each.value for each in served], sides.training[feature])
    statuses = np.array([each.status for each in served], dtype=object)
    owed = np.array([each.status for each in sides.held.column(feature, moment)], dtype=object)
    return [int(row) for row in np.flatnonzero(~agree | (statuses != owed))]


def look_up(installation: Installation, references: Sequence[str], rows: pa.Table) -> dict[str, list[Served]]:
    """Plain Feast's lookups, each of some rows; every row asks for the same moment."""
    served: dict[str, list[Served]] = {reference.partition(":")[2]: [] for reference in references}
    for first in range(0, rows.num_rows, _ROWS_A_REQUEST):
        some = rows.slice(first, _ROWS_A_REQUEST)
        entity_rows = [{**row, REQUEST_TIMESTAMP: installation.moment} for row in some.to_pylist()]
        response = installation.store.get_online_features(features=list(references), entity_rows=entity_rows)
        values: dict[str, list[Any]] = response.to_dict()
        for name, vector in zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True):
            if name in served:
                served[name] += [
                    Served(value, FieldStatus.Name(status), _event(stamp))
                    for value, status, stamp in zip(values[name], vector.statuses, vector.event_timestamps, strict=True)
                ]
    return served


def _event(stamp: Any) -> datetime | None:
    moment: datetime = stamp.ToDatetime(tzinfo=UTC)
    return moment if stamp.seconds or stamp.nanos else None


def retrieve(installation: Installation, references: Sequence[str], rows: pa.Table) -> pa.Table:
    """Training retrieval at the same moment, as corrected: Feast's default."""
    moments = pa.array([installation.moment] * rows.num_rows, pa.timestamp("us", tz="UTC"))
    spine: Any = rows.append_column(EVENT_TIMESTAMP, moments)
    return installation.store.get_historical_features(entity_df=spine, features=list(references)).to_arrow()


def finding_of(feature: str, rows: pa.Table, row: int, served: Served, training: object, reason: Reason) -> Finding:
    """One difference, of the entity in this row."""
    keys = {name: rows[name][row].as_py() for name in rows.column_names}
    return Finding(feature, keys, served.value, served.status, training, *reason)

"""Parity of a live installation: online rows against training retrieval, each difference classed and explained.

Three things are held against each other for each entity at one moment: what a lookup gives, what training retrieval
gives, and what the table holds, in the newest version and in the one that was materialized. So a difference is either
owed to the time between two materializations, or one of the two paths is at fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.types import FeastType

from transformations.engine.errors import DataError, FeaturesError
from transformations.engine.functions import REQUEST_TIMESTAMP
from transformations.stores.history import History, history_of
from transformations.stores.loaded import Loaded
from transformations.stores.on_demand import evaluate
from transformations.stores.values import arrow_type
from validation.parity import values_agree
from validation.parity_causes import Case, Cause, Kind, Load, Reason, Served, reason_of, same_value
from validation.parity_report import FeatureReport, Finding, LiveReport
from validation.parity_rows import NOT_FOUND, NULL_VALUE, PRESENT, Held, entities_of, held_at, join_keys, written

if TYPE_CHECKING:
    from feast import FeatureStore

_ROWS_A_REQUEST = 1000


@dataclass(frozen=True)
class Sample:
    """Which entities are compared: all of a view, or so many of them; the same ones for the same seed."""

    size: int | None = 1000
    seed: int = 0


@dataclass(frozen=True)
class _Installation:
    store: FeatureStore
    loaded: Mapping[str, Loaded]
    moment: datetime
    request: Mapping[str, object]


@dataclass(frozen=True)
class _Sides:
    """A view's entities, with what every side has of them. served: for each feature, an entry an entity."""

    entities: pa.Table
    load: Load
    promised: Held
    held: Held
    history: History | None
    served: Mapping[str, Sequence[Served]]
    training: pa.Table
    reasons: dict[tuple[str, int], Reason] = field(default_factory=dict)


def check_live(
    store: FeatureStore,
    views: Sequence[FeatureView | OnDemandFeatureView],
    loaded: Mapping[str, Loaded],
    moment: datetime,
    *,
    sample: Sample | None = None,
    request: Mapping[str, object] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> LiveReport:
    """Compare these views, online against training, for a sample of entities at a moment (UTC).

    loaded: what each view was last materialized from, as Redis has it. request: values of request fields, by name;
    others get one by their dtype. An on-demand view is compared where the keys of one of its stored views are all the
    keys that it needs.
    """
    installation = _Installation(store, loaded, moment, request or {})
    chosen = sample or Sample()
    reports: list[FeatureReport] = []
    skipped: dict[str, str] = {}
    for view in views:
        try:
            if isinstance(view, OnDemandFeatureView):
                reports += _compare_on_demand(installation, view, chosen)
            else:
                reports += _compare_stored(view, _sides_of(installation, view, chosen), moment)
        except _NotComparable as reason:
            skipped[view.name] = str(reason)
        progress(1)
    return LiveReport(moment, tuple(reports), skipped)


def look_at(
    store: FeatureStore,
    view: FeatureView,
    feature: str,
    loaded: Mapping[str, Loaded],
    moment: datetime,
    entity: pa.Table,
) -> tuple[Served, Finding | None]:
    """What is online of one feature of one entity, and how it differs from training, if it does."""
    installation = _Installation(store, loaded, moment, {})
    try:
        sides = _sides_of(installation, view, Sample(), entity)
    except _NotComparable as reason:
        raise DataError(f"{view.name}: {reason}") from reason
    reports = {each.feature: each for each in _compare_stored(view, sides, moment)}
    return sides.served[feature][0], next(iter(reports[f"{view.name}:{feature}"].examples), None)


class _NotComparable(Exception):  # noqa: N818  # no error: a view that this comparison leaves out
    """Why a view is left out."""


def _sides_of(
    installation: _Installation, view: FeatureView, sample: Sample, entities: pa.Table | None = None
) -> _Sides:
    if not view.online:
        raise _NotComparable("it is not online")
    store, moment = installation.store, installation.moment
    newest = _newest(store, view)
    load, then = _load_of(installation, view, newest)
    if entities is None:
        entities = entities_of(view, [newest, *([then] if then else [])], sample.size, sample.seed)
    references = [f"{view.name}:{feature.name}" for feature in view.features]
    end = load.end or moment
    return _Sides(
        entities,
        load,
        # Plain files have no versions: what was created after the run was not there for it.
        held_at(view, then, entities, min(end, moment), known_at=end if load.newest is None else None),
        held_at(view, newest, entities, moment),
        newest,
        _look_up(installation, references, entities),
        _retrieve(installation, references, entities),
    )


def _newest(store: FeatureStore, view: FeatureView) -> History:
    """The view's table as it is now."""
    try:
        return history_of(view, store.config.repo_path)
    except DataError as error:
        raise _NotComparable(str(error)) from error


def _load_of(installation: _Installation, view: FeatureView, newest: History) -> tuple[Load, History | None]:
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


def _compare_stored(view: FeatureView, sides: _Sides, moment: datetime) -> list[FeatureReport]:
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
            report.add(_finding(report.feature, sides.entities, row, case.served, case.training, reason))
        reports.append(report)
    return reports


def _differing(sides: _Sides, feature: str, moment: datetime) -> list[int]:
    """The entities whose value differs between the paths, or whose status is not the one owed."""
    served = sides.served[feature]
    agree = values_agree([each.value for each in served], sides.training[feature])
    statuses = np.array([each.status for each in served], dtype=object)
    owed = np.array([each.status for each in sides.held.column(feature, moment)], dtype=object)
    return [int(row) for row in np.flatnonzero(~agree | (statuses != owed))]


def _compare_on_demand(installation: _Installation, view: OnDemandFeatureView, sample: Sample) -> list[FeatureReport]:
    stored = _stored_views(installation, view)
    keys = {key for each in stored for key in join_keys(each)}
    widest = next((each for each in stored if set(join_keys(each)) == keys), None)
    if widest is None:
        raise _NotComparable(f"it needs {', '.join(sorted(keys))}, which no single one of its stored views is keyed by")
    entities = entities_of(widest, [_newest(installation.store, widest)], sample.size, sample.seed)
    inputs = {each.name: _sides_of(installation, each, sample, entities) for each in stored}
    for each in stored:
        _compare_stored(each, inputs[each.name], installation.moment)  # leaves the reasons
    rows = _with_request(installation, view, entities)
    references = [f"{view.name}:{feature.name}" for feature in view.features]
    reports = {feature.name: FeatureReport(f"{view.name}:{feature.name}", rows.num_rows) for feature in view.features}
    try:
        served, training = _look_up(installation, references, rows), _retrieve(installation, references, rows)
        owed = _evaluated(installation, view, inputs, rows)
    except FeaturesError as error:
        refused: Reason = Kind.SKEW, Cause.CHANGED_FUNCTION, str(error)
        for report in reports.values():
            for row in range(rows.num_rows):
                report.add(_finding(report.feature, rows, row, Served(None, NOT_FOUND, None), None, refused))
        return list(reports.values())
    for name, report in reports.items():
        agree = values_agree([each.value for each in served[name]], training[name])
        shown = np.array([each.status in (PRESENT, NULL_VALUE) for each in served[name]], dtype=np.bool_)
        for row in map(int, np.flatnonzero(~agree | ~shown)):
            value = training[name][row].as_py()
            found = _input_reasons(view, name, inputs, row)
            reason = _computed_reason(served[name][row], value, owed[name][row].as_py(), found)
            report.add(_finding(report.feature, rows, row, served[name][row], value, reason))
    return list(reports.values())


def _computed_reason(served: Served, training: object, owed: object, inputs: Sequence[tuple[str, Reason]]) -> Reason:
    """A computed value differs as its inputs do; where they do not, the function does."""
    if not same_value(training, owed):
        words = f"training has {training!r}, this code computes {owed!r} of the same inputs"
        return Kind.SKEW, Cause.CHANGED_FUNCTION, words
    if inputs:
        feature, (kind, cause, words) = max(inputs, key=lambda each: each[1][0] == Kind.SKEW)
        return kind, cause, f"by its input {feature}: {words}"
    return Kind.SKEW, Cause.CHANGED_FUNCTION, f"online has {served.value!r} ({served.status}), of the same inputs"


def _input_reasons(
    view: OnDemandFeatureView, name: str, inputs: Mapping[str, _Sides], row: int
) -> list[tuple[str, Reason]]:
    """The differences of what a computed feature reads; where its wiring is not known, of all that its view reads."""
    wired = view.tags.get(f"{name}.inputs")
    return [
        (feature, reason)
        for stored, sides in inputs.items()
        for (feature, at), reason in sides.reasons.items()
        if at == row and (wired is None or f"{stored}:{feature}" in wired.split(", ") or _is_indirect(view, wired))
    ]


def _is_indirect(view: OnDemandFeatureView, wired: str) -> bool:
    """Whether a function reads the output of another one."""
    return bool({feature.name for feature in view.features} & set(wired.split(", ")))


def _evaluated(
    installation: _Installation, view: OnDemandFeatureView, inputs: Mapping[str, _Sides], rows: pa.Table
) -> dict[str, pa.Array]:
    """What the functions give of what the tables hold."""
    columns: dict[str, pa.Array | pa.ChunkedArray] = {name: rows[name] for name in view.get_request_data_schema()}
    for projection in view.source_feature_view_projections.values():
        for feature in projection.features:
            values = [each.value for each in inputs[projection.name].held.column(feature.name, installation.moment)]
            columns[f"{projection.name}:{feature.name}"] = pa.array(values, arrow_type(feature.dtype))
    moments = pa.array([installation.moment] * rows.num_rows, pa.timestamp("us", tz="UTC"))
    return evaluate(view, columns, moments)


def _stored_views(installation: _Installation, view: OnDemandFeatureView) -> list[FeatureView]:
    store = installation.store
    names = [projection.name for projection in view.source_feature_view_projections.values()]
    return [store.registry.get_feature_view(name, store.project, allow_cache=True) for name in names]


def _with_request(installation: _Installation, view: OnDemandFeatureView, entities: pa.Table) -> pa.Table:
    for source in view.source_request_sources.values():
        for each in source.schema:
            value = installation.request.get(each.name, _some_value(each.dtype))
            entities = entities.append_column(each.name, pa.array([value] * entities.num_rows, arrow_type(each.dtype)))
    return entities


def _some_value(dtype: FeastType) -> object:
    kind = arrow_type(dtype)
    if kind is None or pa.types.is_string(kind):
        return "a"
    if pa.types.is_timestamp(kind):
        return datetime(2020, 1, 1, tzinfo=UTC)
    return pa.scalar(1).cast(kind).as_py() if not pa.types.is_list(kind) else []


def _look_up(installation: _Installation, references: Sequence[str], rows: pa.Table) -> dict[str, list[Served]]:
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


def _retrieve(installation: _Installation, references: Sequence[str], rows: pa.Table) -> pa.Table:
    """Training retrieval at the same moment, as corrected: Feast's default."""
    moments = pa.array([installation.moment] * rows.num_rows, pa.timestamp("us", tz="UTC"))
    spine: Any = rows.append_column("event_timestamp", moments)
    return installation.store.get_historical_features(entity_df=spine, features=list(references)).to_arrow()


def _finding(feature: str, rows: pa.Table, row: int, served: Served, training: object, reason: Reason) -> Finding:
    keys = {name: rows[name][row].as_py() for name in rows.column_names}
    return Finding(feature, keys, served.value, served.status, training, *reason)

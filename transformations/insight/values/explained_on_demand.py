"""What is behind one value of an on-demand feature: its request, its stored inputs and what the function gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from feast import OnDemandFeatureView
from feast.errors import FeastError

from transformations.contracts.zones import declared_zones, shared_zone
from transformations.engine.base.errors import DamagedError, DiskError, FeaturesError, UsageError, nearest
from transformations.engine.base.moments import EVENT_TIMESTAMP
from transformations.engine.base.settings import Settings
from transformations.insight.values.asked import asked_moment, parse_key
from transformations.insight.values.explained import Explained, Online, explain_stored, look_now, one_row
from transformations.stores.base.values import TIMESTAMP, Column

if TYPE_CHECKING:
    from transformations.engine.vocabulary.resolution import Feature
    from transformations.insight.repository import OfferedView
    from transformations.stores.computed.wiring import Call


@dataclass(frozen=True, kw_only=True)
class Computed:
    """One computed value, from its inputs on.

    function: `module:name`, and what its parameters mean (`reads`). request: the fields that it needs. value: of what
    its inputs are by definition; offline: as training retrieval has it at the moment. timestamp_zone: that the sources
    of its views share, else UTC.
    """

    view: str
    feature: str
    key: Mapping[str, object]
    unit: str
    moment: datetime
    timestamp_zone: str
    function: str
    reads: Sequence[str]
    request: Mapping[str, object]
    value: object
    offline: object
    online: Online | None
    inputs: Sequence[Explained]
    remarks: Sequence[str]


def explain_computed(
    view: OnDemandFeatureView,
    feature: str,
    offered: Mapping[str, OfferedView],
    *,
    key: str,
    at: str | None,
    request: Mapping[str, object],
    settings: Settings,
) -> Computed:
    """Everything behind one value of an on-demand feature, that of its stored inputs included.

    offered: the repository's views by name. Errors: UsageError for a view that `on_demand_view` did not make, an input
    that no definition computes, a key or request field that is missing or unknown.
    """
    from transformations.stores.computed.evaluation import evaluation_of

    evaluation = evaluation_of(view, [feature])
    if evaluation.feasts is not None:
        raise UsageError(f"on-demand view {view.name} was not made by on_demand_view: what it reads is not known.")
    inputs, views = _stored_inputs(view, evaluation.calls, offered)
    keys = {name: dtype for each in views for name, dtype in each.resolved.join_keys.items()}
    if not keys:
        raise UsageError(f"{view.name}:{feature} reads no stored feature: it is what its function makes of a request.")
    entity = parse_key(key, keys, f"{view.name}:{feature}")
    fields = _request_fields(view, request)
    moment = _moment_of(at, views, settings)
    explained = [
        explain_stored(each, column, {name: entity[name] for name in each.resolved.join_keys}, moment, settings)
        for each, column in inputs
    ]
    columns: dict[str, Column] = {
        f"{each.view}:{each.feature}": pa.array([each.value], column.dtype.arrow)
        for each, (_, column) in zip(explained, inputs, strict=True)
    }
    columns |= {name: pa.array([value]) for name, value in fields.items()}
    rows = one_row(entity, keys)
    remarks: list[str] = []
    return Computed(
        view=view.name,
        feature=feature,
        key=entity,
        unit=view.tags[f"{feature}.unit"],
        moment=moment,
        timestamp_zone=shared_zone(each.resolved.contract for each in views),
        function=evaluation.calls[-1].path,
        reads=evaluation.calls[-1].inputs,
        request=fields,
        value=evaluation(columns, pa.array([moment], TIMESTAMP))[feature][0].as_py(),
        offline=_retrieve_value(view, feature, rows, fields=fields, moment=moment, settings=settings, remarks=remarks),
        online=look_now(view, feature, rows, fields, settings, remarks),
        inputs=explained,
        remarks=remarks,
    )


def _stored_inputs(
    view: OnDemandFeatureView, calls: Sequence[Call], offered: Mapping[str, OfferedView]
) -> tuple[list[tuple[OfferedView, Feature]], list[OfferedView]]:
    """The stored features that the calls read, each once, and the views that a request of this view looks up."""
    sources = list(view.source_feature_view_projections)
    unknown = [name for name in sources if name not in offered]
    if unknown:
        raise UsageError(f"{view.name} reads {unknown[0]}, which no definition computes: ask its owner.")
    read = dict.fromkeys(reference.partition(":")[::2] for call in calls for reference in call.inputs)
    features = [
        (offered[name], feature)
        for name, column in read
        if name in sources
        for feature in offered[name].resolved.features
        if feature.name == column
    ]
    return features, [offered[name] for name in sources]


def _request_fields(view: OnDemandFeatureView, request: Mapping[str, object]) -> dict[str, object]:
    """The view's request fields from the request; UsageError for missing or unknown ones."""
    dtypes = {each.name: each.dtype for source in view.source_request_sources.values() for each in source.schema}
    unknown = sorted(request.keys() - dtypes.keys())
    missing = [name for name in dtypes if name not in request]
    if unknown:
        raise UsageError(f"{view.name} has no request field {unknown[0]!r}: {nearest(unknown[0], dtypes)}.")
    if missing:
        example = ", ".join(f'"{name}": …' for name in dtypes)
        words = ", ".join(f"{name} ({dtypes[name]})" for name in missing)
        raise UsageError(f"{view.name} needs of the request: {words}. Write --request '{{{example}}}'.")
    return {name: request[name] for name in dtypes}


def _moment_of(at: str | None, views: Sequence[OfferedView], settings: Settings) -> datetime:
    """The moment asked for; of a day, the first at which the rows as-of this day of all views can be served."""
    asked = asked_moment(at, settings, declared_zones(each.resolved.contract for each in views))
    return asked if isinstance(asked, datetime) else max(each.resolved.available_from(asked) for each in views)


def _retrieve_value(
    view: OnDemandFeatureView,
    feature: str,
    rows: pa.Table,
    *,
    fields: Mapping[str, object],
    moment: datetime,
    settings: Settings,
    remarks: list[str],
) -> object:
    """What training retrieval gives at the moment; None, and a remark, where it gives nothing."""
    from transformations.insight.repository import open_store

    spine: Any = rows.append_column(EVENT_TIMESTAMP, pa.array([moment], TIMESTAMP))
    for name, value in fields.items():
        spine = spine.append_column(name, pa.array([value]))
    try:
        job = open_store(settings).get_historical_features(entity_df=spine, features=[f"{view.name}:{feature}"])
        return job.to_arrow()[feature][0].as_py()
    except (DamagedError, DiskError):
        raise
    except (FeaturesError, FeastError) as error:
        remarks.append(f"offline: {error}")
        return None

"""On-demand features in a comparison: they differ because their inputs do, or because of the function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView
from feast.types import FeastType

from transformations.engine.base.errors import FeaturesError
from transformations.engine.base.moments import value_text
from transformations.stores.base.values import arrow_type
from transformations.stores.base.views import zone_of_views
from transformations.stores.computed.evaluation import evaluate
from validation.parity.causes import Cause, Kind, Reason, Served
from validation.parity.report import FeatureReport
from validation.parity.rows import NOT_FOUND, NULL_VALUE, PRESENT, Held, combine_entities, entities_of, join_keys
from validation.parity.sides import (
    Installation,
    Sample,
    Sides,
    compare_stored,
    finding_of,
    look_up,
    newest_of,
    retrieve,
    stored_views,
)
from validation.parity.values import same_value, values_agree


def compare_on_demand(
    installation: Installation, view: OnDemandFeatureView, entities: Sample | pa.Table
) -> tuple[list[FeatureReport], Mapping[str, Sequence[Served]]]:
    """A report per feature of a view, and the served values per feature, one for each entity.

    entities: join keys and, where given, request fields; or a sample of those of the stored views that the view reads
    (`combine_entities`).
    """
    stored = stored_views(installation.store, view)
    zone = zone_of_views(stored)
    if isinstance(entities, Sample):
        entities = combine_entities([_sample_of(installation, each, entities) for each in stored if join_keys(each)])
    inputs = {each.name: installation.sides_of(each, entities) for each in stored}
    for each in stored:
        compare_stored(each, inputs[each.name], installation)  # leaves the reasons
    rows = _add_request_fields(installation, view, entities)
    references = [f"{view.name}:{feature.name}" for feature in view.features]
    reports = {feature.name: FeatureReport(f"{view.name}:{feature.name}", rows.num_rows) for feature in view.features}
    try:
        served, training = look_up(installation, references, rows), retrieve(installation, references, rows)
        owed = _evaluate_on(installation, view, {name: sides.held for name, sides in inputs.items()}, rows)
        promised = None
        if installation.answer is not None:
            promised = _evaluate_on(installation, view, {name: sides.promised for name, sides in inputs.items()}, rows)
    except FeaturesError as error:
        refused: Reason = Kind.SKEW, Cause.CHANGED_FUNCTION, str(error)
        nothing = Served(None, NOT_FOUND, None)
        for report in reports.values():
            for row in range(rows.num_rows):
                report.add(
                    finding_of(report.feature, rows, row, served=nothing, training=None, reason=refused, zone=zone)
                )
        return list(reports.values()), dict.fromkeys(reports, [nothing] * rows.num_rows)
    for name, report in reports.items():
        agree = values_agree([each.value for each in served[name]], training[name])
        shown = np.array([each.status in (PRESENT, NULL_VALUE) for each in served[name]], dtype=np.bool_)
        kept = _keeps_promise(served[name], None if promised is None else promised[name])
        for row in map(int, np.flatnonzero(~agree | ~shown | ~kept)):
            value = training[name][row].as_py()
            found = _input_reasons(view, name, inputs, row) if kept[row] else []
            reason = _computed_reason(served[name][row], value, owed[name][row].as_py(), found, zone)
            report.add(
                finding_of(
                    report.feature, rows, row, served=served[name][row], training=value, reason=reason, zone=zone
                )
            )
    return list(reports.values()), served


def _keeps_promise(served: Sequence[Served], promised: pa.Array | None) -> npt.NDArray[np.bool_]:
    """Whether each value is the function's for the rows that were online; all True if there is nothing promised."""
    if promised is None:
        return np.ones(len(served), dtype=np.bool_)
    return values_agree([each.value for each in served], pa.chunked_array([promised]))


def _computed_reason(
    served: Served, training: object, owed: object, inputs: Sequence[tuple[str, Reason]], zone: str
) -> Reason:
    """Why a computed value differs: because an input does or, if none does, because the function does."""
    if not same_value(training, owed):
        given, computed = (value_text(value, zone, quoted=True) for value in (training, owed))
        words = f"training has {given}, this code computes {computed} of the same inputs"
        return Kind.SKEW, Cause.CHANGED_FUNCTION, words
    if inputs:
        feature, (kind, cause, words) = max(inputs, key=lambda each: each[1][0] == Kind.SKEW)
        return kind, cause, f"by its input {feature}: {words}"
    return (
        Kind.SKEW,
        Cause.CHANGED_FUNCTION,
        f"online has {value_text(served.value, zone, quoted=True)} ({served.status}), of the same inputs",
    )


def _input_reasons(
    view: OnDemandFeatureView, name: str, inputs: Mapping[str, Sides], row: int
) -> list[tuple[str, Reason]]:
    """The differences of a computed feature's inputs or, if its wiring is not known, of all inputs of its view."""
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


def _evaluate_on(
    installation: Installation, view: OnDemandFeatureView, inputs: Mapping[str, Held], rows: pa.Table
) -> dict[str, pa.Array]:
    """Evaluate the functions on these rows of the tables."""
    columns: dict[str, pa.Array | pa.ChunkedArray] = {name: rows[name] for name in view.get_request_data_schema()}
    for projection in view.source_feature_view_projections.values():
        for feature in projection.features:
            values = [each.value for each in inputs[projection.name].column(feature.name, installation.moment)]
            columns[f"{projection.name}:{feature.name}"] = pa.array(values, arrow_type(feature.dtype))
    moments = pa.array([installation.moment] * rows.num_rows, pa.timestamp("us", tz="UTC"))
    return evaluate(view, columns, moments)


def _sample_of(installation: Installation, view: FeatureView, sample: Sample) -> pa.Table:
    return entities_of(view, [newest_of(installation, view)], sample.size, sample.seed)


def _add_request_fields(installation: Installation, view: OnDemandFeatureView, entities: pa.Table) -> pa.Table:
    for source in view.source_request_sources.values():
        for each in source.schema:
            if each.name in entities.column_names:
                continue
            value = installation.request.get(each.name, _example_value(each.dtype))
            entities = entities.append_column(each.name, pa.array([value] * entities.num_rows, arrow_type(each.dtype)))
    return entities


def _example_value(dtype: FeastType) -> object:
    kind = arrow_type(dtype)
    if kind is None or pa.types.is_string(kind):
        return "a"
    if pa.types.is_timestamp(kind):
        return datetime(2020, 1, 1, tzinfo=UTC)
    return pa.scalar(1).cast(kind).as_py() if not pa.types.is_list(kind) else []

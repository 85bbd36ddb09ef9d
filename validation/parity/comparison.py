"""Parity: online rows against training retrieval at one moment, value by value, bit by bit, null by null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import EVENT_TIMESTAMP
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural

if TYPE_CHECKING:
    from feast import FeatureStore

_EXAMPLES = 3


@dataclass(frozen=True)
class Difference:
    """One value that the two paths do not agree on, with the keys of its row."""

    keys: dict[str, object]
    online: object
    training: object


@dataclass(frozen=True)
class FeatureParity:
    """One feature over all rows: how many values were compared, are null on both paths, and differ."""

    feature: str
    compared: int
    nulls: int
    differing: int
    examples: tuple[Difference, ...] = ()

    @property
    def equal(self) -> int:
        """Values that agree, nulls included."""
        return self.compared - self.differing


@dataclass(frozen=True)
class ParityReport:
    """The comparison of one feature service at one moment."""

    service: str
    moment: datetime
    rows: int
    features: tuple[FeatureParity, ...]

    @property
    def compared(self) -> int:
        """All values that were compared."""
        return sum(feature.compared for feature in self.features)

    @property
    def differing(self) -> int:
        """All values that differ; 0 is parity."""
        return sum(feature.differing for feature in self.features)


def check_parity(store: FeatureStore, service: str, spine: pa.Table) -> ParityReport:
    """Look the spine's rows up online and retrieve them for training at the present moment, and compare.

    spine: one row a request, the service's join keys and request fields as columns. The present must stand still while
    two paths are asked, so `FEATURES_CLOCK` must be set: UsageError otherwise. DataError where the paths return other
    features.
    """
    import pandas as pd

    settings = get_settings()
    if not spine.num_rows:
        raise UsageError(f"parity of {service}: no row is asked for, and nothing compared is no parity. Give some.")
    if settings.clock is None:
        raise UsageError(
            f"parity of {service} needs one moment for both paths, and the wall clock moves on between them. "
            f"Set it, such as FEATURES_CLOCK={settings.now().isoformat(timespec='seconds')}."
        )
    moment = settings.now()
    known = store.get_feature_service(service)
    entity_frame = spine.to_pandas().assign(event_timestamp=pd.Timestamp(moment))
    training = store.get_historical_features(entity_df=entity_frame, features=known).to_arrow()
    online = store.get_online_features(features=known, entity_rows=spine.to_pylist()).to_dict()
    features = [name for name in online if name not in spine.column_names]
    return ParityReport(service, moment, spine.num_rows, compare(spine, online, training, features))


def compare(
    spine: pa.Table, online: dict[str, list[object]], training: pa.Table, features: Sequence[str]
) -> tuple[FeatureParity, ...]:
    """Each feature's values online and in training; row i of both belongs to row i of the spine."""
    missing = [name for name in features if name not in training.column_names]
    extra = [name for name in training.column_names if name not in {*features, *spine.column_names, EVENT_TIMESTAMP}]
    if missing or extra:
        raise DataError(
            f"the paths return different features: only online {', '.join(missing) or 'none'}; "
            f"only in training {', '.join(extra) or 'none'}. Apply the feature repository (feast apply) and ask again."
        )
    for name in spine.column_names:
        if name in training.column_names and training[name].to_pylist() != spine[name].to_pylist():
            raise DataError(f"training retrieval returned other rows than were asked for: column {name!r} differs.")
    return tuple(_compare_feature(spine, name, online[name], training[name]) for name in features)


def values_agree(online: Sequence[object], training: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Row by row, whether the paths have the same value: of the same dtype, to the bit, and null where it is null."""
    right = _canonical(training)
    try:
        left = _canonical(pa.chunked_array([pa.array(online)]))
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return np.zeros(len(right), dtype=np.bool_)
    if left.type != right.type and left.null_count < len(left) and right.null_count < len(right):
        return np.asarray(pc.and_(left.is_null(), right.is_null()))
    left = left if left.null_count < len(left) else pa.nulls(len(left), right.type)
    right = right if right.null_count < len(right) else pa.nulls(len(right), left.type)
    return _same(left, right)


def _compare_feature(spine: pa.Table, name: str, online: list[object], training: pa.ChunkedArray) -> FeatureParity:
    if len(online) != spine.num_rows or len(training) != spine.num_rows:
        raise DataError(
            f"feature {name}: for {plural(spine.num_rows, 'row')} asked for, {len(online)} came online and "
            f"{len(training)} in training."
        )
    right = _canonical(training)
    try:
        left = _canonical(pa.chunked_array([pa.array(online)]))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"feature {name}: the online values are not of one dtype: {error}") from error
    if left.type != right.type and left.null_count < len(left) and right.null_count < len(right):
        raise DataError(f"feature {name} is {left.type} online and {right.type} in training. Declare one dtype.")
    left = left if left.null_count < len(left) else pa.nulls(len(left), right.type)
    right = right if right.null_count < len(right) else pa.nulls(len(right), left.type)
    same = _same(left, right)
    rows = np.flatnonzero(~same)
    examples = tuple(
        Difference(
            {key: spine[key][int(row)].as_py() for key in spine.column_names},
            left[int(row)].as_py(),
            right[int(row)].as_py(),
        )
        for row in rows[:_EXAMPLES]
    )
    nulls = pc.sum(pc.and_(left.is_null(), right.is_null())).as_py() or 0
    return FeatureParity(name, spine.num_rows, nulls, len(rows), examples)


def _canonical(column: pa.ChunkedArray) -> pa.Array:
    """One array in the type that the online path can carry: microseconds UTC, 64 bits, plain strings."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], type=array.type)
    kind = array.type
    if pa.types.is_timestamp(kind):
        return array.cast(pa.timestamp("us", tz="UTC"))
    if pa.types.is_integer(kind):
        return array.cast(pa.int64())
    if pa.types.is_floating(kind):
        return array.cast(pa.float64())
    if pa.types.is_large_string(kind) or pa.types.is_dictionary(kind) or pa.types.is_null(kind):
        return array.cast(pa.string())
    return array


def _same(left: pa.Array, right: pa.Array) -> npt.NDArray[np.bool_]:
    """Row by row: both null, or both the same value; floating-point numbers by their bits."""
    if pa.types.is_nested(right.type):
        return np.array([a == b for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True)], dtype=np.bool_)
    nulls_agree = np.asarray(pc.equal(left.is_null(), right.is_null()))
    both_null = np.asarray(pc.and_(left.is_null(), right.is_null()))
    if pa.types.is_floating(right.type):
        bits = [array.fill_null(0.0).to_numpy(zero_copy_only=False).view(np.int64) for array in (left, right)]
        equal = bits[0] == bits[1]
    else:
        equal = np.asarray(pc.equal(left, right).fill_null(False))
    return np.asarray(nulls_agree & (both_null | equal), dtype=np.bool_)

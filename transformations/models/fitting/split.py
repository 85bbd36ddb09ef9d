"""A split of a dataset as training sees it: inputs in their dtypes, labels, moments, entities and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.engine.base.errors import DataError
from transformations.models.declaration.config import ClassWeights
from transformations.models.declaration.resolution import Resolved
from transformations.models.scoring.inputs import cast_inputs, numbers
from transformations.models.trainers.interface import Floats

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Split:
    """The rows of a split in the dataset's order. moments: microseconds since the epoch. entities: a number each."""

    name: str
    inputs: Mapping[str, pa.Array]
    labels: Floats
    moments: Int64s
    entities: Int64s
    weights: Floats | None

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, chosen: Bools, name: str) -> Split:
        """Some of the rows."""
        mask = pa.array(chosen)
        return Split(
            name=name,
            inputs={key: column.filter(mask) for key, column in self.inputs.items()},
            labels=self.labels[chosen],
            moments=self.moments[chosen],
            entities=self.entities[chosen],
            weights=None if self.weights is None else self.weights[chosen],
        )


def split_of(table: pa.Table, name: str, resolved: Resolved) -> Split:
    """The split that a dataset's file holds. DataError for no rows, for labels that are none, and for bad weights."""
    if not table.num_rows:
        raise DataError(f"split {name} of dataset {resolved.declaration.dataset} has no rows. Move the split's date.")
    labels = _labels(table[resolved.label.column], name, resolved)
    moments = table[resolved.timestamp].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    encoded = table[resolved.entity].combine_chunks().dictionary_encode()
    return Split(
        name=name,
        inputs=_inputs(table, name, resolved),
        labels=labels,
        moments=np.asarray(moments.to_numpy(), dtype=np.int64),
        entities=np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64),
        weights=_weights(table, labels, name, resolved),
    )


def halves_by_time(split: Split) -> tuple[Split, Split]:
    """The earlier and the later half of a split; rows of one moment stay together."""
    cut = np.sort(split.moments)[len(split) // 2]
    later = split.moments >= cut
    if later.all():
        raise DataError(
            f"split {split.name}: half of its rows or more are of its first moment, so no earlier part is left for "
            f"early stopping. Give the split more time, or say calibration: none and a fixed threshold."
        )
    return split.where(~later, f"{split.name}, earlier half"), split.where(later, f"{split.name}, later half")


def refuse_one_class(split: Split, purpose: str) -> None:
    """DataError where all labels are alike."""
    if split.labels.min() == split.labels.max():
        word = "true" if split.labels[0] else "false"
        raise DataError(
            f"split {split.name}: the label is {word} in all {len(split):,} rows, so {purpose}. Move the split's date, "
            f"or widen the label's horizon."
        )


def _inputs(table: pa.Table, name: str, resolved: Resolved) -> dict[str, pa.Array]:
    try:
        return cast_inputs(table, resolved.inputs)
    except DataError as error:
        raise DataError(f"split {name} of dataset {resolved.declaration.dataset}: {error.message}") from None


def _labels(column: pa.ChunkedArray, name: str, resolved: Resolved) -> Floats:
    kind = column.type
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError(f"label {resolved.label.column!r} is {kind}, and no number. Make it one in the spine's query.")
    labels = numbers(column.combine_chunks())
    if not np.isfinite(labels).all():
        raise DataError(
            f"split {name}: label {resolved.label.column!r} has {(~np.isfinite(labels)).sum():,} null rows."
        )
    if resolved.declaration.task == "binary_classification" and not np.isin(labels, (0.0, 1.0)).all():
        other = labels[~np.isin(labels, (0.0, 1.0))][0]
        raise DataError(
            f"split {name}: label {resolved.label.column!r} holds {other:g}; a binary classification learns true and "
            f"false, or 1 and 0."
        )
    return labels


def _weights(table: pa.Table, labels: Floats, name: str, resolved: Resolved) -> Floats | None:
    declaration = resolved.declaration
    weights = np.ones(len(labels))
    if declaration.sample_weight is not None:
        weights = numbers(table[declaration.sample_weight].combine_chunks())
        faulty = ~(np.isfinite(weights) & (weights >= 0))
        if faulty.any():
            row = int(faulty.argmax())
            said = "null" if np.isnan(weights[row]) else f"{weights[row]:g}"
            raise DataError(
                f"split {name}: sample_weight {declaration.sample_weight!r} is {said} in row {row}; {faulty.sum():,} "
                f"rows are null, negative or infinite. Give each a weight in the spine's query: 0 leaves a row out."
            )
        if not weights.any():
            raise DataError(
                f"split {name}: sample_weight {declaration.sample_weight!r} is 0 in every row, so nothing is learned."
            )
    match declaration.class_weight:
        case "balanced":
            share = labels.mean()
            if 0 < share < 1:
                weights = weights * np.where(labels == 1, 0.5 / share, 0.5 / (1 - share))
        case ClassWeights(negative=negative, positive=positive):
            weights = weights * np.where(labels == 1, positive, negative)
        case None:
            return weights if declaration.sample_weight is not None else None
    return weights

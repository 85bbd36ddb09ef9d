"""The histograms that travel with an artifact."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transformations.models.fitting.split import Split
from transformations.models.records.reference import Categories, Histogram
from transformations.models.scoring.fitted import as_texts
from transformations.models.scoring.inputs import numbers
from transformations.models.trainers.interface import Floats

_BINS = 20
_CATEGORIES = 50


def input_histograms(train: Split) -> dict[str, Histogram | Categories]:
    """A histogram of each of the train split's inputs."""
    return {name: _feature(column) for name, column in train.inputs.items()}


def histogram(values: Floats, bins: int = _BINS) -> Histogram:
    """Counts in so many bins of about equally many values; equal values are in one bin.

    A value that alone fills a bin is alone in it, so that what is rare beside it is seen: of 95 zeros and 5 other
    numbers the bins are below 0, 0, and above it. Such values take one bin more each.
    """
    known = np.sort(values[~np.isnan(values)])
    edges = np.unique(known[np.arange(1, bins) * (len(known) - 1) // bins]) if len(known) else np.empty(0)
    ends = np.searchsorted(known, edges, side="right")
    is_heavy = (ends - np.searchsorted(known, edges) > len(known) / bins) & (ends < len(known))
    edges = np.union1d(edges, known[ends[is_heavy]])
    counts = np.diff(np.concatenate(([0], np.searchsorted(known, edges), [len(known)])))  # an edge opens its bin
    return Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()), nulls=len(values) - len(known))


def _feature(column: pa.Array) -> Histogram | Categories:
    if not pa.types.is_string(column.type):
        return histogram(numbers(column))
    counts = pc.value_counts(as_texts(column).drop_null()).to_pylist()
    ranked = sorted(((entry["values"], entry["counts"]) for entry in counts), key=lambda pair: (-pair[1], pair[0]))
    return Categories(
        counts=dict(ranked[:_CATEGORIES]),
        others=sum(count for _, count in ranked[_CATEGORIES:]),
        nulls=column.null_count,
    )

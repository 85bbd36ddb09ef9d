"""What the values of a column are, in a few numbers: what a reader of a manifest compares between splits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_MOST = 5


def statistics_of(column: pa.ChunkedArray) -> Mapping[str, Any]:
    """Nulls of every column; of numbers mean, standard deviation (of the population), min, median, max; of booleans
    the share of true; of texts the distinct and the most frequent; of timestamps min and max.
    """
    kind = column.type
    found: dict[str, Any] = {"nulls": column.null_count}
    values = column.drop_null()
    if not len(values):
        return found
    if pa.types.is_boolean(kind):
        found["true"] = pc.mean(values.cast(pa.int8())).as_py()
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = values.cast(pa.float64(), safe=False)
        bounds = pc.min_max(values).as_py()
        found |= {"mean": pc.mean(numbers).as_py(), "std": pc.stddev(numbers).as_py(), "min": bounds["min"]}
        found |= {"median": pc.quantile(numbers)[0].as_py(), "max": bounds["max"]}
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        counts = pc.value_counts(values).to_pylist()
        most = sorted(counts, key=lambda entry: (-entry["counts"], entry["values"]))[:_MOST]
        found |= {"distinct": len(counts), "most": {entry["values"]: entry["counts"] for entry in most}}
    elif pa.types.is_timestamp(kind):
        bounds = pc.min_max(values)
        found |= {end: str(bounds[end]) for end in ("min", "max")}
    # JSON has no infinity and no NaN
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in found.items()
    }

"""The words a feature author writes with, all in one place; `transformations` passes them on."""

from transformations.engine.vocabulary.aggregations import (
    Count,
    CountDistinct,
    First,
    Last,
    LastK,
    Max,
    Mean,
    Min,
    Ratio,
    Share,
    StdDev,
    Sum,
    TopK,
    Variance,
)
from transformations.engine.vocabulary.column_name import column
from transformations.engine.vocabulary.definitions import Attribute, Lookup, PlainFeatures, WindowedFeatures
from transformations.engine.vocabulary.dtypes import Bool, Float64, Int64, String, UnixTimestamp
from transformations.engine.vocabulary.expectations import ANYTHING, at_least, at_most, between, one_of
from transformations.engine.vocabulary.functions import derived, on_demand, quotient
from transformations.engine.vocabulary.windows import LIFETIME, days, hours

__all__ = [
    "ANYTHING",
    "LIFETIME",
    "Attribute",
    "Bool",
    "Count",
    "CountDistinct",
    "First",
    "Float64",
    "Int64",
    "Last",
    "LastK",
    "Lookup",
    "Max",
    "Mean",
    "Min",
    "PlainFeatures",
    "Ratio",
    "Share",
    "StdDev",
    "String",
    "Sum",
    "TopK",
    "UnixTimestamp",
    "Variance",
    "WindowedFeatures",
    "at_least",
    "at_most",
    "between",
    "column",
    "days",
    "derived",
    "hours",
    "on_demand",
    "one_of",
    "quotient",
]

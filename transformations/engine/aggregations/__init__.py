"""The vocabulary of aggregations. It is open: a further one is one small class in a module here."""

from transformations.engine.aggregations.base import Aggregation, ColumnAggregation, Ranges, Selection
from transformations.engine.aggregations.counts import Count, CountDistinct
from transformations.engine.aggregations.frequent import TopK
from transformations.engine.aggregations.order import First, Last, LastK, Latest, Max, Min
from transformations.engine.aggregations.quotients import Ratio, Share
from transformations.engine.aggregations.sums import Mean, StdDev, Sum, Variance

__all__ = [
    "Aggregation",
    "ColumnAggregation",
    "Count",
    "CountDistinct",
    "First",
    "Last",
    "LastK",
    "Latest",
    "Max",
    "Mean",
    "Min",
    "Ranges",
    "Ratio",
    "Selection",
    "Share",
    "StdDev",
    "Sum",
    "TopK",
    "Variance",
]

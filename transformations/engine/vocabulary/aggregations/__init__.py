"""The vocabulary of aggregations. It is open: another one is one small class in a module here."""

from transformations.engine.vocabulary.aggregations.base import Aggregation, ColumnAggregation, Ranges, Selection
from transformations.engine.vocabulary.aggregations.counts import Count, CountDistinct
from transformations.engine.vocabulary.aggregations.frequent import TopK
from transformations.engine.vocabulary.aggregations.order import First, Last, LastK, Latest, Max, Min
from transformations.engine.vocabulary.aggregations.quotients import Ratio, Share
from transformations.engine.vocabulary.aggregations.sums import Mean, StdDev, Sum, Variance

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

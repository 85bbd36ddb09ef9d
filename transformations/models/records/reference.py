"""What the train split looked like: histograms on fixed edges, so that any two days can be compared with them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import model_validator

from transformations.models.records.base import Part, Record


class Histogram(Part):
    """Counts of numbers. counts[i] is of edges[i - 1] <= value < edges[i]; the first and the last bin are open, so
    there is one bin more than there are edges. nulls are counted apart.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    nulls: int

    @model_validator(mode="after")
    def _paired(self) -> Histogram:
        if len(self.counts) != len(self.edges) + 1 or list(self.edges) != sorted(set(self.edges)):
            raise ValueError("edges ascend, and there is one count more than there are edges")
        return self


class Categories(Part):
    """Counts of the most frequent categories, and of all others together."""

    counts: Mapping[str, int]
    others: int
    nulls: int


class Reference(Record):
    """The `reference.json` of an artifact. features: by input, on the train split. scores: on the validation split."""

    rows: int
    features: Mapping[str, Histogram | Categories]
    scores: Histogram

"""What a version's days are held against, computed once from the dataset that it learned from, and kept.

Bins and counts of every input, how each is compared, and by number of rows the limits of every question. With it no
later day looks at the dataset again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from transformations.models.records.base import Instant, ModelName, Part, Record, Sha256, Version
from transformations.models.records.reference import Categories, Histogram
from transformations.monitoring.reading.calendars import Calendars
from transformations.monitoring.statistics.effects import Counts
from transformations.monitoring.statistics.layout import Layout

SCORE = "score"
Way = Literal["as is", "as a rate", "with earlier weeks", "not compared"]
"""How an input is compared with the reference."""
Question = Literal["day", "earlier", "week"]
"""A day against the reference; against the same weekday of up to four weeks before; the week that it ends."""
QUESTIONS: Mapping[Question, str] = {
    "day": "the reference",
    "earlier": "the same weekday of the weeks before",
    "week": "the reference, over seven days",
}
SCORES = "scores"


class Compared(Part):
    """An input, and how it is compared. why: where it is not as is. origin: of a rate, from which its days count.

    state: what tells a day's state, a calendar or a column of the records. bins: its values, or rates, in the
    reference.
    """

    way: Way
    why: str = ""
    origin: Instant | None = None
    state: str | None = None
    bins: Histogram | Categories
    view: str | None = None


class Limits(Part):
    """Above which effect a day of so many rows tells, by input.

    nulls, unseen: by how much the share of nulls, and of categories that the reference does not name, differs.
    """

    rows: Annotated[int, Field(gt=0)]
    values: Mapping[str, float]
    nulls: Mapping[str, float]
    unseen: Mapping[str, float]


class Limit(NamedTuple):
    """The limits of one input."""

    value: float
    nulls: float
    unseen: float


class Baseline(Record):
    """What a version's days are held against.

    entity: the column by which rows belong together. limits: by question, for growing numbers of rows; a question is
    missing where the dataset cannot answer it. changed: by input the least share of keys whose value was another than a
    week before, on any day of the reference. calendars: those that something follows; any other state is a column.
    score_state: the calendar of the scores. states: by what follows one and by state, the counts of the reference's
    days; states of too few days are left out. setting: what the limits came from.
    """

    model: ModelName
    version: Version
    artifact: Sha256
    dataset_hash: Sha256
    made_at: Instant
    rows: int
    days: int
    entity: str = ""
    inputs: Mapping[str, Compared]
    scores: Histogram
    limits: Mapping[Question, tuple[Limits, ...]]
    score_limits: Mapping[Question, tuple[Limits, ...]]
    changed: Mapping[str, float]
    calendars: Calendars = Field(default_factory=dict)
    score_state: str | None = None
    states: Mapping[str, Mapping[str, tuple[int, ...]]] = Field(default_factory=dict)
    setting: str

    @cached_property
    def layout(self) -> Layout:
        """The bins of all inputs that are compared in any way, and of the scores at last."""
        bins = {name: each.bins for name, each in self.inputs.items() if each.way != "not compared"}
        return Layout({**bins, SCORE: self.scores})

    @cached_property
    def reference(self) -> Counts:
        """The counts of the reference."""
        return self.layout.reference()

    def state_of(self, name: str) -> str | None:
        """What tells the state of a day for an input or the scores; None for what follows no calendar."""
        return self.score_state if name == SCORE else self.inputs[name].state

    @property
    def state_columns(self) -> tuple[str, ...]:
        """The columns of the records whose values are states."""
        told = (each.state for each in self.inputs.values() if each.state is not None)
        return tuple(dict.fromkeys(each for each in told if each not in self.calendars))

    def limit(self, question: Question, name: str, rows: int) -> Limit | None:
        """The limits of an input for a number of rows; None where nothing is known of so few.

        Between two numbers of rows a limit goes down by a power of them; beyond the greatest it stays.
        """
        of_name = self.score_limits if name == SCORE else self.limits
        known = [each for each in of_name.get(question, ()) if name in each.values]
        if not known or rows < known[0].rows:
            return None
        above = [each for each in known if each.rows > rows]
        below = [each for each in known if each.rows <= rows][-1]
        if not above:
            return Limit(below.values[name], below.nulls[name], below.unseen[name])
        part = math.log(rows / below.rows) / math.log(above[0].rows / below.rows)
        return Limit(
            _between(below.values[name], above[0].values[name], part),
            _between(below.nulls[name], above[0].nulls[name], part),
            _between(below.unseen[name], above[0].unseen[name], part),
        )


def _between(one: float, other: float, part: float) -> float:
    if one <= 0 or other <= 0:
        return max(one, other)
    return math.exp(math.log(one) * (1 - part) + math.log(other) * part)

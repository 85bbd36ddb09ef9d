"""The charts of a monitoring report: a day beside the reference, and values day by day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from transformations.models.records.reference import Categories, Histogram
from transformations.models.reports import charts
from transformations.models.reports.charts import Plot, Point, Tick, horizontal, vertical

_MOST_TICKS = 6
_LONGEST_NAME = 12


@dataclass(frozen=True)
class Line:
    """Values by day; a day without one breaks nothing."""

    name: str
    points: Sequence[tuple[date, float | None]]


def distribution(
    title: str, bins: Histogram | Categories, reference: Sequence[int], today: Sequence[int], unit: str
) -> Plot:
    """Shares of the rows by bin, nulls last, of the reference and of a day. Bins are drawn equally wide, whatever they
    span: they hold about equally many rows of the reference.
    """
    names = _names(bins)
    shares = [[count / (sum(counts) or 1) for count in counts] for counts in (reference, today)]
    x, y = horizontal(0, len(names)), vertical(0.0, charts.round_above(max(max(each) for each in shares)))
    every = max(1, math.ceil(len(names) / _MOST_TICKS))
    marks = [place for place in range(0, len(names) - 1, every) if len(names) - 1 - place >= every / 2]
    ticks = [Tick(x(place + 0.5), names[place]) for place in [*marks, len(names) - 1]]
    edges = [float(place) for place in range(len(names) + 1)]
    return Plot(
        title=title,
        note="A step is a bin of the reference, named by where it begins; the last one holds the nulls.",
        x_label=unit,
        y_label="share of rows",
        x_ticks=tuple(ticks),
        y_ticks=y.ticks(4),
        lines=tuple(charts.steps(x, y, edges, each, number) for number, each in enumerate(shares)),
        legend=("reference", "this day"),
    )


def by_day(title: str, label: str, lines: Sequence[Line], note: str = "", limits: Sequence[float] = ()) -> Plot:
    """Lines over days. limits: values that are drawn as dashed guides."""
    known = [(day.toordinal(), value) for line in lines for day, value in line.points if value is not None]
    days = sorted({day for day, _ in known})
    first, last = (days[0], days[-1]) if days else (0, 1)
    values = [value for _, value in known] + list(limits)
    low, high = charts.padded(values)
    if values and min(values) >= 0:
        low = max(low, 0.0)
    x, y = horizontal(first - 0.5, last + 0.5), vertical(low, high)
    every = max(1, math.ceil(len(days) / _MOST_TICKS))
    guides = [charts.guide_line(x, y, (first - 0.5, limit), (last + 0.5, limit)) for limit in limits]
    drawn = [
        charts.line_through(x, y, [(day.toordinal(), value) for day, value in line.points if value is not None], number)
        for number, line in enumerate(lines)
    ]
    points = [
        Point(x=x(day.toordinal()), y=y(value), radius=3.0, title=f"{day}: {value:.4g}", series=number)
        for number, line in enumerate(lines)
        for day, value in line.points
        if value is not None
    ]
    return Plot(
        title=title,
        note=note,
        x_label="day" if days else "no day yet",
        y_label=label,
        x_ticks=tuple(Tick(x(day), date.fromordinal(day).strftime("%m-%d")) for day in days[::every]),
        y_ticks=y.ticks(4),
        lines=(*guides, *drawn),
        points=tuple(points),
        legend=tuple(line.name for line in lines) if len(lines) > 1 else (),
    )


def _names(bins: Histogram | Categories) -> list[str]:
    """What each bin is called, nulls last."""
    if isinstance(bins, Categories):
        return [*(_short(name) for name in bins.counts), "others", "null"]
    return [f"< {bins.edges[0]:.3g}" if bins.edges else "all", *(f"{edge:.3g}" for edge in bins.edges), "null"]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"

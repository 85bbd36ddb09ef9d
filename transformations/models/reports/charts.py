"""Charts as plain values in pixels, which the page's template writes as SVG; no chart is computed in a template."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from transformations.models.evaluation.facts import Bin, Curve, Group, Histogram
from transformations.models.evaluation.intervals import MODEL
from transformations.models.evaluation.metrics import TITLES
from transformations.models.records.criteria import Metric
from transformations.models.records.gates import Interval

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 84, 498, 14, 242
_LARGEST_POINT, _SMALLEST_POINT = 9.0, 3.0


@dataclass(frozen=True)
class Tick:
    """A number on an axis."""

    place: float
    text: str


@dataclass(frozen=True)
class Line:
    """A path in SVG's words; series: its number in the legend, or None for a line that only guides the eye."""

    path: str
    series: int | None


@dataclass(frozen=True, kw_only=True)
class Point:
    """A dot of a series, with the whisker of its interval where it has one. title: what a pointer shows."""

    x: float
    y: float
    radius: float = 4.0
    low: float | None = None
    high: float | None = None
    title: str
    series: int = 0


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A chart between two axes. legend: the names of the series, by their number."""

    title: str
    note: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    points: tuple[Point, ...] = ()
    legend: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """From values to pixels along one axis."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return round(self.first + (value - self.low) / span * (self.last - self.first), 1)

    def ticks(self, count: int = 5) -> tuple[Tick, ...]:
        """Round numbers within the axis."""
        step = round_step((self.high - self.low) / count)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return tuple(Tick(self(number * step), _tick_text(number * step, step)) for number in range(first, last + 1))


def horizontal(low: float, high: float) -> Scale:
    """An axis from left to right."""
    return Scale(low, high, LEFT, RIGHT)


def vertical(low: float, high: float) -> Scale:
    """An axis from the bottom up."""
    return Scale(low, high, BOTTOM, TOP)


def round_step(step: float) -> float:
    """The next larger of 1, 2, 2.5, 5 and 10 in the power of ten that a step is in."""
    if step <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= step * (1 - 1e-9))


def reliability(bins: Sequence[Bin], is_classification: bool) -> Plot:
    """What was predicted against what happened; on the diagonal a score means what it says."""
    values = [value for each in bins for value in (each.score, each.label)]
    low, high = (0.0, round_above(max(values, default=1.0))) if is_classification else padded(values)
    x, y = horizontal(low, high), vertical(low, high)
    most = max((each.rows for each in bins), default=1)
    points = tuple(
        Point(
            x=x(each.score),
            y=y(each.label),
            radius=round(max(_SMALLEST_POINT, _LARGEST_POINT * math.sqrt(each.rows / most)), 1),
            title=f"predicted {each.score:.3g}, happened {each.label:.3g}, {each.rows:,} rows",
        )
        for each in bins
    )
    return Plot(
        title="Reliability",
        note="A dot is a bin of similar scores, its area the rows in it. On the dashed line they mean what they say.",
        x_label="mean score of the bin" if is_classification else "mean prediction of the bin",
        y_label="share of true labels" if is_classification else "mean label",
        x_ticks=x.ticks(),
        y_ticks=y.ticks(),
        lines=(
            guide_line(x, y, (low, low), (high, high)),
            line_through(x, y, [(each.score, each.label) for each in bins], 0),
        ),
        points=points,
    )


def precision_recall(curves: Sequence[Curve]) -> Plot:
    """Precision over recall of every predictor."""
    return _unit_plot(
        curves,
        title="Precision and recall",
        note="The share of alarms that are right over the share of true labels that are caught: up and to the right is "
        "better. A predictor with few distinct scores has few points.",
        x_label="recall",
        y_label="precision",
        guide=None,
    )


def roc(curves: Sequence[Curve]) -> Plot:
    """True alarms over false alarms of every predictor."""
    return _unit_plot(
        curves,
        title="ROC",
        note="The share of true labels that are caught over the share of false ones that raise an alarm: up and to the "
        "left is better, the thin dashed line is chance.",
        x_label="false positive rate",
        y_label="true positive rate",
        guide=((0.0, 0.0), (1.0, 1.0)),
    )


def distributions(histograms: Sequence[Histogram], unit: str, is_classification: bool) -> Plot:
    """Scores of the rows by their label, or the errors of a regression, as shares of the rows with that label."""
    edges = histograms[0].edges
    shares = [[rows / (sum(each.rows) or 1) for rows in each.rows] for each in histograms]
    x = horizontal(edges[0], edges[-1])
    y = vertical(0.0, round_above(max(value for each in shares for value in each)))
    lines = tuple(steps(x, y, edges, each, number) for number, each in enumerate(shares))
    in_unit = f" in {unit}" if unit else ""
    return Plot(
        title="Scores by label" if is_classification else "Errors",
        note="Shares within each label: the further apart the two shapes, the better the model tells them apart."
        if is_classification
        else "Below 0 the prediction was too low, above 0 too high.",
        x_label="score" if is_classification else f"prediction less label{in_unit}",
        y_label="share of rows",
        x_ticks=x.ticks(),
        y_ticks=y.ticks(4),
        lines=lines,
        legend=tuple(f"label is {each.name}" if is_classification else each.name for each in histograms),
    )


def by_week(weeks: Sequence[Group], metric: Metric, confidence: float) -> Plot | None:
    """A metric of the model with its intervals, and of the other predictors, week by week; None for a single week."""
    figures = [next(each for each in week.figures if each.metric == metric) for week in weeks]
    others = list(weeks[0].others) if weeks else []
    theirs = [[week.others[name][metric] for week in weeks] for name in others]
    known = [value for each in figures for value in _ends(each.value, each.interval)]
    known += [value for values in theirs for value in values if value is not None]
    if len(weeks) < 2 or not known:
        return None
    x, y = horizontal(-0.4, len(weeks) - 0.6), vertical(*padded(known))
    points = tuple(
        Point(
            x=x(place),
            y=y(figure.value),
            low=None if figure.interval is None else y(figure.interval.low),
            high=None if figure.interval is None else y(figure.interval.high),
            title=f"week of {week.name}: {figure.value:.3f}, {week.rows:,} rows, {week.entities:,} entities",
        )
        for place, (week, figure) in enumerate(zip(weeks, figures, strict=True))
        if figure.value is not None
    )
    series = [[each.value for each in figures], *theirs]
    lines = tuple(
        line_through(x, y, [(place, value) for place, value in enumerate(values) if value is not None], number)
        for number, values in enumerate(series)
    )
    every = max(1, math.ceil(len(weeks) / 4))
    return Plot(
        title=f"{TITLES[metric][0].upper()}{TITLES[metric][1:]} by week",
        note=f"Whiskers are {confidence:.0%} intervals of the model, from resampled entities.",
        x_label=f"week, from {weeks[0].name} on",
        y_label=TITLES[metric],
        x_ticks=tuple(Tick(x(place), weeks[place].name[5:]) for place in range(0, len(weeks), every)),
        y_ticks=y.ticks(),
        lines=lines,
        points=points,
        legend=(MODEL, *others),
    )


@dataclass(frozen=True, kw_only=True)
class Whisker:
    """A row of an interval table, in percent of its width. zero: where nothing changes."""

    low: float
    high: float
    value: float
    zero: float


def whiskers(rows: Sequence[tuple[float | None, Interval | None]], *, through_zero: bool) -> list[Whisker | None]:
    """Values with their intervals on one common scale; None where there is none. through_zero: 0 is on the scale."""
    known = [end for value, interval in rows for end in _ends(value, interval)]
    if not known:
        return [None] * len(rows)
    low, high = padded([*known, 0.0] if through_zero else known)
    scale = Scale(low, high, 0.0, 100.0)
    return [
        None
        if value is None
        else Whisker(
            low=scale(interval.low if interval else value),
            high=scale(interval.high if interval else value),
            value=scale(value),
            zero=scale(0.0) if through_zero else -1.0,
        )
        for value, interval in rows
    ]


def _unit_plot(
    curves: Sequence[Curve],
    *,
    title: str,
    note: str,
    x_label: str,
    y_label: str,
    guide: tuple[tuple[float, float], tuple[float, float]] | None,
) -> Plot:
    x, y = horizontal(0, 1), vertical(0, 1)
    lines = [line_through(x, y, list(zip(each.x, each.y, strict=True)), number) for number, each in enumerate(curves)]
    lone = tuple(
        Point(x=x(each.x[0]), y=y(each.y[0]), title=f"{each.name}: one threshold", series=number)
        for number, each in enumerate(curves)
        if len(each.x) == 1
    )
    if guide is not None:
        lines.insert(0, guide_line(x, y, *guide))
    return Plot(
        title=title,
        note=note,
        x_label=x_label,
        y_label=y_label,
        x_ticks=x.ticks(),
        y_ticks=y.ticks(),
        lines=tuple(lines),
        points=lone,
        legend=tuple(each.name for each in curves),
    )


def line_through(x: Scale, y: Scale, points: Sequence[tuple[float, float]], series: int) -> Line:
    """Straight lines from point to point."""
    return Line("M" + " L".join(f"{x(one)},{y(other)}" for one, other in points) if points else "", series)


def guide_line(x: Scale, y: Scale, start: tuple[float, float], end: tuple[float, float]) -> Line:
    """A line that only guides the eye."""
    return Line(f"M{x(start[0])},{y(start[1])} L{x(end[0])},{y(end[1])}", None)


def steps(x: Scale, y: Scale, edges: Sequence[float], shares: Sequence[float], series: int) -> Line:
    """A bar's outline between each two edges."""
    path = f"M{x(edges[0])},{y(0)}"
    for place, share in enumerate(shares):
        path += f" V{y(share)} H{x(edges[place + 1])}"
    return Line(f"{path} V{y(0)}", series)


def _ends(value: float | None, interval: Interval | None) -> list[float]:
    ends = [] if interval is None else [interval.low, interval.high]
    return ends if value is None else [*ends, value]


def padded(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis on which these values have some room."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def round_above(value: float) -> float:
    """The next round number."""
    step = round_step(value / 5)
    return step * math.ceil(value / step - 1e-9) or 1.0


def _tick_text(value: float, step: float) -> str:
    places = max(0, -math.floor(math.log10(step) + 1e-9)) + (f"{step:e}".startswith("2.5"))
    return f"{value:,.{places}f}"

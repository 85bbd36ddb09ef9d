"""The report of an evaluation as one page that needs no other file: figures, charts and the gates' outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformations.insight.site.writing import style, templates_in
from transformations.models.evaluation.facts import Evaluation, Segments
from transformations.models.evaluation.metrics import TITLES
from transformations.models.records.criteria import Metric
from transformations.models.records.gates import GateReport
from transformations.models.reports import charts, wording
from transformations.models.reports.charts import Plot, Whisker

FILES = Path(__file__).parent / "files"
"""The templates and the look of reports."""
_MOST_IMPORTANT = 20
_TEMPLATES = templates_in(FILES)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table of intervals."""

    name: str
    cells: tuple[str, ...]
    whisker: Whisker | None


@dataclass(frozen=True, kw_only=True)
class IntervalTable:
    """Values with their intervals, each drawn on the table's own scale."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    drawn: str


def render_page(evaluation: Evaluation, report: GateReport | None) -> str:
    """The report as HTML. report: of the gates, where the model declares some. Equal facts give equal text."""
    return _TEMPLATES.get_template("report.html.jinja").render(
        css=style() + (FILES / "report.css").read_text(encoding="utf-8"),
        evaluation=evaluation,
        subject=evaluation.subject,
        report=report,
        words=wording,
        metrics=[each.metric for each in evaluation.predictors[0].figures],
        differences=differences(evaluation),
        plots=plots(evaluation),
        weekly=weekly_plots(evaluation),
        segments=[_segments(evaluation, each) for each in evaluation.segments],
        importance=importance(evaluation),
        production=production(evaluation),
        frame=charts,
    )


def plots(evaluation: Evaluation) -> list[Plot]:
    """The charts of the whole split."""
    is_classification = evaluation.subject.task == "binary_classification"
    found = [charts.reliability(evaluation.reliability, is_classification)]
    if evaluation.precision_recall:
        found += [charts.precision_recall(evaluation.precision_recall), charts.roc(evaluation.roc)]
    found.append(charts.distributions(evaluation.distributions, evaluation.subject.unit, is_classification))
    return found


def weekly_plots(evaluation: Evaluation) -> list[Plot]:
    """The loss by week, and for a classification the average precision."""
    metrics: list[Metric] = [evaluation.loss]
    if evaluation.subject.task == "binary_classification":
        metrics.append("average_precision")
    drawn = (charts.by_week(evaluation.weeks, metric, evaluation.confidence) for metric in metrics)
    return [plot for plot in drawn if plot is not None]


def differences(evaluation: Evaluation) -> list[IntervalTable]:
    """A table a metric: by how much the model is better than each other predictor."""
    others = list(dict.fromkeys(each.over for each in evaluation.differences))
    if not others:
        return []
    found = []
    for figure in evaluation.predictors[0].figures:
        of_metric = [each for each in evaluation.differences if each.metric == figure.metric]
        drawn = charts.whiskers([(each.value, each.interval) for each in of_metric], through_zero=True)
        rows = tuple(
            Row(
                name=each.over,
                cells=(wording.signed(each.value), wording.span(each.interval, is_difference=True)),
                whisker=whisker,
            )
            for each, whisker in zip(of_metric, drawn, strict=True)
        )
        found.append(_table(_heading(figure.metric), ("Better than", "by", "interval"), rows, "worse | better"))
    return found


def importance(evaluation: Evaluation) -> IntervalTable | None:
    """The features of most worth."""
    most = evaluation.importance[:_MOST_IMPORTANT]
    if not most:
        return None
    drawn = charts.whiskers([(each.increase, each.interval) for each in most], through_zero=True)
    rows = tuple(
        Row(
            name=each.feature,
            cells=(wording.signed(each.increase), wording.span(each.interval, is_difference=True)),
            whisker=whisker,
        )
        for each, whisker in zip(most, drawn, strict=True)
    )
    left_out = len(evaluation.importance) - len(most)
    note = f"How much worse the {TITLES[evaluation.loss]} gets where a feature's values are exchanged among rows."
    if left_out:
        note += f" {left_out} features of less worth are left out."
    return _table("Importance", ("Feature", "worse by", "interval"), rows, "none | much", note)


def production(evaluation: Evaluation) -> IntervalTable | None:
    """The comparison with the version in production, on the rows that it has not seen."""
    against = evaluation.production
    if against is None:
        return None
    drawn = [charts.whiskers([(each.value, each.interval)], through_zero=True)[0] for each in against.differences]
    rows = tuple(
        Row(
            name=_heading(each.metric),
            cells=(wording.signed(each.value), wording.span(each.interval, is_difference=True)),
            whisker=whisker,
        )
        for each, whisker in zip(against.differences, drawn, strict=True)
    )
    note = (
        f"On the {against.rows:,} rows of {against.entities:,} entities from {against.seen_until:%Y-%m-%d %H:%M} UTC "
        f"on, after all that version {against.version} was trained and tuned on and its label's horizon."
    )
    return _table(
        f"Against version {against.version} in production",
        ("Metric", "better by", "interval"),
        rows,
        "worse | better",
        note,
    )


def _segments(evaluation: Evaluation, segments: Segments) -> IntervalTable:
    metric = evaluation.loss
    figures = [next(each for each in group.figures if each.metric == metric) for group in segments.groups]
    drawn = charts.whiskers([(each.value, each.interval) for each in figures], through_zero=False)
    rows = tuple(
        Row(
            name=group.name,
            cells=(
                f"{group.rows:,}",
                f"{group.entities:,}",
                wording.number(group.label_mean),
                wording.number(figure.value),
                wording.span(figure.interval),
            ),
            whisker=whisker,
        )
        for group, figure, whisker in zip(segments.groups, figures, drawn, strict=True)
    )
    columns = (segments.column, "rows", "entities", "mean label", TITLES[metric], "interval")
    return _table(segments.column, columns, rows, "low | high")


def _table(title: str, columns: tuple[str, ...], rows: Sequence[Row], drawn: str, note: str = "") -> IntervalTable:
    return IntervalTable(title=title, note=note, columns=columns, rows=tuple(rows), drawn=drawn)


def _heading(metric: Metric) -> str:
    title = TITLES[metric]
    return f"{title[0].upper()}{title[1:]}"

"""The model card: the same facts as the page, in Markdown, for whoever must decide whether to rely on the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformations.models.evaluation.facts import Evaluation
from transformations.models.evaluation.metrics import TITLES
from transformations.models.records.gates import GateReport
from transformations.models.reports import wording

_MOST_IMPORTANT = 10


def render_card(evaluation: Evaluation, report: GateReport | None) -> str:
    """The card as Markdown. Equal facts give equal text."""
    return "\n\n".join(_sections(evaluation, report)) + "\n"


def _sections(evaluation: Evaluation, report: GateReport | None) -> Iterator[str]:
    subject = evaluation.subject
    yield f"# {subject.model}, version {subject.version}"
    yield _plain(subject.description)
    yield _table(
        ("", ""),
        [
            ("Owner", subject.owner),
            ("Task", f"{subject.task.replace('_', ' ')} of `{subject.label}`"),
            ("Trainer", subject.trainer),
            ("Trained on", ", ".join(f"{rows:,} rows of {name}" for name, rows in subject.trained_on.items()) or "—"),
            ("Dataset", f"{subject.dataset}, manifest `{subject.dataset_hash[:12]}`"),
            ("Artifact", f"`{subject.artifact[:12]}`"),
            ("Evaluated", f"{evaluation.evaluated_at:%Y-%m-%d %H:%M} UTC, look {evaluation.look} at this period"),
        ],
    )
    if report is not None:
        yield "## Gates"
        yield wording.verdict(report)
        yield _table(
            ("Gate", "Model", "Other", "Interval", "Confidence", "Outcome"),
            [
                (
                    wording.gate_name(each),
                    wording.number(each.value),
                    wording.number(each.baseline_value) if each.baseline else "",
                    wording.span(each.interval, is_difference=each.baseline is not None),
                    f"{each.used_confidence:.4g}",
                    wording.OUTCOMES[each.outcome] + (f": {each.needed}" if each.needed else ""),
                )
                for each in report.results
            ],
        )
    yield "## Figures"
    yield (
        f"{evaluation.rows:,} rows of {evaluation.entities:,} entities (`{subject.entity}`), from "
        f"{evaluation.first:%Y-%m-%d} to {evaluation.last:%Y-%m-%d}, split `{subject.split}`, mean label "
        f"{wording.number(evaluation.label_mean)}. In brackets {evaluation.confidence:.0%} intervals from "
        f"{evaluation.draws:,} draws of whole entities."
    )
    metrics = [each.metric for each in evaluation.predictors[0].figures]
    yield _table(
        ("Predictor", *(wording.title(metric) for metric in metrics)),
        [
            (
                each.name,
                *(f"{wording.number(figure.value)} ({wording.span(figure.interval)})" for figure in each.figures),
            )
            for each in evaluation.predictors
        ],
    )
    if evaluation.deciding is not None:
        yield "## Decisions"
        yield wording.decisions(evaluation.deciding, evaluation.rows)
        if evaluation.deciding.value is not None:
            yield wording.worth(evaluation.deciding.value)
    if evaluation.business:
        yield "## Business"
        yield _table(
            ("Metric", "Value", "Unit", "Known after", "Owner"),
            [
                (wording.direction(each), wording.number(each.value), each.unit, each.horizon, each.owner)
                for each in evaluation.business
            ],
        )
    if evaluation.production is not None:
        against = evaluation.production
        yield f"## Against version {against.version} in production"
        yield f"On {against.rows:,} rows that it has not seen, from {against.seen_until:%Y-%m-%d} on."
        yield _table(
            ("Metric", "Better by", "Interval"),
            [
                (
                    TITLES[each.metric],
                    wording.signed(each.value),
                    wording.span(each.interval, is_difference=True),
                )
                for each in against.differences
            ],
        )
    for segments in evaluation.segments:
        yield f"## By {segments.column}"
        yield _table(
            (segments.column, "Rows", "Entities", *(wording.title(metric) for metric in metrics)),
            [
                (
                    each.name,
                    f"{each.rows:,}",
                    f"{each.entities:,}",
                    *(wording.number(figure.value) for figure in each.figures),
                )
                for each in segments.groups
            ],
        )
    if evaluation.importance:
        yield "## What it goes by"
        worsens = f"By how much the {TITLES[evaluation.loss]} worsens"
        yield f"{worsens} where a feature's values are exchanged among rows."
        yield _table(
            ("Feature", "Worse by", "Interval"),
            [
                (each.feature, wording.signed(each.increase), wording.span(each.interval, is_difference=True))
                for each in evaluation.importance[:_MOST_IMPORTANT]
            ],
        )
    if evaluation.latency is not None:
        latency = evaluation.latency
        yield "## Cost"
        yield (
            f"One row takes {wording.milliseconds(latency.median)} at the median and "
            f"{wording.milliseconds(latency.p99)} at the 99th percentile of {latency.calls:,} calls, in process."
        )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """A text on one line of a table."""
    return " ".join(text.split()).replace("|", "\\|")

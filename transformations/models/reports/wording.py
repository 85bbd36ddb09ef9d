"""How figures are written, on the page and on the card alike."""

from __future__ import annotations

from transformations.engine.base.words import plural
from transformations.models.evaluation.facts import BusinessFigure, Deciding, ExpectedValue
from transformations.models.evaluation.metrics import TITLES
from transformations.models.records.criteria import HIGHER_IS_BETTER, Metric
from transformations.models.records.gates import GateReport, GateResult, Interval

UNKNOWN = "—"
OUTCOMES = {"pass": "pass", "fail": "fail", "not_enough_evidence": "not enough evidence"}


def number(value: float | None) -> str:
    """A metric's value: four digits after the point below 1, fewer above."""
    if value is None:
        return UNKNOWN
    return f"{value:.4f}" if abs(value) < 1 else f"{value:,.4g}"


def signed(value: float | None) -> str:
    """A difference, with its sign."""
    return UNKNOWN if value is None else f"{'+' if value > 0 else '−' if value < 0 else ''}{number(abs(value))}"


def span(interval: Interval | None, *, is_difference: bool = False) -> str:
    """An interval's ends."""
    if interval is None:
        return UNKNOWN
    write = signed if is_difference else number
    return f"{write(interval.low)} to {write(interval.high)}"


def title(metric: Metric) -> str:
    """A metric's name with an arrow to where it is better."""
    return f"{TITLES[metric]} {'↑' if metric in HIGHER_IS_BETTER else '↓'}"


def verdict(report: GateReport) -> str:
    """The outcome of all gates in a sentence."""
    gated = [result for result in report.results if result.gated]
    stopping = [result for result in gated if result.outcome != "pass"]
    if not stopping:
        return f"All {len(gated)} gates passed." if len(gated) > 1 else "The gate passed."
    unclear = sum(result.outcome == "not_enough_evidence" for result in stopping)
    kinds = f" ({unclear} for lack of evidence)" if unclear else ""
    return f"Stopped: {len(stopping)} of {plural(len(gated), 'gate')} did not pass{kinds}."


def gate_name(result: GateResult) -> str:
    """A gate as one reads it, with its segment."""
    name = result.name.replace(result.metric, TITLES[result.metric], 1)
    return name if result.segment is None else f"{name}: {result.segment}"


def decisions(found: Deciding, rows: int) -> str:
    """How often a version acts, and how often rightly."""
    how = {"threshold": "as declared", "costs": "where it pays", "top_k": "for so many rows a day"}[found.chosen_by]
    rightly = f", rightly in {found.hits / found.acted:.1%} of them" if found.acted else ""
    return (
        f"Acts on {found.acted:,} of {rows:,} rows ({found.acted / rows:.1%}){rightly}: at a score of "
        f"{number(found.threshold)} or more, {how}."
    )


def worth(value: ExpectedValue) -> str:
    """What deciding is worth, beside what anybody could do."""
    better = "everybody" if value.always > value.never else "nobody"
    return (
        f"A row is worth {signed(value.mean)} {value.unit} on average ({span(value.interval, is_difference=True)}): "
        f"{signed(value.gain)} ({span(value.gain_interval, is_difference=True)}) more than acting on {better}. Acting "
        f"on everybody is worth {signed(value.always)}, on nobody {signed(value.never)}."
    )


def direction(figure: BusinessFigure) -> str:
    """A business metric's name with an arrow to where it is better."""
    return f"{figure.name} {'↑' if figure.direction == 'up' else '↓'}"


def milliseconds(value: float) -> str:
    """A latency."""
    return f"{value:.2g} ms" if value < 10 else f"{value:,.0f} ms"

"""Judges a model by its criteria. A gate passes by an interval, never by a value alone.

The confidence of every gate is corrected for looks at the split: the k-th candidate that is judged on it has a k-th of
the error rate. The segments of one gate share that rate by Holm's procedure: the clearest of m segments is judged at an
m-th of it, the next at an (m − 1)-th, until one fails, and with it all that are less clear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transformations.engine.base.words import plural
from transformations.models.evaluation.intervals import MODEL, Figure, Measured, Scored, draws_for, measured
from transformations.models.evaluation.metrics import TITLES, Floats
from transformations.models.records.criteria import PRODUCTION, Criteria, Gate
from transformations.models.records.gates import GateResult, Interval

_MOST_DRAWS = 100_000


def judge(
    criteria: Criteria, scored: Scored, *, look: int = 1, against_production: Scored | None = None
) -> tuple[GateResult, ...]:
    """The outcome of every gate, a segment each where a gate asks for segments.

    look: how many candidates have been judged on these rows, this one included. against_production: the rows on which
    production can be compared, with its predictions; None where there is none, and then a gate against production
    passes by nothing that has been shown: it is not enough evidence.
    """
    results: list[GateResult] = []
    for gate in criteria.gates:
        rows = against_production if gate.baseline == PRODUCTION else scored
        if rows is None:
            results.append(_without_production(gate, look))
        elif gate.segments is None:
            case = _Case.of(gate, rows, criteria, share=1 / look)
            results.append(case.judged(_corrected(gate, 1 / look)))
        else:
            results += _judge_segments(gate, rows, criteria, look)
    return tuple(results)


@dataclass(frozen=True)
class _Case:
    """A gate on one group of rows. short: why there is not enough evidence, or nothing."""

    gate: Gate
    found: Measured
    segment: str | None
    short: str

    @classmethod
    def of(cls, gate: Gate, scored: Scored, criteria: Criteria, *, share: float, segment: str | None = None) -> _Case:
        """share: that of the error rate which the gate may be judged at, at the strictest."""
        names = [MODEL, *([gate.baseline] if gate.baseline else [])]
        draws = min(_MOST_DRAWS, draws_for(_corrected(gate, share), criteria.draws))
        found = measured(scored, [gate.metric], names=names, draws=draws, seed=criteria.seed)
        short = _shortage(gate, scored, found)
        return cls(gate, found, segment, short)

    @property
    def figure(self) -> Figure:
        """What the gate's limit applies to."""
        if self.gate.baseline is None:
            return self.found.figure(MODEL, self.gate.metric)
        return self.found.gain(self.gate.baseline, self.gate.metric)

    @property
    def clearness(self) -> tuple[float, float]:
        """Orders segments, the clearest first: by the share of draws beyond the limit, then by the distance to it."""
        spare = _spare(self.gate, self.figure.draws)
        spread = float(np.nanstd(spare)) or 1.0
        beyond = float(np.mean(~(spare > 0)))
        return beyond, -float(_spare(self.gate, np.array([self.figure.value]))[0]) / spread

    def judged(self, confidence: float, stopped_by: str = "") -> GateResult:
        """The outcome at a confidence. stopped_by: a clearer segment that failed already."""
        gate, figure = self.gate, self.figure
        interval = figure.interval(confidence)
        if self.short or interval is None:
            outcome = "not_enough_evidence"
            needed = self.short or f"{TITLES[gate.metric]} is not defined in enough of the draws"
        elif _passes(gate, interval) and not stopped_by:
            outcome, needed = "pass", ""
        else:
            outcome, needed = "fail", _needed(gate, figure, interval, self.found.entities, stopped_by)
        value = self.found.values[MODEL][gate.metric]
        theirs = self.found.values[gate.baseline][gate.metric] if gate.baseline else math.nan
        return GateResult.model_validate(
            {
                **_declared(gate),
                "used_confidence": confidence,
                "segment": self.segment,
                "value": value if math.isfinite(value) else None,
                "baseline_value": theirs if math.isfinite(theirs) else None,
                "interval": interval,
                "rows": self.found.rows,
                "entities": self.found.entities,
                "positives": self.found.positives,
                "gated": self.segment is None or not self.short,
                "outcome": outcome,
                "needed": needed,
            }
        )


def _judge_segments(gate: Gate, scored: Scored, criteria: Criteria, look: int) -> list[GateResult]:
    column = gate.segments or ""
    values = sorted(set(scored.segments[column].tolist()))
    strictest = 1 / (look * max(len(values), 1))
    cases = [
        _Case.of(gate, scored.segment(column, value), criteria, share=strictest, segment=value) for value in values
    ]
    gated = sorted((case for case in cases if not case.short), key=lambda case: case.clearness)
    results: list[GateResult] = []
    stopped_by = ""
    for place, case in enumerate(gated):
        result = case.judged(_corrected(gate, 1 / (look * (len(gated) - place))), stopped_by)
        if result.outcome != "pass":
            stopped_by = stopped_by or repr(case.segment)
        results.append(result)
    shown = [case.judged(_corrected(gate, 1 / look)) for case in cases if case.short]
    if not any(result.gated for result in results):
        least = _least(gate, scored.is_classification)
        results.append(_nothing_judged(gate, look, scored, f"no {column} has {least}"))
    return [*results, *shown]


def _corrected(gate: Gate, share: float) -> float:
    return 1 - (1 - gate.confidence) * share


def _passes(gate: Gate, interval: Interval) -> bool:
    spare = float(_spare(gate, np.array([interval.low, interval.high])).min())
    return spare >= 0 if gate.baseline is None else spare > 0


def _spare(gate: Gate, values: Floats) -> Floats:
    """How far values are on the right side of a gate's limit; negative on the wrong one."""
    return _limit(gate) - values if gate.comparison == "at_most" else values - _limit(gate)


def _limit(gate: Gate) -> float:
    """What a bound is, or a difference must exceed."""
    match gate.comparison:
        case "beats":
            return gate.margin
        case "not_worse_than":
            return -gate.margin
    return next(bound for bound in (gate.at_least, gate.at_most) if bound is not None)


def _shortage(gate: Gate, scored: Scored, found: Measured) -> str:
    """What is missing for a verdict, or nothing."""
    for name, values in found.values.items():
        if not math.isfinite(values[gate.metric]):
            whose = "" if name == MODEL else f" of {name}"
            return f"{TITLES[gate.metric]}{whose} is not defined here: {_why_undefined(scored)}"
    short = found.entities < gate.entities or (scored.is_classification and found.positives < gate.positives)
    if not short:
        return ""
    has = plural(found.entities, "entity", "entities")
    if scored.is_classification:
        has += f", {found.positives:,} of them with a true label"
    return f"needs {_least(gate, scored.is_classification)}; there are {has}"


def _least(gate: Gate, is_classification: bool) -> str:
    text = plural(gate.entities, "entity", "entities")
    return f"{text} and {gate.positives:,} with a true label" if is_classification else text


def _why_undefined(scored: Scored) -> str:
    if not len(scored):
        return "there are no rows"
    return f"every label is {'true' if scored.labels.all() else 'false'}"


def _needed(gate: Gate, figure: Figure, interval: Interval, entities: int, stopped_by: str) -> str:
    """What would make a failed gate pass."""
    if stopped_by and _passes(gate, interval):
        return f"{stopped_by} is clearer and failed, so Holm's procedure stopped before this one"
    match gate.comparison:
        case "at_most":
            end, word = interval.high, "upper end must be at most"
        case "at_least":
            end, word = interval.low, "lower end must be at least"
        case _:
            end, word = interval.low, "lower end of the difference must be above"
    text = f"the {word} {_limit(gate):g}; it is {end:.4g}"
    spare = float(_spare(gate, np.array([figure.value]))[0])
    if spare > 0 and end != figure.value:
        enough = int(float(f"{entities * ((figure.value - end) / spare) ** 2:.2g}"))
        text += f". If {figure.value:.4g} is the truth, about {plural(enough, 'entity', 'entities')} would show it"
    return text


def _declared(gate: Gate) -> dict[str, object]:
    return {
        "name": gate.name,
        "metric": gate.metric,
        "comparison": gate.comparison,
        "baseline": gate.baseline,
        "limit": gate.at_least if gate.at_least is not None else gate.at_most,
        "margin": gate.margin,
        "confidence": gate.confidence,
    }


def _without_production(gate: Gate, look: int) -> GateResult:
    return _empty(
        gate, look, "needs a version in production, its inputs in this dataset, and rows after all it has seen"
    )


def _nothing_judged(gate: Gate, look: int, scored: Scored, needed: str) -> GateResult:
    return _empty(gate, look, needed).model_copy(
        update={"rows": len(scored), "entities": scored.clusters.count, "positives": scored.positives}
    )


def _empty(gate: Gate, look: int, needed: str) -> GateResult:
    return GateResult.model_validate(
        {
            **_declared(gate),
            "used_confidence": _corrected(gate, 1 / look),
            "value": None,
            "interval": None,
            "rows": 0,
            "entities": 0,
            "outcome": "not_enough_evidence",
            "needed": needed,
        }
    )


def undecided(results: Sequence[GateResult]) -> tuple[GateResult, ...]:
    """The gates that keep a version back: failed, or without enough evidence."""
    return tuple(result for result in results if result.gated and result.outcome != "pass")

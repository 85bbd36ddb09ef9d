"""What was found, as metrics in Prometheus' text format: a file that a node exporter, or any web server, gives out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from transformations.engine.base import storage
from transformations.engine.base.errors import UsageError
from transformations.models.evaluation.metrics import improvement
from transformations.monitoring.judging.outcomes import Outcomes
from transformations.monitoring.judging.retraining import failures_over, read_attempts
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.history import COUNTS, Finding
from transformations.monitoring.reading.records import SCORE
from transformations.monitoring.reports.page import Facts

SUFFIX = ".prom"
_OF_FINDING = ("model", "version", "part", "subject", "measure")


class Metrics(Collector):
    """The gauges of one run. at: when it looked."""

    def __init__(
        self, facts: Mapping[str, Facts], watched: Mapping[str, Watched], data: Sequence[Finding], at: datetime
    ) -> None:
        self._facts, self._watched, self._data, self._at = facts, watched, data, at

    def collect(self) -> Iterator[Any]:
        """Every gauge, with a line for each thing that was looked at."""
        run = GaugeMetricFamily("features_monitor_run_timestamp_seconds", "When the models were last looked at")
        run.add_metric([], self._at.timestamp())
        yield run
        yield from self._of_models()
        yield from self._of_findings()
        yield from self._of_outcomes()

    def _of_models(self) -> Iterator[Any]:
        info = _gauge("info", "Whom a model concerns", ["model", "owner", "contact", "runbook"])
        day = _gauge("day_timestamp_seconds", "The end of the newest day that was judged", ["model"])
        rows = _gauge("predictions", "Predictions of the newest day", ["model", "version"])
        text = "Releases that failed over what alerts now"
        failures = _gauge("retraining_failures", text, ["model"])
        for name, facts in self._facts.items():
            watched = self._watched[name]
            failures.add_metric([name], float(failures_over(facts.judged.alerts, read_attempts(watched))))
            info.add_metric([name, watched.owner, facts.owner, facts.runbook], 1.0)
            day.add_metric([name], _end_of(facts.judged.day))
            for each in facts.days.get(facts.judged.day, ()):
                if (each.subject, each.measure) == (SCORE, COUNTS):
                    rows.add_metric([name, str(each.version)], float(each.rows))
        yield from (info, day, rows, failures)

    def _of_findings(self) -> Iterator[Any]:
        effect = _gauge("effect", "What was found of a subject by a measure", _OF_FINDING)
        limit = _gauge("limit", "What an effect is held against", _OF_FINDING)
        alert = _gauge("alert", "Whether somebody is to look at it", [*_OF_FINDING, "owner"])
        text = "How much worse the loss gets without a feature"
        importance = _gauge("importance", text, ["model", "version", "subject"])
        worth: dict[tuple[str, str, str], float] = {}
        for model, each in self._findings():
            labels = [model, str(each.version), each.part, each.subject, each.measure]
            if each.value is not None:
                effect.add_metric(labels, each.value)
            if each.limit is not None:
                limit.add_metric(labels, each.limit)
            if each.state in ("fine", "alert"):
                alert.add_metric([*labels, each.owner], float(each.alerts))
            if each.importance is not None:
                worth[model, str(each.version), each.subject] = each.importance
        for (model, version, subject), value in worth.items():
            importance.add_metric([model, version, subject], value)
        yield from (effect, limit, alert, importance)

    def _of_outcomes(self) -> Iterator[Any]:
        of_metric = ["model", "version", "metric"]
        realised = GaugeMetricFamily("features_outcome_realised", "A metric on known outcomes", labels=of_metric)
        promised = GaugeMetricFamily("features_outcome_promised", "What the evaluation said", labels=of_metric)
        worse = GaugeMetricFamily(
            "features_outcome_worse", "Whether the realised interval is worse than the promised one", labels=of_metric
        )
        known = GaugeMetricFamily(
            "features_outcome_known_timestamp_seconds", "Until when outcomes are known", labels=["model"]
        )
        business = GaugeMetricFamily(
            "features_business_value", "A business metric on known outcomes", labels=[*of_metric, "unit"]
        )
        for name, facts in self._facts.items():
            if facts.outcomes is None:
                continue
            known.add_metric([name], facts.outcomes.known_until.timestamp())
            for labels, value in _realised(name, facts.outcomes):
                realised.add_metric(labels, value)
            for version, metric, value in _promised(facts.outcomes):
                promised.add_metric([name, version, metric], value)
            for version, metric, is_worse in _worse(facts.outcomes):
                worse.add_metric([name, version, metric], float(is_worse))
            for group in facts.outcomes.groups:
                if group.by == "all":
                    for figure in group.business:
                        if figure.value is not None:
                            business.add_metric([name, str(group.version), figure.name, figure.unit], figure.value)
        yield from (realised, promised, worse, known, business)

    def _findings(self) -> Iterator[tuple[str, Finding]]:
        for name, facts in self._facts.items():
            yield from ((name, each) for each in facts.judged.findings)
        yield from (("", each) for each in self._data)


def metrics_text(
    facts: Mapping[str, Facts], watched: Mapping[str, Watched], data: Sequence[Finding], at: datetime
) -> bytes:
    """All metrics of a run, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(Metrics(facts, watched, data, at))
    return generate_latest(registry)


def write_metrics(file: Path, text: bytes) -> None:
    """Put a file of metrics in the place of the former one. UsageError for a name that no collector would read."""
    if file.suffix != SUFFIX:
        raise UsageError(f"--export {file}: a file of metrics ends with {SUFFIX}, or node_exporter passes it over.")
    storage.make_folder(file.parent)
    unfinished = file.with_name(f".{file.name}.{uuid4().hex}{storage.UNFINISHED}")
    storage.make_file(unfinished).write_bytes(text)
    unfinished.replace(file)


def _gauge(name: str, text: str, labels: Sequence[str]) -> Any:
    return GaugeMetricFamily(f"features_monitor_{name}", text, labels=labels)


def _end_of(day: date) -> float:
    return datetime.combine(day, time.max, UTC).timestamp()


def _realised(model: str, outcomes: Outcomes) -> Iterator[tuple[list[str], float]]:
    for group in outcomes.groups:
        if group.by == "all":
            for figure in group.figures:
                if figure.value is not None:
                    yield [model, str(group.version), figure.metric], figure.value


def _promised(outcomes: Outcomes) -> Iterator[tuple[str, str, float]]:
    for promise in outcomes.promises:
        for figure in promise.figures:
            if figure.value is not None:
                yield str(promise.version), figure.metric, figure.value


def _worse(outcomes: Outcomes) -> Iterator[tuple[str, str, bool]]:
    """By metric whether even the better end of the realised interval is worse than the worse end of the promised."""
    promised = {(each.version, figure.metric): figure for each in outcomes.promises for figure in each.figures}
    for group in outcomes.groups:
        if group.by != "all":
            continue
        for figure in group.figures:
            said = promised.get((group.version, figure.metric))
            if figure.interval is None or said is None or said.interval is None:
                continue
            ours = np.array([figure.interval.low, figure.interval.high])
            theirs = np.array([said.interval.low, said.interval.high])
            gains = improvement(figure.metric, ours[:, None], theirs[None, :])
            yield str(group.version), figure.metric, bool(gains.max() < 0)

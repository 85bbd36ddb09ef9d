"""The report of a model's days as one page that needs no other file: business, the model, and what it stands on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from transformations.engine.base.files.published import replacing
from transformations.insight.site.writing import style, templates_in
from transformations.models.evaluation.metrics import TITLES
from transformations.models.records.criteria import Metric
from transformations.models.reports import charts, wording
from transformations.models.reports.charts import Plot
from transformations.models.reports.page import FILES
from transformations.monitoring.judging.day import Judged, ranked
from transformations.monitoring.judging.drifts import MEASURES
from transformations.monitoring.judging.estimates import METHOD
from transformations.monitoring.judging.outcomes import Group, Outcomes
from transformations.monitoring.judging.skew import MEASURE as SKEWED
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.history import COUNTS, Finding, model_folder, read_findings
from transformations.monitoring.reading.records import SCORE, Baseline
from transformations.monitoring.reports.plots import Line, by_day, distribution

DAYS = 60
PAGE = "report.html"
_DRAWN_FEATURES = 8
_DRAWN_METRICS: tuple[Metric, ...] = ("log_loss", "mae")
_TEMPLATES = templates_in(Path(__file__).parent / "files", FILES)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the page says. days: the findings of up to 60 days, the judged one last. outcomes: where they are known.

    data: the last look at the data behind all models.
    """

    model: str
    description: str
    owner: str
    runbook: str
    judged: Judged
    days: Mapping[date, tuple[Finding, ...]]
    baselines: Mapping[int, Baseline]
    outcomes: Outcomes | None
    data: tuple[Finding, ...] = ()

    @property
    def versions(self) -> list[int]:
        """The versions of the day."""
        return sorted({each.version for each in self.judged.findings if each.version})


def facts_of(watched: Watched, judged: Judged, outcomes: Outcomes | None, data: Sequence[Finding] = ()) -> Facts:
    """Read what the page of a judged day says."""
    days = [judged.day - timedelta(days=each) for each in reversed(range(DAYS))]
    read = {day: read_findings(watched.model, day, watched.settings) for day in days}
    found = {day: findings for day, findings in read.items() if findings}
    versions = {each.version for each in judged.findings if each.version}
    return Facts(
        model=watched.model,
        description=watched.declaration.description if watched.declaration else "",
        owner=watched.contact(watched.owner),
        runbook=watched.runbook,
        judged=judged,
        days=found,
        baselines={version: watched.baseline(version) for version in versions},
        outcomes=outcomes,
        data=tuple(data),
    )


def write_page(watched: Watched, facts: Facts) -> Path:
    """Put the page of a model in the place of its former one."""
    file = model_folder(watched.model, watched.settings) / PAGE
    with replacing(file) as draft:
        draft.write_text(render_page(facts), encoding="utf-8")
    return file


def render_page(facts: Facts) -> str:
    """The report as HTML; equal facts give equal text."""
    css = style() + (FILES / "report.css").read_text(encoding="utf-8")
    return _TEMPLATES.get_template("monitoring.html.jinja").render(
        css=css,
        facts=facts,
        alerts=facts.judged.alerts,
        warnings=facts.judged.warnings,
        fine=[each for each in facts.judged.findings if each.state == "fine"],
        held=[each for each in facts.judged.findings if each.state == "held"],
        shown=[each for each in facts.judged.findings if each.state == "shown" and each.value is not None],
        left_out=[each for each in facts.judged.findings if each.state == "shown" and each.value is None],
        data=[each for each in ranked(facts.data) if each.state != "shown"],
        business=list(_business(facts)),
        promised=list(_promised(facts)),
        estimates=facts.outcomes.estimates if facts.outcomes else (),
        method=METHOD,
        arms=[each for each in (facts.outcomes.groups if facts.outcomes else ()) if each.by in ("arm", "acted on")],
        scores=list(_scores(facts)),
        features=list(_features(facts)),
        infrastructure=list(_infrastructure(facts)),
        words=wording,
        frame=charts,
        command=_command,
        number=_number,
    )


def _business(facts: Facts) -> Iterator[Plot]:
    """Realised figures by day: the business metrics, and the loss."""
    if facts.outcomes is None:
        return
    for version in sorted({each.version for each in facts.outcomes.groups if each.by == "day"}):
        days = facts.outcomes.of(version, "day")
        whole = facts.outcomes.whole(version)
        for place, metric in enumerate(whole.business):
            line = Line(metric.name, [(_day(each), each.business[place].value) for each in days])
            note = f"{metric.unit}, known {metric.horizon} after a prediction; {metric.direction} is better."
            yield by_day(f"{metric.name}, version {version}", metric.unit, [line], note)
        promise = next((each for each in facts.outcomes.promises if each.version == version), None)
        said = {each.metric: each.interval for each in promise.figures} if promise else {}
        for name in _DRAWN_METRICS:
            line = Line("realised", [(_day(each), _figure(each, name)) for each in days])
            if any(value is not None for _, value in line.points):
                interval = said.get(name)
                limits = [interval.low, interval.high] if interval else []
                note = "Between the dashed lines is what the evaluation promised, with its 95 % interval."
                title = f"{TITLES[name].capitalize()} by day, version {version}"
                yield by_day(title, TITLES[name], [line], note if limits else "", limits)


def _promised(facts: Facts) -> Iterator[tuple[str, str, str, str, str, str]]:
    """What was realised beside what was promised, row by row."""
    if facts.outcomes is None:
        return
    promises = {each.version: each for each in facts.outcomes.promises}
    for version in sorted({each.version for each in facts.outcomes.groups}):
        whole = facts.outcomes.whole(version)
        promise = promises.get(version)
        said = {each.metric: each for each in promise.figures} if promise else {}
        for figure in whole.figures:
            theirs = said.get(figure.metric)
            yield (
                str(version) if facts.outcomes.of(version) else f"{version}, in shadow",
                wording.title(figure.metric),
                wording.number(figure.value),
                wording.span(figure.interval),
                wording.number(theirs.value if theirs else None),
                wording.span(theirs.interval if theirs else None),
            )


def _scores(facts: Facts) -> Iterator[Plot]:
    for version in facts.versions:
        yield from _today(facts, version, SCORE, "score")
    yield _history(facts, SCORE, "drift", "PSI of the scores")
    yield _history(facts, SCORE, "mean", "mean score")
    yield _history(facts, "decision", "acted on", "share acted on")


def _features(facts: Facts) -> Iterator[tuple[str, str, list[Plot]]]:
    """The features that alert, and then those of most worth: today against the reference, and the days before."""
    named: dict[str, Finding] = {}
    for each in facts.judged.findings:
        is_shown = each.value is not None or each.state == "held"
        if each.part == "features" and each.measure in MEASURES.values() and is_shown:
            named.setdefault(each.subject, each)
    alerting = {each.subject for each in facts.judged.alerts}
    chosen = sorted(named, key=lambda name: (name not in alerting, -(named[name].importance or 0.0)))
    for name in chosen[:_DRAWN_FEATURES]:
        plots = [plot for version in facts.versions for plot in _today(facts, version, name, name)]
        plots.append(_history(facts, name, "drift", "effect"))
        if any(each.subject == name and each.measure == "changed" for each in facts.judged.findings):
            plots.append(_history(facts, name, "changed", "share of keys that changed"))
        told = [
            f"{each.measure}{' as stored' if each.part == 'stored' else ''} {_number(each.value)}"
            for each in facts.judged.alerts
            if each.subject == name
        ]
        yield name, "; ".join(told), plots


def _infrastructure(facts: Facts) -> Iterator[Plot]:
    rows = [(day, float(_rows(found))) for day, found in facts.days.items()]
    yield by_day("Predictions by day", "rows", [Line("rows", rows)])
    yield _history(facts, "degraded", "share", "share without features")
    latency = [_greatest(facts, "latency", name) for name in ("median", "95th percentile", "99th percentile")]
    if any(line.points for line in latency):
        yield by_day("Latency", "seconds", latency, "Of the version that was slowest on that day.")
    skewed = _by_version(facts, "predictions", SKEWED)
    if skewed:
        note = "Of a sample of each day, compared bit for bit with what its records say it was made from."
        yield by_day("Skew", "share of predictions", skewed, note)


def _today(facts: Facts, version: int, name: str, unit: str) -> Iterator[Plot]:
    """A subject's values of the day beside those of the reference."""
    baseline = facts.baselines[version]
    for each in _served(facts.days.get(facts.judged.day, ())):
        if (each.subject, each.measure, each.version) == (name, COUNTS, version) and each.counts and any(each.counts):
            reference = baseline.layout.of(name, baseline.reference)
            title = f"{name} of version {version}" if len(facts.versions) > 1 else name
            yield distribution(title, baseline.layout.features[name], reference, each.counts, unit)


def _history(facts: Facts, subject: str, measure: str, label: str) -> Plot:
    lines = _by_version(facts, subject, measure)
    limits = [
        each.limit
        for each in _served(facts.days.get(facts.judged.day, ()))
        if (each.subject, each.measure) == (subject, measure) and each.limit is not None
    ]
    note = "The dashed line is the day's limit." if limits else ""
    return by_day(f"{subject}: {measure} over {DAYS} days", label, lines, note, limits[:1])


def _by_version(facts: Facts, subject: str, measure: str) -> list[Line]:
    """A subject's values day by day, a line a version: two that answer on the same days have nothing to do with each
    other.
    """
    points: dict[int, list[tuple[date, float | None]]] = {}
    for day, found in facts.days.items():
        for each in _served(found):
            if (each.subject, each.measure) == (subject, measure) and each.value is not None:
                points.setdefault(each.version, []).append((day, each.value))
    return [Line(f"version {version}" if version else measure, points[version]) for version in sorted(points)]


def _greatest(facts: Facts, subject: str, measure: str) -> Line:
    """Of each day the greatest value of any version."""
    points: dict[date, float] = {}
    for line in _by_version(facts, subject, measure):
        for day, value in line.points:
            points[day] = max(points.get(day, -math.inf), value or 0.0)
    return Line(measure, sorted(points.items()))


def _served(found: Sequence[Finding]) -> Iterator[Finding]:
    """What is not about stored values, which have the same subjects and measures as served ones."""
    return (each for each in found if each.part != "stored")


def _rows(found: Sequence[Finding]) -> int:
    return sum(each.rows for each in found if (each.subject, each.measure) == (SCORE, COUNTS))


def _day(group: Group) -> date:
    return date.fromisoformat(group.value)


def _figure(group: Group, metric: Metric) -> float | None:
    return next((each.value for each in group.figures if each.metric == metric), None)


def _command(model: str, finding: Finding) -> str:
    """What looks closer at a finding."""
    if finding.part == "skew":
        return f"features predictions check {model}" if finding.subject == "predictions" else "features parity"
    kind, _, name = finding.subject.partition(" ")
    if finding.part == "data" and kind in ("source", "view"):
        return f"features show {name}" if kind == "view" else "features status"
    if finding.part in ("features", "stored"):
        return f"features show {finding.subject}"
    return f"features monitor {model} --day {finding.day} --json"


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:,.4g}" if abs(value) >= 1 else f"{value:.4f}"

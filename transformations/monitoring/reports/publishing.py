"""What a run of monitoring leaves behind beside the history: the page of every model that it looked at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.models.versions import dataset_of
from transformations.monitoring.judging.data import DATA
from transformations.monitoring.judging.day import Judged
from transformations.monitoring.judging.monitoring import Monitored
from transformations.monitoring.judging.outcomes import Outcomes, outcomes
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.history import Finding, last_before, read_findings
from transformations.monitoring.reports.exporting import metrics_text, write_metrics
from transformations.monitoring.reports.page import DAYS, Facts, facts_of, write_page


@faults_in_words()
def export(pages: Mapping[str, tuple[Path, Facts]], found: Monitored, file: Path, settings: Settings) -> None:
    """Write what a run found as metrics for Prometheus."""
    facts = {name: each for name, (_, each) in pages.items()}
    write_metrics(file, metrics_text(facts, found.watched, _data(settings), settings.now()))


@faults_in_words()
def publish(found: Monitored, settings: Settings) -> dict[str, tuple[Path, Facts]]:
    """Write the page of each model; by model, where it is and what it says."""
    data = _data(settings)
    pages = {}
    for judged in found.newest:
        if judged.model == DATA:
            continue
        watched = found.watched[judged.model]
        facts = facts_of(watched, judged, _outcomes(watched, judged), data)
        pages[judged.model] = write_page(watched, facts), facts
    return pages


def _outcomes(watched: Watched, judged: Judged) -> Outcomes | None:
    """What became of the predictions of the last days whose horizon can have passed, as many as the page shows; None
    where nothing is known yet, which is no fault.
    """
    label = dataset_of(watched.model, watched.standing.newest(), watched.settings).config.label
    horizon = label.horizon if label is not None else timedelta(0)
    try:
        return outcomes(watched, judged.day - horizon - timedelta(days=DAYS), in_detail=False)
    except DataError:
        return None


def _data(settings: Settings) -> tuple[Finding, ...]:
    today = settings.now().date()
    found = read_findings(DATA, today, settings)
    if found:
        return found
    before = last_before(DATA, today, settings)
    return read_findings(DATA, before, settings) if before else ()

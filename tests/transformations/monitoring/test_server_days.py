"""Of a day that a server answered, the tables are looked at as well, and a sample is compared bit for bit."""

import shutil
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore

from tests.transformations.monitoring.conftest import LAST, multiplied, publish_changed, score, watch
from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.monitoring.judging.day import Judged, judge_day
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.history import Finding, Part
from transformations.monitoring.reading.served import days_served, files_of

MONDAYS = [LAST - timedelta(weeks=each) for each in range(5, -1, -1)]


@pytest.fixture
def answered(production: Path) -> Path:
    """The project with six Mondays that are filed as the collector files a server's answers."""
    score(production)
    settings = get_settings()
    for day in days_served(weekly.MODEL, settings):
        (file,) = files_of(weekly.MODEL, 1, day, settings)
        rows = pq.read_table(file, partitioning=None)
        for name, value in (("role", "production"), ("as_of", None)):
            place, kind = rows.column_names.index(name), rows.schema.field(name).type
            rows = rows.set_column(place, name, pa.array([value] * len(rows), kind))
        shutil.rmtree(file.parents[1])
        pq.write_table(rows, served_file(day, make=True))
    return production


def served_file(day: date, *, make: bool = False) -> Path:
    file = get_settings().predictions_dir / weekly.MODEL / "served" / f"day={day}" / "v1.parquet"
    if make:
        file.parent.mkdir(parents=True)
    return file


def with_store(project: Path) -> Watched:
    watch(project)
    store = FeatureStore(repo_path=str(project / "repo"))
    return Watched(weekly.MODEL, project / "repo", EventLog("shop"), get_settings(), open_store=lambda: store)


def of(judged: Judged, part: Part) -> dict[tuple[str, str], Finding]:
    return {(each.subject, each.measure): each for each in judged.findings if each.part == part}


def test_stored_values_of_the_population_are_compared_with_the_reference_and_with_earlier_weeks(answered: Path) -> None:
    """The job breaks after the server has answered, so what was served is right and what is stored is not."""
    publish_changed(multiplied("spend_28d", 100.0))
    watched = with_store(answered)
    for day in MONDAYS[:-1]:
        assert judge_day(watched, day).alerts == ()
    judged = judge_day(watched, LAST)
    served, stored = of(judged, "features"), of(judged, "stored")
    alerting = {key for key, each in stored.items() if each.alerts}
    assert ("spend_28d", "drift") in alerting
    assert alerting <= {("spend_28d", "drift"), ("spend_28d", "jump")}, "nothing but what the job has broken"
    jumps = {name: stored[name, "jump"].value or 0.0 for name in ("spend_28d", "visits_28d")}
    assert jumps["spend_28d"] > 1 > jumps["visits_28d"]
    assert {key for key, each in served.items() if each.alerts} == set()
    assert stored["visits_28d", "drift"].value == served["visits_28d", "drift"].value, "the same 78 users"
    assert stored["visits_28d", "drift"].rows == 78
    alert = stored["spend_28d", "drift"]
    assert (alert.owner, alert.first_bad, alert.version) == (weekly.OWNER, LAST, 1)


def test_a_day_of_batches_is_such_a_snapshot_already(scored: Path) -> None:
    assert of(judge_day(with_store(scored), LAST), "stored") == {}


def test_tables_that_are_not_complete_are_no_snapshot_and_it_is_said(
    answered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = LAST + timedelta(weeks=1)
    shutil.copytree(served_file(LAST).parent, served_file(later).parent)
    monkeypatch.setenv("FEATURES_CLOCK", "2024-05-28T12:00:00Z")
    (found,) = of(judge_day(with_store(answered), later), "stored").values()
    assert (found.subject, found.state) == ("population", "shown")
    assert found.text.startswith("not compared: user_visits is complete for requests before 2024-05-21")


def test_skew_is_a_number_and_alerts_where_a_record_says_what_nothing_gives(answered: Path) -> None:
    watched = with_store(answered)

    def skew() -> Finding:
        with watched.replaying() as replayer:
            return of(judge_day(watched, LAST, replayer), "skew")["predictions", "skewed share"]

    right = skew()
    assert (right.value, right.rows, right.state) == (0.0, 78, "fine")

    rows = pq.read_table(served_file(LAST), partitioning=None)
    scores = rows["score"].to_pylist()
    spoilt = [each + 0.001 if row < 3 else each for row, each in enumerate(scores)]
    place = rows.column_names.index("score")
    pq.write_table(rows.set_column(place, "score", pa.array(spoilt)), served_file(LAST))
    wrong = skew()
    assert (wrong.value, wrong.state) == (3 / 78, "alert")
    assert "another score" in wrong.text

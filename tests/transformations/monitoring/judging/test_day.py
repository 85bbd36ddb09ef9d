"""A day is judged by what was served: what went wrong is named with owner and first bad day, nothing else is."""

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from tests.transformations.monitoring.conftest import LAST, multiplied, publish_changed, score, watch
from tests.worlds import weekly
from tests.worlds.processes import start
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.monitoring.judging.day import judge_day
from transformations.monitoring.reading import history
from transformations.monitoring.reading.history import days_judged, read_findings, write_findings
from transformations.monitoring.reading.served import days_served

BEFORE = date(2024, 5, 13)
KILLED = """
import time
from pathlib import Path
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.monitoring.judging.day import judge_day
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading import history
import sys

written = history.pq.write_table

def write(table, file, **options):
    written(table.slice(0, 3), file, **options)
    print("here", flush=True)
    time.sleep(60)

history.pq.write_table = write
judge_day(Watched("user_return", Path(sys.argv[1]), EventLog("shop"), get_settings()))
"""


def alerting(project: Path, day: date) -> set[str]:
    return {each.subject for each in judge_day(watch(project), day).alerts}


def test_mondays_on_which_nothing_happened_are_quiet(scored: Path) -> None:
    watched = watch(scored)
    found = {day: judge_day(watched, day).alerts for day in days_served(weekly.MODEL, get_settings())}
    assert {day: [(each.subject, each.measure) for each in alerts] for day, alerts in found.items() if alerts} == {}


def test_a_swapped_unit_is_found_on_its_day_with_owner_and_first_bad_day(production: Path) -> None:
    publish_changed(multiplied("spend_28d", 100.0), BEFORE)
    publish_changed(multiplied("spend_28d", 100.0), LAST)
    score(production)
    watched = watch(production)
    for day in days_served(weekly.MODEL, get_settings()):
        judged = judge_day(watched, day)
        drift = [each for each in judged.alerts if (each.subject, each.measure) == ("spend_28d", "drift")]
        if day < BEFORE:
            assert judged.alerts == ()
            continue
        (found,) = drift
        assert (found.version, found.owner, found.first_bad) == (1, weekly.OWNER, BEFORE)
        assert (found.value or 0) > 2 * (found.limit or 0)
        assert {each.subject for each in judged.alerts} <= {"spend_28d", "score"}


def test_a_burst_of_nulls_is_found(production: Path) -> None:
    def emptied(rows: pa.Table) -> pa.Table:
        values = [None if row % 2 else value for row, value in enumerate(rows["spend_28d"].to_pylist())]
        return rows.set_column(rows.column_names.index("spend_28d"), "spend_28d", pa.array(values, pa.float64()))

    publish_changed(emptied)
    score(production)
    watched = watch(production)
    assert ("spend_28d", "drift of nulls") in {(each.subject, each.measure) for each in judge_day(watched, LAST).alerts}


def test_a_feature_that_stays_where_it_was_is_frozen_though_its_distribution_is_right(production: Path) -> None:
    def frozen(rows: pa.Table) -> pa.Table:
        known = {
            row["user_id"]: row["visits_28d"]
            for row in weekly.features().to_pylist()
            if row["event_timestamp"].date() == BEFORE
        }
        values = [known.get(user, 0) for user in rows["user_id"].to_pylist()]
        return rows.set_column(rows.column_names.index("visits_28d"), "visits_28d", pa.array(values, pa.int64()))

    publish_changed(frozen)
    score(production)
    (found,) = judge_day(watch(production), LAST).alerts
    assert (found.subject, found.measure, found.first_bad) == ("visits_28d", "changed", LAST)
    assert (found.value or 0) < 0.05


def test_a_day_judged_again_is_the_same_and_days_that_follow_cost_no_more(scored: Path) -> None:
    watched = watch(scored)
    for day in days_served(weekly.MODEL, get_settings()):
        judge_day(watched, day)
    once = {day: read_findings(weekly.MODEL, day, get_settings()) for day in days_judged(weekly.MODEL, get_settings())}
    judge_day(watch(scored), LAST)
    assert {day: read_findings(weekly.MODEL, day, get_settings()) for day in once} == once
    assert len(once) == 6


def test_a_day_without_predictions_names_the_nearest_ones(scored: Path) -> None:
    told = re.escape("has no prediction on 2024-05-15 (UTC). The nearest days with some are 2024-05-06, 2024-05-13")
    with pytest.raises(DataError, match=told):
        judge_day(watch(scored), date(2024, 5, 15))


def test_a_rollout_moves_rows_between_versions_and_is_no_change_of_volume(scored: Path) -> None:
    watched, settings = watch(scored), get_settings()
    *before, last = days_served(weekly.MODEL, settings)
    for day in before:  # as if another version had answered half of it
        judge_day(watched, day)
        found = read_findings(weekly.MODEL, day, settings)
        halves = [replace(each, version=version, rows=each.rows // 2) for each in found for version in (1, 2)]
        write_findings(weekly.MODEL, day, halves, settings)
    (volume,) = [each for each in judge_day(watched, last).findings if each.subject == "volume"]
    assert (volume.value, volume.version, volume.state) == (1.0, 0, "fine")


@pytest.mark.proof
def test_a_judgement_that_is_killed_leaves_no_half_day(scored: Path, tmp_path: Path) -> None:
    watch(scored).baseline(1)
    killed = start(KILLED, str(scored / "repo"), output=tmp_path / "said")
    killed.wait_for("here")
    killed.kill()
    assert days_judged(weekly.MODEL, get_settings()) == []
    judge_day(watch(scored))
    assert days_judged(weekly.MODEL, get_settings()) == [LAST]


def test_a_judgement_that_fails_while_it_is_written_leaves_no_half_day(
    scored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quick twin of the one that is killed."""
    watched = watch(scored)
    watched.baseline(1)
    with monkeypatch.context() as patched:
        patched.setattr(history.pq, "write_table", lambda *_, **__: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(OSError, match="no space"):
            judge_day(watched)
    assert days_judged(weekly.MODEL, get_settings()) == []
    assert list((get_settings().monitoring_dir / weekly.MODEL / "days").iterdir()) == []

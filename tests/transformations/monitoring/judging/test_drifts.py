"""What follows a calendar is compared within equal days, and held back where the reference has too few of them."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from click.testing import CliRunner

from tests.transformations.monitoring.conftest import LAST, multiplied, publish_changed, score, watch
from tests.transformations.monitoring.served_days import DAY, baseline, compared, write
from tests.worlds import weekly
from transformations.cli.commands.look.monitor import monitor
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.models.log.event_log import EventLog
from transformations.models.records.reference import Categories, Histogram
from transformations.monitoring.judging.day import judge_day
from transformations.monitoring.judging.drifts import days_before, drifts
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.calendars import Span
from transformations.monitoring.reading.config import read_monitoring
from transformations.monitoring.reading.history import Finding, write_findings
from transformations.monitoring.reading.records import SCORE, Baseline, Limits
from transformations.monitoring.reading.served import read_day
from transformations.monitoring.statistics.draws import EARLIER

OFFERS = Histogram(edges=(0.5,), counts=(50, 50), nulls=0)
"""In the reference nobody has an offer in winter, and everybody has some in summer."""
LIMITS = (Limits(rows=10, values={"offers": 0.1}, nulls={"offers": 0.1}, unseen={"offers": 0.1}),)


def driven(**facts: object) -> Baseline:
    """A baseline in which `offers` follows the season, told by a column of the records, and no segment is declared."""
    known = {
        "limits": {"day": LIMITS, "earlier": LIMITS},
        "states": {"offers": {"winter": (50, 0, 0), "summer": (0, 50, 0)}},
    }
    return baseline(
        known | facts,
        offers=compared(OFFERS, state="season"),
        season=compared(Categories(counts={"summer": 50, "winter": 50}, others=0, nulls=0)),
    )


def serve(offers: float, season: Sequence[str], day: date = DAY) -> None:
    write({"offers": pa.array([offers] * len(season)), "season": pa.array(season)}, [0.1] * len(season), day=day)


def judged(known: Baseline, day: date = DAY) -> dict[str, Finding]:
    """What is found of `offers` on a day, by measure; it is kept for the days after it."""
    settings = get_settings()
    served = read_day(known, day, settings)
    assert served is not None
    watched = Watched("m", Path(), EventLog("shop"), settings)
    found = list(drifts(known, served, days_before(watched, known, day)))
    write_findings("m", day, found, settings)
    return {each.measure: each for each in found if each.subject == "offers"}


def test_a_summer_day_is_compared_with_summer_days_though_no_segment_names_the_season(settings: object) -> None:
    serve(3.0, ["summer"] * 15 + ["winter"] * 5)
    found = judged(driven())
    assert found["drift"].state == "fine"
    assert (found["drift"].value or 0) < 0.02, "nothing but the half row that each bin is given"
    assert "within equal season" in found["drift"].text


def test_a_summer_day_without_offers_is_found_though_half_of_the_reference_has_none(settings: object) -> None:
    serve(0.0, ["summer"] * 20)
    assert judged(driven())["drift"].state == "alert"
    plain = driven(states={})
    assert judged(plain)["drift"].state == "held", "nothing in the reference is alike"


def test_a_state_that_the_reference_lacks_holds_values_back_and_no_nulls(settings: object) -> None:
    write({"offers": pa.array([3.0] * 10 + [None] * 10), "season": pa.array(["autumn"] * 20)}, [0.1] * 20)
    found = judged(driven())
    assert (found["drift"].state, found["drift"].value) == ("held", None)
    assert (found["drift of nulls"].state, found["drift of nulls"].value) == ("alert", 0.5)


def test_earlier_weeks_of_another_state_are_no_measure(settings: object) -> None:
    """Three winter weeks before the first summer day say nothing of it; two summer weeks do of the third."""
    known = driven()
    for week in range(1, EARLIER):
        serve(0.0, ["winter"] * 20, DAY - timedelta(days=7 * week))
    for week in range(EARLIER - 1, 0, -1):
        judged(known, DAY - timedelta(days=7 * week))
    for week, state in ((0, "held"), (1, "held"), (2, "fine")):
        day = DAY + timedelta(days=7 * week)
        serve(3.0, ["summer"] * 20, day)
        assert judged(known, day)["jump"].state == state, week


def test_a_named_calendar_tells_the_state_by_the_day(settings: object) -> None:
    sale = {"season": {"summer": (Span(first=DAY, last=DAY),)}}
    known = driven(calendars=sale, states={"offers": {"ordinary": (50, 0, 0), "summer": (0, 50, 0)}})
    serve(3.0, ["winter"] * 20)
    assert judged(known)["drift"].state == "fine"
    serve(3.0, ["summer"] * 20, DAY + timedelta(days=7))
    assert judged(known, DAY + timedelta(days=7))["drift"].state == "alert", "the column of that name is not asked"


def follow(project: Path, days: list[str]) -> Watched:
    weekly.declare(project / "repo", monitoring={"follows": "holidays"})
    return watch(project, calendars={"holidays": {"holiday week": days}})


def test_on_a_holiday_no_value_alerts_and_a_standing_alert_keeps_its_first_day(production: Path) -> None:
    """The spend is in another unit on 6 May, on 13 May, which is in a holiday week, and on 20 May."""
    for monday in (date(2024, 5, 6), date(2024, 5, 13), LAST):
        publish_changed(multiplied("spend_28d", 100.0), monday)
    score(production)
    watched = follow(production, ["2024-02-19/2024-02-25", "2024-05-12/2024-05-18"])
    known = watched.baseline(1)
    assert set(known.states) == {*known.inputs, SCORE}
    assert {*known.states["spend_28d"]} == {"ordinary"}, "one day of a state is too little to compare with"
    alerts = {}
    for monday in (date(2024, 4, 29), date(2024, 5, 6), date(2024, 5, 13), LAST):
        found = [
            each
            for each in judge_day(watched, monday).findings
            if (each.subject, each.measure) == ("spend_28d", "drift")
        ]
        alerts[monday] = [(each.state, each.first_bad) for each in found]
    first = date(2024, 5, 6)
    assert list(alerts.values()) == [[("fine", None)], [("alert", first)], [("held", first)], [("alert", first)]]


def test_a_calendar_that_names_no_day_as_late_is_said_and_alerts_nobody(scored: Path) -> None:
    judged = judge_day(follow(scored, ["2024-02-19/2024-02-25", "2024-05-18"]), LAST)
    (found,) = judged.warnings
    assert (found.subject, found.measure, found.value) == ("calendar holidays", "ended", 2.0)
    assert "2024-05-18: each of them counts as ordinary. Name the coming ones under calendars.holidays" in found.text
    assert found not in judged.alerts
    shown = CliRunner().invoke(monitor, [weekly.MODEL])
    assert "calendar holidays has ended: 2 days since the last one that it names" in shown.stderr
    assert "calendar holidays" in (get_settings().monitoring_dir / weekly.MODEL / "report.html").read_text()

    assert judge_day(follow(scored, ["2024-02-19/2024-02-25", str(LAST)]), LAST).warnings == ()


@pytest.mark.parametrize(
    ("monitoring", "calendars", "told"),
    [
        ({"follows": "holiday"}, {"holidays": {"x": ["2024-05-01"]}}, "no calendar 'holiday'; did you mean 'holidays'"),
        ({"calendar": {"spend_28d": "seasons"}}, {}, "neither a calendar nor a column of the records is 'seasons'"),
        ({"calendar": {"spend_28d": "days_since"}}, {}, "'days_since' holds fractions, which are no states"),
    ],
)
def test_what_tells_no_state_is_refused(
    scored: Path, monitoring: dict[str, object], calendars: dict[str, object], told: str
) -> None:
    weekly.declare(scored / "repo", monitoring=monitoring)
    with pytest.raises(UsageError, match=told):
        watch(scored, calendars=calendars).baseline(1)


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ({"x": ["2024-05-02/2024-05-01"]}, "2024-05-01 is before 2024-05-02"),
        ({"x": ["2024-05-01/2024-05-09"], "y": ["2024-05-09"]}, "2024-05-09 is a day of 'x' and of 'y'"),
        ({"ordinary": ["2024-05-01"]}, "is what all other days are called"),
        ({"x": []}, "at least 1 item"),
    ],
)
def test_a_calendar_that_contradicts_itself_is_refused(tmp_path: Path, states: dict[str, object], told: str) -> None:
    (tmp_path / "monitoring.yaml").write_text(yaml.safe_dump({"calendars": {"c": states}}))
    with pytest.raises(UsageError, match=told):
        read_monitoring(tmp_path)

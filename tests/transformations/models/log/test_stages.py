"""A version moves from stage to stage by rules; what it comes to follows from the events alone."""

from datetime import UTC, datetime, timedelta

import pytest

from transformations.engine.base.errors import DataError, UsageError
from transformations.models.log.event_log import EventLog
from transformations.models.log.stages import promote, register, rollback
from transformations.models.log.standing import Standing, standing_at, standing_of
from transformations.models.records.base import Stage, text_hash
from transformations.models.records.events import Evaluated, ModelEvent, Registered

MODEL = "user_return"
START = datetime(2020, 3, 1, tzinfo=UTC)


class Clock:
    """A minute passes with each event."""

    def __init__(self) -> None:
        self.now = START

    def tick(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture
def log() -> EventLog:
    return EventLog("shop")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def trained(log: EventLog, clock: Clock, *, passed: bool | None = True) -> int:
    """A new version, judged by its gates unless `passed` is None."""
    change = Registered(
        run_id="run",
        artifact=text_hash("artifact"),
        dataset="returns_2020",
        dataset_hash=text_hash("dataset"),
        criteria_hash=text_hash("criteria"),
    )
    version = register(log, MODEL, change, who="ada", why="trained", at=clock.tick()).version
    if passed is not None:
        look = Evaluated(dataset="returns_2020", dataset_hash=text_hash("dataset"), split="test", look=1, passed=passed)
        log.append(
            ModelEvent(
                model=MODEL,
                number=len(log.events(MODEL)) + 1,
                at=clock.tick(),
                who="ada",
                why="gates",
                version=version,
                change=look,
                evidence=text_hash(f"report {version}"),
            )
        )
    return version


def move(log: EventLog, clock: Clock, version: int, *stages: Stage) -> None:
    for stage in stages:
        promote(log, MODEL, version, stage, who="ada", why="because", at=clock.tick())


def standing(log: EventLog) -> Standing:
    return standing_of(MODEL, log.events(MODEL))


def stages(log: EventLog) -> list[Stage]:
    return [each.stage for each in standing(log).versions.values()]


def test_a_version_that_reaches_production_archives_the_one_that_was_there(log: EventLog, clock: Clock) -> None:
    for version in (trained(log, clock), trained(log, clock)):
        move(log, clock, version, "staging", "production")

    assert stages(log) == ["archived", "production"]
    assert standing(log).previous == 1


def test_each_rollback_goes_further_back_and_never_to_what_the_one_before_took_away(
    log: EventLog, clock: Clock
) -> None:
    for version in (trained(log, clock), trained(log, clock), trained(log, clock)):
        move(log, clock, version, "staging", "production")

    rollback(log, MODEL, who="ada", why="complaints", at=clock.tick())
    assert stages(log) == ["archived", "production", "archived"]
    rollback(log, MODEL, who="ada", why="more complaints", at=clock.tick())
    assert stages(log) == ["production", "archived", "archived"]
    with pytest.raises(UsageError, match="production holds version 1, and nothing that it had before is left"):
        rollback(log, MODEL, who="ada", why="still more", at=clock.tick())


def test_a_rollback_is_undone_by_naming_the_version_that_it_took_away(log: EventLog, clock: Clock) -> None:
    for version in (trained(log, clock), trained(log, clock)):
        move(log, clock, version, "staging", "production")
    rollback(log, MODEL, who="ada", why="a mistake", at=clock.tick())

    rollback(log, MODEL, who="ada", why="undone", at=clock.tick(), to_version=2)
    assert stages(log) == ["archived", "production"]
    assert standing(log).previous == 1


def test_a_rollback_to_a_version_that_production_never_had_is_refused(log: EventLog, clock: Clock) -> None:
    for version in (trained(log, clock), trained(log, clock)):
        move(log, clock, version, "staging", "production")
    never = trained(log, clock)
    move(log, clock, never, "archived")
    for asked in (2, never):
        with pytest.raises(
            UsageError, match=rf"version {asked} is in \w+, and a rollback brings back an archived .*: 1"
        ):
            rollback(log, MODEL, who="ada", why="?", at=clock.tick(), to_version=asked)


def test_a_version_that_starts_again_in_development_is_no_longer_what_production_had(
    log: EventLog, clock: Clock
) -> None:
    for version in (trained(log, clock), trained(log, clock), trained(log, clock)):
        move(log, clock, version, "staging", "production")
    move(log, clock, 2, "development")
    assert standing(log).previous == 1
    move(log, clock, 3, "archived")  # and then nothing is in production
    assert standing(log).previous == 1
    assert standing(log).last == 3


def test_without_an_earlier_version_there_is_nothing_to_roll_back_to(log: EventLog, clock: Clock) -> None:
    version = trained(log, clock)
    with pytest.raises(UsageError, match="nothing is in production, so there is nothing to roll back to"):
        rollback(log, MODEL, who="ada", why="?", at=clock.tick())
    move(log, clock, version, "staging", "production")
    with pytest.raises(
        UsageError, match="production holds version 1, and nothing that it had before is left, so there is nothing"
    ):
        rollback(log, MODEL, who="ada", why="?", at=clock.tick())


def test_a_version_goes_nowhere_without_passed_gates(log: EventLog, clock: Clock) -> None:
    unjudged, failed = trained(log, clock, passed=None), trained(log, clock, passed=False)
    with pytest.raises(DataError, match="version 1 has not been judged by its gates"):
        move(log, clock, unjudged, "staging")
    with pytest.raises(DataError, match=r"version 2 did not pass its gates \(report [0-9a-f]{64}\)"):
        move(log, clock, failed, "staging")
    assert stages(log) == ["development", "development"]


def test_a_stage_is_not_skipped(log: EventLog, clock: Clock) -> None:
    version = trained(log, clock)
    with pytest.raises(
        UsageError, match="is in development, from where it can go to staging, archived, not to production"
    ):
        move(log, clock, version, "production")


def test_an_archived_version_reaches_production_by_a_rollback_only(log: EventLog, clock: Clock) -> None:
    version = trained(log, clock)
    move(log, clock, version, "archived")
    with pytest.raises(UsageError, match=r"not to production\. `features model rollback` brings back"):
        move(log, clock, version, "production")


def test_approval_needs_somebody_else(log: EventLog, clock: Clock) -> None:
    version = trained(log, clock)
    move(log, clock, version, "staging")

    def approved(reviewer: str | None) -> ModelEvent:
        return promote(
            log,
            MODEL,
            version,
            "production",
            who="ada",
            why="because",
            at=clock.tick(),
            reviewer=reviewer,
            needs_reviewer=lambda number: number == version,
        )

    for reviewer in (None, "ada", "", " ada "):
        with pytest.raises(UsageError, match=r"approval: required\. Name the person who reviewed version 1"):
            approved(reviewer)
    assert approved("grace").reviewer == "grace"


def test_a_version_that_waives_the_approval_needs_that_of_the_one_in_production(log: EventLog, clock: Clock) -> None:
    first, waiving, later = trained(log, clock), trained(log, clock), trained(log, clock)
    move(log, clock, first, "staging", "production")
    for version in (waiving, later):
        move(log, clock, version, "staging")

    def promoted(version: int, reviewer: str | None = None) -> ModelEvent:
        return promote(
            log,
            MODEL,
            version,
            "production",
            who="ada",
            why="because",
            at=clock.tick(),
            reviewer=reviewer,
            needs_reviewer=lambda number: number == first,
        )

    for _ in ("while it is in production", "and after it was archived, to get around it"):
        with pytest.raises(UsageError, match=r"approval: required in version 1, which production had before"):
            promoted(waiving)
        if standing(log).production:
            move(log, clock, first, "archived")
    assert promoted(waiving, reviewer="grace").version == waiving
    assert promoted(later).version == later  # what was waived under review stays waived


def test_the_evidence_of_a_promotion_is_the_report_of_its_gates(log: EventLog, clock: Clock) -> None:
    version = trained(log, clock)
    move(log, clock, version, "staging")
    assert log.events(MODEL)[-1].evidence == text_hash("report 1")


def test_how_a_model_stood_at_a_moment(log: EventLog, clock: Clock) -> None:
    one, two = trained(log, clock), trained(log, clock)
    move(log, clock, one, "staging", "production")
    before = clock.now
    move(log, clock, two, "staging", "production")

    then = standing_at(MODEL, log.events(MODEL), before).production
    assert then is not None
    assert then.number == one


def test_a_gap_in_the_log_is_found(log: EventLog, clock: Clock) -> None:
    trained(log, clock)
    with pytest.raises(DataError, match="event 1 is missing from the log"):
        standing_of(MODEL, log.events(MODEL)[1:])


def test_an_unknown_version_is_answered_with_those_there_are(log: EventLog, clock: Clock) -> None:
    trained(log, clock)
    with pytest.raises(UsageError, match=r"has no version 7. It has 1\."):
        move(log, clock, 7, "staging")

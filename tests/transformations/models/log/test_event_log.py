"""The log keeps every event once, under one number, beside Feast's own tables, whoever writes at once."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.worlds.processes import start
from transformations.engine.base.errors import ConflictError
from transformations.models.log.event_log import EventLog
from transformations.models.log.stages import register
from transformations.models.log.standing import standing_of
from transformations.models.records.base import text_hash
from transformations.models.records.events import ModelEvent, Registered

AT = datetime(2020, 3, 1, tzinfo=UTC)
TRAINED = Registered(
    run_id="run1",
    artifact=text_hash("artifact"),
    dataset="returns_2020",
    dataset_hash=text_hash("dataset"),
    criteria_hash=text_hash("criteria"),
)
WRITER = """
from tests.transformations.models.log.test_event_log import AT, TRAINED
from transformations.models.log.event_log import EventLog
from transformations.models.log.stages import register
for _ in range(5):
    register(EventLog("shop"), "user_return", TRAINED, who="ada", why="trained", at=AT)
"""


def event(number: int) -> ModelEvent:
    return ModelEvent(
        model="user_return", number=number, at=AT, who="ada", why="trained", version=number, change=TRAINED
    )


def test_events_read_back_in_their_order() -> None:
    log = EventLog("shop")
    log.append(event(1))
    log.append(event(2))

    assert EventLog("shop").events("user_return") == (event(1), event(2))
    assert EventLog("shop").models() == ["user_return"]
    assert EventLog("shop").events("other") == EventLog("other").events("user_return") == ()


def test_they_stand_beside_feasts_tables() -> None:
    EventLog("shop").append(event(1))
    with create_engine("sqlite://?plugin=features").connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM feature_views")).scalar() == 0
        assert connection.execute(text("SELECT number FROM features_model_events")).scalars().all() == [1]


def test_a_number_is_given_once() -> None:
    log = EventLog("shop")
    log.append(event(1))
    with pytest.raises(ConflictError, match="another event was written as number 1 first"):
        EventLog("shop").append(event(1))
    assert len(log.events("user_return")) == 1


def test_two_processes_that_register_at_once_are_all_versions(tmp_path: Path) -> None:
    """On a registry that is not there yet."""
    writers = [start(WRITER, output=tmp_path / f"writer-{number}") for number in range(2)]
    assert [writer.wait() for writer in writers] == [(0, ""), (0, "")]

    events = EventLog("shop").events("user_return")
    assert [each.number for each in events] == list(range(1, 11))
    assert list(standing_of("user_return", events).versions) == list(range(1, 11))


def test_a_writer_that_comes_second_is_asked_again() -> None:
    log = EventLog("shop")
    seen: list[int] = []

    def make(events: tuple[ModelEvent, ...]) -> ModelEvent:
        seen.append(len(events))
        if len(seen) == 1:
            EventLog("shop").append(event(1))
        return event(len(events) + 1)

    assert log.extend("user_return", make).number == 2
    assert seen == [0, 1]


def test_a_version_is_registered_in_development() -> None:
    found = register(EventLog("shop"), "user_return", TRAINED, who="ada", why="trained", at=AT)
    assert (found.number, found.version) == (1, 1)
    assert standing_of("user_return", [found]).newest().stage == "development"

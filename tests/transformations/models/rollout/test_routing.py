"""Who answers follows from the events and the clock alone: a table of cases, and laws over random logs."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.base.errors import UsageError
from transformations.models.records.base import Stage, text_hash
from transformations.models.records.events import Change, ModelEvent, Registered, RolloutStep, StageChanged
from transformations.models.rollout.routing import NOWHERE, Route, next_change, route_at, serving_route

START = datetime(2020, 3, 1, tzinfo=UTC)
UNIT = ("user_id",)
HASH = text_hash("")
REGISTERED = Registered(run_id="run", artifact=HASH, dataset="d", dataset_hash=HASH, criteria_hash=HASH)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def log(*steps: tuple[int, Change, float | None]) -> list[ModelEvent]:
    """Events a second apart, from second 1 on: (version, change, the second from which it is in effect)."""
    return [
        ModelEvent(
            model="user_return",
            number=number,
            at=at(number),
            who="ada",
            why="because",
            version=version,
            change=change,
            effective_at=None if effective is None else at(effective),
        )
        for number, (version, change, effective) in enumerate(steps, start=1)
    ]


def moved(from_stage: Stage, to_stage: Stage, *, rollback: bool = False) -> StageChanged:
    return StageChanged(from_stage=from_stage, to_stage=to_stage, rollback=rollback)


LIVE = moved("staging", "production")
SHADOW = RolloutStep(action="start", step=1, shadow=True, salt="s", unit=UNIT)
TENTH = RolloutStep(action="advance", step=2, percent=10, salt="s", unit=UNIT)
ALL = RolloutStep(action="advance", step=4, percent=100, salt="s", unit=UNIT)
FINISH = RolloutStep(action="finish", step=4, percent=100, salt="s", unit=UNIT)
ABORT = RolloutStep(action="abort", step=2, salt="s", unit=UNIT)
IN_SHADOW = Route(event=2, production=1, shadow=2, salt="s", unit=UNIT, step=1)
AT_TENTH = Route(event=3, production=1, canary=2, percent=10, salt="s", unit=UNIT, step=2)


@pytest.mark.parametrize(
    ("steps", "second", "route"),
    [
        pytest.param([], 99, NOWHERE, id="no events"),
        pytest.param([(1, REGISTERED, None)], 99, NOWHERE, id="a registration routes nothing"),
        pytest.param([(1, LIVE, None)], 0, Route(event=1, production=1), id="at once, whatever the clock"),
        pytest.param([(1, LIVE, None), (2, SHADOW, 12)], 11.999, Route(event=1, production=1), id="not yet"),
        pytest.param([(1, LIVE, None), (2, SHADOW, 12)], 12, IN_SHADOW, id="in effect from its moment on"),
        pytest.param([(1, LIVE, None), (2, SHADOW, 12), (2, TENTH, 13)], 12.5, IN_SHADOW, id="the advance waits"),
        pytest.param([(1, LIVE, None), (2, SHADOW, 12), (2, TENTH, 13)], 13, AT_TENTH, id="the advance came"),
        pytest.param(
            [(1, LIVE, None), (2, SHADOW, 12), (2, TENTH, 20), (2, ABORT, None)],
            15,
            Route(event=4, production=1),
            id="an abort ends at once",
        ),
        pytest.param(
            [(1, LIVE, None), (2, SHADOW, 12), (2, TENTH, 20), (2, ABORT, None)],
            25,
            Route(event=4, production=1),
            id="an aborted advance never comes",
        ),
        pytest.param(
            [(1, LIVE, None), (2, ALL, 12), (2, FINISH, None)],
            30,
            Route(event=2, production=1, canary=2, percent=100, salt="s", unit=UNIT, step=4),
            id="a finished version answers until it is in production",
        ),
        pytest.param(
            [(1, LIVE, None), (2, ALL, 12), (2, LIVE, None)], 30, Route(event=3, production=2), id="promoted at its end"
        ),
        pytest.param(
            [(1, LIVE, None), (2, TENTH, 12), (3, LIVE, None)],
            30,
            Route(event=3, production=3),
            id="another version in production ends the rollout",
        ),
        pytest.param(
            [(1, LIVE, None), (2, LIVE, 12), (1, moved("archived", "production", rollback=True), None)],
            30,
            Route(event=3, production=1),
            id="a rollback outlives the promotion that it undoes",
        ),
        pytest.param(
            [(1, LIVE, None), (2, TENTH, 5), (2, moved("staging", "archived"), None)],
            30,
            Route(event=3, production=1),
            id="an archived candidate answers nothing",
        ),
        pytest.param(
            [(1, LIVE, None), (2, TENTH, 5), (1, moved("production", "archived"), None)],
            30,
            Route(event=3, canary=2, percent=10, salt="s", unit=UNIT, step=2),
            id="production is archived alone",
        ),
        pytest.param(
            [(1, LIVE, None), (2, TENTH, 5), (3, moved("development", "staging"), None)],
            30,
            Route(event=2, production=1, canary=2, percent=10, salt="s", unit=UNIT, step=2),
            id="what another version does changes nothing",
        ),
    ],
)
def test_the_route_at_a_moment(steps: list[tuple[int, Change, float | None]], second: float, route: Route) -> None:
    assert route_at(log(*steps), at(second)) == route


def test_what_a_server_must_have_loaded() -> None:
    assert (IN_SHADOW.versions, AT_TENTH.versions, NOWHERE.versions) == ((1, 2), (1, 2), ())


def test_the_next_change_is_the_earliest_that_waits() -> None:
    events = log((1, LIVE, None), (2, SHADOW, 12), (2, TENTH, 20))
    assert [next_change(events, at(second)) for second in (5, 12, 20)] == [at(12), at(20), None]


def test_a_model_without_production_is_not_served() -> None:
    with pytest.raises(UsageError, match=r"no version in production.*promote user_return VERSION"):
        serving_route("user_return", log((1, REGISTERED, None)), at(9))


CHANGES = st.sampled_from(
    [SHADOW, TENTH, ALL, FINISH, ABORT, LIVE, moved("production", "archived"), moved("staging", "archived"), REGISTERED]
)
STEPS = st.lists(st.tuples(st.integers(1, 3), CHANGES, st.none() | st.integers(20, 60)), max_size=12)


@given(steps=STEPS, second=st.integers(0, 80))
def test_the_route_is_that_of_the_events_in_effect_and_of_no_others(
    steps: list[tuple[int, Change, float | None]], second: int
) -> None:
    """Purity: asked twice it is the same, and an event that is not in effect might as well not be there."""
    events = log(*steps)
    known = [event for event in events if (event.effective_at or START) <= at(second)]
    assert route_at(events, at(second)) == route_at(events, at(second)) == route_at(known, at(second))


@given(steps=STEPS, second=st.integers(0, 80))
def test_after_an_abort_nothing_but_a_later_event_brings_the_version_back(
    steps: list[tuple[int, Change, float | None]], second: int
) -> None:
    route = route_at(log(*steps, (2, ABORT, None)), at(second))
    assert (route.canary, route.shadow, route.percent) == (None, None, 0)


@given(steps=STEPS, second=st.integers(0, 80), times=st.integers(1, 4))
def test_an_event_repeated_changes_nothing(
    steps: list[tuple[int, Change, float | None]], second: int, times: int
) -> None:
    """A rollout's step or an abort that is written twice routes as if written once."""
    for last in (TENTH, ABORT, SHADOW):
        once = route_at(log(*steps, (2, last, None)), at(second))
        again = route_at(log(*steps, *[(2, last, None)] * times), at(second))
        assert (once.production, once.canary, once.percent, once.shadow) == (
            again.production,
            again.canary,
            again.percent,
            again.shadow,
        )


@given(steps=STEPS, second=st.integers(0, 80))
def test_a_candidate_that_answers_is_in_no_second_role(
    steps: list[tuple[int, Change, float | None]], second: int
) -> None:
    route = route_at(log(*steps), at(second))
    assert route.canary is None or route.shadow is None
    assert (route.canary is None) == (route.percent == 0)

"""Performing a day: what is skipped, retried, blocked and gone on with. The commands are played by a table of codes."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime

import pytest

from transformations.engine.base.errors import DamagedError, DataError
from transformations.engine.base.settings import Settings, get_settings
from transformations.orchestration.day_record import Outcome, read_record, record_path
from transformations.orchestration.looking import Look, Words
from transformations.orchestration.performing import DayRun, Performed, Ran, run_quietly, worst_code
from transformations.orchestration.planning import Declared, DeclaredModel, DeclaredSource, DeclaredView, plan_of
from transformations.orchestration.tasks import Kind, Task

DAY = date(2024, 5, 10)
PLAN = plan_of(
    Declared(
        sources=[DeclaredSource(name=each, zone="UTC") for each in ("clicks", "pages")],
        views=[DeclaredView(name=f"of_{each}", sources=(each,), zone="UTC") for each in ("clicks", "pages")],
        datasets={"reading": ("of_clicks",)},
        models=[DeclaredModel(name="reader", dataset="reading", views=("of_clicks",))],
    )
)
ALL = [task.name for task in PLAN.tasks]


class Place:
    """Where tasks are performed: each changes the state of its own once, which ends what there is to do.

    codes: with which a task's command ends, at its first, second, … start; the last for ever.
    """

    def __init__(self, codes: Mapping[str, list[int]] | None = None) -> None:
        self.codes = {name: list(each) for name, each in (codes or {}).items()}
        self.states = dict.fromkeys(ALL, 0)
        self.started: list[str] = []
        self.slept: list[float] = []

    def look(self, task: Task) -> Look:
        state = str([self.states[each] for each in (task.name, *task.needs)])
        tells = task.kind in (Kind.INGEST, Kind.BUILD)
        commands = () if tells and self.states[task.name] else (("features", task.name),)
        return Look(commands=commands, why="done", state=state, is_telling=tells)

    def run(self, task: Task, command: Words) -> Ran:
        self.started.append(command[1])
        codes = self.codes.get(task.name, [0])
        code = codes.pop(0) if len(codes) > 1 else codes[0]
        if code == 0:
            self.states[task.name] += 1
        return Ran(code, (f"{task.name} said {code}",))

    def day(self) -> DayRun:
        return DayRun(
            plan=PLAN,
            look=self.look,
            day=DAY,
            settings=get_settings(),
            run=self.run,
            waits=(1.0, 2.0),
            sleep=self.slept.append,
            now=lambda: datetime(2024, 5, 11, tzinfo=UTC),
        )

    def perform(self) -> dict[str, Performed]:
        self.started = []
        return {each.task.name: each for each in self.day().perform_all(PLAN.tasks)}


def outcomes(performed: Mapping[str, Performed], *outcomes: Outcome) -> list[str]:
    return [name for name, each in performed.items() if each.outcome in outcomes]


def test_a_day_is_performed_in_order_and_the_second_time_there_is_nothing_to_do() -> None:
    place = Place()
    assert outcomes(place.perform(), Outcome.FINISHED) == ALL == place.started
    record = record_path(DAY, get_settings()).read_bytes()
    assert outcomes(place.perform(), Outcome.IDLE) == ALL
    assert place.started == []
    assert record_path(DAY, get_settings()).read_bytes() == record


def test_refused_data_stop_what_depends_on_them_and_nothing_else() -> None:
    place = Place({"build:of_clicks": [3]})
    performed = place.perform()
    assert outcomes(performed, Outcome.REFUSED) == ["build:of_clicks"]
    assert outcomes(performed, Outcome.BLOCKED) == [
        "load:of_clicks",
        "parity:of_clicks",
        "dataset:reading",
        "model:reader",
        "predict:reader",
    ]
    assert performed["parity:of_clicks"].why == "load:of_clicks is blocked itself"
    assert "load:of_pages" in place.started  # the other branch
    assert place.slept == []  # data do not come right by waiting
    assert worst_code(performed.values()) == 3


def test_a_refused_parity_check_keeps_features_from_models_and_a_missing_one_does_not() -> None:
    refused = Place({"parity:of_clicks": [3]}).perform()
    assert refused["dataset:reading"].why == refused["predict:reader"].why == "parity:of_clicks was refused"
    unavailable = Place({"parity:of_clicks": [4]}).perform()
    assert outcomes(unavailable, Outcome.BLOCKED) == []


def test_a_version_that_its_gates_stop_stops_no_production() -> None:
    performed = Place({"model:reader": [3]}).perform()
    assert performed["predict:reader"].outcome is Outcome.FINISHED


def test_a_missing_service_is_tried_again_and_then_left() -> None:
    place = Place({"load:of_clicks": [4, 4, 0], "load:of_pages": [4]})
    performed = place.perform()
    assert (performed["load:of_clicks"].outcome, performed["load:of_clicks"].tries) == (Outcome.FINISHED, 3)
    assert (performed["load:of_pages"].outcome, performed["load:of_pages"].tries) == (Outcome.UNAVAILABLE, 3)
    assert place.slept == [1.0, 2.0, 1.0, 2.0]
    assert worst_code(performed.values()) == 4


def test_what_ended_badly_is_performed_again_and_with_it_what_it_blocked() -> None:
    place = Place({"build:of_clicks": [3, 0]})
    place.perform()
    assert (
        outcomes(place.perform(), Outcome.FINISHED)
        == place.started
        == [
            "build:of_clicks",
            "load:of_clicks",
            "parity:of_clicks",
            "dataset:reading",
            "model:reader",
            "predict:reader",
        ]
    )


def test_a_killed_run_goes_on_where_it_was() -> None:
    place = Place()

    def killed() -> Iterator[Performed]:
        yield from place.day().perform_all(PLAN.tasks[:6])

    assert len(list(killed())) == 6
    place.perform()
    assert place.started == ALL[6:]


def test_a_task_whose_inputs_have_changed_is_performed_again() -> None:
    place = Place()
    place.perform()
    place.states["load:of_clicks"] = 2  # another version was loaded
    assert outcomes(place.perform(), Outcome.FINISHED) == ["load:of_clicks", "parity:of_clicks"]


def test_a_part_asks_the_record_and_the_present_for_what_it_needs() -> None:
    place = Place({"build:of_clicks": [3]})
    dataset = PLAN.task("dataset:reading")
    assert place.day().perform(dataset).why == "build:of_clicks is not done yet"
    place.perform()
    assert place.day().perform(dataset).why == "build:of_clicks is refused"
    place.states["build:of_clicks"] = 1  # somebody has built it by hand
    assert place.day().perform(dataset).outcome is Outcome.FINISHED


def test_what_stands_in_the_way_of_a_look_is_the_outcome() -> None:
    place = Place()
    day = place.day()

    def look(task: Task) -> Look:
        if task.kind is Kind.APPLY:
            raise DataError("to apply takes something away.")
        return place.look(task)

    day.look = look
    performed = {each.task.name: each for each in day.perform_all(PLAN.tasks)}
    assert (performed["apply"].outcome, performed["apply"].said) == (
        Outcome.REFUSED,
        ("to apply takes something away.",),
    )
    assert performed["load:of_clicks"].why == "apply is refused"


def test_what_is_foreseen_changes_nothing() -> None:
    place = Place()
    assert place.day().foresee(PLAN.task("apply")) == (("features apply",), "")
    place.perform()
    commands, why = place.day().foresee(PLAN.task("apply"))
    assert (commands, why) == ((), "finished at 2024-05-11 00:00 UTC, and nothing it depends on has changed")
    assert place.started == ALL


def test_a_command_runs_in_a_process_of_this_environment_and_its_output_is_kept() -> None:
    ran = run_quietly(PLAN.task("apply"), ("features", "run-day", "--day", "tomorrow"))
    assert (ran.code, "'tomorrow' does not match the format" in "\n".join(ran.lines)) == (2, True), ran


@pytest.mark.parametrize(
    ("codes", "worst"), [([0, 0], 0), ([4, 3], 3), ([4, 0], 4), ([3, 1], 1), ([2, 4], 2), ([137], 1), ([-9], 1)]
)
def test_the_gravest_code_is_that_of_the_run(codes: list[int], worst: int) -> None:
    task = PLAN.task("apply")
    ended = [Performed(task=task, day=DAY, outcome=Outcome.of_code(code), code=code) for code in codes]
    assert worst_code(ended) == worst


def test_a_record_that_cannot_be_read_is_named_and_not_guessed_at() -> None:
    settings: Settings = get_settings()
    Place().perform()
    path = record_path(DAY, settings)
    path.write_text(path.read_text()[:100])
    with pytest.raises(DamagedError, match=r"2024-05-10\.json is no record of a day\. Take the file away"):
        read_record(DAY, settings)

"""`features run-day` over the project of clicks: from delivered files to parity, in this process."""

import json
from contextlib import nullcontext
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.worlds.clicking import EVENTS, TOPICS
from transformations.cli.commands.platform import run_day as command
from transformations.insight.repository import open_store
from transformations.orchestration.day_record import record_path
from transformations.orchestration.looking import Words, last_ended_day
from transformations.orchestration.performing import Ran
from transformations.orchestration.planning import Declared, DeclaredSource, DeclaredView, plan_of
from transformations.orchestration.tasks import Task

NOW = "2024-05-04T12:00:00Z"
DAY = "2024-05-03"


@pytest.fixture
def delivered(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Clicks until 3 May and their pages, where the contracts say that files come in; it is 4 May."""
    header, *clicks = EVENTS.splitlines(keepends=True)
    folder = world.folder / "drop"
    folder.mkdir()
    (folder / "clicks-1.csv").write_text("".join([header, *clicks]))
    (folder / "clicks-2.csv").write_text(f"{header}4,1,/cats,1.0,2024-05-03T16:00:00\n")
    (folder / "pages.csv").write_text(TOPICS)
    for source, path in (("clicks", "clicks-*.csv"), ("pages", "pages.csv")):
        contract = world.settings.contracts / f"{source}.yaml"
        server = f"servers: [{{server: drop, type: local, path: '{folder}/{path}', format: csv}}]\nschema:"
        contract.write_text(contract.read_text().replace("schema:", server, 1))
    monkeypatch.setenv("FEATURES_CLOCK", NOW)
    monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "10000")
    return world


class Hands:
    """Perform commands in this process, as those of their names do."""

    def __init__(self, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.done, self.given = world, [], []
        monkeypatch.setattr(command, "shown", lambda *_: nullcontext(self))

    def __call__(self, _task: Task, words: Words) -> Ran:
        self.given.append(" ".join(words))
        self.done.append(" ".join(words).replace(f"{self.world.folder}/", ""))
        if words[0] == "features":
            result = self.world.run(words[1], *words[2:])
            return Ran(result.exit_code, tuple((result.stdout + result.stderr).splitlines()))
        if "apply" in words:
            self.world.apply()
        else:
            end, view = datetime.fromisoformat(words[4] + "+00:00"), words[-1]
            open_store(self.world.settings).materialize(datetime(1970, 1, 1, tzinfo=UTC), end, [view])
        return Ran(0)

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """The exit code, and the tasks by name."""
        self.done = []
        result = self.world.run("run-day", *arguments, "--json")
        (day,) = json.loads(result.stdout[result.stdout.index("[\n") :])  # Feast's own lines come before it
        return result.exit_code, {task["task"]: task for task in day["tasks"]}


def test_what_is_delivered_is_taken_once(delivered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands(delivered, monkeypatch)
    foreseen = json.loads(delivered.run("run-day", "--dry-run", "--complete", "--only", "ingestion", "--json").stdout)
    assert hands.done == []
    code, tasks = hands.run("--complete", "--only", "ingestion")
    assert (code, {task["outcome"] for task in tasks.values()}) == (0, {"finished"})
    assert [command for task in foreseen[0]["tasks"] for command in task["commands"]] == hands.given
    code, tasks = hands.run("--complete", "--only", "ingestion")
    assert (code, hands.done, {task["outcome"] for task in tasks.values()}) == (0, [], {"nothing to do"})


@pytest.mark.proof
@pytest.mark.usefixtures("_spark")
def test_a_day_goes_from_files_to_parity_and_the_second_time_there_is_nothing_to_do(
    delivered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands(delivered, monkeypatch)
    code, tasks = hands.run("--complete")
    assert code == 0, tasks
    assert hands.done[:3] == [
        "features ingest clicks drop/clicks-1.csv",
        "features ingest clicks drop/clicks-2.csv --complete-through 2024-05-03",
        "features ingest pages drop/pages.csv",
    ]
    views = [name.removeprefix("build:") for name in tasks if name.startswith("build:")]
    assert hands.done[3 : 3 + len(views)] == [f"features build {view}" for view in views]
    assert {task["outcome"] for task in tasks.values()} == {"finished"}
    record = record_path(date.fromisoformat(DAY), delivered.settings).read_bytes()
    code, tasks = hands.run("--complete")
    assert (code, hands.done, {task["outcome"] for task in tasks.values()}) == (0, [], {"nothing to do"})
    assert record_path(date.fromisoformat(DAY), delivered.settings).read_bytes() == record


def test_a_refused_file_stops_its_views_and_says_why(delivered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages go on; nothing else here can, so nothing is built."""
    (delivered.folder / "drop" / "clicks-1.csv").write_text("click_id,user_id,page,seconds,clicked_at\nx,,,,\n")
    hands = Hands(delivered, monkeypatch)
    code, tasks = hands.run("--only", "ingestion", "--only", "build:user_clicks")
    assert (code, tasks["ingest:clicks"]["outcome"], tasks["ingest:pages"]["outcome"]) == (3, "refused", "finished")
    assert tasks["build:user_clicks"]["why"] == "ingest:clicks is refused"


def test_builds_that_follow_each_other_in_one_process_are_shown_like_all_commands(tmp_path: Path) -> None:
    graph = plan_of(Declared(views=[DeclaredView(name="by_page", sources=(), zone="UTC")]))
    build, apply = graph.task("build:by_page"), graph.task("apply")
    terminal = Console(file=StringIO(), width=100)
    with (tmp_path / "lock").open("w") as lock, command.shown(terminal, lock.fileno()) as run:
        ended = [
            run(build, ("features", "--version")),
            run(build, ("features", "bild")),
            run(apply, ("features", "--version")),
        ]
    assert [each.code for each in ended] == [0, 2, 0]
    assert ended[0].lines == ended[2].lines
    assert "No such command 'bild'" in " ".join(ended[1].lines)
    assert isinstance(terminal.file, StringIO)
    shown = [line for line in terminal.file.getvalue().splitlines() if line.startswith("$ ")]
    assert [line.rpartition("features ")[2] for line in shown] == ["--version", "bild", "--version"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--day", "2024-05-04"], "2024-05-04 has not ended in every source's zone; the last business day that has is"),
        (["--from", "2024-05-01"], "give --day DAY, or --from DAY --to DAY"),
        (["--from", "2024-05-02", "--to", "2024-05-01"], "the last day, 2024-05-01, is before the first"),
        (["--only", "ingestoin"], "no pipeline, kind or task has that name: did you mean 'ingestion'"),
    ],
)
def test_what_cannot_be_meant_is_refused(delivered: Any, arguments: list[str], message: str) -> None:
    result = delivered.run("run-day", *arguments)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_the_last_day_has_ended_in_every_zone(delivered: Any) -> None:
    """At 5 in the morning in UTC, 4 May has not begun in Los Angeles, where 3 May is still going on."""
    moment = delivered.settings.now().replace(hour=5)
    zones = [DeclaredSource(name=zone, zone=zone) for zone in ("UTC", "America/Los_Angeles")]
    assert last_ended_day(Declared(sources=zones[:1]), moment) == date(2024, 5, 3)
    assert last_ended_day(Declared(sources=zones), moment) == date(2024, 5, 2)

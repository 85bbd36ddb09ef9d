"""`features up`: one command from delivered files to online values, and nothing where there is nothing to do."""

from typing import Any

import duckdb
import pytest

from tests.worlds.clicking import EVENTS, TOPICS
from transformations.cli.output import remark
from transformations.engine.base.errors import DataError
from transformations.insight import bring_up as bringing_up
from transformations.insight.bring_up import Command, bring_up, ingestions


class Hands:
    """Perform steps in this process, as the commands of their names do."""

    def __init__(self, world: Any) -> None:
        self.world, self.done = world, []

    def __call__(self, step: Command) -> None:
        self.done.append(" ".join([step.program, *step.arguments]))
        if step.program == "features":
            result = self.world.run(step.arguments[0], *step.arguments[1:])
            if result.exit_code:
                raise DataError(result.stderr)
        elif "apply" in step.arguments:
            self.world.apply()
        else:
            self.world.materialize(step.arguments[4] + "+00:00")

    def up(self) -> list[str]:
        """The commands that one `features up` runs, without the folders of this machine."""
        self.done = []
        assert bring_up(self.world.settings, self, remark) == len(self.done)
        return [line.replace(f"{self.world.folder}/", "") for line in self.done]


@pytest.fixture
def delivered(world: Any) -> Any:
    """Clicks in two files, the one of 3 May named after the one of 1 and 2 May, and pages in one."""
    folder = world.folder / "drop[1]"
    folder.mkdir()
    header, *clicks = EVENTS.splitlines(keepends=True)
    (folder / "clicks-2.csv").write_text(f"{header}4,1,/cats,1.0,2024-05-03T16:00:00\n")
    (folder / "clicks-1.csv").write_text("".join([header, *clicks]))
    (folder / "pages.csv").write_text(TOPICS)
    for source, path in (("clicks", "clicks-*.csv"), ("pages", "pages.csv")):
        contract = world.settings.contracts / f"{source}.yaml"
        server = f"servers: [{{server: drop, type: local, path: '{folder}/{path}', format: csv}}]\nschema:"
        contract.write_text(contract.read_text().replace("schema:", server, 1))
    return world


@pytest.mark.usefixtures("_spark")
def test_what_is_delivered_comes_online_once_by_commands_that_one_could_type(delivered: Any) -> None:
    hands = Hands(delivered)
    load = "feast -c feature_repo materialize 1970-01-01T00:00:00 2024-05-03T07:00:00"
    assert hands.up() == [
        "features ingest clicks drop[1]/clicks-1.csv",
        "features ingest clicks drop[1]/clicks-2.csv",
        "features ingest pages drop[1]/pages.csv",
        "features build",
        "feast -c feature_repo apply",
        load,
    ]
    assert hands.up() == []


def test_a_file_that_brings_nothing_new_is_taken_once(delivered: Any) -> None:
    """Two clicks of 1 and 2 May again, in a file of their own: no drop comes of it that could tell of the file."""
    header, *clicks = EVENTS.splitlines(keepends=True)
    hands = Hands(delivered)
    for step in ingestions(delivered.settings):
        hands(step)
    (delivered.folder / "drop[1]" / "clicks-again.csv").write_text("".join([header, *clicks[:2]]))
    hands.done = []
    for step in ingestions(delivered.settings):
        hands(step)
    assert [line.rpartition("/")[2] for line in hands.done] == ["clicks-again.csv"]
    assert list(ingestions(delivered.settings)) == []


def test_a_file_that_needs_a_word_ends_it_before_anything_is_computed(delivered: Any) -> None:
    hands = Hands(delivered)
    moved = "click_id,user_id,page,seconds,clicked_at\n1,1,/cats,10.0,2024-05-04T16:00:00\n"
    (delivered.folder / "drop[1]" / "clicks-3.csv").write_text(moved)
    with pytest.raises(DataError, match=r"If it corrects these rows, say --correction"):
        hands.up()
    assert all(line.startswith("features ingest") for line in hands.done)


def test_a_table_elsewhere_is_pulled_each_time_and_counts_where_it_has_news(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands after ingestion are not at issue here."""
    monkeypatch.setattr(bringing_up, "remaining_commands", lambda *_: [])
    monkeypatch.setattr(bringing_up, "require_all_sources", lambda *_: None)
    app, contract = world.folder / "app.duckdb", world.settings.contracts / "pages.yaml"
    with duckdb.connect(app) as connection:
        connection.execute("CREATE TABLE pages (page VARCHAR, topic VARCHAR)")
        connection.execute("INSERT INTO pages VALUES ('/cats', 'animals')")
    server = f"servers: [{{server: app, type: duckdb, database: '{app}'}}]\nschema:"
    contract.write_text(contract.read_text().replace("schema:", server, 1))
    hands = Hands(world)
    assert [bring_up(world.settings, hands, remark) for _ in range(2)] == [1, 0]
    assert hands.done == ["features ingest pages"] * 2
    with duckdb.connect(app) as connection:
        connection.execute("INSERT INTO pages VALUES ('/dogs', 'animals')")
    assert bring_up(world.settings, hands, remark) == 1


def test_views_that_wait_for_a_source_are_named(world: Any) -> None:
    with pytest.raises(DataError, match=r"2 of 2 views wait for a source(.|\n)*features ingest clicks FILE"):
        bring_up(world.settings, Hands(world), remark)

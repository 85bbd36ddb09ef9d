"""What `features diff`, `features build` and `feast apply` print, and how they end, where a model holds a definition.

Which versions hold what is told here; how that is found out is in the tests of `models/holding`.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.worlds.clicking import World
from transformations.cli.main import run
from transformations.engine.base.settings import get_settings
from transformations.insight.repository import open_store
from transformations.models.holding.definitions import definitions_of_objects
from transformations.models.holding.uses import Use
from transformations.models.log.event_log import EventLog

CHANGED = ('Sum("seconds", name="attention', 'Sum("click_id", name="attention')
USED = "version 3 of model reading (in production), of ml@x.org uses this: "
OTHERWISE = "user_clicks:attention_seconds_sum_7d would be computed otherwise"
REMEDY = "Leave them as they are, and put the change into a new view and a new version of the service beside them"


@pytest.fixture
def held(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The project applied, with a model in production that learned from its service."""
    world.apply()
    views = open_store(get_settings()).list_feature_views()
    known = definitions_of_objects(views).features
    names = ["user_clicks:clicks_count_7d", "user_clicks:attention_seconds_sum_7d"]

    def uses(*_: object, **__: object) -> Iterator[Use]:
        yield Use(
            model="reading",
            version=3,
            why="in production",
            since=datetime(2024, 5, 1, tzinfo=UTC),
            owner="ml@x.org",
            service="reading_v1",
            features={name: known[name] for name in names},
            given=frozenset(names),
        )

    monkeypatch.setattr("transformations.models.holding.uses.uses", uses)
    monkeypatch.setattr(EventLog, "models", lambda _: ["reading"])
    return world


def applied(world: World) -> Result:
    """`feast -c … apply`, as the console script runs it."""
    from feast.cli.cli import cli

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path.cwd())  # Feast changes the folder
        patch.delitem(sys.modules, "user_views", raising=False)  # a new process would read it anew
        return CliRunner().invoke(cli, ["-c", str(world.repository), "apply", "--skip-source-validation"])


def definition() -> str:
    view = open_store(get_settings()).get_feature_view("user_clicks")
    return str(view.tags["definition_hash"])


def test_the_difference_is_refused_with_the_model_and_the_remedy(held: World) -> None:
    assert "refused" not in held.run("diff").output
    held.rewrite(CHANGED)
    found = held.run("diff")
    assert found.exit_code == 3
    assert f"refused: {USED}{OTHERWISE}\n{REMEDY}" in found.output


def test_a_build_is_refused_and_builds_nothing(held: World, capsys: pytest.CaptureFixture[str]) -> None:
    held.deliver_all()
    held.rewrite(CHANGED)
    assert run(["build", "user_clicks"]) == 3
    printed = capsys.readouterr()
    assert f"Error: {USED}{OTHERWISE}\nNothing was built. {REMEDY}" in printed.err
    assert not (get_settings().offline_dir / "user_clicks").exists()


def test_an_apply_is_refused_and_the_registry_stays(held: World) -> None:
    before = definition()
    held.rewrite(CHANGED)
    done = applied(held)
    assert done.exit_code == 3, done.output
    assert f"Error: {USED}{OTHERWISE}\nuser_clicks was not written to the registry. {REMEDY}" in done.output
    assert "Traceback" not in done.output
    assert definition() == before


def test_the_change_beside_the_old_view_is_taken(held: World) -> None:
    """A view and a service of a new name: what the remedy asks for."""
    before = definition()
    domain = held.folder / "domains" / "clicking.py"
    beside = domain.read_text().partition("user_topics =")[0].partition("user_clicks =")[2]
    newer = "user_clicks_v2 =" + beside.replace(*CHANGED).replace('"user_clicks"', '"user_clicks_v2"')
    views = 'user_clicks_v2 = feature_view(clicking.user_clicks_v2, entity=user, owner="web@x.org")\n'
    views += (
        'reading_v2 = FeatureService(name="reading_v2", features=[user_clicks_v2], owner="ml@x.org", description="R")\n'
    )
    held.rewrite(domain=domain.read_text() + newer, views=(held.repository / "user_views.py").read_text() + views)
    assert held.run("diff").exit_code == 0
    done = applied(held)
    assert done.exit_code == 0, done.output
    assert definition() == before

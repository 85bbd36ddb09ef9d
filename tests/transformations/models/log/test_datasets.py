"""A dataset stays while a version of a model needs it."""

import shutil
from pathlib import Path

from click.testing import CliRunner
from feast import FeatureStore

from tests.worlds import weekly
from transformations.cli.commands.data.dataset import dataset
from transformations.engine.base.settings import get_settings
from transformations.models.log.datasets import versions_that_need
from transformations.models.log.event_log import EventLog
from transformations.models.versions import promote


def needing(project: Path) -> list[str]:
    store = FeatureStore(repo_path=str(project / "repo"))
    return list(versions_that_need(EventLog("shop"))(weekly.DATASET, store))


def test_a_dataset_is_needed_by_all_versions_but_those_that_are_over(weekly_production: Path) -> None:
    weekly.promote_another(weekly_production)
    weekly.promote_another(weekly_production, l2=9.0)
    assert needing(weekly_production) == [
        "version 2 of model user_return, which a rollback would bring back,",
        "version 3 of model user_return, in production,",
    ]
    assert list(versions_that_need(EventLog("shop"))("another", FeatureStore(str(weekly_production / "repo")))) == []


def test_neither_a_deletion_nor_a_replacement_takes_it_away(weekly_production: Path) -> None:
    file = weekly_production / "repo" / "datasets" / f"{weekly.DATASET}.yaml"
    for command in (["delete", weekly.DATASET], ["create", str(file), "--replace"]):
        refused = CliRunner().invoke(dataset, command)
        assert refused.exit_code == 2
        assert "weekly_2024 stays: version 1 of model user_return, in production, refers to it" in refused.output
    assert (get_settings().datasets_dir / weekly.DATASET).is_dir()

    shutil.rmtree(get_settings().models_dir / weekly.MODEL)  # one whose artifact is lost can be archived, too
    promote(weekly.MODEL, 1, "archived", EventLog("shop"), get_settings(), why="over")
    assert CliRunner().invoke(dataset, ["delete", weekly.DATASET]).exit_code == 0


def test_reading_the_log_makes_no_table(weekly_project: Path) -> None:
    before = (weekly_project / "data" / "registry.db").read_bytes()
    assert needing(weekly_project) == []
    assert EventLog("shop").events("nobody") == ()
    assert (weekly_project / "data" / "registry.db").read_bytes() == before

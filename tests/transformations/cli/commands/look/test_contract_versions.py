"""A contract that changes: what its version must say, where that is held, and whom a change touches."""

import json
import subprocess
from typing import Any

import pytest

from transformations.engine.base.errors import DataError

SECONDS = "logicalTypeOptions: {minimum: 0}"
STRICTER, WIDER = "logicalTypeOptions: {minimum: 1}", "logicalTypeOptions: {minimum: -1}"
FEATURE = "touches feature user_clicks:attention_seconds_sum_7d of web@x.org"
SERVICE = "touches feature service reading_v1 of ml@x.org"
SET = "touches dataset reading of data@x.org"
MODEL = "touches model reader of risk@x.org"
READING = """
owner: data@x.org
description: Who reads on
feature_service: reading_v1
spine: {query: "SELECT user_id, clicked_at AS event_timestamp, page = '/cats' AS stays FROM raw.clicks"}
label: {column: stays, horizon: 1 day}
split: {train: 2024-05-01, validation: 2024-05-04, test: 2024-05-07}
"""
READER = """
owner: risk@x.org
description: Who reads on?
dataset: reading
task: binary_classification
trainer: logistic
evaluation: {entity: user_id}
"""
LATER = "click_id,user_id,page,seconds,clicked_at\n4,1,/cats,1.0,2024-05-11T16:00:00\n"


def change(world: Any, seconds: str, version: str = "1.0.0") -> None:
    contract = world.folder / "contracts" / "clicks.yaml"
    text = contract.read_text()
    contract.write_text(text.replace(SECONDS, seconds).replace("version: 1.0.0", f"version: {version}"))


@pytest.fixture
def stored(world: Any) -> Any:
    world.deliver_all()
    return world


def test_an_incompatible_change_under_the_same_version_fails_diff_build_ingest_and_check(stored: Any) -> None:
    for folder, name, text in (("datasets", "reading", READING), ("models", "reader", READER)):
        (stored.repository / folder).mkdir(exist_ok=True)
        (stored.repository / folder / f"{name}.yaml").write_text(text)
    change(stored, STRICTER)

    diff = stored.run("diff")
    assert diff.exit_code == 3
    assert "~ contract clicks 1.0.0\n    clicks.seconds: minimum was 0, is 1  INCOMPATIBLE\n" in diff.stdout
    assert f"    {FEATURE}\n    {SERVICE}\n    {SET}\n    {MODEL}\n    its version is still 1.0.0" in diff.stdout
    (document,) = json.loads(stored.run("diff", "--json").stdout)["contracts"]
    assert document["touches"] == [FEATURE, SERVICE, SET, MODEL]
    build = stored.run("build")
    assert build.exit_code == 3
    assert "clicks.yaml: version is still 1.0.0, yet stored rows or their readers would break:" in build.stderr
    assert f"  {FEATURE}\n  {SERVICE}\n  {SET}\n  {MODEL}\nRaise the major version" in build.stderr
    with pytest.raises(DataError, match=r"clicks\.seconds: minimum was 0, is 1\. Raise the major version"):
        stored.deliver("clicks", LATER, complete_through="2024-05-11")
    said = stored.run("check").stdout
    assert "clicks.yaml:1: source clicks has changed, and its version is still 1.0.0: clicks.seconds: minimum" in said
    assert f"{FEATURE}; {SERVICE}; {SET}; {MODEL}" in said


def test_a_column_that_is_gone_though_a_feature_reads_it_is_named(stored: Any) -> None:
    contract = stored.folder / "contracts" / "clicks.yaml"
    text = contract.read_text()
    start, end = text.index("      - name: seconds"), text.index("      - {name: clicked_at")
    contract.write_text(text[:start] + text[end:])
    diff = stored.run("diff")
    assert diff.exit_code == 2
    assert "seconds" in diff.stderr
    assert "user_clicks" in diff.stderr


def test_a_minor_version_does_not_announce_an_incompatible_change(stored: Any) -> None:
    change(stored, STRICTER, "1.1.0")
    assert "its version went from 1.0.0 to 1.1.0, which promises that nothing breaks" in stored.run("diff").stdout
    with pytest.raises(DataError):
        stored.deliver("clicks", LATER, complete_through="2024-05-11")


@pytest.mark.parametrize(("seconds", "version"), [(STRICTER, "2.0.0"), (WIDER, "1.1.0")])
def test_an_announced_change_is_shown_until_the_next_drop_is_stored_under_it(
    stored: Any, seconds: str, version: str
) -> None:
    change(stored, seconds, version)
    contracts = json.loads(stored.run("diff", "--json").stdout)["contracts"]
    assert [(each["source"], each["version"], each["fault"]) for each in contracts] == [("clicks", version, None)]
    stored.deliver("clicks", LATER, complete_through="2024-05-11")
    assert json.loads(stored.run("diff", "--json").stdout)["contracts"] == []


def test_a_compatible_change_without_a_version_breaks_a_rule_and_stops_nothing(stored: Any) -> None:
    change(stored, WIDER)
    assert stored.run("diff").exit_code == 0
    assert "has changed, and its version is still 1.0.0" in stored.run("check").stdout
    stored.deliver("clicks", LATER, complete_through="2024-05-11")


def test_contracts_are_compared_with_a_revision_in_git(world: Any) -> None:
    """As CI does, which holds no data."""
    git = ["git", "-C", str(world.folder / "contracts"), "-c", "user.name=a", "-c", "user.email=a@x.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Contracts"]):
        subprocess.run([*git, *command], check=True)
    before = "source clicks has changed, and its version is still 1.0.0: clicks.seconds: minimum was 0, is 1; "
    assert before not in world.run("check", "--against", "HEAD").stdout
    change(world, STRICTER)
    assert f"{before}{FEATURE}; {SERVICE}. Raise" in world.run("check", "--against", "HEAD").stdout
    assert before not in world.run("check").stdout

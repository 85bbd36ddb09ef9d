"""`features check`: one repository that keeps every rule, and each rule broken on its own."""

import json
from typing import Any

import pytest

from transformations.engine.base.settings import Settings

OWNERS = """
owners:
  web: {team: Web data, contact: channel web}
  web@x.org: {team: Web, contact: web@x.org}
  news@x.org: {team: News, contact: news@x.org}
  ml@x.org: {team: Models, contact: ml@x.org}

tags:
  domain: [users]
"""
OFFERED = (
    'reading_v1 = FeatureService(name="reading_v1", features=[user_clicks]',
    (
        'reading_v1 = FeatureService(name="reading_v1", features=[user_clicks, user_topics], '
        'tags={"consumer": "reader", "clearance": "pseudonymous"}'
    ),
)
DATASET = """
owner: ml@x.org
description: Who reads on
feature_service: reading_v1
spine: {query: "SELECT user_id, clicked_at AS event_timestamp, page FROM raw.clicks"}
"""


@pytest.fixture
def kept(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A repository that keeps every rule, in a project without tests: what is untested, test_diff.py shows."""
    monkeypatch.setattr(Settings, "project_root", property(lambda _: world.folder))
    (world.repository / "owners.yaml").write_text(OWNERS)
    (world.repository / "datasets").mkdir()
    (world.repository / "datasets" / "reading.yaml").write_text(DATASET)
    contract = world.folder / "contracts" / "clicks.yaml"
    user = "{name: user_id, logicalType: integer, required: true, description: The user"
    pii = ", customProperties: [{property: pii, value: pseudonymous}]"
    contract.write_text(contract.read_text().replace(user, user + pii))
    world.rewrite(OFFERED)
    expect_anything(world)
    return world


def expect_anything(world: Any) -> None:
    """An expected distribution of every feature."""
    folder = world.folder / "expectations"
    folder.mkdir()
    for view, features in (
        ("user_clicks", ("clicks_count_7d", "attention_seconds_sum_7d", "click_at_last_lifetime")),
        ("user_topics", ("topic_clicks_count_7d",)),
    ):
        rules = "".join(f"  {name}: {{null_share: [0, 1]}}\n" for name in features)
        (folder / f"{view}.yaml").write_text(f"measured: {{from: 2024-05-01, to: 2024-05-02}}\nfeatures:\n{rules}")


def test_nothing_is_said_against_what_keeps_the_rules(kept: Any) -> None:
    result = kept.run("check")
    assert (result.exit_code, result.stdout) == (0, "every rule holds: 2 views, 1 service\n")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('owner="news@x.org"', 'owner="new@x.org"', "feature_repo/user_views.py:12: view user_topics is owned by "),
        ('"consumer": "reader"', '"consumer": ""', "feature_repo/user_views.py:13: service reading_v1 names no consum"),
        ("[user_clicks, user_topics]", "[user_clicks]", "user_views.py:12: view user_topics is in no service. Add it"),
        ('"pseudonymous"', '"none"', "carries pseudonymous data (from clicks.user_id) and is cleared for none. Leave"),
        ('"pseudonymous"', '"psuedonymous"', "has the clearance 'psuedonymous'; did you mean"),
        ('entity=user, owner="web@x.org"', 'entity=user, owner="web@x.org", tags={"domian": "users"}', "'domian'"),
        ('entity=user, owner="web@x.org"', 'entity=user, owner="web@x.org", tags={"domain": "user"}', "domain='user'"),
    ],
)
def test_a_broken_rule_is_named_with_its_line(kept: Any, old: str, new: str, said: str) -> None:
    kept.rewrite(OFFERED, (old, new))
    result = kept.run("check")
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 1
    assert said in result.stdout


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "click_at_last_lifetime",
            "click_at_first_lifetime",
            "clicking.py:16: feature user_clicks:click_at_last_lifetime has no",
        ),
        (
            "click_at_last_lifetime",
            "click_at_first_lifetime",
            "expectations/user_clicks.yaml:5: expected distribution user_",
        ),
        (None, None, "feature_repo/user_views.py:11: view user_clicks documents no expected distributions. Once it is"),
    ],
)
def test_a_feature_without_an_expected_distribution_is_named(kept: Any, old: str | None, new: str, said: str) -> None:
    path = kept.folder / "expectations" / "user_clicks.yaml"
    if old is None:
        path.rename(path.with_name("user_visits.yaml"))
        assert (
            "expectations/user_visits.yaml:1: expectations user_visits are of no view that is"
            in kept.run("check").stdout
        )
    else:
        path.write_text(path.read_text().replace(old, new))
    result = kept.run("check")
    assert (result.exit_code, len(result.stdout.splitlines())) == (3, 2)
    assert said in result.stdout


def test_a_dataset_without_owner_is_named(kept: Any) -> None:
    (kept.repository / "datasets" / "reading.yaml").write_text(DATASET.replace("owner: ml@x.org\n", ""))
    (found,) = json.loads(kept.run("check", "--json").stdout)
    assert found["place"] == "dataset reading"
    assert found["where"].endswith("feature_repo/datasets/reading.yaml:1")
    assert (found["fault"], found["remedy"]) == ("has no owner", "Write owner: …")


MODEL = """
description: Who reads on
owner: ml@x.org
dataset: reads
task: regression
trainer: linear
leave_out: [click_at_last_lifetime]
evaluation: {entity: user_id}
business:
  - {name: clicks, query: SELECT count(*) FROM predictions, owner: web, unit: clicks, direction: up, horizon: 7 days}
"""
LABELLED = (
    DATASET
    + """
label: {column: attention, horizon: 7 days}
split: {train: 2024-05-01, validation: 2024-05-08, test: 2024-05-15}
"""
)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", None),
        ("ml@x.org", "mi@x.org", "is owned by 'mi@x.org', which owners.yaml does not resolve; did you mean 'ml@x.org'"),
        ("dataset: reads", "dataset: read", "learns from the dataset 'read'; did you mean 'reads'"),
        ("click_at_last", "click_at_first", "leaves out 'click_at_first_lifetime', which reading_v1 does not have"),
        (
            "FROM predictions",
            "FROM raw.clicks",
            "metric clicks reads raw.clicks, and may read predictions only",
        ),
    ],
)
def test_a_model_is_held_to_what_is_declared(kept: Any, old: str, new: str, said: str | None) -> None:
    (kept.repository / "models").mkdir()
    (kept.repository / "models" / "next_read.yaml").write_text(MODEL.replace(old, new) if old else MODEL)
    (kept.repository / "datasets" / "reads.yaml").write_text(LABELLED)
    found = json.loads(kept.run("check", "--json").stdout)
    assert len(found) == (0 if said is None else 1)
    if said is not None:
        assert said in found[0]["fault"]
        assert found[0]["where"].endswith("feature_repo/models/next_read.yaml:1")


def test_a_repository_without_owners_is_told_what_to_write(kept: Any) -> None:
    (kept.repository / "owners.yaml").unlink()
    assert "has no owners.yaml. Write owners: { NAME: { team: …, contact: … } }." in kept.run("check").stdout


def test_a_class_of_personal_data_shows_in_the_registry(kept: Any) -> None:
    """On the key, and on the view; values that carry none have no tag."""
    from transformations.insight.repository import read_contents

    (clicks,) = [view for view in read_contents(kept.settings).feature_views if view.name == "user_clicks"]
    assert clicks.tags["pii"] == "pseudonymous"
    assert [each.tags.get("pii") for each in (*clicks.entity_columns, *clicks.features)] == [
        "pseudonymous",
        *[None] * 3,
    ]


READER = """
owner: ml@x.org
description: Who reads on?
dataset: reading
task: binary_classification
trainer: logistic
evaluation: {entity: user_id}
"""
TRAINING = DATASET.replace(
    'page FROM raw.clicks"}',
    'page, seconds > 5 AS stays FROM raw.clicks"}\n'
    "label: {column: stays, horizon: 1 day}\n"
    "split: {train: 2024-05-01, validation: 2024-05-04, test: 2024-05-07}",
)


@pytest.fixture
def learning(kept: Any) -> Any:
    """The same with a model that keeps every rule."""
    (kept.repository / "models").mkdir()
    (kept.repository / "models" / "reader.yaml").write_text(READER)
    (kept.repository / "datasets" / "reading.yaml").write_text(TRAINING)
    return kept


def test_nothing_is_said_against_a_model_that_keeps_the_rules(learning: Any) -> None:
    assert learning.run("check").stdout == "every rule holds: 2 views, 1 service\n"


@pytest.mark.parametrize(
    ("folder", "old", "new", "said"),
    [
        (
            "models",
            "description: Who reads on?",
            "description: ' '",
            "reader.yaml:3: model reader cannot be read: description: is empty.",
        ),
        ("models", "task: bin", "tags: {domian: users}\ntask: bin", "model reader has the tag 'domian', which owners."),
        (
            "models",
            "task: bin",
            "tags: {clearance: none}\ntask: bin",
            "model reader carries pseudonymous data (from cl",
        ),
        (
            "models",
            "task: bin",
            "tags: {clearance: nine}\ntask: bin",
            "model reader has the clearance 'nine'; did you ",
        ),
        ("models", "trainer: logistic", "trainer: logistics", "models/reader.yaml:6: model reader cannot be read: tra"),
        ("models", "dataset: reading", "dataset: [", "models/reader.yaml:6: model reader cannot be read: exp"),
        (
            "datasets",
            "reading_v1",
            "reading_v2",
            "datasets/reading.yaml:1: dataset reading asks for 'reading_v2', which",
        ),
        (
            "datasets",
            "spine:",
            "tags: {clearance: none}\nspine:",
            "dataset reading carries pseudonymous data (from cli",
        ),
        ("datasets", "spine:", "tags: {domain: user}\nspine:", "dataset reading has the tag domain='user'; did you me"),
        (
            "datasets",
            "1 day}",
            "1 dey}",
            "datasets/reading.yaml:6: dataset reading cannot be read: label.horizon: a du",
        ),
        ("datasets", "FROM raw.clicks", "FROM", "datasets/reading.yaml:1: dataset reading cannot be read: "),
        ("datasets", "raw.clicks", "raw.clickz", "dataset reading spine reads raw.clickz; did you mean "),
    ],
)
def test_a_rule_that_a_dataset_or_model_breaks_is_named_with_its_line(
    learning: Any, folder: str, old: str, new: str, said: str
) -> None:
    (path,) = (learning.repository / folder).glob("*.yaml")
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    result = learning.run("check")
    assert result.exit_code == 3
    assert said in result.stdout
    assert len(result.stdout.splitlines()) == 1


def test_a_model_is_cleared_by_its_own_tag_and_for_what_it_takes_alone(learning: Any) -> None:
    """The spine reads an address: the dataset needs a clearance of its own, the model only where it takes it."""
    contract = learning.folder / "contracts" / "clicks.yaml"
    address = (
        "      - {name: email, logicalType: string, required: true, description: The address, "
        "customProperties: [{property: pii, value: personal}]}\n"
    )
    contract.write_text(contract.read_text() + address)
    training = TRAINING.replace("page,", "email,")
    (learning.repository / "datasets" / "reading.yaml").write_text(training)
    model, dataset = (next((learning.repository / each).glob("*.yaml")) for each in ("models", "datasets"))
    said = learning.run("check").stdout
    assert "dataset reading carries personal data (from clicks.email) and is cleared for pseudonymous" in said
    assert "model reader" not in said
    dataset.write_text(training + "tags: {clearance: personal}\n")
    model.write_text(READER + "request_fields: [email]\ntags: {clearance: pseudonymous}\n")
    assert "model reader carries personal data (from clicks.email)" in learning.run("check").stdout
    model.write_text(READER + "request_fields: [email]\n")
    assert learning.run("check").exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{null_share: [0, 1]}", "{null_share: [0, 2%]}", [":3: expectations user_topics cannot be read: features.to"]),
        ("{null_share: [0, 1]}", "{shares: {a: [0, 1]}}", [":3: expected distribution user_topics:topic_clicks_cou"]),
        ("2024-05-02", "2024-05-32", [":1: expectations user_topics cannot be read: day is out of range for month"]),
        (
            "topic_clicks",
            "topic_click",
            ["view has no", ":3: expected distribution user_topics:topic_click_count_7d is of no feature that"],
        ),
    ],
)
def test_a_mistake_in_a_reviewed_file_is_named_with_its_line(kept: Any, old: str, new: str, said: list[str]) -> None:
    path = kept.folder / "expectations" / "user_topics.yaml"
    path.write_text(path.read_text().replace(old, new))
    result = kept.run("check")
    assert (result.exit_code, len(result.stdout.splitlines())) == (3, len(said))
    assert f"expectations/user_topics.yaml{said[-1]}" in result.stdout


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("description: One click", "description: ''", ":12: source clicks cannot be read: schema[0].description is "),
        ("description: The page}", "description: ''}", ":21: source clicks cannot be read: schema[0].properties[2]."),
        ("value: append", "value: apend", ":13: source clicks cannot be read: schema[0].customProperties.delivery "),
        ("team: {name: web}\n", "", ":1: source clicks cannot be read: team is missing. Write the team that answers"),
        ("version: 1.0.0", "version: [", ":8: source clicks cannot be read: expected ',' or ']', but got ':'"),
    ],
)
def test_a_contract_that_cannot_be_read_is_named_with_its_line(kept: Any, old: str, new: str, said: str) -> None:
    path = kept.folder / "contracts" / "clicks.yaml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    result = kept.run("check")
    assert (result.exit_code, len(result.stdout.splitlines())) == (3, 1)
    assert f"contracts/clicks.yaml{said}" in result.stdout


def test_a_view_that_is_called_otherwise_than_its_variable_is_found_by_its_definition(kept: Any) -> None:
    kept.rewrite(OFFERED, ('name="user_clicks"', 'name="clicks_of_user"'))
    assert "domains/clicking.py:6: view clicks_of_user is not named <entity>_<subject>." in kept.run("check").stdout


def test_a_model_of_full_names_leaves_out_by_the_alias_of_a_view(learning: Any) -> None:
    views = (OFFERED[0], OFFERED[1].replace("[user_clicks,", '[user_clicks.with_name("them"),'))
    learning.rewrite(views)
    (learning.repository / "datasets" / "reading.yaml").write_text(TRAINING + "full_feature_names: true\n")
    model = learning.repository / "models" / "reader.yaml"
    model.write_text(READER + "leave_out: [them__clicks_count_7d]\n")
    assert learning.run("check").exit_code == 0
    model.write_text(READER + "leave_out: [user_clicks__clicks_count_7d]\n")
    assert "leaves out 'user_clicks__clicks_count_7d', which reading_v1 does not have" in learning.run("check").stdout

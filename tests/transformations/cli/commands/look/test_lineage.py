"""`features lineage` and `features impact`: both ways from any name, with who must be asked."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from transformations.models.log.event_log import EventLog
from transformations.models.log.stages import register
from transformations.models.records.base import text_hash
from transformations.models.records.events import Registered

DATASET = """
owner: ml@x.org
feature_service: reading_v1
spine: {query: "SELECT user_id, clicked_at AS event_timestamp FROM raw.clicks WHERE page <> '/lost'"}
"""


@pytest.fixture
def declared(world: Any) -> Any:
    """The project with a dataset whose spine reads clicks, and an owner that can be reached."""
    (world.repository / "datasets").mkdir()
    (world.repository / "datasets" / "reading.yaml").write_text(DATASET)
    (world.repository / "owners.yaml").write_text("owners: {ml@x.org: {team: Models, contact: channel models}}\n")
    return world


def names(things: list[dict[str, Any]]) -> dict[str, str]:
    return {thing["name"]: thing["as"] for thing in things}


def test_a_feature_leads_down_to_columns_and_up_to_datasets(declared: Any) -> None:
    found = json.loads(declared.run("lineage", "attention_seconds_sum_7d", "--json").stdout)
    assert names(found["upstream"]) == {
        "clicks.seconds": "value",
        "clicks.click_id": "key",
        "clicks.user_id": "key",
        "clicks.clicked_at": "event time",
    }
    assert names(found["downstream"]) == {"reading_v1": "features", "reading": "features"}


def test_a_column_of_a_lookup_leads_to_the_features_that_it_keys(declared: Any) -> None:
    found = json.loads(declared.run("lineage", "pages.topic", "--json").stdout)
    assert names(found["downstream"]) == {"user_topics:topic_clicks_count_7d": "key"}


def test_a_spine_reads_the_columns_that_its_query_names(declared: Any) -> None:
    found = json.loads(declared.run("lineage", "reading", "--json").stdout)
    spine = {name for name, role in names(found["upstream"]).items() if role == "spine"}
    assert spine == {"clicks.user_id", "clicks.clicked_at", "clicks.page"}


def test_what_the_lineage_lacks_is_said(declared: Any) -> None:
    file = declared.repository / "datasets" / "reading.yaml"
    file.write_text(DATASET.replace("spine:", "spin:"))
    said = f"left out: dataset reading, which cannot be read: {file}:1: spine is missing."
    for command in ("lineage", "impact"):
        shown = declared.run(command, "clicks.page")
        assert (shown.exit_code, shown.stderr.count(said)) == (0, 1), shown.output
        found = json.loads(declared.run(command, "clicks.page", "--json").stdout)
        assert found["unread"].keys() == {"dataset reading"}
    assert said in declared.run("lineage", "reading").stderr
    assert said in declared.run("docs", "--out", str(declared.folder / "docs")).stderr


def test_the_impact_of_a_column_names_what_it_touches_and_whom_to_ask(declared: Any) -> None:
    found = json.loads(declared.run("impact", "clicks.seconds", "--json").stdout)
    assert [thing["name"] for thing in found["touched"]] == [
        "user_clicks:attention_seconds_sum_7d",
        "reading_v1",
        "reading",
    ]
    assert found["ask"] == [
        {"owner": "ml@x.org", "team": "Models", "contact": "channel models", "for": "reading_v1, reading"},
        {"owner": "web@x.org", "team": "", "contact": "", "for": "user_clicks"},
    ]
    shown = declared.run("impact", "clicks.seconds").stdout
    assert shown.startswith("a change of clicks.seconds touches 1 feature, 1 feature service, 1 dataset\n")
    assert "channel models" in shown


def test_the_impact_of_a_column_names_the_foreign_keys_that_point_to_it(world: Any) -> None:
    contract = world.folder / "contracts" / "clicks.yaml"
    plain = "{name: page, logicalType: string, required: true, description: The page}"
    text = contract.read_text()
    assert plain in text
    keyed = plain[:-1] + ", relationships: [{type: foreignKey, to: pages.page}]}"
    contract.write_text(text.replace(plain, keyed))
    assert json.loads(world.run("impact", "clicks.page", "--json").stdout)["referring"] == []
    found = json.loads(world.run("impact", "pages.page", "--json").stdout)
    assert found["referring"] == [{"column": "clicks.page", "to": "pages.page"}]
    assert any("clicks" in each["for"].split(", ") for each in found["ask"])
    assert "foreign key: clicks.page must be in pages.page\n" in world.run("impact", "pages.page").stdout


MODEL = """
owner: people@x.org
description: Who reads on?
dataset: reading
task: binary_classification
trainer: logistic
evaluation: {entity: user_id}
"""
TRAINING = (
    DATASET.replace("user_id,", "user_id, seconds > 5 AS stays,")
    + """
label: {column: stays, horizon: 1 day}
split: {train: 2024-05-01, validation: 2024-05-04, test: 2024-05-07}
"""
)


@pytest.fixture
def learning(declared: Any) -> Any:
    """The same with a model, of another owner, that learns from the dataset."""
    (declared.repository / "datasets" / "reading.yaml").write_text(TRAINING)
    (declared.repository / "models").mkdir()
    (declared.repository / "models" / "reader.yaml").write_text(MODEL)
    return declared


def train(dataset: str) -> None:
    """A version of the model that was trained on a dataset, as the log has it."""
    change = Registered(
        run_id="run",
        artifact=text_hash("artifact"),
        dataset=dataset,
        dataset_hash=text_hash(dataset),
        criteria_hash=text_hash("criteria"),
    )
    register(
        EventLog("feature_platform"), "reader", change, who="ada", why="trained", at=datetime(2024, 6, 1, tzinfo=UTC)
    )


def test_a_model_is_computed_from_its_dataset_down_to_columns(learning: Any) -> None:
    found = json.loads(learning.run("lineage", "reader", "--json").stdout)
    assert {"reading": "rows", "reading_v1": "features", "clicks.click_id": "key"}.items() <= names(
        found["upstream"]
    ).items()
    assert names(json.loads(learning.run("lineage", "clicks.page", "--json").stdout)["downstream"]) == {
        "user_topics:topic_clicks_count_7d": "key",
        "reading": "spine",
        "reader": "rows",
    }


def test_a_model_reads_what_its_business_metrics_are_measured_by(learning: Any) -> None:
    metric = (
        "business:\n  - {name: topics, query: SELECT count(DISTINCT topic) FROM raw.pages, owner: ml@x.org, "
        "unit: topics, direction: up, horizon: 7 days}\n"
    )
    (learning.repository / "models" / "reader.yaml").write_text(MODEL + metric)
    found = json.loads(learning.run("lineage", "pages.topic", "--json").stdout)
    assert names(found["downstream"])["reader"] == "business metric"


def test_the_owner_of_a_model_is_asked_before_its_columns_change(learning: Any) -> None:
    train("reading")
    found = json.loads(learning.run("impact", "clicks.seconds", "--json").stdout)
    assert {"kind": "model", "name": "reader", "owner": "people@x.org"} in found["touched"]
    assert {"owner": "people@x.org", "team": "", "contact": "", "for": "reader"} in found["ask"]
    assert [(each["version"], each["stage"], each["trained_on"]) for each in found["trained"]] == [
        (1, "development", "reading")
    ]
    assert "version 1 of reader, in development: trained on reading\n" in learning.run("impact", "clicks.page").stdout


def test_a_version_that_was_trained_on_another_dataset_is_still_concerned(learning: Any) -> None:
    """The model has turned to another dataset since; its version in use still rests on the first one."""
    train("reading")
    other = TRAINING.replace("raw.clicks", "raw.pages").replace("seconds > 5", "topic = 'a'")
    other = other.replace("clicked_at", "now()").replace("user_id", "page").replace("page <> '/lost'", "true")
    (learning.repository / "datasets" / "others.yaml").write_text(other)
    (learning.repository / "models" / "reader.yaml").write_text(MODEL.replace("dataset: reading", "dataset: others"))
    said = learning.run("impact", "reading").stdout
    assert said.startswith("nothing here is computed from reading\nask before:\n")
    assert "people@x.org" in said
    assert "version 1 of reader, in development: trained on reading, now declared from others" in said


def test_an_unknown_name_is_answered_with_near_ones(declared: Any) -> None:
    result = declared.run("lineage", "clicks.secnds")
    assert result.exit_code == 2
    assert "Near: clicks.seconds" in result.output


def test_what_a_table_was_built_from_is_told_where_it_differs(built: Any) -> None:
    """Attention was counted in seconds when the table was built; now it is declared from clicks."""
    assert "stored otherwise" not in built.run("lineage", "user_clicks").stdout
    built.rewrite(
        ('Sum("seconds", name="attention_seconds"', 'Sum("click_id", name="attention_seconds"'),
        ('Count(name="clicks"', 'Count(name="visits"'),
    )

    said = built.run("lineage", "user_clicks").stdout.partition("stored otherwise, until the next build\n")[2]

    assert sorted(said.splitlines()) == [
        (
            "  user_clicks:attention_seconds_sum_7d: computed from clicks.seconds (version 0), "
            "declared from clicks.click_id"
        ),
        "  user_clicks:clicks_count_7d: computed from clicks.clicked_at (version 0), no longer declared",
        "  user_clicks:visits_count_7d: not stored yet (version 0), declared from clicks.clicked_at",
    ]
    for column in ("clicks.click_id", "clicks.seconds"):
        assert "stored otherwise: user_clicks:attention" in built.run("impact", column).stdout
    stored = json.loads(built.run("lineage", "click_at_last_lifetime", "--json").stdout)["stored"]
    assert [each["stored"] for each in stored] == [["clicks.clicked_at"]]

"""The events of a project's whole way: each drop, build and load, with the columns behind every feature."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from feast.openlineage import FeastOpenLineageEmitter, OpenLineageConfig
from feast.ui_server import get_app

from transformations.insight.repository import open_store, read_contents

SOURCES = """
from transformations.stores.views import raw_sources

globals().update(raw_sources())
"""


def told(world: Any) -> list[dict[str, Any]]:
    """Our own events, oldest first."""
    lines = (world.settings.data / "lineage" / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def told_by_feast(world: Any, file: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Feast's own emitter tells of an apply and of a load of everything."""
    for name, value in (("TYPE", "file"), ("LOG_FILE_PATH", str(file)), ("APPEND", "true")):
        monkeypatch.setenv(f"OPENLINEAGE__TRANSPORT__{name}", value)
    contents = read_contents(world.settings)
    emitter = FeastOpenLineageEmitter(OpenLineageConfig(enabled=True))
    views = contents.feature_views
    objects = [*contents.data_sources, *contents.entities, *views, *contents.feature_services]
    assert all(emitter.emit_apply(objects, "feature_platform"))
    run, _ = emitter.emit_materialize_start(views, None, world.settings.now(), "feature_platform")
    assert emitter.emit_materialize_complete(run, views, "feature_platform")
    return [json.loads(line) for line in file.read_text().splitlines()]


def datasets(events: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(each["namespace"], each["name"]) for event in events for each in [*event["inputs"], *event["outputs"]]}


def test_ingest_build_and_load_are_told_and_their_graph_is_one(serve: Callable[..., Any]) -> None:
    world = serve("2024-05-11T12:00:00Z")
    events = {event["job"]["name"]: event for event in told(world)}

    assert set(events) >= {"ingest_clicks", "ingest_pages", "build_user_clicks", "build_user_topics"}
    written = {name: {each["name"] for each in event["outputs"]} for name, event in events.items()}
    read = {name: {each["name"] for each in event["inputs"]} for name, event in events.items()}
    assert written["ingest_clicks"] == read["build_user_clicks"] == {"raw.clicks"}
    assert read["build_user_topics"] == {"raw.clicks", "raw.pages"}
    assert written["build_user_clicks"] == {"user_clicks"}
    assert read["materialize_feature_platform"] <= {"user_clicks", "user_topics"}
    assert {event["job"]["namespace"] for event in events.values()} == {"feature_platform"}
    assert events["ingest_clicks"]["inputs"][0]["namespace"] == "file"

    fields = events["build_user_clicks"]["outputs"][0]["facets"]["columnLineage"]["fields"]
    assert {name: [each["field"] for each in read["inputFields"]] for name, read in fields.items()} == {
        "clicks_count_7d": ["clicked_at"],
        "attention_seconds_sum_7d": ["seconds"],
        "click_at_last_lifetime": ["clicked_at"],
    }


def test_feast_tells_of_the_same_things_under_the_same_names(
    serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = serve("2024-05-11T12:00:00Z")
    (world.repository / "sources.py").write_text(SOURCES)
    theirs = told_by_feast(world, tmp_path / "feast.jsonl", monkeypatch)
    ours = told(world)

    names = datasets(theirs)
    assert datasets(ours) - names == {each for each in datasets(ours) if each[0] == "file"}
    assert {name for _, name in names - datasets(ours)} == {"user", "topic", "reading_v1"}
    jobs = {
        name: {(e["job"]["namespace"], e["job"]["name"]) for e in events}
        for name, events in (("ours", ours), ("theirs", theirs))
    }
    assert jobs["ours"] & jobs["theirs"] == {("feature_platform", "materialize_feature_platform")}


def test_feast_draws_the_way_from_raw_tables_to_services(
    serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server of `feast ui` takes our events and Feast's own; raw tables stand in the registry."""
    world = serve("2024-05-11T12:00:00Z")
    (world.repository / "sources.py").write_text(SOURCES)
    contents = read_contents(world.settings)
    store = open_store(world.settings)
    store.apply(contents.data_sources, partial=True)
    client = TestClient(get_app(store, "feature_platform"))

    (source,) = [
        each
        for each in client.get("/api/v1/data_sources", params={"project": "feature_platform"}).json()["dataSources"]
        if each["name"] == "raw.clicks"
    ]
    assert (source["owner"], source["description"], source["timestampField"]) == ("web", "One click", "clicked_at")
    assert source["tags"]["contract"] == "clicks.yaml, version 1.0.0"
    assert source["tags"]["column.seconds"] == "Float64 in seconds: How long it was looked at"

    sent = [*told(world), *told_by_feast(world, tmp_path / "feast.jsonl", monkeypatch)]
    assert client.post("/api/v1/lineage/batch", json=sent).status_code == 204
    graph = client.get("/api/v1/lineage/openlineage/graph/dataset/feature_platform/raw.clicks").json()
    reached = {each["name"] for each in graph["nodes"]}
    assert reached >= {"raw.clicks", "build_user_clicks", "user_clicks", "online_store_user_clicks", "reading_v1"}
    columns = client.get("/api/v1/lineage/openlineage/datasets/feature_platform/user_clicks/columns").json()[
        "column_lineage"
    ]
    assert ("raw.clicks", "seconds", "attention_seconds_sum_7d") in {
        (each["input_name"], each["input_field"], each["output_field"]) for each in columns
    }

"""The events of a project's whole way: each drop, build and load, with the columns behind every feature."""

import json
from collections.abc import Callable
from typing import Any


def test_ingest_build_and_load_are_told_and_their_graph_is_one(serve: Callable[..., Any]) -> None:
    world = serve("2024-05-11T12:00:00Z")
    lines = (world.settings.data / "lineage" / "events.jsonl").read_text().splitlines()
    events = {event["job"]["name"]: event for event in map(json.loads, lines)}

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

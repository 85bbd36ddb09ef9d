"""Where events go, and that no endpoint fails a command or holds it up."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    dataset_version_dataset,
    error_message_run,
    output_statistics_output_dataset,
    schema_dataset,
)

from transformations.engine.base.settings import Settings
from transformations.engine.lineage import sending
from transformations.engine.lineage.events import Dataset, Field, report_run
from transformations.engine.lineage.sending import events_file

AT = datetime(2024, 5, 1, tzinfo=UTC)


def report(settings: Settings, **facts: Any) -> None:
    output = Dataset(
        name="user_clicks",
        columns={"clicks": "Int64"},
        reads={"clicks": [Field("raw.clicks", "click_id")]},
        version=3,
        rows=7,
    )
    report_run(settings, "build_user_clicks", inputs=[Dataset(name="raw.clicks")], outputs=[output], at=AT, **facts)


def events(settings: Settings) -> list[dict[str, Any]]:
    path = events_file(settings)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def endpoint(status: int, taken: list[Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((self.headers["Authorization"], json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1/lineage"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def nobody_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SILENT", set())


def test_by_default_an_event_is_a_line_of_one_file(settings: Settings) -> None:
    report(settings, run="a")
    report(settings, run="a", failure="too bad")
    done, failed = events(settings)
    assert events_file(settings).stat().st_mode & 0o777 == 0o640
    assert (done["eventType"], failed["eventType"]) == ("COMPLETE", "FAIL")
    assert done["run"]["runId"] == failed["run"]["runId"]
    assert failed["run"]["facets"]["errorMessage"]["message"] == "too bad"
    (output,) = done["outputs"]
    (read,) = output["facets"]["columnLineage"]["fields"]["clicks"]["inputFields"]
    assert read == {"namespace": "feature_platform", "name": "raw.clicks", "field": "click_id"}
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 7


def test_facets_are_of_the_versions_that_the_client_library_writes(settings: Settings) -> None:
    report(settings, failure="too bad")
    (event,) = events(settings)
    facets = event["outputs"][0]["facets"] | event["outputs"][0]["outputFacets"] | event["run"]["facets"]
    known = {
        "columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet,
        "version": dataset_version_dataset.DatasetVersionDatasetFacet,
        "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
        "schema": schema_dataset.SchemaDatasetFacet,
        "errorMessage": error_message_run.ErrorMessageRunFacet,
    }
    assert {name: facet["_schemaURL"] for name, facet in facets.items()} == {
        name: each._get_schema() for name, each in known.items()
    }


def test_off_writes_nothing(settings: Settings) -> None:
    report(settings.model_copy(update={"lineage": "off"}))
    assert not events_file(settings).parent.exists()


def test_an_endpoint_gets_events_with_the_key(settings: Settings) -> None:
    taken: list[Any] = []
    with endpoint(201, taken) as address:
        report(Settings(data=settings.data, lineage=address, lineage_key="hunter2"))
    ((key, event),) = taken
    assert (key, event["job"]["name"]) == ("Bearer hunter2", "build_user_clicks")
    assert events(settings) == []


def test_what_an_endpoint_refuses_goes_into_the_file(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    taken: list[Any] = []
    with endpoint(500, taken) as address, caplog.at_level(logging.WARNING):
        for _ in range(3):
            report(settings.model_copy(update={"lineage": address}))
    assert (len(taken), len(events(settings))) == (1, 3)
    assert [record.getMessage().partition(", for ")[0] for record in caplog.records] == [
        "lineage events go to the file from here on"
    ]


def test_an_endpoint_that_hangs_costs_its_two_seconds_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SECONDS", 0.3)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        hanging = settings.model_copy(update={"lineage": f"http://127.0.0.1:{server.getsockname()[1]}/"})
        began = time.monotonic()
        for _ in range(20):
            report(hanging)
        assert 0.25 < time.monotonic() - began < 2.0
    assert len(events(settings)) == 20


def test_a_file_that_cannot_be_written_fails_nothing(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.data.mkdir()
    (settings.data / "lineage").touch()
    report(settings)
    assert "no lineage event was written" in caplog.text

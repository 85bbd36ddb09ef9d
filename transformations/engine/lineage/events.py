"""OpenLineage run events as JSON: what a command read and wrote, and which columns came from which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from uuid import UUID, uuid4, uuid5

from transformations.engine.base.settings import Settings
from transformations.engine.lineage.names import Project, project_of
from transformations.engine.lineage.sending import send

_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = {
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet",
    "schema": "1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
}
_RUNS = UUID("4d5f4b1e-0d2a-4c7c-8f0e-6f1f7c1d9a55")


@dataclass(frozen=True)
class Field:
    """A column of a dataset. dataset: its name in the project's namespace."""

    dataset: str
    column: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset that a run reads or writes.

    namespace: None for the project's. columns: name and dtype. reads: by column, the columns that its values are
    computed from. version: of the table that was read or written; rows: that were written.
    """

    name: str
    namespace: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    reads: Mapping[str, Sequence[Field]] = field(default_factory=dict)
    version: int | None = None
    rows: int | None = None


def report_run(
    settings: Settings,
    job: str,
    *,
    inputs: Sequence[Dataset] = (),
    outputs: Sequence[Dataset] = (),
    at: datetime,
    run: str | None = None,
    failure: str | None = None,
    project: Project | None = None,
) -> None:
    """Send the event of a run that is complete, or failed, where lineage is on. Never raises, and never waits long.

    job: its name in the project's namespace. run: the run's own id, if it has one. failure: the error's message.
    project: of the store that it concerns; by default our own.
    """
    if settings.lineage == "off":
        return
    namespace = (project or project_of(settings)).namespace
    send(run_event(namespace, job, inputs=inputs, outputs=outputs, at=at, run=run, failure=failure), settings)


def run_event(
    namespace: str,
    job: str,
    *,
    inputs: Sequence[Dataset],
    outputs: Sequence[Dataset],
    at: datetime,
    run: str | None,
    failure: str | None,
) -> dict[str, object]:
    """The event as OpenLineage's JSON has it."""
    run_id = uuid4() if run is None else uuid5(_RUNS, run)
    failed = (
        {}
        if failure is None
        else {"errorMessage": _facet("errorMessage", message=failure, programmingLanguage="python")}
    )
    return {
        "eventType": "COMPLETE" if failure is None else "FAIL",
        "eventTime": at.isoformat(),
        "run": {"runId": str(run_id), "facets": failed},
        "job": {"namespace": namespace, "name": job, "facets": {}},
        "inputs": [_dataset(each, namespace) for each in inputs],
        "outputs": [_dataset(each, namespace, is_output=True) for each in outputs],
        "producer": _producer(),
        "schemaURL": _EVENT,
    }


def _dataset(dataset: Dataset, namespace: str, *, is_output: bool = False) -> dict[str, object]:
    facets: dict[str, object] = {}
    if dataset.columns:
        fields = [{"name": name, "type": dtype} for name, dtype in dataset.columns.items()]
        facets["schema"] = _facet("schema", fields=fields)
    if dataset.version is not None:
        facets["version"] = _facet("version", datasetVersion=str(dataset.version))
    if dataset.reads:
        fields_read = {
            column: {"inputFields": [_input_field(each, namespace) for each in read]}
            for column, read in dataset.reads.items()
        }
        facets["columnLineage"] = _facet("columnLineage", fields=fields_read)
    found: dict[str, object] = {"namespace": dataset.namespace or namespace, "name": dataset.name, "facets": facets}
    if is_output and dataset.rows is not None:
        found["outputFacets"] = {"outputStatistics": _facet("outputStatistics", rowCount=dataset.rows)}
    return found


def _input_field(each: Field, namespace: str) -> dict[str, object]:
    return {"namespace": namespace, "name": each.dataset, "field": each.column}


def _facet(name: str, **content: object) -> dict[str, object]:
    return {"_producer": _producer(), "_schemaURL": f"{_SPEC}/facets/{_FACETS[name]}", **content}


@cache
def _producer() -> str:
    """This installation; its metadata are read once, which takes milliseconds."""
    try:
        return f"feature-platform/{version('feature-platform')}"
    except PackageNotFoundError:
        return "feature-platform"

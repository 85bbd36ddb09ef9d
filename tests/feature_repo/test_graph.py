"""The graph of a day as Dagster has it, as one text: what waits for what, what stops it, in which pool and pipeline."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from transformations.engine.base.settings import Settings, get_settings
from transformations.orchestration.dagster_assets import definitions
from transformations.orchestration.reading import read_plannable

AGREED = Path(__file__).with_name("graph.txt")


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_the_graph_is_as_agreed(settings: Settings) -> None:
    agreed = AGREED.read_text() if AGREED.exists() else ""
    assert graph(settings) == agreed, f"Where the change is meant, write it down: python {Path(__file__)}"


def graph(settings: Settings) -> str:
    found = definitions(read_plannable(settings), settings)
    return "".join(f"{line}\n" for line in [*_assets(found), "", *_running(found)])


def _assets(found: dg.Definitions) -> Iterator[str]:
    nodes = found.resolve_asset_graph()
    for key in nodes.toposorted_asset_keys:
        node = nodes.get(key)
        waits = ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys))
        pools = ", ".join(sorted(node.pools or ()))
        promise = "" if node.freshness_policy is None else f"; fresh within {node.freshness_policy}"
        yield f"{node.group_name}: {key.to_user_string()} [{pools}]{promise}"
        if waits:
            yield f"  after {waits}"
        for check in sorted(nodes.get_check_keys_for_assets({key}), key=str):
            spec = nodes.get_check_spec(check)
            yield f"  {'stopped' if spec.blocking else 'judged'} by {check.name}"


def _running(found: dg.Definitions) -> Iterator[str]:
    repository = found.get_repository_def()
    for job in sorted(repository.job_names):
        if not job.startswith("__"):
            partitions = repository.get_job(job).partitions_def
            yield f"job {job}: {partitions}"
    for schedule in repository.schedule_defs:
        yield f"schedule {schedule.name} of {schedule.job_name}: {schedule.cron_schedule} {schedule.execution_timezone}"
    for sensor in repository.sensor_defs:
        yield f"sensor {sensor.name} starts {', '.join(each.job_name for each in sensor.targets)}"


if __name__ == "__main__":
    AGREED.write_text(graph(get_settings()))

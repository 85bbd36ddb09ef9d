"""The graph in Dagster, materialized in this process: what each exit code means there. The commands are played."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from transformations.engine.base.settings import Settings
from transformations.orchestration.dagster_assets import definitions, key_of
from transformations.orchestration.dagster_home import home
from transformations.orchestration.dagster_launcher import WatchedRunLauncher
from transformations.orchestration.day_record import Outcome
from transformations.orchestration.leavings import Leavings
from transformations.orchestration.performing import Performed
from transformations.orchestration.planning import Declared, DeclaredSource, DeclaredView, plan_of
from transformations.orchestration.tasks import Task

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::ResourceWarning")
DAY = "2024-05-10"
DECLARED = Declared(
    sources=[DeclaredSource(name=each, zone="UTC") for each in ("clicks", "pages")],
    views=[
        DeclaredView(name="of_clicks", sources=("clicks",), zone="UTC", promised=timedelta(hours=26)),
        DeclaredView(name="of_pages", sources=("pages",), zone="UTC"),
    ],
)
PLAN = plan_of(DECLARED)


class Place:
    """Performs tasks by a table of exit codes: the first, the second, …, the last for ever."""

    def __init__(self, **codes: list[int]) -> None:
        self.codes = {name.replace("__", ":"): list(each) for name, each in codes.items()}
        self.started: list[str] = []
        self.days: set[str] = set()

    def __call__(self, task: Task, day: date, report: Callable[[str], None], /) -> tuple[Performed, Leavings]:
        self.started.append(task.name)
        self.days.add(str(day))
        codes = self.codes.get(task.name, [0])
        code = codes.pop(0) if len(codes) > 1 else codes[0]
        performed = Performed(task=task, day=day, outcome=Outcome.of_code(code), code=code, seconds=1.5, said=("so",))
        return performed, Leavings(rows=7)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def materialize(place: Place, settings: Settings, instance: dg.DagsterInstance, tasks: Iterable[str]) -> Any:
    found = definitions(DECLARED, settings, place, retry_seconds=0)
    keys = [key_of(PLAN.task(name)) for name in tasks]
    job = found.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(partition_key=DAY, instance=instance, asset_selection=keys, raise_on_error=False)


def materialized(result: Any) -> list[str]:
    return [event.asset_key.to_user_string() for event in result.get_asset_materialization_events()]


BRANCHES = ["ingest:clicks", "ingest:pages", "build:of_clicks", "build:of_pages", "apply", "load:of_pages"]


def test_refused_data_fail_their_check_and_stop_what_depends_on_them_alone(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    place = Place(ingest__clicks=[3])
    result = materialize(place, settings, instance, BRANCHES)
    assert place.started == [
        "ingest:clicks",
        "ingest:pages",
        "build:of_pages",
        "apply",
        "load:of_pages",
        "parity:of_pages",
    ]
    assert place.days == {DAY}  # the check's, too
    assert materialized(result) == ["ingest/pages", "build/of_pages", "apply", "load/of_pages"]
    checks = {
        f"{each.asset_key.to_user_string()} {each.check_name}": each.passed
        for each in result.get_asset_check_evaluations()
    }
    assert checks == {
        "ingest/clicks contract": False,
        "ingest/pages contract": True,
        "build/of_pages expectation": True,
        "load/of_pages parity": True,
    }


def test_a_missing_service_is_tried_again_and_a_fault_is_not(settings: Settings, instance: dg.DagsterInstance) -> None:
    place = Place(ingest__clicks=[4, 4, 0], ingest__pages=[1])
    result = materialize(place, settings, instance, ["ingest:clicks", "ingest:pages"])
    assert sorted(place.started) == ["ingest:clicks"] * 3 + ["ingest:pages"]
    assert (materialized(result), result.success) == (["ingest/clicks"], False)


def test_a_service_that_stays_away_is_named_by_the_failure(settings: Settings, instance: dg.DagsterInstance) -> None:
    result = materialize(Place(ingest__clicks=[4]), settings, instance, ["ingest:clicks"])
    (failure,) = result.get_step_failure_events()
    assert "ingest:clicks is unavailable: so" in failure.step_failure_data.error_display_string


def test_what_is_materialized_tells_rows_and_seconds(settings: Settings, instance: dg.DagsterInstance) -> None:
    result = materialize(Place(), settings, instance, ["ingest:pages"])
    (event,) = result.get_asset_materialization_events()
    told = {key: each.value for key, each in event.materialization.metadata.items()}
    assert told == {"dagster/row_count": 7, "seconds": 1.5, "said": "so"}  # and no empty line about commands


def test_several_lines_keep_their_breaks(settings: Settings, instance: dg.DagsterInstance) -> None:
    def performer(task: Task, day: date, _report: Callable[[str], None], /) -> tuple[Performed, Leavings]:
        said = ("a table", "7 rows")
        return Performed(task=task, day=day, outcome=Outcome.FINISHED, commands=("features x",), said=said), Leavings()

    job = definitions(DECLARED, settings, performer).resolve_job_def("ingestion")
    first, *_ = job.execute_in_process(partition_key=DAY, instance=instance).get_asset_materialization_events()
    told = {key: str(each.value) for key, each in first.materialization.metadata.items()}
    assert (told["commands"], told["said"]) == ("features x", "~~~text\na table\n7 rows\n~~~")


def test_the_days_end_with_the_last_that_has_ended_by_the_platform_s_clock(settings: Settings) -> None:
    for clock, last in {"2024-05-11T00:00:00Z": "2024-05-10", "2024-05-11T23:59:59Z": "2024-05-10"}.items():
        set_to = settings.model_copy(update={"clock": datetime.fromisoformat(clock)})
        days = definitions(DECLARED, set_to, Place()).resolve_asset_graph().get(dg.AssetKey(["ingest", "pages"]))
        assert days.partitions_def is not None
        assert days.partitions_def.get_last_partition_key() == last


def test_all_that_people_switch_on_or_look_at_says_what_it_is(settings: Settings) -> None:
    found = definitions(DECLARED, settings, Place())
    jobs = [found.resolve_job_def(pipeline) for pipeline in ("ingestion", "features")]
    told = [*jobs, *found.sensors, *found.schedules]
    specs = [spec for each in found.assets for spec in each.check_specs]
    assert [each.name for each in [*told, *specs] if not each.description] == []


def test_a_view_is_as_fresh_as_its_sources_promise(settings: Settings) -> None:
    graph = definitions(DECLARED, settings, Place()).resolve_asset_graph()
    policies = {task: graph.get(dg.AssetKey(["build", task])).freshness_policy for task in ("of_clicks", "of_pages")}
    assert policies["of_pages"] is None
    assert policies["of_clicks"].fail_window.to_timedelta() == timedelta(hours=26)


def test_a_delivered_file_starts_the_last_day_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    """Neither while its run takes one file after the other, nor when one was refused, is it asked for again."""
    contracts, cats, dogs = settings.data / "contracts", settings.data / "pages-1.csv", settings.data / "pages-2.csv"
    contracts.mkdir(parents=True)
    (contracts / "pages.yaml").write_text(PAGES.replace("DROP", str(settings.data)))
    monkeypatch.setenv("FEATURES_CONTRACTS", str(contracts))
    monkeypatch.setenv("FEATURES_CLOCK", datetime(2024, 5, 11, 4, tzinfo=UTC).isoformat())
    sensor = definitions(DECLARED, settings, Place()).resolve_sensor_def("delivered_files")
    context = dg.build_sensor_context(instance=instance)

    def asked() -> list[tuple[str, str]]:
        found: Any = sensor(context)
        requests = [] if isinstance(found, dg.SkipReason) else found.run_requests
        return [(request.partition_key, request.run_key) for request in requests]

    assert asked() == []
    cats.write_text("page\n/cats\n")
    dogs.write_text("page\n/dogs\n")
    ((day, first),) = asked()
    assert (day, asked()) == (DAY, [])
    taken = settings.data / "taken.csv"
    cats.rename(taken)  # the run has taken one
    assert asked() == []
    (settings.data / "pages-3.csv").write_text("page\n/birds\n")
    ((_, second),) = asked()
    assert second != first
    dogs.write_text("page\n/dogs and more\n")  # it was refused, and comes in mended
    assert len(asked()) == 1


def test_dagster_s_home_tells_nobody_and_keeps_what_was_changed_in_it(settings: Settings) -> None:
    folder = home(settings)
    with dg.DagsterInstance.from_config(str(folder)) as found:
        assert (found.telemetry_enabled, found.nux_enabled) == (False, False)
        assert found.run_monitoring_enabled  # a killed run would hold its pools, and the next one wait for ever
        assert found.run_monitoring_start_timeout_seconds <= 120  # … or for three minutes, if it was just starting
        assert 0 < found.run_monitoring_settings["free_slots_after_run_end_seconds"] <= 60
        assert isinstance(found.run_launcher, WatchedRunLauncher)
        # … and it is run again, where a task that failed is not
        assert (found.run_retries_enabled, found.run_retries_retry_on_asset_or_op_failure) == (True, False)
        assert found.get_settings("concurrency")["pools"]["default_limit"] == 1
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    assert "concurrency" not in (home(settings) / "dagster.yaml").read_text()


@pytest.mark.parametrize(("is_tried_again", "asked"), [(False, DAY), (True, None)])
def test_a_pipeline_follows_one_that_failed_but_not_one_that_was_killed_and_is_run_again(
    settings: Settings, instance: dg.DagsterInstance, is_tried_again: bool, asked: str | None
) -> None:
    found = definitions(DECLARED, settings, Place(ingest__clicks=[1]), retry_seconds=0)
    before = found.resolve_job_def("ingestion")
    tags = {"dagster/will_retry": "true"} if is_tried_again else {}
    ended = before.execute_in_process(partition_key=DAY, instance=instance, tags=tags, raise_on_error=False)
    context = dg.build_run_status_sensor_context(
        "features_after_failure",
        dagster_event=ended.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=ended.dagster_run,
        partition_key=DAY,
    )
    follow = found.resolve_sensor_def("features_after_failure")(context)
    assert getattr(follow, "partition_key", None) == asked
    assert before.tags["dagster/retry_strategy"] == "ALL_STEPS"


PAGES = """
apiVersion: v3.1.0
kind: DataContract
id: pages
name: Pages
version: 1.0.0
status: active
team: {name: web}
servers: [{server: drop, type: local, path: 'DROP/pages-*.csv', format: csv}]
schema:
  - name: pages
    logicalType: object
    description: One page
    customProperties:
      - {property: businessDayZone, value: UTC}
      - {property: validFrom, value: "2024-01-01T00:00:00Z"}
      - {property: delivery, value: snapshot}
    properties:
      - {name: page, logicalType: string, required: true, primaryKey: true, description: The page}
      - {name: topic, logicalType: string, description: What it is about}
"""

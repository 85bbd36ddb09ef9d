"""One build of one view: plan what its table lacks, compute it, and publish all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError, FeaturesError
from transformations.engine.base.files.local import holds_files
from transformations.engine.base.settings import Settings
from transformations.engine.compute.plan import AskedDays, Built, plan_build
from transformations.engine.compute.run import run_plan
from transformations.engine.compute.taking_back import take_back
from transformations.engine.lineage.events import Dataset, Field, report_run
from transformations.engine.lineage.names import raw_dataset
from transformations.engine.raw.zone import RawSnapshot, RawTable
from transformations.engine.tables.offline_tables import OfflineTable, Run
from transformations.engine.vocabulary.resolution import Resolved

Report = Callable[[str], None]


@faults_in_words()
def build(
    resolved: Resolved,
    settings: Settings,
    *,
    first: date | None = None,
    last: date | None = None,
    accept: bool = False,
    report: Report | None = None,
) -> Run | None:
    """Bring a view's table up to where its sources are complete; None where nothing has changed.

    first, last: compute these as-of days again (both inclusive) instead. A table built under another definition is
    rebuilt. Days that are no longer complete are taken back. accept: publish values that the view's expectations would
    stop. report: called with a short text at each step. Raises DataError where a source was never ingested,
    UnexpectedValuesError where values are not as expected, UsageError for an impossible range, ConflictError where
    another run of the view publishes at the same time.
    """
    try:
        done = _build(resolved, settings, AskedDays(first, last), accept=accept, tell=report or (lambda _: None))
    except FeaturesError as error:
        _report_lineage(resolved, settings, None, str(error))
        raise
    if done is not None:
        _report_lineage(resolved, settings, done)
    return done


def _build(resolved: Resolved, settings: Settings, asked: AskedDays, *, accept: bool, tell: Report) -> Run | None:
    table = OfflineTable(settings.offline_dir / resolved.name)
    snapshots = source_snapshots(resolved, settings)
    with table.writing():
        taken = None if asked else _take_back(resolved, settings, table, snapshots, tell)
        plan = plan_build(resolved, snapshots, built_table(table), settings.now(), asked)
        done = None if plan is None else run_plan(plan, table, settings, tell, accept=accept)
        held = _take_back(resolved, settings, table, snapshots, tell)
        runs = [run for run in (taken, done, held) if run is not None]
        return replace(runs[-1], kind=runs[0].kind, rows=sum(run.rows for run in runs)) if runs else None


def _report_lineage(resolved: Resolved, settings: Settings, run: Run | None, failure: str | None = None) -> None:
    """Send the lineage of a run, or of a failed one: the sources read and, per feature, its source columns."""
    read = run.sources if run is not None else dict.fromkeys(resolved.source_names)
    columns = {name: dtype.name for name, dtype in resolved.join_keys.items()}
    columns |= {feature.name: feature.dtype.name for feature in resolved.features}
    lineage = run.lineage if run is not None else {}
    fields = {
        feature: [Field(raw_dataset(source), column) for source, column in (place.split(".", 1) for place in places)]
        for feature, places in lineage.items()
    }
    report_run(
        settings,
        f"build_{resolved.name}",
        inputs=[Dataset(name=raw_dataset(source), version=version) for source, version in read.items()],
        outputs=[
            Dataset(
                name=resolved.name,
                columns=columns,
                reads=fields,
                version=None if run is None else run.version,
                rows=None if run is None else run.rows,
            )
        ],
        at=settings.now(),
        run=None if run is None else run.run_id,
        failure=failure,
    )


def source_snapshots(
    resolved: Resolved, settings: Settings, versions: Mapping[str, int] | None = None
) -> dict[str, RawSnapshot]:
    """The newest version of every source, or of each that is named in `versions` that one.

    DataError naming the command where one was never ingested, and for a version that is not there.
    """
    found, versions = {}, versions or {}
    for contract in (resolved.contract, *resolved.lookups.values()):
        raw = RawTable(contract, settings.raw_dir)
        if not raw.exists():
            raise DataError.not_ingested(contract.name, needed_by=f"view {resolved.name}")
        found[contract.name] = raw.snapshot(versions.get(contract.name))
    return found


def built_table(table: OfflineTable) -> Built | None:
    """What a plan needs to know of the table; None before its first version."""
    latest = table.latest()
    if latest is None:
        return None
    return Built(latest, latest.run.carry is not None and holds_files(table.path / latest.run.carry))


def _take_back(
    resolved: Resolved, settings: Settings, table: OfflineTable, snapshots: Mapping[str, RawSnapshot], report: Report
) -> Run | None:
    """Take back the days after the last complete one; None if the table has none."""
    latest, snapshot = table.latest(), snapshots[resolved.contract.name]
    if latest is None or resolved.contract.event_time is None or latest.run.definition_hash != resolved.hash:
        return None
    through = snapshot.complete_through or latest.run.first_as_of - timedelta(days=2)  # then no as-of day is left
    if latest.run.complete_through < through:
        return None  # a later run covers more days
    return take_back(resolved, settings, table, through, snapshot.drops[-1].ingested_at, report)

"""What a correction costs: a load of some events, and then 182 of them delivered again with other amounts.

The corrected events are spread over all days, so that their entities' rows are checked from the first day on.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from harness import DATA, Bar, Finding, Stopwatch, in_fresh_process, say
from user_events import USER_ACTIVITY, USER_EVENTS, ingest_events

from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable

if TYPE_CHECKING:
    from transformations.engine.base.settings import Settings
    from transformations.engine.tables.offline_tables import Run

EVENTS = 308_000
CORRECTED = 182
DAYS = 90
TURNS = 5


@dataclass(frozen=True)
class Case:
    """A number of events and of their users."""

    events: int
    users: int

    @property
    def folder(self) -> Path:
        """The raw zones before and after the correction, and what is built from them."""
        return DATA / f"{self.events}-events-{self.users}-users-corrected"


CASES = (Case(EVENTS, 2_000), Case(EVENTS, 2), Case(1_500_000, 2_000))
"""Few events of many and of few users, and more than each of a first load's tasks reads for itself."""


def correction_findings(threads: int) -> list[Finding]:
    """Each case's correction against its first load, measured in turn in one session, after one unmeasured turn."""
    findings = []
    for case in CASES:
        say(f"correction of {CORRECTED} of {case.events:,} events of {case.users:,} users")
        measured = in_fresh_process(measure_correction, case, threads)
        say("    " + ", ".join(f"{name} {min(values):.2f}-{max(values):.2f}" for name, values in measured.items()))
        name = f"correction of {CORRECTED} of {case.events:,} events, {case.users:,} users, vs first load"
        bar = Bar(1, "ratio")
        findings.append(Finding(name, "time", measured["correction"], "s", measured["first load"], bar))
    return findings


def measure_correction(case: Case, threads: int) -> Mapping[str, list[float]]:
    """Seconds of each turn's first load, and of the build that follows the correction."""
    from transformations.engine.base.settings import Settings

    before, after = case.folder / "before", case.folder / "after"
    _prepare(case, before, after)
    data = case.folder / "work"
    settings = Settings(data=data, spark_master=f"local[{threads}]")
    measured: dict[str, list[float]] = {"first load": [], "correction": []}
    for turn in range(TURNS + 1):
        shutil.rmtree(data / "offline", ignore_errors=True)
        for kind, raw in (("first load", before), ("correction", after)):
            _link(raw, data)
            with Stopwatch() as watch:
                run = _build(settings)
            assert run.kind == ("first load" if raw == before else "incremental"), run.kind
            assert raw == before or run.late_rows, "the correction changed nothing"
            if turn:
                measured[kind].append(watch.seconds)
    shutil.rmtree(data)
    return measured


def _prepare(case: Case, before: Path, after: Path) -> None:
    """Ingest the events and, into a copy, the correction."""
    if after.exists():
        return
    shutil.rmtree(case.folder, ignore_errors=True)
    ingest_events(before, case.events, case.users, DAYS)
    draft = case.folder / "draft"
    shutil.copytree(before, draft)
    table = RawTable(USER_EVENTS, draft)
    rows = _corrected_rows(table, case.events)
    origin = Origin(
        file_name="corrected", content_hash=f"{CORRECTED} of {case.events}x{case.users}", ingested_at=datetime.now(UTC)
    )
    assert table.append(rows, origin, correction=True), "the correction changed nothing"
    draft.rename(after)


def _corrected_rows(table: RawTable, events: int) -> pa.Table:
    """Events at equal distances, each a dollar dearer."""
    schema = source_schema(USER_EVENTS)
    rows = pa.concat_tables(
        pa.Table.from_batches(pq.ParquetFile(file).iter_batches(columns=schema.names))
        for file in table.snapshot().files
    )
    rows = rows.filter(pc.is_in(rows["event_id"], pa.array(range(0, events, -(-events // CORRECTED)))))
    amount = schema.get_field_index("amount")
    return rows.set_column(amount, schema.field(amount), pc.add(rows["amount"], 1.0)).cast(schema)


def _build(settings: Settings) -> Run:
    from transformations.engine.compute.build import build
    from transformations.engine.vocabulary.resolution import resolve

    run = build(resolve(USER_ACTIVITY, {USER_EVENTS.name: USER_EVENTS}.__getitem__), settings)
    assert run is not None, "nothing was built"
    return run


def _link(raw: Path, data: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    (data / "raw").unlink(missing_ok=True)
    (data / "raw").symlink_to(raw)

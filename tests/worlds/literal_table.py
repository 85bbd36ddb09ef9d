"""Tables whose runs are written by hand."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from transformations.engine.base.disk_faults import note_reads
from transformations.engine.base.storage import NewFile
from transformations.engine.tables.offline_tables import OfflineTable, Run, time_bounds

RUN = Run(
    view="user_clicks",
    version=-1,
    run_id="a",
    kind="first load",
    started_at=datetime(2020, 1, 3, tzinfo=UTC),
    seconds=1.5,
    rows=1,
    definition_hash="0123456789abcdef",
    code_revision="0123456789ab",
    first_as_of=date(2020, 1, 1),
    complete_through=date(2020, 1, 2),
    sources={},
    last_created=datetime(2020, 1, 3, tzinfo=UTC),
    late_entities=0,
    counts={"events": 1},
    carry=None,
)


class LiteralTable(OfflineTable):
    """A table whose runs are written by hand: one file a run, with one row a number."""

    schema = pa.schema([("user_id", pa.int64()), ("event_timestamp", pa.timestamp("us", tz="UTC"))])
    moment = datetime(2020, 1, 1, tzinfo=UTC)

    def write(self, run_id: str, *users: int) -> NewFile:
        """A run's file that no version refers to yet, and what it would carry over."""
        path = self.path / f"run={run_id}" / "1.parquet"
        carry = self.path / f"carry={run_id}" / "bucket-00000.parquet"
        rows = pa.Table.from_pylist([{"user_id": user, "event_timestamp": self.moment} for user in users], self.schema)
        for each in (path, carry):
            each.parent.mkdir(parents=True)
            pq.write_table(rows, each)
        micros = int(self.moment.timestamp()) * 1_000_000
        name = path.relative_to(self.path).as_posix()
        return NewFile(name, path.stat().st_size, len(users), time_bounds(micros, micros))

    def run(self, run_id: str, *users: int, kind: str = "incremental", sources: Mapping[str, int] | None = None) -> int:
        """Publish one run; its version."""
        latest = self.latest()
        run = replace(RUN, run_id=run_id, kind=kind, rows=len(users), carry=f"carry={run_id}")
        run = replace(run, sources=sources or run.sources)
        after = None if latest is None else latest.version
        file = self.write(run_id, *users)
        return self.publish([file], self.schema, run, after=after, replace_all=kind == "rebuild").version

    def users(self, version: int) -> list[int]:
        files = self.at(version).files
        note_reads(files)
        return sorted(user for file in files for user in pq.read_table(file)["user_id"].to_pylist())

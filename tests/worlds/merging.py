"""Two tables with the same runs: one whose files are merged now and then, and one whose files never are.

A load is what a materialization considers and keeps, without an online store; a year of runs is a matter of seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView, RepoConfig

from tests.worlds.literal_table import RUN
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import NewFile
from transformations.engine.merging.merged_files import Merged
from transformations.engine.tables.compaction import compact_table
from transformations.engine.tables.offline_tables import OfflineTable, time_bounds
from transformations.engine.upkeep.vacuum import vacuum_table
from transformations.stores.loads.new_rows import FileRows
from transformations.stores.loads.scope import decide_scope, source_digest
from transformations.stores.redis.catalogue import Table
from transformations.stores.redis.loaded import Loaded
from transformations.stores.rows.packed_rows import schema_of

SPEND = "spend_sum_lifetime"
TIMESTAMP = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.int64(), nullable=False),
        pa.field("event_timestamp", TIMESTAMP, nullable=False),
        pa.field("created_timestamp", TIMESTAMP, nullable=False),
        pa.field(SPEND, pa.float64()),
    ]
)
START = datetime(2024, 1, 1, tzinfo=UTC)
DOMAIN = """
from transformations import Sum, WindowedFeatures, at_least

def visits(name):
    return WindowedFeatures(
        name=name,
        join_key="user_id",
        source="visits",
        description="Visits of a user",
        features=[Sum("spent", name="spend", description="What was spent", unit="USD", expect=at_least(0))],
    )

merged_visits, plain_visits = visits("merged_visits"), visits("plain_visits")
"""
Row = tuple[int, datetime, datetime, float | None]


def rows_of_run(run: int, users: Sequence[int]) -> list[Row]:
    """A run's rows: of its own day, and a correction of the day before, which is created later."""
    day = START + timedelta(days=run)
    own = [(user, day, day, float(run)) for user in users]
    late: list[Row] = [(user, day - timedelta(days=1), day, run + 0.5) for user in users[:1]] if run else []
    return [*own, *late]


@dataclass
class Aging:
    """One view's table, the loads from it, and what they would have put online."""

    view: FeatureView
    settings: Settings
    config: RepoConfig
    cursor: Loaded | None = None
    online: dict[int, Row] = field(default_factory=dict)
    considered: list[int] = field(default_factory=list)
    runs: int = 0

    @property
    def table(self) -> OfflineTable:
        return OfflineTable(self.settings.offline_dir / self.view.name)

    def build(self, users: Sequence[int] = (1, 2), *, kind: str = "incremental") -> int:
        """Publish a run's rows in two files, as two buckets of entities; its version."""
        with self.table.writing(60):
            return self._publish(sorted(rows_of_run(self.runs, users)), kind)

    def _publish(self, rows: Sequence[Row], kind: str) -> int:
        latest = self.table.latest()
        after = None if latest is None else latest.version
        files = [self._write(rows[part::2], part) for part in (0, 1) if rows[part::2]]
        is_rebuild = kind == "rebuild"
        run = replace(
            RUN,
            view=self.view.name,
            run_id=str(self.runs),
            kind="first load" if after is None else kind,
            rows=len(rows),
            definition_hash=self.view.tags["definition_hash"],
        )
        self.runs += 1
        return self.table.publish(files, SCHEMA, run, after=after, replace_all=is_rebuild).version

    def _write(self, rows: Sequence[Row], part: int) -> NewFile:
        path = self.table.path / f"run={self.runs}" / f"{part}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA), path)
        times = [int(row[1].timestamp() * 1_000_000) for row in rows]
        bounds = time_bounds(min(times), max(times))
        return NewFile(path.relative_to(self.table.path).as_posix(), path.stat().st_size, len(rows), bounds)

    def compact(self) -> Merged | None:
        return compact_table(self.table, self.settings)

    def vacuum(self, *, knows_loads: bool = True) -> int:
        """Give up all but the newest version; how many files went."""
        loaded = [self.cursor.version] if knows_loads and self.cursor and self.cursor.version is not None else []
        return vacuum_table(self.table, timedelta(0), keep_versions=1, loaded=loaded).files

    def load(self) -> int:
        """Consider what is new; the number of rows considered."""
        source = FileRows(self.view, self.config)
        history, schema = source.history, schema_of(self.view.features)
        definition = self.view.tags["definition_hash"]
        table = None if self.cursor is None else Table(number=b"1", schemas=(schema,))
        scope = decide_scope(
            self.cursor, [], table, schema=schema, definition=definition, history=history, since_load=source.since
        )
        start = self.cursor.end if self.cursor else START
        end = START + timedelta(days=self.runs)
        if scope.anew:
            self.online.clear()
        with source.batches(scope, start, end, SCHEMA.names) as (total, batches):
            for batch in batches:
                for row in batch.to_pylist():
                    found = tuple(row[name] for name in SCHEMA.names)
                    self.online[found[0]] = max(found, self.online.get(found[0], found), key=lambda each: each[1:3])
        self.considered.append(total)
        self.cursor = Loaded(
            version=history.version,
            end=end,
            rows=total,
            table="1",
            schema=schema.text(),
            definition=definition,
            source=source_digest(history, history.files),
        )
        return total

    def rows(self, version: int | None = None) -> list[Row]:
        """All rows of a version, by default the newest, in order."""
        found = self.table.newest() if version is None else self.table.at(version)
        rows = (row for file in found.files for row in pq.read_table(file).to_pylist())
        return sorted(tuple(row[name] for name in SCHEMA.names) for row in rows)


def same(merged: Aging, plain: Aging) -> bool:
    """Whether both tables, and what was loaded from them, are alike."""
    facts: Any = [(each.rows(), each.online, each.considered) for each in (merged, plain)]
    return bool(facts[0] == facts[1])

"""Tables built by brute force: of each day, at each knowledge time, what the drops that were known then give.

The law is that of `engine/compute/knowledge.py`, which shares no code with this: the value as-of business day D that is
told at a moment is the definition's over the days before D, each as the newest drop known by then has it, and at least
as the drop has it that completed the day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from transformations.engine.base.business_days import day_of_instant, start_of_day
from transformations.engine.base.moments import EPOCH, MICROSECOND
from transformations.engine.base.settings import get_settings
from transformations.engine.base.storage import NewFile
from transformations.engine.raw.files import RAW_TIMESTAMP
from transformations.engine.tables.offline_tables import OfflineTable, Run, table_schema
from transformations.engine.testing.reference import reference_row
from transformations.engine.vocabulary.resolution import Resolved

SETTLED = timedelta(seconds=1)  # a drop that comes before a day is available counts a microsecond after that


@dataclass(frozen=True)
class Drop:
    """A drop, by what the source holds after it. known: when it was ingested; through: the last complete day."""

    known: datetime
    sales: Mapping[int, Mapping[str, Any]]
    through: date


Value: TypeAlias = "dict[str, object] | None"


@dataclass
class Knowledge:
    """The drops so far, oldest first, and what was known after each. values: what was computed, to be asked again."""

    drops: list[Drop] = field(default_factory=list)
    values: dict[tuple[object, ...], Value] = field(default_factory=dict)

    def add(self, now: datetime, sales: Mapping[int, Mapping[str, Any]], through: date) -> None:
        """A drop is known a microsecond after the one before at least."""
        known = max([now, *(drop.known + MICROSECOND for drop in self.drops[-1:])])
        self.drops.append(Drop(known, dict(sales), through))

    def value(self, resolved: Resolved, user: int, as_of: date, moment: datetime, built: int | None = None) -> Value:
        """The features of a user as-of a day, as known at a moment; None of a user without a sale before.

        built: as a table tells it that was built from this many drops.
        """
        newest = sum(drop.known <= moment for drop in self.drops[:built]) - 1
        key = (resolved.hash, user, as_of, newest)
        if key not in self.values:
            self.values[key] = reference_row(resolved, self._events(resolved, user, as_of, newest), as_of)
        return self.values[key]

    def _events(self, resolved: Resolved, user: int, as_of: date, newest: int) -> list[dict[str, Any]]:
        events = []
        for number, drop in enumerate(self.drops):
            for sale in drop.sales.values():
                if sale["user_id"] != user:
                    continue
                day = day_of_instant(sale["sold_at"], resolved.zone)
                if day < as_of:
                    completed = next(each for each, drop in enumerate(self.drops) if drop.through >= day)
                    if number == max(newest, completed):
                        events.append({**sale, RAW_TIMESTAMP: sale["sold_at"]})
        return events


def available_at(resolved: Resolved, as_of: date) -> datetime:
    return start_of_day(as_of, resolved.zone) + resolved.definition.available_after


def build_by_definition(resolved: Resolved, knowledge: Knowledge) -> Run | None:
    """Build a view from all drops: write what the table does not tell yet, of every day and knowledge time."""
    drops = knowledge.drops
    table = OfflineTable(get_settings().offline_dir / resolved.name)
    latest = table.latest()
    is_first = latest is None or latest.run.definition_hash != resolved.hash
    stored = [] if is_first or latest is None else [r for file in latest.files for r in pq.read_table(file).to_pylist()]
    sales = [sale for drop in drops for sale in drop.sales.values()]
    if not drops or not (sales or stored):
        return None if latest is None else publish(resolved, table, [], drops[-1].through, is_first)
    first = min(day_of_instant(sale["sold_at"], resolved.zone) for sale in sales)
    days = [first + timedelta(days=n) for n in range(1, (drops[-1].through - first).days + 2)]
    added: list[dict[str, Any]] = []
    for user in sorted({sale["user_id"] for sale in sales}):
        rows = [row for row in stored if row["user_id"] == user]
        for as_of in days:
            added += _missing_rows(resolved, knowledge, user, as_of, rows)
    return publish(resolved, table, added, drops[-1].through, is_first)


def _missing_rows(
    resolved: Resolved, knowledge: Knowledge, user: int, as_of: date, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What a user's rows do not tell of a day, at its availability and after each later drop; `rows` gains it."""
    available, added = available_at(resolved, as_of), []
    settled = available + SETTLED
    for moment in [settled, *(drop.known for drop in knowledge.drops if drop.known > settled)]:
        before = [row for row in rows if row["event_timestamp"] <= available and row["created_timestamp"] <= moment]
        told = max(before, key=lambda row: (row["event_timestamp"], row["created_timestamp"]), default=None)
        truth = knowledge.value(resolved, user, as_of, moment)
        if told is None and truth is None:
            continue
        row = truth or dict.fromkeys(feature.name for feature in resolved.features)
        if told is None or any(told[name] != value for name, value in row.items()):
            created = available if moment == settled else moment
            if told is not None and told["event_timestamp"] == available:
                created = max(created, told["created_timestamp"] + MICROSECOND)
            rows.append({"user_id": user, "event_timestamp": available, "created_timestamp": created, **row})
            added.append(rows[-1])
    return added


def publish(
    resolved: Resolved, table: OfflineTable, rows: Sequence[Mapping[str, Any]], through: date, is_first: bool
) -> Run | None:
    """The rows as the next version of the table, or nothing where nothing has changed."""
    latest = table.latest()
    if not rows and not is_first and latest is not None and through <= latest.run.complete_through:
        return None
    version = 0 if latest is None else latest.version + 1
    schema = table_schema(resolved)
    files = []
    if rows:
        name = f"run-{version}.parquet"
        table.path.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(rows), schema), table.path / name)
        files.append(NewFile(name, (table.path / name).stat().st_size, len(rows)))
    created = [row["created_timestamp"] for row in rows]
    kind = "first load" if latest is None else "rebuild" if is_first else "incremental"
    run = Run(
        view=resolved.name,
        version=0,
        run_id=f"run-{version}",
        kind=kind,
        started_at=get_settings().now(),
        seconds=0.0,
        rows=len(rows),
        definition_hash=resolved.hash,
        feature_hashes=resolved.feature_hashes,
        code_revision="",
        first_as_of=date(2024, 1, 1),
        complete_through=through,
        sources={"sales": version},
        last_created=max([*created, *([latest.run.last_created] if latest and not is_first else [])], default=EPOCH),
        late_entities=0,
        counts={},
        carry=None,
    )
    after = None if latest is None else latest.version
    return table.publish(files, schema, run, after=after, replace_all=kind == "rebuild")

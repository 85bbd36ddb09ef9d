"""The law of knowledge time: whatever a table is built from, and however often, it tells the same of every moment.

Builds run without Spark, their tasks in this process, so that hypothesis can try many histories; the jobs on Spark are
those of `test_build`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.worlds.sales import CONTRACTS, ITEMS, SALES, ZONE, sale
from transformations import LIFETIME, Count, Lookup, Sum, WindowedFeatures, days, hours
from transformations.engine.base.business_days import day_of_instant, start_of_day
from transformations.engine.base.settings import Settings
from transformations.engine.compute import run as run_module
from transformations.engine.compute.build import build
from transformations.engine.compute.job import Written, run_in_process
from transformations.engine.raw.compaction import compact_source
from transformations.engine.raw.files import RAW_TIMESTAMP, source_schema
from transformations.engine.raw.zone import Drop, Origin, RawTable, read_current
from transformations.engine.tables.compaction import compact_table
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.testing.reference import reference_row
from transformations.engine.vocabulary.resolution import Resolved, resolve

SALES_OF_USERS = WindowedFeatures(
    name="sales",
    join_key="user_id",
    source="sales",
    windows=[days(2), LIFETIME],
    available_after=hours(5),
    description="What a user bought",
    features=[
        Count(name="sales", description="Sales", unit="sales"),
        Sum("amount", name="spend", description="Spend", unit="USD"),
    ],
)
BY_KIND = replace(SALES_OF_USERS, join_key=["user_id", "kind"], lookups=[Lookup("kind", source="items", on="item_id")])
WIDER = [replace(each, windows=[days(1), days(2), LIFETIME]) for each in (SALES_OF_USERS, BY_KIND)]
DAY = date(2017, 3, 9)  # the clocks change on the 12th
MICROSECOND = timedelta(microseconds=1)
EXAMPLES = int(os.environ.get("KNOWLEDGE_EXAMPLES", "1"))  # `make knowledge-proof` tries many


@dataclass(frozen=True)
class Step:
    """One drop, so many hours after the one before. sales: (user, amount, item, age in days); corrections: (which of
    those known, amount, 0 to move it a day on); retractions: which; items: their kinds; through: days complete, ago.
    """

    hours: int
    sales: tuple[tuple[int, float, int, int], ...] = ()
    corrections: tuple[tuple[int, float, int], ...] = ()
    retractions: tuple[int, ...] = ()
    items: tuple[tuple[int, str], ...] = ()
    through: int | None = 1
    redefines: bool = False


STEPS = st.builds(
    Step,
    hours=st.sampled_from([1, 3, 20, 24, 50]),
    sales=st.lists(
        st.tuples(st.integers(1, 2), st.sampled_from([0.1, 5.0, 1e16]), st.integers(5, 6), st.integers(0, 4)),
        max_size=2,
    ).map(tuple),
    corrections=st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.2, -3.0]), st.integers(0, 4)), max_size=1).map(
        tuple
    ),
    retractions=st.lists(st.integers(0, 9), max_size=1).map(tuple),
    items=st.lists(st.tuples(st.integers(5, 6), st.sampled_from(["food", "drink"])), max_size=1).map(tuple),
    through=st.sampled_from([None, 1, 1, 2]),
    redefines=st.sampled_from([False, False, False, True]),
)


@dataclass
class World:
    """Raw zones, and several data folders with the same ones: one built after each drop, others when it pleases."""

    settings: Settings
    wider: bool = False
    now: datetime = field(default_factory=lambda: start_of_day(DAY + timedelta(days=3), ZONE) + timedelta(hours=1))
    sold: dict[int, dict[str, Any]] = field(default_factory=dict)

    def views(self) -> list[Resolved]:
        return [
            resolve(replace(each, name=f"{each.name}_{number}"), CONTRACTS.__getitem__)
            for number, each in enumerate(WIDER if self.wider else [SALES_OF_USERS, BY_KIND])
        ]

    def table(self, name: str) -> Settings:
        """Settings of another place of tables over the same raw zone."""
        data = self.settings.data / name
        data.mkdir(parents=True, exist_ok=True)
        if not (data / "raw").exists():
            (data / "raw").symlink_to(self.settings.raw_dir)
        return self.settings.model_copy(update={"data": data, "clock": self.now})

    def deliver(self, step: Step) -> None:
        """Ingest a step's drop, or several: rows, a retraction, items."""
        self.now += timedelta(hours=step.hours)
        raw = RawTable(SALES, self.settings.raw_dir)
        sold = {}
        for user, amount, item, age in step.sales:
            at = (self.now - timedelta(days=age, hours=3)).replace(tzinfo=None).isoformat(" ")[:19]
            sold[len(self.sold) + len(sold)] = sale(len(self.sold) + len(sold), at, amount, user, item)
        for place, amount, age in step.corrections if self.sold else ():
            known = sorted(self.sold)
            old = self.sold[known[place % len(known)]]
            moved = old["sold_at"] if age else old["sold_at"] + timedelta(days=1)
            sold[old["sale_id"]] = {**old, "amount": amount, "sold_at": min(moved, self.now)}
        self.sold |= sold
        through = None if step.through is None else day_of_instant(self.now, ZONE) - timedelta(days=step.through)
        if not raw.exists():
            through = day_of_instant(self.now, ZONE) - timedelta(days=1)
        elif through is not None and (held := raw.snapshot().complete_through) is not None:
            through = max(through, held)
        origin = Origin(file_name="drop", content_hash=f"{self.now} {step}", ingested_at=self.now)
        table = pa.Table.from_pylist(list(sold.values()), source_schema(SALES))
        if through is not None or sold:
            through = through or raw.snapshot().complete_through
            raw.append(table, origin, complete_through=through, correction=True)
        if step.retractions and self.sold:
            gone = sorted(self.sold)[step.retractions[0] % len(self.sold)]
            raw.retract(
                pa.table({"sale_id": [gone]}),
                Origin(file_name="gone", content_hash=f"{self.now} gone", ingested_at=self.now),
            )
        if step.items:
            rows = pa.Table.from_pylist(
                [{"item_id": i, "kind": dict(step.items).get(i, "food")} for i in (5, 6)], source_schema(ITEMS)
            )
            items = Origin(file_name="items", content_hash=f"{self.now} {step.items}", ingested_at=self.now)
            RawTable(ITEMS, self.settings.raw_dir).append(rows, items, valid_from=ITEMS.valid_from, correction=True)

    def merge(self) -> None:
        """Merge the files of both sources, and of the tables that are built when it pleases."""
        for contract in (SALES, ITEMS):
            compact_source(RawTable(contract, self.settings.raw_dir), self.settings)
        for view in self.views():
            compact_table(OfflineTable(self.table("some").offline_dir / view.name), self.settings)


def tasks_in_process(replays: Any, files: Any, _spark: Any, buckets: int, folders: Any, late_until: Any) -> Written:
    """What `run_small_job` has Spark do, here."""
    return run_in_process(replays, files, folders, late_until, buckets)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        run_module, "spark_session", lambda *_: SimpleNamespace(sparkContext=SimpleNamespace(defaultParallelism=2))
    )
    monkeypatch.setattr(run_module, "run_small_job", tasks_in_process)


def rows_of(settings: Settings, view: str) -> list[dict[str, Any]]:
    latest = OfflineTable(settings.offline_dir / view).latest()
    return [] if latest is None else [row for file in latest.files for row in pq.read_table(file).to_pylist()]


def read(
    rows: Sequence[Mapping[str, Any]], key: Mapping[str, Any], at: datetime, known: datetime | None
) -> dict[str, Any]:
    """What the rows tell of a key at a moment: as served to one who knows what was created by then, or as corrected."""
    own = [
        row
        for row in rows
        if all(row[name] == value for name, value in key.items())
        and row["event_timestamp"] <= at
        and (known is None or row["created_timestamp"] <= known)
    ]
    newest = max(own, key=lambda row: (row["event_timestamp"], row["created_timestamp"]), default={})
    return {name: value for name, value in newest.items() if name not in (*key, "event_timestamp", "created_timestamp")}


class Law:
    """The definition, by brute force: for each knowledge time the raw zone as of its drop."""

    def __init__(self, settings: Settings, view: Resolved) -> None:
        self.view = view
        self.contracts = [view.contract, *view.lookups.values()]
        drops = []
        for contract in self.contracts:
            known = datetime.min.replace(tzinfo=UTC)
            for drop in RawTable(contract, settings.raw_dir).snapshot().drops:
                known = max(drop.ingested_at, known + MICROSECOND)
                drops.append((known, contract.name, drop))
        self.drops: list[tuple[datetime, str, Drop]] = []
        for known, name, drop in sorted(drops, key=lambda each: each[:2]):
            newest = self.drops[-1][0] if self.drops else known - MICROSECOND
            self.drops.append((max(known, newest + MICROSECOND), name, drop))
        self.states = [self._state(settings, number) for number in range(len(self.drops) + 1)]
        self.through = RawTable(SALES, settings.raw_dir).snapshot().complete_through
        self._known: dict[tuple[object, ...], dict[str, object] | None] = {}

    def _state(self, settings: Settings, number: int) -> tuple[date | None, list[dict[str, Any]]] | None:
        """Completeness and events after so many drops; None before every source was ingested."""
        versions = {name: drop.version for _, name, drop in self.drops[:number]}
        if len(versions) < len(self.contracts):
            return None
        raw = RawTable(self.view.contract, settings.raw_dir).snapshot(versions[self.view.contract.name])
        events = read_current(raw.as_delivered(), self.view.contract).to_pylist()
        for lookup in self.view.definition.lookups:
            contract = self.view.lookups[lookup.source]
            records = RawTable(contract, settings.raw_dir).snapshot(versions[lookup.source])
            kinds = {row["item_id"]: row["kind"] for row in read_current(records.as_delivered(), contract).to_pylist()}
            events = [{**event, "kind": kinds.get(event["item_id"])} for event in events]
        return raw.complete_through, events

    def known(self, key: Mapping[str, Any], as_of: date, moment: datetime) -> dict[str, object] | None:
        """What the definition gives of a key as-of a day, of what is known at a moment."""
        newest = sum(known <= moment for known, *_ in self.drops)
        asked = (*key.values(), as_of, newest)
        if asked not in self._known:
            self._known[asked] = self._compute(key, as_of, newest)
        return self._known[asked]

    def _compute(self, key: Mapping[str, Any], as_of: date, newest: int) -> dict[str, object] | None:
        own = []
        for offset in range((as_of - DAY).days + 10):
            day = DAY - timedelta(days=10) + timedelta(days=offset)
            first = next((n for n, state in enumerate(self.states) if state and state[0] and state[0] >= day), None)
            if first is None:
                return None
            state = self.states[max(newest, first)]
            assert state is not None
            own += [
                event
                for event in state[1]
                if day_of_instant(event[RAW_TIMESTAMP], ZONE) == day
                and all(event[name] == value for name, value in key.items())
            ]
        return reference_row(self.view, own, as_of)


def assert_lawful(law: Law, rows: Sequence[Mapping[str, Any]]) -> int:
    """Rows tell at every moment what the law gives; how many readings were compared."""
    view, through = law.view, law.through
    assert through is not None
    names = list(view.join_keys)
    keys = {tuple(event.get(name) for name in names) for state in law.states if state for event in state[1]}
    keys = {key for key in keys if None not in key}
    never = dict.fromkeys(feature.name for feature in view.features)
    compared = 0
    for values in keys:
        key = dict(zip(names, values, strict=True))
        for offset in range((through - DAY).days + 5):
            as_of = DAY - timedelta(days=3) + timedelta(days=offset)
            if as_of > through + timedelta(days=1):
                break
            available = view.available_from(as_of)
            settled = available + timedelta(seconds=1)  # a microsecond a drop that came before the day was available
            later = {known for known, *_ in law.drops if known > settled}
            for moment in [settled, *sorted(later), None]:
                expected = law.known(key, as_of, moment or datetime.max.replace(tzinfo=UTC))
                told = read(rows, key, available, moment)
                assert (told or never) == (expected or never), (key, as_of, moment)
                compared += 1
    return compared


EXAMPLE = [
    Step(0, sales=((1, 5.0, 5, 1), (2, 0.1, 6, 2))),
    Step(24, sales=((1, 0.1, 5, 1), (1, 1e16, 6, 3))),  # late, with a new day
    Step(1, corrections=((0, -3.0, 1),), items=((5, "drink"),)),  # before the day is available
    Step(50, retractions=(1,)),
    Step(20, sales=((2, 5.0, 5, 4),), through=2),
]


@pytest.mark.proof
@pytest.mark.usefixtures("in_process")
@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@example(steps=EXAMPLE, merges={1, 3})
@given(steps=st.lists(STEPS, min_size=1, max_size=5), merges=st.sets(st.integers(0, 4)))
def test_a_table_tells_of_every_moment_what_was_known_then_however_it_was_built(
    settings: Settings, steps: list[Step], merges: set[int]
) -> None:
    """A build after each drop, one of all, one after some, a rebuild and a backfill: the definition at every moment.

    merges: the steps after which files are merged.
    """
    shutil.rmtree(settings.data, ignore_errors=True)
    world = World(settings)
    world.deliver(Step(0, items=((5, "food"), (6, "food"))))
    for place, step in enumerate(steps):
        world.deliver(step)
        world.wider |= step.redefines
        for view in world.views():
            build(view, world.table("each"))
            if step.hours > 3:
                build(view, world.table("some"))
        if place in merges:
            world.merge()
    for number, view in enumerate(world.views()):
        build(view, world.table("some"))
        build(view, world.table("once"))
        build(view, world.table("later"), first=DAY + timedelta(days=2))
        build(view, world.table("later"), first=DAY - timedelta(days=3), last=DAY + timedelta(days=1))
        law = Law(settings, view)
        for name in ("each", "some", "once", "later"):
            assert_lawful(law, rows_of(world.table(name), f"sales_{number}"))


@pytest.mark.usefixtures("in_process")
def test_the_law_is_held_against_something(settings: Settings) -> None:
    world = World(settings)
    world.deliver(Step(0, items=((5, "food"), (6, "food"))))
    for step in EXAMPLE:
        world.deliver(step)
    (view, by_kind) = world.views()
    build(view, world.table("once"))
    rows = rows_of(world.table("once"), "sales_0")
    law = Law(settings, view)
    assert assert_lawful(law, rows) > 100
    assert any(row["created_timestamp"] > row["event_timestamp"] for row in rows)
    with pytest.raises(AssertionError):  # as if all had always been known
        assert_lawful(law, [row | {"created_timestamp": row["event_timestamp"]} for row in rows])
    assert by_kind.lookups


@pytest.mark.proof
@pytest.mark.parametrize("builds", [(1,), pytest.param((1, 4), marks=pytest.mark.proof)])
def test_tasks_that_share_a_shuffle_obey_the_same_law(
    spark_settings: Settings, monkeypatch: pytest.MonkeyPatch, builds: tuple[int, ...]
) -> None:
    """With too many rows for each task to read all: a first load that replays a late drop, and a run that goes on."""
    monkeypatch.setattr(run_module, "FEW_ROWS", -1)
    monkeypatch.setattr(run_module, "FEW_ROWS_IN_PROCESS", -1)
    world = World(spark_settings)
    world.deliver(Step(0, items=((5, "food"), (6, "food"))))
    view = world.views()[1]
    for number, step in enumerate(EXAMPLE[: builds[-1] + 1]):
        world.deliver(step)
        if number in builds:
            build(view, world.table("some"))
            rows = rows_of(world.table("some"), "sales_1")
            assert any(row["created_timestamp"] > row["event_timestamp"] for row in rows)
            assert_lawful(Law(spark_settings, view), rows)

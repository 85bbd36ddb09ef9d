"""Whatever the online store holds, and of whichever table: after a load it says what training says.

Rows of a table that was built anew need not be newer than those they replace: newest-wins alone would keep the old.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64, Int64
from redis import Redis

from transformations.engine.base.errors import FeaturesError
from transformations.stores import loading
from transformations.stores.redis.unlinking import carry_pushed
from transformations.stores.views import feature_view

DOMAIN = """
from transformations import Last, Sum, WindowedFeatures, at_least

user_visits = WindowedFeatures(
    name="user_visits",
    join_key="user_id",
    source="visits",
    description="Visits of a user",
    features=[
        Sum("spent", name="spend", description="What was spent", unit="USD", expect=at_least(0)),
        Last("spent", name="spent", description="What was spent last", unit="USD", expect=at_least(0)),
    ],
)
"""
OWNER = "team@example.com"
SPEND, LAST = "spend_sum_lifetime", "spent_last_lifetime"
USERS = (1, 2, 3)
# Rows created late (a correction, a restore) and of days that were taken back; then the rebuilt table has none of them.
OLD = "1  2024-05-05  2024-05-20  5  6\n2  2024-05-09  2024-05-20  7  8\n3  2024-05-02  2024-05-20  1  2"
NEW = "1  2024-05-05  2024-05-05  50  60\n2  2024-05-03  2024-05-03  70  80"


@dataclass
class World:
    """Visits of three users: as a table of ours, under one definition or another, or as files that others write."""

    store_of: Callable[..., FeatureStore]
    module_of: Callable[[str, str], ModuleType]
    table_of: Callable[..., pa.Table]
    publish: Callable[..., Any]
    user: Entity
    folder: Path
    redis: Redis
    patch: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        self.store = self.store_of()

    def defined(self, definition: str) -> FeatureView:
        """The view under a definition of this letter."""
        view = feature_view(self.module_of("visit_domain", DOMAIN).user_visits, entity=self.user, owner=OWNER)
        view.tags["definition_hash"] = definition * 16
        return view

    def build(self, definition: str, lines: str, kind: str = "incremental") -> None:
        self.publish(self.defined(definition), self.rows(lines), kind=kind)

    def rebuild(self, definition: str, lines: str) -> None:
        """Build the table anew under another definition, and apply that."""
        self.build(definition, lines, kind="rebuild")
        self.apply(self.defined(definition))

    def write(self, file: str, lines: str) -> None:
        self.visits.mkdir(exist_ok=True)
        pq.write_table(self.rows(lines), self.visits / file)

    @property
    def visits(self) -> Path:
        return self.folder / "visits"

    def plain(self, **field_mapping: str) -> FeatureView:
        """A plain view over the folder of visits."""
        return FeatureView(
            name="user_visits",
            entities=[self.user],
            schema=[
                Field(name="user_id", dtype=Int64),
                Field(name=SPEND, dtype=Float64),
                Field(name=LAST, dtype=Float64),
            ],
            source=FileSource(
                name="visits",
                path=str(self.visits),
                timestamp_field="event_timestamp",
                created_timestamp_column="created_timestamp",
                field_mapping=field_mapping,
            ),
            owner=OWNER,
            description="Visits of a user",
        )

    def rows(self, lines: str) -> pa.Table:
        head = f"user_id  event_timestamp  created_timestamp  {SPEND}  {LAST}\n"
        return self.table_of(head + lines, **{SPEND: pa.float64(), LAST: pa.float64()})

    def apply(self, view: FeatureView) -> None:
        self.store.apply([self.user, view])

    def load(self) -> None:
        self.store.materialize_incremental(datetime(2024, 6, 1, tzinfo=UTC))

    def load_killed(self) -> None:
        """A load that comes to its end when it would record what it did."""

        def killed(*_: Any, **__: Any) -> Any:
            raise KeyboardInterrupt

        with self.patch.context() as during:
            during.setattr(loading, "record", killed)
            with pytest.raises(FeaturesError, match="interrupted"):
                self.load()

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """What happens in here is done by another process."""
        own, self.store = self.store, self.store_of()
        yield
        self.store = own

    def online(self) -> list[tuple[Any, Any]]:
        rows = [{"user_id": user} for user in USERS]
        found = self.store.get_online_features([f"user_visits:{name}" for name in (SPEND, LAST)], rows).to_dict()
        return list(zip(found[SPEND], found[LAST], strict=True))

    def training(self) -> list[tuple[Any, Any]]:
        spine = self.table_of("\n".join(["user_id  event_timestamp", *(f"{user}  2024-06-01" for user in USERS)]))
        names = [f"user_visits:{name}" for name in (SPEND, LAST)]
        table = self.store.get_historical_features(spine.to_pandas(), names).to_arrow()
        return list(zip(table[SPEND].to_pylist(), table[LAST].to_pylist(), strict=True))


@pytest.fixture
def world(
    store_of: Callable[..., FeatureStore],
    module_of: Callable[[str, str], ModuleType],
    table_of: Callable[..., pa.Table],
    publish: Callable[..., Any],
    user: Entity,
    contracts: Path,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    return World(store_of, module_of, table_of, publish, user, contracts.parent, redis, monkeypatch)


def test_a_table_rebuilt_under_another_definition_replaces_rows_that_are_newer_than_its_own(world: World) -> None:
    world.apply(world.defined("a"))
    world.build("a", OLD)
    world.load()
    assert world.online() == [(5, 6), (7, 8), (1, 2)]

    world.rebuild("b", NEW)
    world.load()
    assert world.online() == world.training() == [(50, 60), (70, 80), (None, None)]

    world.rebuild("c", "1  2024-05-05  2024-05-05  60  50\n2  2024-05-03  2024-05-03  80  70")  # changed places
    world.load()
    assert world.online() == world.training() == [(60, 50), (80, 70), (None, None)]


def test_rows_of_a_first_load_that_was_killed_do_not_outlive_a_rebuild(world: World) -> None:
    world.apply(world.defined("a"))
    world.build("a", OLD)
    world.load_killed()
    world.rebuild("b", NEW)
    world.load()
    assert world.online() == world.training() == [(50, 60), (70, 80), (None, None)]


def test_rows_of_a_load_that_was_killed_when_it_had_just_replaced_others_do_not_outlive_a_rebuild(
    world: World,
) -> None:
    world.apply(world.defined("a"))
    world.build("a", NEW)
    world.load()
    world.rebuild("b", OLD)
    world.load_killed()
    world.rebuild("c", NEW)
    world.load()
    assert world.online() == world.training() == [(50, 60), (70, 80), (None, None)]


def test_a_load_that_is_killed_and_run_again_goes_on_in_the_same_table(world: World) -> None:
    world.apply(world.defined("a"))
    world.build("a", NEW)
    world.load_killed()
    before = sorted(world.redis.scan_iter("{?}?????"))
    world.build("a", OLD)
    world.load()
    assert world.online() == [(5, 6), (7, 8), (1, 2)]
    assert set(before) <= set(world.redis.scan_iter("{?}?????"))
    assert not list(world.redis.scan_iter("{features}:begun:*"))


def test_rows_of_a_file_that_was_replaced_after_a_killed_load_are_gone(world: World) -> None:
    world.write("1.parquet", "1  2024-05-01  2024-05-01  1  1")
    world.apply(world.plain())
    world.load()
    world.write("2.parquet", OLD)
    world.load_killed()
    world.write("2.parquet", NEW)
    world.load()
    assert world.online() == world.training() == [(50, 60), (70, 80), (None, None)]


def test_columns_that_a_source_maps_otherwise_are_read_anew(world: World) -> None:
    world.visits.mkdir()
    pq.write_table(world.rows(NEW).rename_columns({SPEND: "one", LAST: "two"}), world.visits / "1.parquet")
    world.apply(world.plain(one=SPEND, two=LAST))
    world.load()
    world.apply(world.plain(two=SPEND, one=LAST))
    world.load()
    assert world.online() == world.training() == [(60, 50), (80, 70), (None, None)]


def test_a_delta_table_that_was_made_anew_is_another_one_though_its_versions_count_the_same(world: World) -> None:
    write_deltalake(str(world.visits), world.rows(OLD))
    world.apply(world.plain())
    world.load()
    shutil.rmtree(world.visits)
    write_deltalake(str(world.visits), world.rows(NEW))
    world.load()
    assert world.online() == world.training() == [(50, 60), (70, 80), (None, None)]


def test_a_load_of_the_old_table_does_not_take_the_place_of_one_of_the_rebuilt_table(world: World) -> None:
    world.apply(world.defined("0"))
    world.build("0", NEW)
    world.load()
    world.rebuild("a", OLD)
    carry = carry_pushed
    others: list[str] = []

    def overtaken(*arguments: Any) -> None:
        if not others:
            others.append("the rebuild's load")
            with world.elsewhere():
                world.rebuild("b", NEW)
                world.load()
        carry(*arguments)

    world.patch.setattr(loading, "carry_pushed", overtaken)
    with pytest.raises(FeaturesError, match="was built from definition bbbb"):
        world.load()
    world.store = world.store_of()
    assert world.online() == world.training() == [(50, 60), (70, 80), (None, None)]


def test_a_load_that_another_one_has_overtaken_in_the_same_table_does_not_leave_its_rows(world: World) -> None:
    world.write("1.parquet", "1  2024-05-01  2024-05-01  1  1")
    world.apply(world.plain())
    world.load()
    world.write("2.parquet", OLD)
    warn = loading.warn_of_replaced  # what a load does once its rows are written
    others: list[str] = []

    def overtaken(view: str, values: int) -> None:
        warn(view, values)
        if not others:
            others.append("a load after the file was replaced")
            world.write("2.parquet", NEW)
            with world.elsewhere():
                world.load()

    world.patch.setattr(loading, "warn_of_replaced", overtaken)
    world.load()
    assert world.online() == world.training() == [(50, 60), (70, 80), (None, None)]

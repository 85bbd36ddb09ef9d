"""What tests of datasets share: a raw zone, one built table, a service of it, and what changes them."""

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RequestSource
from feast.data_format import DeltaFormat
from feast.types import Float64

from transformations.contracts import read_contract
from transformations.datasets.config import DatasetConfig
from transformations.datasets.content.content_hash import content_hash
from transformations.datasets.create import create, rebuild
from transformations.datasets.manifest import Manifest, read_manifest
from transformations.datasets.registration import REFERRERS
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.raw.zone import Origin, RawTable
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.stores.base.places import portable_path
from transformations.stores.computed.on_demand import on_demand_view

OWNER = "team@example.com"
TIMESTAMP = pa.timestamp("us", tz="UTC")

# Visits of the raw zone are the spine; the label asks for another visit within two days.
QUERY = """
    SELECT user_id, "at" AS event_timestamp, spent AS price, EXISTS (
        SELECT * FROM raw.visits AS later
        WHERE later.user_id = visits.user_id AND later."at" > visits."at"
            AND later."at" < visits."at" + INTERVAL 2 DAY
    ) AS returns_2d
    FROM raw.visits
"""
VISITS = """
    user_id  at                   page  spent
    1        2024-05-02 10:00     home  1.5
    1        2024-05-03 10:00     news  2.5
    2        2024-05-04           home  3.5
    1        2024-05-06           home  4.5
    2        2024-05-09 23:00     home  5.5
    1        2024-05-11           home  6.5
    1        2024-05-12           home  7.5
    2        2024-05-19 12:00     home  8.5
"""
SPEND = """
    user_id  event_timestamp  created_timestamp  spend
    1        2024-05-01       2024-05-01         10
    1        2024-05-03       2024-05-03         30
    2        2024-05-02       2024-05-02         -
    2        2024-05-11       2024-05-11         7
"""
FUNCTION = '''
import pyarrow.compute as pc
from transformations import ANYTHING, Float64, on_demand

@on_demand(unit="ratio", expect=ANYTHING)
def price_ratio(price: Float64, spend: Float64) -> Float64:
    """The price against what was spent before."""
    return pc.divide(price, spend)
'''
CONFIG = {
    "name": "visits_2024",
    "description": "Visits, and whether the user returns",
    "feature_service": "returning_v1",
    "spine": {"query": QUERY},
    "label": {"column": "returns_2d", "horizon": "2 days"},
    "split": {"train": "2024-05-01", "test": "2024-05-10"},
    "seed": 7,
}


class World:
    """A raw zone, one built table, a service of it and of an on-demand view, and what changes them."""

    def __init__(self, store: FeatureStore, view: FeatureView, publish: Callable[..., Any]) -> None:
        self.store, self.view, self.publish = store, view, publish

    @property
    def settings(self) -> Settings:
        return get_settings()

    @property
    def folder(self) -> Path:
        return self.settings.datasets_dir / "visits_2024"

    @property
    def table(self) -> OfflineTable:
        return OfflineTable(self.settings.offline_dir / self.view.name)

    def deliver(self, rows: pa.Table, through: str) -> None:
        origin = Origin(
            file_name="visits.parquet", content_hash=content_hash(rows), ingested_at=datetime(2024, 7, 1, tzinfo=UTC)
        )
        contract = read_contract("visits", self.settings.contracts)
        RawTable(contract, self.settings.raw_dir).append(rows, origin, date.fromisoformat(through), correction=True)

    def create(self, folder: Path = Path(), *, replace_old: bool = False, **changes: Any) -> Manifest:
        config = DatasetConfig.model_validate(CONFIG | changes)
        return create(config, folder, self.store, self.settings, replace_unless=REFERRERS if replace_old else None)

    def rebuild(self) -> bool:
        return rebuild(*read_manifest(self.folder), self.store, self.settings)

    def rows(self, split: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.folder / f"{split}.parquet").to_pylist()
        return sorted(rows, key=lambda row: row["event_timestamp"])


@pytest.fixture(scope="session")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and registry of a world, once there was one."""
    return tmp_path_factory.mktemp("datasets") / "prepared"


@pytest.fixture
def world(
    settings: Settings,
    contracts: Path,
    store_of: Callable[..., FeatureStore],
    stored: Callable[..., FeatureView],
    user: Entity,
    publish: Callable[..., Any],
    table_of: Callable[..., pa.Table],
    module_of: Callable[[str, str], ModuleType],
    clock: Callable[[str], None],
    tmp_path: Path,
    _prepared: Path,
) -> World:
    clock("2024-07-02")
    view = stored("user_spend", spend=Float64)
    view.batch_source = FileSource(
        name="user_spend",
        path=portable_path(settings.offline_dir / "user_spend", settings),  # as feature_view does
        file_format=DeltaFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        tags={"definition_hash": "a1"},
    )
    view.tags = {"definition_hash": "a1"}
    cart = RequestSource(name="cart", schema=[Field(name="price", dtype=Float64)])
    function = module_of("cart_functions", FUNCTION).price_ratio
    now = on_demand_view("user_now", [function], [view, cart], owner=OWNER, description="Now")
    service = FeatureService(name="returning_v1", features=[view, now])
    if _prepared.is_dir():
        shutil.copytree(_prepared, tmp_path, dirs_exist_ok=True)
        return World(store_of(), view, publish)
    publish(view, table_of(SPEND, spend=pa.float64()))
    made = World(store_of(user, view, now, service), view, publish)
    made.deliver(table_of(VISITS, at=TIMESTAMP, page=pa.string(), spent=pa.float64()), "2024-05-20")
    shutil.copytree(settings.data, _prepared / settings.data.name)
    for file in tmp_path.glob("registry.db*"):
        shutil.copy(file, _prepared)
    return made


@pytest.fixture
def later(world: World, table_of: Callable[..., pa.Table]) -> Callable[[], None]:
    """What comes in after a dataset was made: late visits, a late row and a correction of the table, a clean-up."""

    def happen() -> None:
        visits = "user_id  at  page  spent\n1  2024-05-02 09:00  home  99\n2  2024-05-04 01:00  home  99"
        world.deliver(table_of(visits, at=TIMESTAMP, page=pa.string(), spent=pa.float64()), "2024-05-25")
        late = """
            user_id  event_timestamp  created_timestamp  spend
            1        2024-05-03       2024-06-01         999
            2        2024-05-04       2024-06-01         888"""
        world.publish(world.view, table_of(late, spend=pa.float64()))

    return happen

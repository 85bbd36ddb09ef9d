"""A small shop whose history is replayed: sales come in, tables are built, rows are materialized and looked up.

Tables are built by brute force from the drops (`brute_force`): only what differs from the current content is written,
and what no longer tells the truth is asserted anew, known since its drop. So an example costs no Spark, and the stores
are judged by something that shares no code with the engine. A shop may use the real engine instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feast import Entity, FeatureStore, FeatureView, Field, RequestSource, ValueType
from feast.types import Float64 as FeastFloat64

from tests.worlds.feast_stores import apply_at_once, our_config
from transformations import (
    ANYTHING,
    LIFETIME,
    Attribute,
    Count,
    Float64,
    Int64,
    Last,
    PlainFeatures,
    Sum,
    UnixTimestamp,
    WindowedFeatures,
    at_least,
    column,
    days,
    hours,
    on_demand,
)
from transformations.contracts import read_contract
from transformations.engine.base.settings import get_settings
from transformations.engine.compute.build import build
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable
from transformations.engine.vocabulary.definitions import Definition
from transformations.engine.vocabulary.resolution import Resolved, resolve
from transformations.stores.base.feast_seams import online_client
from transformations.stores.base.views import feature_view
from transformations.stores.computed.on_demand import on_demand_view
from transformations.stores.redis.loaded import Loaded, loaded_views
from validation.parity.live import check_live
from validation.parity.report import LiveReport

from .brute_force import Knowledge, build_by_definition

OWNER = "team@example.com"
ZONE = "America/New_York"

CONTRACT = f"""
apiVersion: v3.1.0
kind: DataContract
id: sales
name: Sales
version: 1.0.0
status: active
team: {{name: shop}}
schema:
  - name: sales
    logicalType: object
    description: One sale
    customProperties:
      - {{property: eventTime, value: sold_at}}
      - {{property: timestampZone, value: UTC}}
      - {{property: businessDayZone, value: {ZONE}}}
      - {{property: delivery, value: append}}
    properties:
      - {{name: sale_id, logicalType: integer, required: true, primaryKey: true, description: The sale}}
      - {{name: user_id, logicalType: integer, required: true, description: Who bought}}
      - {{name: amount, logicalType: number, description: What was paid}}
      - {{name: plan, logicalType: string, description: The plan of the user}}
      - {{name: sold_at, logicalType: timestamp, required: true, description: When}}
"""

USER_SALES = WindowedFeatures(
    name="user_sales",
    join_key="user_id",
    source="sales",
    windows=[days(2), LIFETIME],
    available_after=hours(2),
    description="What a user buys",
    features=[
        Count(name="sales", description="Sales", unit="sales", expect=at_least(0), unseen=0),
        Sum("amount", name="spend", description="Spend", unit="USD", expect=ANYTHING),
        Last("sold_at", name="sold_at", windows=[LIFETIME], description="Last sale", unit="UTC time"),
    ],
)
ADDED = Count(name="rebates", description="Sales, counted again", unit="sales", expect=at_least(0))
WIDER_SALES = replace(USER_SALES, features=[*USER_SALES.features, ADDED])
EARNED = Sum("amount", name="spend", description="Spend", unit="USD", expect=ANYTHING, where=column("amount") > 0)
USER_PLAN = PlainFeatures(
    name="user_plan",
    join_key="user_id",
    source="sales",
    available_after=hours(5),
    description="What a user has subscribed to",
    features=[Attribute("plan", description="The plan", unit="name")],
)
PLAN_TTL = timedelta(days=3)


@on_demand(unit="seconds", expect=ANYTHING)
def seconds_since_sale(sold_at_last_lifetime: UnixTimestamp, request_timestamp: UnixTimestamp) -> Int64:
    """Seconds since the last sale."""
    return pc.seconds_between(sold_at_last_lifetime, request_timestamp)


@on_demand(unit="USD", expect=ANYTHING)
def spend_with_cart(spend_sum_2d: Float64, cart_value: Float64) -> Float64:
    """The spend of two days and the cart."""
    return pc.add(spend_sum_2d, cart_value)


CART = RequestSource(name="cart", schema=[Field(name="cart_value", dtype=FeastFloat64)])
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, description="A user", owner=OWNER)


def sale(
    sale_id: int, at: str | datetime, amount: float | None = 10.0, user: int = 1, plan: str = "free"
) -> Mapping[str, Any]:
    sold_at = at if isinstance(at, datetime) else datetime.fromisoformat(at).replace(tzinfo=UTC)
    return {"sale_id": sale_id, "user_id": user, "amount": amount, "plan": plan, "sold_at": sold_at}


@dataclass
class Shop:
    """The shop's data and its Feast. sales: all current ones; through: their last complete business day; knowledge:
    of the drops that brought them; built: the number of drops that tables were built from.
    """

    folder: Path
    with_spark: bool = False
    sales: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    through: date | None = None
    definition: Definition = USER_SALES
    knowledge: Knowledge = field(default_factory=Knowledge)
    built: int = 0

    def __post_init__(self) -> None:
        (self.folder / "contracts").mkdir(parents=True, exist_ok=True)
        (self.folder / "contracts" / "sales.yaml").write_text(CONTRACT)
        os.environ["FEATURES_CONTRACTS"] = str(self.folder / "contracts")
        os.environ["FEATURES_DATA"] = str(self.folder / "data")
        config = our_config(self.folder, project="shop")
        self.store = FeatureStore(config=config)

    @property
    def now(self) -> datetime:
        return get_settings().now()

    @now.setter
    def now(self, moment: datetime | str) -> None:
        os.environ["FEATURES_CLOCK"] = str(moment)

    def resolved(self) -> list[Resolved]:
        settings = get_settings()
        return [
            resolve(each, lambda name: read_contract(name, settings.contracts)) for each in (self.definition, USER_PLAN)
        ]

    def views(self) -> list[FeatureView]:
        sales = feature_view(self.definition, entity=USER, owner=OWNER)
        return [sales, feature_view(USER_PLAN, entity=USER, owner=OWNER, ttl=PLAN_TTL)]

    def deliver(self, *sales: Mapping[str, Any], through: str | date | None = None) -> None:
        """Sales, of which a known one is a correction; through: from now on the days up to this one are complete."""
        self.sales |= {each["sale_id"]: each for each in sales}
        day = date.fromisoformat(through) if isinstance(through, str) else through
        self.through = max(filter(None, (self.through, day)), default=None)
        self._note_drop()
        if self.with_spark:
            contract = self.resolved()[0].contract
            origin = Origin(
                file_name="drop", content_hash=f"{len(self.sales)} {self.now} {sales}", ingested_at=self.now
            )
            table = pa.Table.from_pylist(list(sales), source_schema(contract))
            RawTable(contract, get_settings().raw_dir).append(table, origin, complete_through=day, correction=True)

    def retract(self, *sale_ids: int) -> None:
        for each in sale_ids:
            del self.sales[each]
        self._note_drop()
        if self.with_spark:
            contract = self.resolved()[0].contract
            gone = pa.Table.from_pylist([{"sale_id": each} for each in sale_ids])
            origin = Origin(file_name="retraction", content_hash=f"{sale_ids} {self.now}", ingested_at=self.now)
            RawTable(contract, get_settings().raw_dir).retract(gone, origin)

    def _note_drop(self) -> None:
        """Remember what the source holds now; before it says what is complete, nothing is known of it."""
        if self.through is not None:
            self.knowledge.add(self.now, self.sales, self.through)

    def build(self) -> None:
        for each in self.resolved():
            if self.with_spark:
                build(each, get_settings())
            else:
                build_by_definition(each, self.knowledge)
        self.built = len(self.knowledge.drops)

    def apply(self) -> None:
        views = self.views()
        now = on_demand_view(
            "user_now",
            [seconds_since_sale, spend_with_cart],
            sources=[views[0], CART],
            owner=OWNER,
            description="A user at the checkout",
        )
        apply_at_once(self.store, [USER, *views, now])

    def materialize(self, end: datetime | None = None, *views: str) -> None:
        self.store.materialize_incremental(end or self.now, feature_views=list(views) or ["user_sales", "user_plan"])

    def flush(self) -> None:
        """As a Redis that failed over to an empty one."""
        online_client(self.store).flushall()

    def loaded(self) -> dict[str, Loaded]:
        return loaded_views(self.store, get_settings())

    def report(self, request: Mapping[str, object] | None = None) -> LiveReport:
        """`features parity` for everything."""
        views = [*self.store.list_feature_views(), *self.store.list_on_demand_feature_views()]
        return check_live(self.store, views, self.loaded(), self.now, request=request)

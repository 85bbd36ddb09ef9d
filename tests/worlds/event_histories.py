"""Histories of user events, a view with every aggregation over them, and the tables that a sweep takes and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import strategies as st

from tests.worlds.contracts import NEW_YORK, event_source
from transformations import (
    LIFETIME,
    Count,
    CountDistinct,
    First,
    Float64,
    Last,
    LastK,
    Max,
    Mean,
    Min,
    Ratio,
    Share,
    StdDev,
    Sum,
    TopK,
    Variance,
    WindowedFeatures,
    column,
    days,
    derived,
    hours,
)
from transformations.contracts import Column
from transformations.engine.base.business_days import day_number, day_of_instant, start_of_day
from transformations.engine.compute.folds import carry_schema
from transformations.engine.compute.sweep import SweepPlan
from transformations.engine.compute.sweep import sweep as swept
from transformations.engine.testing.reference import reference_row
from transformations.engine.vocabulary.resolution import Resolved

ZONE = NEW_YORK
FIRST_DAY = date(2017, 3, 8)  # the clocks change on 2017-03-12: that day has 23 hours
LATER = datetime(2020, 1, 1, tzinfo=UTC)
LAST_DAY = date(2017, 3, 24)


@derived(unit="points")
def doubled(amount: Float64) -> Float64:
    """Twice the amount."""

    return pc.multiply(amount, 2.0)


CONTRACT = event_source(
    "events",
    [
        Column("event_id", "Int64", False, "Identity"),
        Column("user_id", "Int64", False, "User"),
        Column("event_type", "String", True, "What happened"),
        Column("amount", "Float64", True, "Amount"),
        Column("quantity", "Int64", True, "Quantity"),
        Column("happened_at", "UnixTimestamp", False, "When"),
    ],
    key=["event_id"],
    at="happened_at",
)

EVERYTHING = WindowedFeatures(
    name="user_everything",
    join_key="user_id",
    source="events",
    windows=[days(1), days(3), LIFETIME],
    available_after=hours(2),
    description="Every aggregation of the vocabulary",
    derived=[doubled],
    features=[
        Count(name="events", description="Events", unit="events"),
        Count(name="purchases", where=column("event_type") == "buy", description="Purchases", unit="events"),
        Count(name="by_type", per=column("event_type").each("buy", "see"), description="By type", unit="events"),
        Count(
            name="others",
            where=~column("event_type").isin("buy", "see")
            | (column("amount").is_null() & column("quantity").not_null()),
            description="Neither bought nor seen, or without an amount",
            unit="events",
        ),
        Count(name="positive", where=column("doubled") > column("amount"), description="Of value", unit="events"),
        CountDistinct("event_type", name="types", description="Types", unit="types"),
        CountDistinct(
            "quantity", name="quantities", where=column("amount") > 0.0, description="Quantities", unit="values"
        ),
        Sum("amount", name="spend", description="Spend", unit="USD"),
        Sum("quantity", name="units", description="Units", unit="units"),
        Sum("doubled", name="doubled", description="Twice the spend", unit="USD"),
        Mean("amount", name="amount", description="Amount", unit="USD"),
        Mean("quantity", name="quantity", description="Quantity", unit="units"),
        Min("amount", name="amount", description="Amount", unit="USD"),
        Max("event_type", name="type", description="Type", unit="category"),
        Max("quantity", name="quantity", description="Quantity", unit="units"),
        Variance("amount", name="amount", description="Amount", unit="USD^2"),
        StdDev("quantity", name="quantity", description="Quantity", unit="units"),
        First("amount", name="amount", description="Amount", unit="USD"),
        Last("event_type", name="type", description="Type", unit="category"),
        Last("happened_at", name="seen_at", description="Last seen", unit="UTC time"),
        LastK("event_type", k=2, name="types", description="Types", unit="category"),
        TopK("event_type", k=2, name="types", description="Types", unit="category"),
        Share(Count(), column("event_type") == "buy", name="bought", description="Bought", unit="ratio"),
        Share(Sum("amount"), column("quantity") > 1, name="bulk", description="In bulk", unit="ratio"),
        Ratio(Sum("amount"), CountDistinct("event_type"), name="per_type", description="A type", unit="USD"),
        Ratio(
            Sum("amount"),
            Sum("quantity"),
            name="price",
            where=column("event_type") != "see",
            description="P",
            unit="USD",
        ),
    ],
)


SUMS = replace(
    EVERYTHING,
    name="user_sums",
    windows=[days(1), days(4), days(7), LIFETIME],
    features=[each for each in EVERYTHING.features if isinstance(each, Count | Sum | Mean | Share)],
)
"""Results that can be undone, so that no run needs the days in the middle of a window."""

NOTHING = dict.fromkeys(feature.name for feature in EVERYTHING.declared)
"""What is served of an entity without history, since no feature declares an `unseen` value."""


def instants() -> st.SearchStrategy[datetime]:
    """Instants at the edges of business days and inside them, ties included."""
    day = st.integers(0, (LAST_DAY - FIRST_DAY).days - 1).map(lambda offset: FIRST_DAY + timedelta(days=offset))
    within = st.sampled_from([0, 1, 3_600_000_000, 43_200_000_000, 43_200_000_001, -1])
    return st.builds(lambda d, micros: start_of_day(d, ZONE) + timedelta(microseconds=micros), day, within)


AMOUNTS = st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.3, -5.0, 1e16, 1.0]), st.floats(-1e6, 1e6))


def histories(users: int = 2) -> st.SearchStrategy[list[dict[str, Any]]]:
    event = st.fixed_dictionaries(
        {
            "user_id": st.integers(1, users),
            "event_type": st.sampled_from(["buy", "see", "click", None]),
            "amount": AMOUNTS,
            "quantity": st.sampled_from([None, -1, 0, 1, 2, 2**53 + 1]),
            "_event_timestamp": instants(),
        }
    )
    return st.lists(event, max_size=14).map(
        lambda events: [
            event | {"event_id": i, "happened_at": event["_event_timestamp"]} for i, event in enumerate(events)
        ]
    )


def events_table(resolved: Resolved, events: Sequence[Mapping[str, Any]]) -> pa.Table:
    timestamp = pa.timestamp("us", tz="UTC")
    schema = pa.schema(
        [(name, dtype.arrow) for name, dtype in resolved.columns.items() if name != "doubled"]
        + [("_event_timestamp", timestamp), ("_business_day", pa.int32())]
    )
    rows = [event | {"_business_day": day_number(day_of_instant(event["_event_timestamp"], ZONE))} for event in events]
    return pa.Table.from_pylist(rows, schema)


def no_marks(resolved: Resolved) -> pa.Table:
    keys = [(key, dtype.arrow) for key, dtype in resolved.join_keys.items()]
    return pa.schema([*keys, ("_from_day", pa.int64())]).empty_table()


def no_rows(resolved: Resolved) -> pa.Table:
    from transformations.engine.tables.offline_tables import table_schema

    return table_schema(resolved).empty_table()


def sweep(plan: SweepPlan, events: pa.Table, marks: pa.Table, stored: pa.Table) -> pa.Table:
    """The rows of a sweep to which nothing is carried over."""
    return swept(plan, events, marks, stored, carry_schema(plan.resolved).empty_table()).rows


def first_load(resolved: Resolved) -> SweepPlan:
    return sweep_plan(resolved, None, day_number(LAST_DAY))


def sweep_plan(resolved: Resolved, first_day: int | None, last_day: int, carried_day: int | None = None) -> SweepPlan:
    """A first load, or with a first day a later run that counts as known on `LATER`."""
    is_first = first_day is None
    return SweepPlan(
        resolved=resolved,
        first_day=first_day,
        last_day=last_day,
        initial=is_first,
        created=None if is_first else LATER,
        carried_day=carried_day,
    )


def value_at(rows: Sequence[Mapping[str, Any]], user: int, as_of: date, resolved: Resolved) -> dict[str, Any] | None:
    """What newest-wins serves as-of that day: of the rows not after it, the latest event, then the latest created."""
    until = resolved.available_from(as_of)
    known = [row for row in rows if row["user_id"] == user and row["event_timestamp"] <= until]
    if not known:
        return None
    newest = max(known, key=lambda row: (row["event_timestamp"], row["created_timestamp"]))
    return {feature.name: newest[feature.name] for feature in resolved.features}


def every_day() -> list[date]:
    return [FIRST_DAY + timedelta(days=offset) for offset in range((LAST_DAY - FIRST_DAY).days + 1)]


def assert_equals_reference(
    resolved: Resolved, rows: pa.Table, events: Sequence[Mapping[str, Any]], users: int = 2
) -> None:
    written = rows.to_pylist()
    for user in range(1, users + 1):
        own = [event for event in events if event["user_id"] == user]
        for as_of in every_day():
            expected = reference_row(resolved, own, as_of)
            assert value_at(written, user, as_of, resolved) == expected, (user, as_of)

"""A whole small project with a model: visits in the raw zone, a table of them, a service, a dataset, a declaration.

Each user visits at a rate of its own that fades or grows; on every Monday the model is asked who comes back within a
week. The table's rows are counted by hand here, so nothing is built. `make` fills a folder once; tests copy it.
"""

import importlib
import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.data_format import DeltaFormat
from feast.types import Float64, Int64, UnixTimestamp

from tests.worlds.literal_table import RUN
from transformations.contracts import read_contract
from transformations.datasets.content.content_hash import content_hash
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.storage import NewFile, make_folder
from transformations.engine.raw.zone import Origin, RawTable
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.models import releasing, versions
from transformations.models.log.event_log import EventLog
from transformations.stores.base.places import portable_path
from transformations.stores.computed.on_demand import on_demand_view

MODEL, DATASET, SERVICE = "user_return", "weekly_2024", "returning_v1"
SECOND = "user_visits_v2"
"""The view of a changed feature, where there is one."""
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
WEEKS, USERS = 20, 80
NOW = "2024-05-21T12:00:00Z"
"""The day after the last Monday."""
PROMOTED = "2024-05-06T12:00:00Z"
"""When version 1 reaches production, where it does."""
AFTER = timedelta(hours=2)
"""How long after a Monday begins its row can be served."""
TIMESTAMP = pa.timestamp("us", tz="UTC")
OWNER = "team@example.com"
CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: visits
name: Visits
version: 1.0.0
status: active
team: {name: web}
schema:
  - name: visits
    logicalType: object
    description: One visit of a user
    customProperties:
      - {property: eventTime, value: at}
      - {property: timestampZone, value: UTC}
      - {property: businessDayZone, value: UTC}
      - {property: delivery, value: append}
    properties:
      - {name: user_id, logicalType: integer, required: true, description: The user}
      - {name: at, logicalType: timestamp, required: true, description: When}
      - {name: spent, logicalType: number, description: What was spent}
"""
STORE = """
project: shop
provider: transformations.stores.provider.CheckedProvider
entity_key_serialization_version: 3
coerce_tz_aware: false
registry: {registry_type: sql, path: "sqlite://?plugin=features", cache_ttl_seconds: 60}
offline_store: {type: transformations.stores.offline.PointInTimeOfflineStore}
online_store: {type: transformations.stores.online.PackedRedisOnlineStore}
batch_engine: {type: transformations.stores.materialization.BulkMaterializationEngine}
"""
FUNCTIONS = '''
import pyarrow.compute as pc
from transformations import ANYTHING, Float64, UnixTimestamp, on_demand

@on_demand(unit="days", expect=ANYTHING)
def days_since(request_timestamp: UnixTimestamp, visited_at: UnixTimestamp) -> Float64:
    """Days from the last known visit to the request."""
    return pc.divide(pc.cast(pc.seconds_between(visited_at, request_timestamp), "float64"), 86_400.0)
'''
# One row per user who has visited before, and Monday at six; the label asks for a visit in the seven days after it.
QUERY = """
    WITH mondays AS (
        SELECT unnest(generate_series(
            TIMESTAMPTZ '2024-01-08 06:00+00', TIMESTAMPTZ '2024-07-01 06:00+00', INTERVAL 7 DAY
        )) AS event_timestamp
    ),
    users AS (SELECT user_id, min("at") AS first_at FROM raw.visits GROUP BY user_id)
    SELECT user_id, event_timestamp, EXISTS (
        SELECT * FROM raw.visits WHERE visits.user_id = users.user_id
            AND visits."at" >= event_timestamp AND visits."at" < event_timestamp + INTERVAL 7 DAY
    ) AS returns
    FROM users, mondays WHERE first_at < event_timestamp
"""
CONFIG: dict[str, Any] = {
    "feature_service": SERVICE,
    "spine": {"query": QUERY},
    "label": {"column": "returns", "horizon": "7 days"},
    "split": {"train": "2024-01-08", "validation": "2024-03-25", "test": "2024-04-22"},
    "seed": 7,
    "checks": {"label_noise": 0.5},
}
PASSING = [{"metric": "roc_auc", "beats": "prior", "entities": 20, "positives": 20}]
ROLLOUT: dict[str, Any] = {
    "unit": ["user_id"],
    "steps": [{"percent": percent, "rows": 110, "time": "1 hours"} for percent in (0, 10, 100)],
    "limits": {"divergence": 0.1},
}
FAILING = [{"metric": "roc_auc", "at_least": 0.999, "entities": 20, "positives": 20}]


@cache
def visits() -> pa.Table:
    """The visits: each user's probability of one a day moves from one random number to another."""
    generator = np.random.default_rng(5)
    first, last = generator.beta(0.6, 2.0, (2, USERS))
    days = WEEKS * 7
    shares = np.linspace(first, last, days)
    day, user = np.nonzero(generator.random((days, USERS)) < shares)
    hours = generator.integers(0, 24, len(day))
    at = [MONDAY + timedelta(days=int(each), hours=int(hour)) for each, hour in zip(day, hours, strict=True)]
    return pa.table(
        {
            "user_id": pa.array(user + 1, pa.int64()),
            "at": pa.array(at, TIMESTAMP),
            "spent": pa.array(generator.integers(1, 50, len(day)) / 2, pa.float64()),
        }
    )


@cache
def features() -> pa.Table:
    """What is known of each user on each Monday: visits and amounts of the 28 days before, and the last visit."""
    seen = list(zip(*(column.to_pylist() for column in visits().columns), strict=True))
    rows = []
    for week in range(1, WEEKS + 1):
        monday = MONDAY + timedelta(weeks=week)
        known: dict[int, list[Any]] = {}
        for user, at, spent in seen:
            if at < monday:
                mine = known.setdefault(user, [0, 0.0, at])
                mine[2] = max(mine[2], at)
                if at >= monday - timedelta(days=28):
                    mine[0] += 1
                    mine[1] += spent
        rows += [(user, monday + AFTER, *mine) for user, mine in sorted(known.items())]
    users, moments, counts, spends, lasts = zip(*rows, strict=True)
    return pa.table(
        {
            "user_id": pa.array(users, pa.int64()),
            "event_timestamp": pa.array(moments, TIMESTAMP),
            "created_timestamp": pa.array(moments, TIMESTAMP),
            "visits_28d": pa.array(counts, pa.int64()),
            "spend_28d": pa.array(spends, pa.float64()),
            "visited_at": pa.array(lasts, TIMESTAMP),
        }
    )


def environment(root: Path) -> dict[str, str]:
    """The variables under which a process works in the project."""
    return {
        "FEATURES_DATA": str(root / "data"),
        "FEATURES_CONTRACTS": str(root / "contracts"),
        "FEATURE_REPO_DIR_ENV_VAR": str(root / "repo"),
        "FEATURES_CLOCK": NOW,
        "FEATURES_LINEAGE": "off",
        "PYTHONPATH": f"{root / 'modules'}{os.pathsep}{Path(__file__).parents[2]}",
    }


def make(root: Path) -> None:
    """Fill a folder with the project: raw zone, table, registry, repository. The environment names it already."""
    settings = get_settings()
    for folder, name, text in (
        ("contracts", "visits.yaml", CONTRACT),
        ("modules", "weekly_functions.py", FUNCTIONS),
        ("repo", "feature_store.yaml", STORE),
        ("repo/datasets", f"{DATASET}.yaml", yaml.safe_dump(CONFIG)),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).write_text(text)
    declare(root / "repo")
    seen = visits()
    deliver(seen, settings, date(2024, 5, 19))
    publish(features(), settings, date(2024, 5, 19))
    FeatureStore(repo_path=str(root / "repo")).apply(_objects())


def promote(root: Path) -> None:
    """Release the model and move it to production."""
    log, settings, store = EventLog("shop"), get_settings(), FeatureStore(repo_path=str(root / "repo"))
    releasing.release(MODEL, root / "repo", log, store, settings)
    versions.promote(MODEL, 1, "production", log, settings, why="it is good")


def promote_another(root: Path, l2: float = 3.0) -> None:
    """Release another version of the model and move it to production in place of the first."""
    declare(root / "repo", hyperparameters={"l2": l2})
    log, settings, store = EventLog("shop"), get_settings(), FeatureStore(repo_path=str(root / "repo"))
    made = releasing.release(MODEL, root / "repo", log, store, settings)
    versions.promote(MODEL, made.version, "production", log, settings, why="better")


def challenge(root: Path, l2: float = 3.0, **changes: Any) -> int:
    """Release another version of the model, with a rollout declared, as far as staging; its number."""
    declare(root / "repo", **{"hyperparameters": {"l2": l2}, "rollout": ROLLOUT, **changes})
    log, settings, store = EventLog("shop"), get_settings(), FeatureStore(repo_path=str(root / "repo"))
    return releasing.release(MODEL, root / "repo", log, store, settings).version


def release_on_changed_feature(root: Path, settings: Settings) -> int:
    """Put a changed feature, the doubled spend, into a view beside the first and a service of its own, and release a
    version that learned from it, as far as staging; its number. The view is built and registered, not loaded.
    """
    store = FeatureStore(repo_path=str(root / "repo"))
    rows = features()
    spend = pa.array([2.0 * each for each in rows["spend_28d"].to_pylist()], rows.schema.field("spend_28d").type)
    rows = rows.set_column(rows.column_names.index("spend_28d"), "spend_28d", spend)
    publish(rows, settings, date(2024, 5, 19), definition_hash="b2", view=SECOND)
    changed = view_of(store.get_entity("user"), name=SECOND, definition_hash="b2")
    store.apply([changed, FeatureService(name="returning_v2", features=[changed[["visits_28d", "spend_28d"]]])])
    config = yaml.safe_dump(CONFIG | {"feature_service": "returning_v2"})
    (root / "repo" / "datasets" / "weekly_2024b.yaml").write_text(config)
    declare(root / "repo", dataset="weekly_2024b", leave_out=[])
    return releasing.release(MODEL, root / "repo", EventLog("shop"), store, settings).version


def declare(repository: Path, **changes: Any) -> None:
    """Write the declaration of the model."""
    document: dict[str, Any] = {
        "description": "Does the user return within a week?",
        "owner": OWNER,
        "dataset": DATASET,
        "task": "binary_classification",
        "trainer": "logistic",
        "seed": 7,
        "leave_out": ["visited_at"],
        "decision": {"threshold": 0.5},
        "evaluation": {
            "entity": "user_id",
            "draws": 100,
            "baselines": {"prior": {"kind": "prior"}},
            "gates": PASSING,
        },
    }
    (repository / "models").mkdir(parents=True, exist_ok=True)
    (repository / "models" / f"{MODEL}.yaml").write_text(yaml.safe_dump(document | changes))


def deliver(rows: pa.Table, settings: Settings, through: date) -> None:
    """Ingest visits; the source is complete through that day."""
    ingested = datetime(through.year, through.month, through.day, tzinfo=UTC) + timedelta(days=1)
    origin = Origin(file_name="visits.parquet", content_hash=content_hash(rows), ingested_at=ingested)
    RawTable(read_contract("visits", settings.contracts), settings.raw_dir).append(rows, origin, through)


def publish(
    rows: pa.Table, settings: Settings, through: date, definition_hash: str = "a1", view: str = "user_visits"
) -> None:
    """Publish rows of a view as a build does, complete through that day."""
    table = OfflineTable(settings.offline_dir / view)
    latest = table.latest()
    after = None if latest is None else latest.version
    name = f"run-{0 if after is None else after + 1}.parquet"
    make_folder(table.path)
    pq.write_table(rows, table.path / name)
    run = replace(
        RUN,
        view=view,
        run_id=name,
        kind="first load" if latest is None else "incremental",
        rows=rows.num_rows,
        definition_hash=definition_hash,
        complete_through=through,
        complete_until=datetime(through.year, through.month, through.day, tzinfo=UTC) + timedelta(days=1) + AFTER,
        sources={"visits": 0},
        carry=None,
    )
    file = NewFile(name, (table.path / name).stat().st_size, rows.num_rows)
    table.publish([file], rows.schema, run, after=after, replace_all=False)


def _objects() -> list[Any]:
    """The entity, its view, the on-demand view and the service of both."""
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, description="A user", owner=OWNER)
    view = view_of(user)
    function = importlib.import_module("weekly_functions").days_since
    now = on_demand_view("user_now", [function], [view], owner=OWNER, description="Now")
    return [user, view, now, FeatureService(name=SERVICE, features=[view, now])]


def view_of(user: Entity, name: str = "user_visits", definition_hash: str = "a1") -> FeatureView:
    """The view of the table of that name."""
    return FeatureView(
        name=name,
        entities=[user],
        schema=[
            Field(name="user_id", dtype=Int64),
            Field(name="visits_28d", dtype=Int64),
            Field(name="spend_28d", dtype=Float64),
            Field(name="visited_at", dtype=UnixTimestamp),
        ],
        source=FileSource(
            name=name,
            path=portable_path(get_settings().offline_dir / name, get_settings()),
            file_format=DeltaFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
            tags={"definition_hash": definition_hash},
        ),
        tags={"definition_hash": definition_hash},
        owner=OWNER,
        description="Visits of a user",
    )

"""`make bench-growth`: how each stage grows with events, entities, features and the rows of a request, ten times each.

One view over a source of visits, in windows of 1, 7 and 28 days and for ever. Each size is a project of its own, in a
process of its own, in which Spark and Redis have started and every stage has been imported before anything is measured:
ingestion of all events, the first build, the first load, training retrieval of 10,000 rows, and lookups. The rival of
each figure is that of the smallest project, so the ratio is the growth; the table for docs/scale.md is printed last.
The whole takes some five minutes. How a day's work grows with the days before it is measured by `make bench-aging`.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from harness import CHECKOUT, Finding, Stopwatch, in_fresh_process, options, report, say

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

DAYS = 30
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
SPINE = 10_000
LOOKUPS = 40
WINDOWS = ("days(1)", "days(7)", "days(28)", "LIFETIME")
STAGES = ("ingestion", "build", "load", "retrieval", "lookup")


@dataclass(frozen=True)
class Size:
    """How large a project is. columns: each gives a feature for each of the windows. asked: the rows of a lookup."""

    events: int
    entities: int
    columns: int = 5
    asked: int = 100

    @property
    def features(self) -> int:
        """The features of its view."""
        return self.columns * len(WINDOWS)


def main() -> None:
    """Measure each size, and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--events", type=int, default=100_000, metavar="N", help="of the smallest (default 100,000)")
    given = parser.parse_args()
    base = Size(events=given.events, entities=given.events // 20)
    sizes = {
        "10 × events": replace(base, events=10 * base.events),
        "10 × entities": replace(base, entities=10 * base.entities),
        "10 × features": replace(base, columns=10 * base.columns),
        "10 × rows of a lookup": replace(base, asked=10 * base.asked),
    }
    smallest = _measured(base)
    findings = [Finding(_words(base), stage, smallest[stage], "s") for stage in STAGES]
    grown: dict[str, list[Finding]] = {}
    for name, size in sizes.items():
        found = _measured(size)
        grown[name] = [Finding(name, stage, found[stage], "s", smallest[stage]) for stage in STAGES]
        findings += grown[name]
    report("growth", findings, [f"smallest: {_words(base)}; {DAYS} days, {base.asked} rows a lookup"])
    print(_markdown(findings[: len(STAGES)], grown))


def _markdown(smallest: Sequence[Finding], grown: Mapping[str, Sequence[Finding]]) -> str:
    """The table of docs/scale.md: by stage the seconds of the smallest project, and how many times as many others take.

    A size that a stage knows nothing of is measured again all the same: its ratio says how far to trust the others.
    """
    lines = [["Stage", "Smallest", *grown], ["---"] * (len(grown) + 2)]
    for number, each in enumerate(smallest):
        ratios = [f"{found[number].ratio:.1f} ×" for found in grown.values()]
        lines.append([each.metric.capitalize(), f"{each.value:.3f} s", *ratios])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _words(size: Size) -> str:
    return f"{size.events:,} events, {size.entities:,} entities, {size.features} features"


def _measured(size: Size) -> dict[str, list[float]]:
    say(_words(size))
    with tempfile.TemporaryDirectory(prefix="features-bench-") as folder:
        found: dict[str, list[float]] = in_fresh_process(measure, Path(folder), size)
    say("    " + ", ".join(f"{stage} {taken[0]:.3f} s" for stage, taken in found.items()))
    return found


def measure(folder: Path, size: Size) -> dict[str, list[float]]:
    """The seconds of each stage of a project of this size, in a folder of its own."""
    _write_project(folder, size)
    import duckdb  # noqa: F401
    import pyarrow.parquet as pq

    from transformations.engine.base.settings import get_settings
    from transformations.engine.compute.build import build
    from transformations.engine.compute.spark import spark_session
    from transformations.insight.repository import open_store, read_contents, read_repository
    from transformations.local import redis as embedded
    from validation.delivery.ingest import Delivery, ingest_drop

    settings = get_settings()
    spark_session(settings).range(1_000).repartition(4).count()
    seconds: dict[str, list[float]] = {}
    file = folder / "visits.parquet"
    pq.write_table(_events(size), file)
    through = (FIRST_DAY + timedelta(days=DAYS - 1)).date()
    with Stopwatch() as watch:
        ingest_drop(Delivery("visits", file, complete_through=through), settings)
    seconds["ingestion"] = [watch.seconds]
    (offered,) = read_repository(settings).select([])
    with Stopwatch() as watch:
        build(offered.resolved, settings)
    seconds["build"] = [watch.seconds]
    store, declared = open_store(settings), read_contents(settings)
    store.apply([*declared.entities, *declared.feature_views])
    names = [f"user_visits:{feature.name}" for feature in store.get_feature_view("user_visits").features]
    try:
        keys = _entities(size, size.asked)
        store.get_online_features(names, {"user_id": keys})  # starts Redis
        with Stopwatch() as watch, redirect_stdout(StringIO()):
            store.materialize(FIRST_DAY, settings.now())
        seconds["load"] = [watch.seconds]
        spine = _spine(size)
        seconds["retrieval"] = []
        for number in range(4):
            with Stopwatch() as watch:
                store.get_historical_features(spine, names).to_arrow()
            seconds["retrieval"] += [watch.seconds] if number else []
        seconds["lookup"] = []
        for number in range(LOOKUPS + 5):
            with Stopwatch() as watch:
                store.get_online_features(names, {"user_id": keys})
            seconds["lookup"] += [watch.seconds] if number >= 5 else []
    finally:
        embedded.stop()
    return {stage: [statistics.median(taken)] for stage, taken in seconds.items()}


def _write_project(folder: Path, size: Size) -> None:
    names = [f"number_{number}" for number in range(size.columns)]
    repository = folder / "feature_repo"
    for each in ("contracts", "domains", "feature_repo"):
        (folder / each).mkdir()
    columns = "".join(
        f"      - {{name: {name}, logicalType: number, required: true, description: A number}}\n" for name in names
    )
    (folder / "contracts" / "visits.yaml").write_text(_CONTRACT + columns)
    features = "".join(
        f'        Sum("{name}", name="{name}", description="A sum", unit="1", expect=at_least(0)),\n' for name in names
    )
    (folder / "domains" / "growing.py").write_text(_DOMAIN.replace("FEATURES", features))
    (repository / "user_views.py").write_text(_VIEWS)
    (repository / "feature_store.yaml").write_text((CHECKOUT / "feature_repo" / "feature_store.yaml").read_text())
    os.environ |= {
        "FEATURES_DATA": str(folder / "data"),
        "FEATURES_CONTRACTS": str(folder / "contracts"),
        "FEATURES_EXPECTATIONS": str(folder / "expectations"),
        "FEATURES_LINEAGE": "off",
        "FEATURES_CLOCK": (FIRST_DAY + timedelta(days=DAYS, hours=4)).isoformat(),
        "FEATURE_REPO_DIR_ENV_VAR": str(repository),
    }
    import transformations

    transformations.__path__ = [*transformations.__path__, str(folder / "domains")]


def _events(size: Size) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    chance = np.random.default_rng(1)
    moments = int(FIRST_DAY.timestamp() * 1e6) + np.sort(chance.integers(0, DAYS * 86_400_000_000, size.events))
    return pa.table(
        {
            "visit_id": pa.array(np.arange(size.events)),
            "user_id": pa.array(chance.integers(0, size.entities, size.events)),
            "visited_at": pa.array(moments).cast(pa.timestamp("us")),
            **{f"number_{each}": chance.integers(1, 600, size.events) / 10 for each in range(size.columns)},
        }
    )


def _entities(size: Size, count: int) -> list[int]:
    import numpy as np

    found: list[int] = np.random.default_rng(2).choice(size.entities, count, replace=False).tolist()
    return found


def _spine(size: Size) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    chance = np.random.default_rng(3)
    moments = int(FIRST_DAY.timestamp() * 1e6) + chance.integers(0, DAYS * 86_400_000_000, SPINE)
    return pd.DataFrame(
        {
            "user_id": chance.integers(0, size.entities, SPINE),
            "event_timestamp": pd.to_datetime(moments, unit="us", utc=True),
        }
    )


_CONTRACT = """
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
    description: One visit
    customProperties:
      - {property: eventTime, value: visited_at}
      - {property: timestampZone, value: UTC}
      - {property: businessDayZone, value: UTC}
      - {property: delivery, value: append}
    properties:
      - {name: visit_id, logicalType: integer, required: true, primaryKey: true, description: The visit}
      - {name: user_id, logicalType: integer, required: true, description: The user}
      - {name: visited_at, logicalType: timestamp, required: true, description: When}
"""
_DOMAIN = f'''
"""Visits of a user."""

from transformations import LIFETIME, Sum, WindowedFeatures, at_least, days, hours

user_visits = WindowedFeatures(
    name="user_visits",
    join_key="user_id",
    source="visits",
    windows=[{", ".join(WINDOWS)}],
    available_after=hours(2),
    description="Visits of a user",
    features=[
FEATURES    ],
)
'''
_VIEWS = '''
"""What is offered about users."""

from feast import Entity, ValueType

from transformations import growing
from transformations.stores.views import feature_view

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, description="A user", owner="web@x.org")
user_visits = feature_view(growing.user_visits, entity=user, owner="web@x.org")
'''

if __name__ == "__main__":
    main()

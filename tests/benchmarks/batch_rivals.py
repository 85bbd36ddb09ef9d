"""What the batch engine is measured against: the same rows by DuckDB, and a rescan of the events for each as-of day.

Both read the same raw files and write zstd Parquet, as the engine does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import Stopwatch
from user_events import TYPES

_WINDOWS = {"1d": 1, "7d": 7, "30d": 30}
_COUNTS = {f"events_{kind}_count": f"count(*) FILTER (event_type = '{kind}')::INTEGER" for kind in TYPES}
_MEASURES = {**_COUNTS, "amount_sum": "sum(amount)"}


def duckdb_backfill(files: Sequence[str], last_as_of: int, threads: int, output: Path) -> dict[str, float]:
    """Every row of every user in one process; the best of seven ways that were tried.

    Daily tiles are put on a grid without gaps, so that a window is a difference of running sums a fixed number of rows
    apart; RANGE frames over the days that matter take three times as long. It knows that a value changes on exactly the
    days that a tile enters or leaves a window, and it may: the counts of all types and a lifetime are among them. Its
    sums of amounts drift in the last digits.
    """
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {threads}; SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
        with Stopwatch() as watch:
            connection.execute(_tiles(files))
            connection.execute(
                f"COPY ({_windows(last_as_of)}) TO '{output}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
            )
    return {"seconds": watch.seconds, "processor seconds": watch.processor_seconds}


def differing_rows(ours: Sequence[str], theirs: Path) -> dict[str, float]:
    """How many rows there are, and how many one side lacks or has with another value; sums are compared to the cent."""
    import duckdb

    features = [f"{measure}_{window}" for measure in _MEASURES for window in (*_WINDOWS, "lifetime")]
    same = [
        f"abs(ours.{name} - theirs.{name}) < 0.005" if "sum" in name else f"ours.{name} = theirs.{name}"
        for name in features
    ]
    query = f"""
        SELECT count(*), count(*) FILTER (({" AND ".join(same)}) IS NOT TRUE)
        FROM read_parquet({list(ours)}) ours
        FULL JOIN read_parquet('{theirs}') theirs USING (user_id, event_timestamp)
    """
    with duckdb.connect() as connection:
        rows, different = connection.execute(query).fetchall()[0]
    return {"rows": rows, "different": different}


def spark_rescan(files: Sequence[str], as_of_days: Sequence[int], threads: int, folder: Path) -> list[float]:
    """Seconds of each as-of day, all windows aggregated from all events before it; the session is warm."""
    from transformations.engine.base.settings import Settings
    from transformations.engine.compute.spark import spark_session

    usual = {"spark.sql.adaptive.enabled": "true", "spark.sql.shuffle.partitions": str(2 * threads)}
    spark = spark_session(Settings(data=folder, spark_master=f"local[{threads}]", spark_conf=usual))
    spark.read.parquet(*files).createOrReplaceTempView("events")
    seconds = []
    for as_of in (as_of_days[0], *as_of_days):  # the first day twice: once to warm up
        with Stopwatch() as watch:
            spark.sql(_rescan(as_of)).write.mode("overwrite").option("compression", "zstd").parquet(str(folder / "day"))
        seconds.append(watch.seconds)
    spark.stop()
    return seconds[1:]


def _tiles(files: Sequence[str]) -> str:
    measures = ", ".join(f"{expression} AS {name}" for name, expression in _MEASURES.items())
    return f"""
        CREATE TEMP TABLE tiles AS
        SELECT user_id, _business_day AS day, {measures}
        FROM read_parquet({list(files)}) WHERE NOT _retracted GROUP BY ALL
    """


def _windows(last_as_of: int) -> str:
    dense = ", ".join(f"coalesce({name}, 0) AS {name}" for name in _MEASURES)
    running = ", ".join(
        f"{name} AS {name}_1d, {_typed(name, f'sum({name}) OVER so_far', 'INTEGER')} AS {name}" for name in _MEASURES
    )
    features = []
    for name in _MEASURES:
        features.append(_typed(name, f"{name}_1d") + f" AS {name}_1d")
        for window, days in list(_WINDOWS.items())[1:]:
            features.append(_typed(name, f"{name} - lag({name}, {days}, 0) OVER history") + f" AS {name}_{window}")
        features.append(_typed(name, name) + f" AS {name}_lifetime")
    changed = " OR ".join(["entered", *(f"lag(entered, {days}, false) OVER history" for days in _WINDOWS.values())])
    return f"""
        WITH users AS (SELECT user_id, min(day) AS first_day FROM tiles GROUP BY user_id),
        grid AS (SELECT user_id, unnest(range(first_day, {last_as_of}))::INTEGER AS day FROM users),
        dense AS (
            SELECT user_id, day + 1 AS as_of_day, {dense}, tiles.day IS NOT NULL AS entered
            FROM grid LEFT JOIN tiles USING (user_id, day)
        ),
        running AS (
            SELECT user_id, as_of_day, entered, {running} FROM dense
            WINDOW so_far AS (PARTITION BY user_id ORDER BY as_of_day ROWS UNBOUNDED PRECEDING)
        ),
        windows AS (
            SELECT user_id, as_of_day, {", ".join(features)}, {changed} AS changed FROM running
            WINDOW history AS (PARTITION BY user_id ORDER BY as_of_day)
        )
        SELECT user_id, {_instant("event_timestamp")}, {_instant("created_timestamp")},
            * EXCLUDE (user_id, as_of_day, changed)
        FROM windows WHERE changed
    """


def _rescan(as_of: int) -> str:
    features = []
    for window, days in {**_WINDOWS, "lifetime": as_of}.items():
        inside = f"_business_day >= {as_of - days}"
        features += [f"count_if({inside} AND event_type = '{kind}') AS events_{kind}_count_{window}" for kind in TYPES]
        features.append(f"coalesce(sum(amount) FILTER (WHERE {inside}), 0) AS amount_sum_{window}")
    return f"""
        SELECT user_id, timestamp_micros({as_of * 86_400_000_000}) AS event_timestamp, {", ".join(features)}
        FROM events WHERE _business_day < {as_of} AND NOT _retracted GROUP BY user_id
    """


def _typed(name: str, expression: str, integer: str = "BIGINT") -> str:
    """Counts as integers: DuckDB's sums of them are 128 bits wide."""
    return f"({expression})::{integer}" if name in _COUNTS else expression


def _instant(name: str) -> str:
    return f"make_timestamptz(as_of_day::BIGINT * 86400000000) AS {name}"

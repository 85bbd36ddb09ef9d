"""`make bench-opening`: what opening a table of 5,000 versions costs, against one of 50.

Both are published as builds publish, without rows, so that the log alone differs. A table whose log was summed up just
before opens quicker than one with commits since, so both stand 50 commits after their last checkpoint; the first of
the small one are its only ones. Each opening is of a folder with a name that was never seen, so nothing is cached.
The whole takes some three minutes.
"""

from __future__ import annotations

import gc
import shutil
import statistics
import tempfile
import time
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from harness import Bar, Finding, in_fresh_process, in_turns, options, report, say

CHECKPOINT = 100
"""The versions from one of Delta's checkpoints to the next."""
SINCE = CHECKPOINT // 2
MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
OPENINGS = 15
BAR = Bar(1.5, "ratio")


def main() -> None:
    """Publish both tables, open each in turn, and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--versions", type=int, default=5_000, metavar="N", help="of the large table (default 5,000)")
    given = parser.parse_args()
    large = given.versions // CHECKPOINT * CHECKPOINT + SINCE
    with tempfile.TemporaryDirectory(prefix="features-bench-") as scratch:
        tables = {versions: Path(scratch) / str(versions) for versions in (SINCE, large)}
        in_fresh_process(publish, Path(scratch) / "grown", tables)
        seconds: list[Finding] = in_fresh_process(measure, tables, given.repeat)
    report("opening", seconds)


def publish(grown: Path, tables: dict[int, Path]) -> None:
    """Publish one table, version by version, and copy it where it has as many as are wanted."""
    import pyarrow as pa

    from transformations.engine.tables.offline_tables import OfflineTable, Run

    table, schema = OfflineTable(grown), pa.schema([("user_id", pa.int64())])
    for version in range(max(tables)):
        run = Run(
            view="aged",
            version=-1,
            run_id=f"{version:06}",
            kind="incremental" if version else "first load",
            started_at=MOMENT,
            seconds=0.0,
            rows=0,
            definition_hash="0" * 16,
            code_revision="0" * 12,
            first_as_of=date(2024, 1, 1),
            complete_through=date(2024, 1, 1),
            sources={},
            last_created=MOMENT,
            late_entities=0,
            counts={},
            carry=None,
        )
        table.publish([], schema, run, after=version - 1 if version else None, replace_all=False)
        table.latest()
        if version + 1 in tables:
            say(f"{version + 1:,} versions")
            shutil.copytree(grown, tables[version + 1])


def measure(tables: dict[int, Path], repeat: int) -> list[Finding]:
    """The milliseconds of opening each table for the first time in a process that has imported everything."""
    small, large = tables
    for path in tables.values():
        _opened(path)
    taken = in_turns({str(each): partial(_opened, path) for each, path in tables.items()}, repeat)
    own, rival = taken[str(large)]["opening"], taken[str(small)]["opening"]
    return [Finding(f"{large:,} versions vs {small}", "opening", own, "ms", rival, BAR)]


def _opened(path: Path) -> dict[str, float]:
    """The median of some openings, in milliseconds."""
    from transformations.engine.tables.offline_tables import OfflineTable

    taken = []
    for _ in range(OPENINGS):
        unseen = path.rename(Path(tempfile.mkdtemp(dir=path.parent)) / path.name)
        gc.collect()
        begun = time.perf_counter()
        OfflineTable(unseen).newest()
        taken.append(1_000 * (time.perf_counter() - begun))
        unseen.rename(path)
        unseen.parent.rmdir()
    return {"opening": statistics.median(taken)}


if __name__ == "__main__":
    main()

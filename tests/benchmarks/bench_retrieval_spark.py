"""`make bench-retrieval-spark`: point-in-time joins of 20 features, ttl 10 days, beside Feast's SparkOfflineStore.

Both sides read the same Parquet files of history and spine, on two cores, with the same driver memory and number of
shuffle partitions, and give their rows to Spark's `noop` sink; the session's start is not measured. A side runs in a
process of its own: its first call, whose rows are summed up, starts Python workers and compiles; a warm one finds that
done. The whole takes some four minutes.
"""

from __future__ import annotations

from feature_history import History, prepare
from harness import DATA, Bar, Finding, in_fresh_process, options, report, say
from spark_sides import Case, measure, write_spine

SIZES = ((1_000_000, 100_000),)
LARGE_SIZES = ((10_000_000, 1_000_000),)
SPEEDUP = 3.0
"""How many times as fast as Feast's store at a million spine rows over three million rows of history."""


def main() -> None:
    """Measure each case, and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--memory", default="4g", help="of the driver; default: 4g")
    parser.add_argument("--partitions", type=int, default=16, metavar="N", help="of shuffles; default: 16")
    parser.add_argument("--large", action="store_true", help="10 million rows over 30 million, too, each side once")
    parser.add_argument("--rows", type=int, metavar="N", help="spine rows in place of a million, for a quick look")
    given = parser.parse_args()
    findings: list[Finding] = []
    sizes = ((given.rows, 100_000),) if given.rows else SIZES
    for rows, users in (*sizes, *(LARGE_SIZES if given.large else ())):
        for is_skewed in (False, True) if rows <= 1_000_000 else (False,):
            findings += _case(rows, users, is_skewed, given.memory, given.partitions, given.repeat)
    report("retrieval-spark", findings, _NOTES)


def _case(rows: int, users: int, is_skewed: bool, memory: str, partitions: int, repeat: int) -> list[Finding]:
    history = History(users)
    in_fresh_process(prepare, history)
    spine = DATA / "retrieval" / f"{users}-users" / f"spine-{rows}{'-skewed' if is_skewed else ''}"
    in_fresh_process(write_spine, spine, rows, users, is_skewed)
    case = Case(spine=spine, history=history.plain, memory=memory, partitions=partitions)
    name = f"{rows:,} of {history.rows:,} rows" + (", a fifth of one entity" if is_skewed else "")
    say(name)
    calls = 1 if is_skewed or rows > 1_000_000 else repeat
    ours, stock = (in_fresh_process(measure, side, case, calls) for side in ("ours", "stock"))
    bar = Bar(1 / SPEEDUP, "ratio") if rows == 1_000_000 else None
    findings = [
        Finding(name, f"{call} call", ours[call], "s", stock[call], bar if call == "warm" else None)
        for call in ("warm", "first")
        if ours[call] and stock[call]
    ]
    findings.append(Finding(name, "memory of all processes", ours["memory"], "GiB", stock["memory"]))
    different = any(
        abs(ours[fact][0] - stock[fact][0]) > 1e-9 * abs(stock[fact][0]) for fact in ("rows", "nulls", "sum")
    )
    findings.append(Finding(name, "other values than stock's", [float(different)], "", bar=Bar(0)))
    return findings


_NOTES = ("memory: Java and all Python processes together, at the worst moment",)

if __name__ == "__main__":
    main()

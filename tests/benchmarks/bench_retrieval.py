"""`make bench-retrieval`: point-in-time joins of 20 features over 3 and 30 million rows, ttl 10 days, on two cores.

Ours in turn with Feast's DuckDB store, plain DuckDB ASOF JOIN and polars join_asof, on one plain file that all read
alike and, where the case says so, on our own table layout. Every side runs in a process of its own: the first call
counts the opening of files and all else that a warm call finds done. The whole grid takes about an hour, most of it
waiting for Feast's store at ten million spine rows; --spines, --users, --views and --sides pick a part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from feature_history import History, prepare
from harness import Bar, Figures, Finding, in_fresh_process, in_turns, options, report, say
from retrieval_sides import Case, measure

SPINES = (1_000, 100_000, 1_000_000, 10_000_000)
USERS = (100_000, 1_000_000)
RIVALS = ("stock", "DuckDB ASOF", "polars")
HOPELESS = {
    ("DuckDB ASOF", 1_000_000),  # sorts 30 million wide rows: 48 s, 12 GB
    ("polars", 1_000_000),  # likewise
}
"""Sides that are left out over so many users unless --sides names them."""

SPEEDUP = {
    (10_000_000, 100_000): 20.0,
    (1_000_000, 100_000): 5.0,
    (1_000_000, 1_000_000): 2.0,
    (100_000, 1_000_000): 1.5,
}
"""How many times as fast as stock, by spine rows and users."""

Key = tuple[int, int, int, str]


def main() -> None:
    """Measure the asked part of the grid, and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--spines", type=int, nargs="+", default=SPINES, metavar="ROWS", help="default: the whole grid")
    parser.add_argument("--users", type=int, nargs="+", default=USERS, metavar="N", help="30 rows each; default: both")
    parser.add_argument("--views", type=int, nargs="+", default=(1, 5), metavar="N", help="default: 1 and 5")
    parser.add_argument("--sides", nargs="+", choices=RIVALS, help="rivals; default: those with a chance")
    given = parser.parse_args()
    findings: list[Finding] = []
    for users in given.users:
        history = History(users)
        in_fresh_process(prepare, history)
        for views in given.views:
            for rows in given.spines:
                if views == 1 or (rows == 1_000_000 and users == min(USERS)):
                    findings += _case(history, rows, views, given.sides, given.repeat)
    report("retrieval", findings, _NOTES)


def _case(history: History, rows: int, views: int, sides: Sequence[str] | None, repeat: int) -> list[Finding]:
    case = Case(rows, history.users, history.plain, views)
    name = f"{rows:,} of {history.rows:,} rows" + (f", {views} views" if views > 1 else "")
    say(name)
    rivals = [side for side in RIVALS if (side in sides if sides else (side, history.users) not in HOPELESS)]
    if rows * history.users > 10**12 and not sides:
        rivals = []  # stock would need several times this machine's memory
    calls = {side: partial(_measured, side, case) for side in rivals}
    ours = {"ours": partial(_measured, "ours", case)}
    ours["ours, own layout"] = partial(_measured, "ours", replace(case, source=history.ours))
    measured = in_turns(ours | calls, 1 if rows > 1_000_000 else repeat)
    findings = []
    for label in ours:
        findings += _findings(
            f"{name}, {'own layout' if 'own' in label else 'plain file'}", rows, history, measured, label
        )
    return findings


def _findings(
    case: str, rows: int, history: History, measured: dict[str, dict[str, list[float]]], label: str
) -> list[Finding]:
    ours = measured[label]
    rivals = {side: figures for side, figures in measured.items() if side in RIVALS}
    findings = []
    for call in ("warm", "first"):
        for side, figures in rivals.items():
            speedup = SPEEDUP.get((rows, history.users)) if side == "stock" and call == "warm" else None
            bar = Bar(1 / speedup, "ratio") if speedup and "5 views" not in case else None
            findings.append(Finding(f"{case} vs {side}", f"{call} call", ours[call], "s", figures[call], bar))
    if rivals:
        best = min(sorted(figures["warm"])[len(figures["warm"]) // 2] for figures in rivals.values())
        findings.append(
            Finding(f"{case} vs the best rival", "warm call", ours["warm"], "s", bar=Bar(1.15 * best + 0.3))
        )
        different = [_differences(ours, figures) for figures in rivals.values()]
        findings.append(Finding(case, "sides with other values", [float(sum(different))], "sides", bar=Bar(0)))
    else:
        findings.append(Finding(case, "warm call", ours["warm"], "s"))
    if rows == 1_000:
        findings.append(Finding(case, "query time", ours["warm"], "s", bar=Bar(1)))
    memory = {(10_000_000, 1_000_000): Bar(8)}.get((rows, history.users))
    stock = rivals.get("stock", {}).get("memory", ())
    if (rows, history.users) == (10_000_000, 100_000):
        memory = Bar(0.5, "ratio")
    findings.append(Finding(case, "peak memory", ours["memory"], "GiB", stock, memory))
    return findings


def _differences(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> bool:
    """Whether rows, nulls or the sum of all values differ; sums of floats to their ninth digit."""
    same = ours["rows"] == theirs["rows"] and ours["nulls"] == theirs["nulls"]
    return not (same and abs(ours["sum"][0] - theirs["sum"][0]) <= 1e-9 * abs(theirs["sum"][0]))


def _measured(side: str, case: Case) -> Figures:
    figures: Figures = in_fresh_process(measure, side, case)
    return figures


_NOTES = (
    "Every call ends in a pandas frame. A call of more than a minute is made once: then its warm time is its first.",
    "Peak memory is of the whole process: the spine, Python and its packages included.",
    "Own layout: bucketed by user, sorted by user and time, as the engine writes; rivals read the plain file.",
)

if __name__ == "__main__":
    main()

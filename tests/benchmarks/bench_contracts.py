"""`make bench-contracts`: a CSV file of 336,000 flights and 19 columns, drafted as a contract and checked against one.

The draft finds dialect, dtypes, null tokens, ranges and keys over the whole file; its rival is `pandas.read_csv`, which
infers dtypes alone. The check accounts for every byte and compares every value; its rival is DuckDB's `read_csv` of all
columns as text.
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from harness import CHECKOUT, DATA, Bar, Figures, Finding, Stopwatch, in_fresh_process, in_turns, options, report, say

ROWS = 336_000
SOURCE = "flights"
COLUMNS = (
    *("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay"),
    *("carrier", "flight", "tailnum", "origin", "dest", "air_time", "distance", "hour", "minute", "time_hour"),
)
NULL = "NA"


def main() -> None:
    """Measure all sides in turn, and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help=f"default {ROWS:,}")
    given = parser.parse_args()
    path = flights_file(given.rows)
    work = path.with_suffix("")
    in_fresh_process(write_contract, path, work)
    sides = {
        "draft": lambda: in_fresh_process(draft, path),
        "pandas": lambda: in_fresh_process(read_by_pandas, path),
        "check": lambda: in_fresh_process(check, path, work),
        "DuckDB": lambda: in_fresh_process(read_by_duckdb, path),
    }
    measured = in_turns(sides, given.repeat)
    report("contracts", _findings(measured, given.rows), _notes(path, given.rows))


def flights_file(rows: int) -> Path:
    """A CSV file of so many flights; generated once."""
    path = DATA / f"{rows}-flights" / f"{SOURCE}.csv"
    if not path.exists():
        say(f"data: {rows:,} flights below {path.parent.relative_to(CHECKOUT)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        draft_path = path.with_suffix(".tmp")
        with draft_path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(_flights(rows))
        draft_path.rename(path)
    return path


def write_contract(path: Path, work: Path) -> None:
    """The contract that the file's draft becomes once its marks are filled in."""
    from validation.drafting.drafts import draft_contract

    text = draft_contract(path, SOURCE).replace("primaryKey: FILL IN", "primaryKey: true")
    text = re.sub(r"(Zone\n +value:) FILL IN", r"\1 UTC", text).replace("FILL IN", "flights of a benchmark")
    work.mkdir(exist_ok=True)
    (work / f"{SOURCE}.yaml").write_text(text)


def draft(path: Path) -> Figures:
    """`features contract draft`, in a process that has its libraries."""
    from validation.drafting.drafts import draft_contract

    return _measure(lambda: draft_contract(path, SOURCE))


def check(path: Path, work: Path) -> Figures:
    """`features contract check`, in a process that has its libraries."""
    from transformations.engine.base.settings import Settings
    from validation.delivery.ingest import Delivery, check_drop

    def without_violation() -> None:
        found = check_drop(Delivery(SOURCE, path), Settings(data=work / "data", contracts=work))
        assert not found.violations, found.violations

    return _measure(without_violation)


def read_by_pandas(path: Path) -> Figures:
    """The file with pandas' guesses of its dtypes."""
    import pandas as pd

    return _measure(lambda: pd.read_csv(path))


def read_by_duckdb(path: Path) -> Figures:
    """The file as a table of texts, with DuckDB's guess of its dialect."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        return _measure(
            lambda: connection.execute(f"CREATE TABLE flights AS FROM read_csv('{path}', all_varchar = true)")
        )


def _measure(act: Callable[[], object]) -> dict[str, float]:
    with Stopwatch() as watch:
        act()
    return {"seconds": watch.seconds, "processor seconds": watch.processor_seconds}


def _flights(rows: int) -> Iterator[list[object]]:
    """Flights of a year, in order of departure; one in forty was cancelled."""
    chance = random.Random(2013)
    carriers = ("UA", "AA", "DL", "B6", "EV", "MQ", "US", "WN", "VX", "FL", "AS", "9E", "F9", "HA", "YV", "OO")
    places = ["".join(chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=3)) for _ in range(105)]
    routes = [(chance.choice(("EWR", "JFK", "LGA")), place, chance.randrange(80, 4_983)) for place in places * 2]
    planes = [f"N{chance.randrange(100, 999)}{chance.choice(carriers)}" for _ in range(4_000)]
    first = datetime.fromisoformat("2013-01-01T05:00")
    for minutes in sorted(chance.randrange(0, 525_000, 5) for _ in range(rows)):
        scheduled = first + timedelta(minutes=minutes)
        origin, place, distance = chance.choice(routes)
        minutes_flown = round(distance / 8 + chance.gauss(20, 5))
        flown: int | str = minutes_flown
        delay, gained = round(chance.expovariate(1 / 25) - 12), round(chance.gauss(-5, 12))
        arrival = scheduled + timedelta(minutes=minutes_flown)
        departed: list[int | str] = [_clock(scheduled + timedelta(minutes=delay)), delay]
        arrived: list[int | str] = [_clock(arrival + timedelta(minutes=delay + gained)), delay + gained]
        if chance.random() < 0.025:
            departed, arrived, flown = [NULL, NULL], [NULL, NULL], NULL
        yield [
            *(scheduled.year, scheduled.month, scheduled.day),
            *(departed[0], _clock(scheduled), departed[1]),
            *(arrived[0], _clock(arrival), arrived[1]),
            *(
                chance.choice(carriers),
                chance.randrange(1, 8_500),
                chance.choice(planes) if chance.random() > 0.007 else NULL,
            ),
            *(origin, place, flown, distance, scheduled.hour, scheduled.minute),
            f"{scheduled:%Y-%m-%d %H}:00:00",
        ]


def _clock(moment: datetime) -> int:
    """517 for 05:17, as timetables of the field write it."""
    return moment.hour * 100 + moment.minute


def _findings(measured: dict[str, dict[str, list[float]]], rows: int) -> list[Finding]:
    bars = {"draft": Bar(5), "check": None} if rows == ROWS else {}
    rivals = {"draft": ("pandas", "draft vs pandas.read_csv"), "check": ("DuckDB", "check vs DuckDB's read_csv")}
    return [
        Finding(case, metric, measured[side][figure], "s", measured[rival][figure], bars.get(side))
        for side, (rival, case) in rivals.items()
        for figure, metric in (("seconds", "time"), ("processor seconds", "processor time"))
    ]


def _notes(path: Path, rows: int) -> list[str]:
    return [
        f"{rows:,} rows × {len(COLUMNS)} columns, {path.stat().st_size / 2**20:.0f} MiB; each side in a fresh process."
    ]


if __name__ == "__main__":
    main()
